//! What a launch file's numbers must be, by themselves and together with the robot.
//!
//! Not responsible for what the filter refuses by itself: [`visuomotor_runtime::safety`] says that.

use super::{Robot, Tables, Task};
use crate::source::{InputError, Source};
use nalgebra::Vector3;
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::safety::{Collision, Limits, Workspace};

impl Tables {
    pub(super) fn check(&self, source: &Source) -> Result<(), InputError> {
        let within = |key: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(source.error_in(key, format!("{value} is outside [{low}, {high}]")))
        };
        for (axis, metres) in self.task.origin_in_base_m.iter().enumerate() {
            within(
                &format!("task.origin_in_base_m[{axis}]"),
                *metres,
                -2.0,
                2.0,
            )?;
        }
        let Task {
            goal_low_m,
            goal_high_m,
            start_low_m,
            start_high_m,
            ..
        } = &self.task;
        for axis in 0..3 {
            // A goal that the hard limits forbid would only ever be approached.
            let ceiling = self.workspace.max_m[axis];
            let floor = match axis {
                2 => self.workspace.min_m[2].max(self.workspace.table_height_m),
                _ => self.workspace.min_m[axis],
            };
            let (low, high) = (goal_low_m[axis], goal_high_m[axis]);
            within(&format!("task.goal_low_m[{axis}]"), low, floor, ceiling)?;
            within(&format!("task.goal_high_m[{axis}]"), high, low, ceiling)?;
            within(
                &format!("task.start_low_m[{axis}]"),
                start_low_m[axis],
                low,
                high,
            )?;
            within(
                &format!("task.start_high_m[{axis}]"),
                start_high_m[axis],
                start_low_m[axis],
                high,
            )?;
        }
        // A symmetric gripper reaches every direction within a quarter turn, and a wrist makes less than a whole one.
        within(
            "task.goal_yaw_max_rad",
            self.task.goal_yaw_max_rad,
            1.571,
            3.1,
        )?;
        within(
            "task.start_yaw_max_rad",
            self.task.start_yaw_max_rad,
            0.0,
            self.task.goal_yaw_max_rad,
        )?;
        for (joint, gain) in self.robot.posture_gain_per_s.iter().enumerate() {
            within(
                &format!("robot.posture_gain_per_s[{joint}]"),
                *gain,
                0.0,
                20.0,
            )?;
        }
        within("task.action_rate_hz", self.task.action_rate_hz, 0.5, 50.0)?;
        within(
            "task.steps_max",
            f64::from(self.task.steps_max),
            1.0,
            1000.0,
        )?;
        within("action.xy_m", self.action.xy_m, 0.001, 0.3)?;
        within("action.z_m", self.action.z_m, 0.001, 0.3)?;
        within("action.yaw_rad", self.action.yaw_rad, 0.001, 1.6)?;
        within("control.rate_hz", self.control.rate_hz, 100.0, 4000.0)?;
        let setpoint = &self.setpoint;
        for (key, value) in [
            ("velocity_m_per_s", setpoint.velocity_m_per_s),
            ("acceleration_m_per_s2", setpoint.acceleration_m_per_s2),
            ("jerk_m_per_s3", setpoint.jerk_m_per_s3),
            ("yaw_velocity_rad_per_s", setpoint.yaw_velocity_rad_per_s),
            (
                "yaw_acceleration_rad_per_s2",
                setpoint.yaw_acceleration_rad_per_s2,
            ),
            ("yaw_jerk_rad_per_s3", setpoint.yaw_jerk_rad_per_s3),
        ] {
            within(&format!("setpoint.{key}"), value, 1e-3, 1e6)?;
        }
        let watchdogs = &self.watchdogs;
        within(
            "watchdogs.arm_silence_ms_max",
            watchdogs.arm_silence_ms_max,
            1.0,
            1e3,
        )?;
        within(
            "watchdogs.loop_gap_ms_max",
            watchdogs.loop_gap_ms_max,
            1.0,
            1e3,
        )?;
        within(
            "watchdogs.policy_silence_ms_max",
            watchdogs.policy_silence_ms_max,
            1.0,
            1e4,
        )?;
        within(
            "watchdogs.teleop_silence_ms_max",
            watchdogs.teleop_silence_ms_max,
            1.0,
            1e3,
        )?;
        within(
            "watchdogs.frame_age_ms_max",
            watchdogs.frame_age_ms_max,
            1.0,
            1e4,
        )?;
        within(
            "watchdogs.tracking_rad_max",
            watchdogs.tracking_rad_max,
            1e-3,
            1.0,
        )
    }
}

pub(super) fn check_home<const N: usize>(
    source: &Source,
    robot: &Robot<N>,
    limits: &Limits<N>,
    chain: &Chain<N>,
    collision: &Collision<N>,
    workspace: &Workspace,
    origin_in_base_m: [f64; 3],
) -> Result<(), InputError> {
    for (joint, (q, bounds)) in robot.home_rad.iter().zip(limits.joints()).enumerate() {
        let (lower, upper) = (bounds.lower, bounds.upper);
        if !(lower..=upper).contains(q) {
            let name = &chain.joint_names()[joint];
            let message = format!("{q} is outside {name}'s limits [{lower:.4}, {upper:.4}]");
            return Err(source.error_in(&format!("robot.home_rad[{joint}]"), message));
        }
    }
    let tip = chain.tip_position(&robot.home_rad.into()) - Vector3::from(origin_in_base_m);
    let distance_m = workspace.distance_m(&tip);
    if distance_m > 0.0 {
        let message = format!(
            "there the tool is {distance_m:.3} m outside [workspace], at [{:.3}, {:.3}, {:.3}] m in the task frame",
            tip.x, tip.y, tip.z
        );
        return Err(source.error_in("robot.home_rad", message));
    }
    if let Some((pair, distance_m)) = collision.nearest(chain, &robot.home_rad.into())
        && distance_m < 0.0
    {
        let [capsule, other] = collision.names(pair);
        let message = format!(
            "there {capsule} is {:.3} m inside {other}; correct this, the two shapes (is a radius in m? does the plane's normal point to the arm's side?), or remove the pair from collision.pairs if the two always touch",
            -distance_m
        );
        return Err(source.error_in("robot.home_rad", message));
    }
    Ok(())
}
