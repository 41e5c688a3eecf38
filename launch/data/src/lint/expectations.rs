//! What an episode's own launch file promises.
//!
//! Not responsible for the launch file's grammar: what it does not say in plain numbers is taken as not said.

use crate::timeline::Timeline;
use toml::Table;

/// The runtime's own default of `watchdogs.arm_silence_ms_max` and `watchdogs.loop_gap_ms_max`, s.
const WATCHDOG_S: f64 = 0.020;
/// Where no launch file says it: older than a policy that decides a few times a second can use, s.
const FRAME_AGE_S: f64 = 0.150;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectations {
    pub tick_rate_hz: Option<f64>,
    pub action_rate_hz: Option<f64>,
    pub frame_age_max_s: f64,
    pub arm_silence_max_s: f64,
    pub loop_gap_max_s: f64,
    /// How old frames are when the policy sees them, least and most: a simulator draws it from this range.
    pub frame_latency_s: Option<(f64, f64)>,
}

impl Expectations {
    pub fn of(timeline: &Timeline) -> Self {
        let launch = timeline.attached("launch.toml");
        let launch: Table = launch
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let number = |value: &toml::Value| {
            let integer = value.as_integer().map(|value| value as f64);
            let number = value.as_float().or(integer)?;
            (number.is_finite() && number > 0.0).then_some(number)
        };
        let positive = |table: &str, key: &str| number(launch.get(table)?.get(key)?);
        let latency_s = |end: usize| {
            let range = launch.get("scene")?.get("latency")?.get("image_ms")?;
            number(range.get(end)?).map(|ms| 1e-3 * ms)
        };
        let seconds =
            |key: &str, default: f64| positive("watchdogs", key).map_or(default, |ms| 1e-3 * ms);
        Self {
            tick_rate_hz: positive("control", "rate_hz"),
            action_rate_hz: positive("task", "action_rate_hz"),
            frame_age_max_s: seconds("frame_age_ms_max", FRAME_AGE_S),
            arm_silence_max_s: seconds("arm_silence_ms_max", WATCHDOG_S),
            loop_gap_max_s: seconds("loop_gap_ms_max", WATCHDOG_S),
            frame_latency_s: latency_s(0).zip(latency_s(1)),
        }
    }
}
