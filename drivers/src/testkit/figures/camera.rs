//! The figures of a camera's driver.

use super::ms;
use crate::picture::PixelFormat;
use crate::testkit::conformance::v4l::{V4lBench, config};
use crate::testkit::emulate::camera::{Fault, Plan};
use serde::Serialize;
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::clock::Duration;

const FRAMES: u32 = 500;
/// Of the frames, where some are lost: few enough that most losses stand alone.
const LOST_SHARE: f64 = 0.05;
/// Ages vary by what the bus varies by, a twentieth of a period.
const AGE_SLACK: f64 = 0.1;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraFigures {
    /// Of the device.
    pub rate_hz: f64,
    pub frames_per_s: f64,
    /// Of a frame when it is handed over, from the beginning of its light.
    pub age_ms_max: f64,
    /// The longest that a capture took, frames being lost.
    pub capture_ms_max: f64,
    pub timeout_ms: f64,
    /// How much older the frame after a lost one looks, in periods.
    pub lost_frame_age_steps_max: f64,
    pub lost: u64,
    pub lost_counted: u64,
}

impl CameraFigures {
    /// Where the driver falls short of what is asked of every one, in words.
    pub fn shortfalls(&self) -> Vec<String> {
        let every_frame = self.frames_per_s >= 0.99 * self.rate_hz;
        let in_time = self.capture_ms_max <= self.timeout_ms;
        let young = self.lost_frame_age_steps_max <= AGE_SLACK;
        let counted = self.lost > 0 && self.lost == self.lost_counted;
        let demands = [
            (every_frame, "it does not hand over every frame"),
            (in_time, "a capture takes longer than its time-out"),
            (
                young,
                "a frame looks older because the one before it was lost",
            ),
            (counted, "not every lost frame is counted"),
        ];
        let short = demands.into_iter().filter(|(holds, _)| !holds);
        short.map(|(_, what)| format!("{what}: {self:?}")).collect()
    }
}

/// Measures the driver with the camera that `seed` draws its chance from.
///
/// # Errors
/// When it does not work at all.
pub fn camera(seed: u64) -> Result<CameraFigures, String> {
    let well = Plan::well(seed, PixelFormat::Yuyv);
    let sound = watch(well.clone())?;
    let lossy = watch(Plan {
        shares: vec![(Fault::Lost, LOST_SHARE)],
        ..well.clone()
    })?;
    let period_ms = ms(well.period);
    let older = ms(lossy.age_max) - ms(sound.age_max);
    Ok(CameraFigures {
        rate_hz: 1e3 / period_ms,
        frames_per_s: f64::from(FRAMES) * 1e3 / ms(sound.taken),
        age_ms_max: ms(sound.age_max),
        capture_ms_max: ms(lossy.capture_max),
        timeout_ms: ms(lossy.timeout),
        lost_frame_age_steps_max: older.max(0.0) / period_ms,
        lost: lossy.lost,
        lost_counted: lossy.lost_counted,
    })
}

struct Watched {
    taken: Duration,
    age_max: Duration,
    capture_max: Duration,
    timeout: Duration,
    lost: u64,
    lost_counted: u64,
}

fn watch(plan: Plan) -> Result<Watched, String> {
    let config = config(&plan);
    let is_lossy = !plan.shares.is_empty();
    let mut bench = V4lBench::new(plan, &config)?;
    let mut frame = Frame::default();
    let (mut age_max, mut capture_max) = (Duration::ZERO, Duration::ZERO);
    let start = bench.device.now();
    for _ in 0..FRAMES {
        let asked_at = bench.device.now();
        let answer = bench.camera.capture(asked_at, &mut frame);
        let now = bench.device.now();
        capture_max = capture_max.max(now - asked_at);
        match answer {
            Ok(()) => age_max = age_max.max(now - frame.captured_at),
            // Two were lost in a row.
            Err(CameraError::NoFrame) if is_lossy => {}
            Err(error) => return Err(format!("no frame of a sound camera: {error}")),
        }
    }
    Ok(Watched {
        taken: bench.device.now() - start,
        age_max,
        capture_max,
        timeout: bench.camera.timeout(),
        lost: bench.device.truth().lost,
        lost_counted: bench.camera.counters().dropped_by_driver,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_hands_over_every_frame_and_counts_those_that_are_lost() {
        for seed in 1..4 {
            let figures = camera(seed).unwrap();
            println!("{figures:#?}");
            assert_eq!(figures.shortfalls(), Vec::<String>::new());
            let miscounted = CameraFigures {
                lost_counted: figures.lost - 1,
                ..figures
            };
            assert_eq!(miscounted.shortfalls().len(), 1);
        }
    }
}
