//! What a tick of the filter did, held against the limits: at its end, by finite differences, and inside the tick.
//!
//! Uses the filter's own account of a tick only where nothing else knows (the closed-form extrema); everything else is
//! computed anew from commands.

use super::shapes::Shapes;
use nalgebra::Isometry3;
use serde::Serialize;
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::safety::{CommandState, Limits, Safety, ToolLimits};

/// Where a tick is looked at between its ends.
const SHARES: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// A tick is near a limit when it comes this close, in the limit's unit.
const NEAR: f64 = 1e-4;
/// Rounding of positions, divided by the tick, and of the forward kinematics.
const ROUNDING: f64 = 1e-9;
/// What finite differences of the capsules' speeds are off by, m/s.
const DIFFERENCE: f64 = 1e-8;
const LIMITS: usize = 9;

/// A value for each limit: rad, rad/s, rad/s², rad/s³, m/s, rad/s, m, m, m/s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerLimit<T> {
    pub q: T,
    pub dq: T,
    pub ddq: T,
    pub dddq: T,
    pub tcp_speed: T,
    pub tcp_rotation: T,
    /// Workspace and table; planes and boxes that the arm's capsules keep away from.
    pub plane_m: T,
    /// The arm's capsules from each other.
    pub capsule_m: T,
    /// Of the capsules' surfaces in manual mode.
    pub capsule_speed: T,
}

impl<T: Copy> PerLimit<T> {
    pub const fn of(
        [
            q,
            dq,
            ddq,
            dddq,
            tcp_speed,
            tcp_rotation,
            plane_m,
            capsule_m,
            capsule_speed,
        ]: [T; LIMITS],
    ) -> Self {
        Self {
            q,
            dq,
            ddq,
            dddq,
            tcp_speed,
            tcp_rotation,
            plane_m,
            capsule_m,
            capsule_speed,
        }
    }

    pub fn values(&self) -> [T; LIMITS] {
        [
            self.q,
            self.dq,
            self.ddq,
            self.dddq,
            self.tcp_speed,
            self.tcp_rotation,
            self.plane_m,
            self.capsule_m,
            self.capsule_speed,
        ]
    }
}

/// What was seen over many ticks.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The furthest beyond each limit; negative where it was never reached.
    pub excess: [f64; LIMITS],
    pub near_ticks: [u64; LIMITS],
    /// Ticks that exceeded a limit by more than rounding.
    pub violations: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            excess: [f64::NEG_INFINITY; LIMITS],
            near_ticks: [0; LIMITS],
            violations: 0,
        }
    }
}

impl Seen {
    pub fn note(&mut self, tick: &PerLimit<f64>) {
        let values = tick.values();
        for ((worst, near), value) in self.excess.iter_mut().zip(&mut self.near_ticks).zip(values) {
            *worst = worst.max(value);
            *near += u64::from(value > -NEAR);
        }
        // Also true of NaN.
        self.violations += u64::from(!values.iter().all(|value| *value <= ROUNDING));
    }

    pub fn add(&mut self, other: &Seen) {
        self.excess = std::array::from_fn(|k| self.excess[k].max(other.excess[k]));
        self.near_ticks = std::array::from_fn(|k| self.near_ticks[k] + other.near_ticks[k]);
        self.violations += other.violations;
    }
}

/// The limits that a filter was given.
pub struct Judge<'a, const N: usize> {
    pub chain: &'a Chain<N>,
    pub limits: &'a Limits<N>,
    pub tool: ToolLimits,
    pub shapes: Shapes,
    pub t_task_base: Isometry3<f64>,
    /// The control period, s.
    pub dt: f64,
}

impl<const N: usize> Judge<'_, N> {
    /// By how much the tick from `old` to the filter's present command exceeds each limit.
    pub fn excess(&self, old: &CommandState<N>, safety: &Safety<N>) -> PerLimit<f64> {
        // The maxima below would drop a NaN, and an absent command has none.
        const BROKEN: PerLimit<f64> = PerLimit::of([f64::NAN; LIMITS]);
        let mut excess = PerLimit::of([f64::NEG_INFINITY; LIMITS]);
        let (Some(new), Some(extents)) = (safety.command(), safety.extents_of_last_tick()) else {
            return BROKEN;
        };
        if !is_finite(&new) {
            return BROKEN;
        }
        for (i, limit) in self.limits.joints().iter().enumerate() {
            let mean = |before: f64, after: f64| (after - before) / self.dt;
            let within = &extents[i];
            let lowest = within.lower.min(new.q[i]);
            let highest = within.upper.max(new.q[i]);
            let fastest = within
                .speed_max
                .max(new.dq[i].abs())
                .max(mean(old.q[i], new.q[i]).abs());
            let hardest = within
                .acceleration_max
                .max(new.ddq[i].abs())
                .max(mean(old.dq[i], new.dq[i]).abs());
            let jerk = mean(old.ddq[i], new.ddq[i]).abs();
            excess.q = excess
                .q
                .max(highest - limit.upper)
                .max(limit.lower - lowest);
            excess.dq = excess.dq.max(fastest - limit.dq_max);
            excess.ddq = excess.ddq.max(hardest - limit.ddq_max);
            excess.dddq = excess.dddq.max(jerk - limit.dddq_max);
        }
        for share in SHARES {
            let Some(between) = safety.during_last_tick(share).filter(is_finite) else {
                return BROKEN;
            };
            let (pose, j) = self.chain.jacobian(&between.q);
            let twist = j * between.dq.0;
            let p = self
                .t_task_base
                .transform_point(&pose.translation.vector.into())
                .coords;
            let workspace = &self.tool.workspace;
            for axis in 0..3 {
                let out = (workspace.min_m[axis] - p[axis]).max(p[axis] - workspace.max_m[axis]);
                excess.plane_m = excess.plane_m.max(out);
            }
            excess.plane_m = excess.plane_m.max(workspace.table_height_m - p.z);
            let speed = twist.fixed_rows::<3>(0).norm() - self.tool.speed_m_per_s;
            let turning = twist.fixed_rows::<3>(3).norm() - self.tool.rotation_rad_per_s;
            let distances = self.shapes.distances(&self.chain.frames(&between.q));
            excess.plane_m = excess.plane_m.max(-distances.to_others_m);
            excess.capsule_m = excess.capsule_m.max(-distances.to_itself_m);
            if self.tool.capsules_m_per_s.is_finite() {
                let fastest = self.shapes.fastest(self.chain, &between.q, &between.dq);
                let beyond = fastest - self.tool.capsules_m_per_s - DIFFERENCE;
                excess.capsule_speed = excess.capsule_speed.max(beyond);
            }
            excess.tcp_speed = excess.tcp_speed.max(speed);
            excess.tcp_rotation = excess.tcp_rotation.max(turning);
        }
        excess
    }
}

fn is_finite<const N: usize>(state: &CommandState<N>) -> bool {
    state.q.is_finite() && state.dq.is_finite() && state.ddq.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_a_limit_or_is_no_number_is_a_violation() {
        let mut seen = Seen::default();
        for (excess, violations, near) in [
            (-1.0, 0, 0),
            (-0.5 * NEAR, 0, 1),
            (0.5 * ROUNDING, 0, 2),
            (2.0 * ROUNDING, 1, 3),
            (f64::INFINITY, 2, 4),
            (f64::NAN, 3, 4),
        ] {
            let mut values = [-1.0; LIMITS];
            values[3] = excess;
            seen.note(&PerLimit::of(values));
            assert_eq!(
                (seen.violations, seen.near_ticks[3]),
                (violations, near),
                "{excess}"
            );
        }
    }
}
