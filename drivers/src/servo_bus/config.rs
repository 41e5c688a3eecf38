//! The part of a launch file that is about a servo bus.

use super::wire::Protocol;
use serde::Deserialize;

/// A launch file's `[arm.servo_bus]`. Every key but protocol, port and calibration has the value of a SO-101 or Koch arm
/// when it is left out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServoBusConfig {
    /// "feetech" (STS and SMS series) or "dynamixel" (X series, protocol 2.0).
    pub protocol: Protocol,
    /// Of the adapter, as "/dev/ttyACM0"; better one of /dev/serial/by-id.
    pub port: String,
    /// Bits/s, as all servos are set.
    #[serde(default = "baud")]
    pub baud: u32,
    /// The calibration file, beside the launch file.
    pub calibration: String,
    /// How much later the adapter and its driver deliver, at most. 1 ms with the low-latency setting, which is made where the
    /// driver has it; 16 ms is an FTDI adapter without it.
    #[serde(default = "adapter_latency_ms")]
    pub adapter_latency_ms: f64,
    /// Dynamixel: after so long a silence the servos stop by themselves. In steps of 20 ms; four control periods and the longest
    /// I/O of a tick at least, 500 at most. Feetech servos have no such thing: there it must be left out.
    pub watchdog_ms: Option<u32>,
    /// The most that a joint's servo may push with, as a share of its stall torque, in (0, 1].
    #[serde(default = "torque_limit")]
    pub torque_limit: f64,
    /// The same of the gripper's servo, while it moves.
    #[serde(default = "gripper_torque_limit")]
    pub gripper_torque_limit: f64,
    /// And while it holds something: what it is reduced to when it stalls.
    #[serde(default = "gripper_hold")]
    pub gripper_hold: f64,
    /// The servos' own limit of speed, rad/s: above what the launch file's limits allow.
    #[serde(default = "speed_max")]
    pub speed_max_rad_per_s: f64,
    /// The same of the gripper's servo.
    #[serde(default = "gripper_speed_max")]
    pub gripper_speed_max_rad_per_s: f64,
    #[serde(default)]
    pub stall: StallConfig,
    /// Whether a servo that is found with power, because whoever moved it before is gone, may be let go. The arm falls: hold it.
    #[serde(default)]
    pub release_at_start: bool,
}

/// When a servo pushes against something and gets nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StallConfig {
    /// Load, as a share of the torque limit.
    pub load_share: f64,
    /// And how far it is from its goal, rad.
    pub error_rad: f64,
    /// And for how long both.
    pub time_ms: u32,
}

impl Default for StallConfig {
    fn default() -> Self {
        Self {
            load_share: 0.85,
            error_rad: 0.05,
            time_ms: 500,
        }
    }
}

fn baud() -> u32 {
    1_000_000
}

fn adapter_latency_ms() -> f64 {
    2.0
}

fn torque_limit() -> f64 {
    0.75
}

fn gripper_torque_limit() -> f64 {
    0.5
}

fn gripper_hold() -> f64 {
    0.25
}

fn speed_max() -> f64 {
    6.0
}

fn gripper_speed_max() -> f64 {
    3.0
}

/// Of one unit of the Dynamixel watchdog's register.
const WATCHDOG_UNIT_MS: u32 = 20;

impl ServoBusConfig {
    /// As a launch file that says no more than this.
    pub fn new(protocol: Protocol, port: &str, calibration: &str) -> Self {
        Self {
            protocol,
            port: port.to_owned(),
            baud: baud(),
            calibration: calibration.to_owned(),
            adapter_latency_ms: adapter_latency_ms(),
            watchdog_ms: None,
            torque_limit: torque_limit(),
            gripper_torque_limit: gripper_torque_limit(),
            gripper_hold: gripper_hold(),
            speed_max_rad_per_s: speed_max(),
            gripper_speed_max_rad_per_s: gripper_speed_max(),
            stall: StallConfig::default(),
            release_at_start: false,
        }
    }

    /// The watchdog register's value; `None` where there is none.
    pub(super) fn watchdog_units(&self) -> Option<i32> {
        self.watchdog_ms.map(|ms| (ms / WATCHDOG_UNIT_MS) as i32)
    }

    /// What is wrong with it, and which key it is.
    pub fn problem(&self) -> Option<String> {
        let shares = [
            ("torque_limit", self.torque_limit),
            ("gripper_torque_limit", self.gripper_torque_limit),
            ("gripper_hold", self.gripper_hold),
            ("stall.load_share", self.stall.load_share),
        ];
        for (key, share) in shares {
            if !(share > 0.0 && share <= 1.0) {
                return Some(format!("{key} = {share} is not above 0 and at most 1"));
            }
        }
        let (hold, most) = (self.gripper_hold, self.gripper_torque_limit);
        if hold > most {
            return Some(format!(
                "gripper_hold = {hold} is above gripper_torque_limit = {most}: a gripper that holds would push harder than one that moves"
            ));
        }
        let positive = [
            ("speed_max_rad_per_s", self.speed_max_rad_per_s, 100.0),
            (
                "gripper_speed_max_rad_per_s",
                self.gripper_speed_max_rad_per_s,
                100.0,
            ),
            ("stall.error_rad", self.stall.error_rad, 7.0),
            ("adapter_latency_ms", self.adapter_latency_ms, 50.0),
        ];
        for (key, value, most) in positive {
            if !(value > 0.0 && value <= most) {
                return Some(format!("{key} = {value} is not above 0 and at most {most}"));
            }
        }
        if !(9_600..=4_500_000).contains(&self.baud) {
            return Some(format!("baud = {} is no speed of such a bus", self.baud));
        }
        match (self.protocol, self.watchdog_ms) {
            (Protocol::Feetech, Some(_)) => {
                Some("watchdog_ms: Feetech servos have no watchdog; leave it out".to_owned())
            }
            (Protocol::Dynamixel, None) => Some(
                "watchdog_ms is missing: after which silence the servos shall stop, as 100"
                    .to_owned(),
            ),
            (Protocol::Dynamixel, Some(ms))
                if !(20..=500).contains(&ms) || ms % WATCHDOG_UNIT_MS != 0 =>
            {
                Some(format!(
                    "watchdog_ms = {ms} is not a multiple of 20 up to 500"
                ))
            }
            _ => None,
        }
    }
}
