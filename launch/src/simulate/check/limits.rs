//! Commands: the first is the measured pose, and all keep the limits, by finite differences.

use super::{Found, Pair, demand};
use crate::config::{JOINTS, Launch, duration_ms};
use crate::fuzz::Shapes;
use nalgebra::{Isometry3, SVector};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::ToolLimits;
use visuomotor_runtime::step::Step;
use visuomotor_runtime::units::JointVelocities;

/// Rounding of positions of some rad, divided twice by a tick of 1 ms, leaves this much of an acceleration.
const ROUNDING: f64 = 1e-6;
/// Distances between capsules are looked at once in so many ticks.
const SHAPES_ONCE_IN: u64 = 8;

pub struct Limits<'a> {
    launch: &'a Launch,
    shapes: Shapes,
    t_task_base: Isometry3<f64>,
    dt: f64,
    /// Mean acceleration of each joint over the last tick, rad/s².
    acceleration: SVector<f64, JOINTS>,
    /// The arm started outside its limits and has not come inside.
    outside: bool,
}

impl<'a> Limits<'a> {
    pub fn new(launch: &'a Launch) -> Self {
        Self {
            shapes: Shapes::new(&launch.chain, &launch.shapes),
            t_task_base: launch.T_base_task().inverse(),
            dt: launch.control_period().as_nanos() as f64 * 1e-9,
            acceleration: SVector::zeros(),
            outside: false,
            launch,
        }
    }

    pub fn first(&mut self, step: &Step<JOINTS>) -> Found {
        self.acceleration = SVector::zeros();
        self.outside = step.phase == Phase::Inward;
        let Some((q, dq, _)) = step.command else {
            return Ok(());
        };
        let measured = step.measured();
        demand(
            measured.is_some_and(|state| state.q == q) && dq == JointVelocities::zeros(),
            "first-command",
            || format!("{q:?} was commanded first and {measured:?} measured"),
        )?;
        let now = step.due + step.jitter;
        let age = measured.and_then(|state| now.checked_duration_since(state.sampled_at));
        let most = duration_ms(self.launch.watchdogs.arm_silence_ms_max);
        demand(age.is_none_or(|age| age <= most), "first-command", || {
            format!("the first command is a pose of {age:?} ago")
        })?;
        self.postures(step)
    }

    pub fn check(&mut self, pair: Pair<'_>) -> Found {
        let (Some((q, dq, _)), Some((q_last, dq_last, _))) = (pair.step.command, pair.last.command)
        else {
            return self.first(pair.step);
        };
        let begins_at = |state: visuomotor_runtime::arm::ArmState<JOINTS>| state.q == q;
        if pair.begins_again() && pair.step.measured().is_some_and(begins_at) {
            return self.first(pair.step);
        }
        self.outside |= pair.step.phase == Phase::Inward;
        self.outside &= !matches!(
            pair.step.phase,
            Phase::Hold | Phase::Approach | Phase::Policy | Phase::Teleop
        );
        let acceleration = (dq.0 - dq_last.0) / self.dt;
        let velocity = (q.0 - q_last.0) / self.dt;
        for (i, limit) in self.launch.limits.joints().iter().enumerate() {
            let jerk = (acceleration[i] - self.acceleration[i]) / self.dt;
            for (name, value, most) in [
                ("velocity", dq[i], limit.dq_max),
                ("mean velocity", velocity[i], limit.dq_max),
                ("acceleration", acceleration[i], limit.ddq_max),
                ("jerk", jerk * 1e-3, limit.dddq_max * 1e-3),
            ] {
                // Also true of NaN.
                demand(value.abs() <= most + ROUNDING, "limits", || {
                    format!("{name} {value} of joint {i} exceeds {most}")
                })?;
            }
        }
        self.acceleration = acceleration;
        self.postures(pair.step)
    }

    /// What must hold of one posture and its velocity.
    fn postures(&self, step: &Step<JOINTS>) -> Found {
        let Some((q, dq, _)) = step.command else {
            return Ok(());
        };
        let tool: ToolLimits = step.mode.limits(&self.launch.tool_limits);
        let (pose, jacobian) = self.launch.chain.jacobian(&q);
        let twist = jacobian * dq.0;
        let (speed, turning) = (
            twist.fixed_rows::<3>(0).norm(),
            twist.fixed_rows::<3>(3).norm(),
        );
        demand(speed <= tool.speed_m_per_s + ROUNDING, "limits", || {
            format!("tool speed {speed} m/s")
        })?;
        demand(
            turning <= tool.rotation_rad_per_s + ROUNDING,
            "limits",
            || format!("tool turns at {turning} rad/s"),
        )?;
        if self.outside {
            return Ok(());
        }
        for (i, limit) in self.launch.limits.joints().iter().enumerate() {
            demand(
                (limit.lower - ROUNDING..=limit.upper + ROUNDING).contains(&q[i]),
                "limits",
                || format!("joint {i} is commanded to {}", q[i]),
            )?;
        }
        let tip = self.t_task_base * nalgebra::Point3::from(pose.translation.vector);
        let out_m = tool.workspace.distance_m(&tip.coords);
        demand(out_m <= ROUNDING, "limits", || {
            format!("the tool is {out_m} m outside the workspace")
        })?;
        if step.tick.is_multiple_of(SHAPES_ONCE_IN) {
            let distances = self.shapes.distances(&self.launch.chain.frames(&q));
            let least = distances.to_itself_m.min(distances.to_others_m);
            demand(least >= -ROUNDING, "limits", || {
                format!("an overlap of {} m", -least)
            })?;
        }
        Ok(())
    }
}
