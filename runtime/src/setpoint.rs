//! From a 4 Hz goal to a 1 kHz reference: a jerk-limited motion of the straight-down tool that is re-planned from the
//! moving state whenever the goal changes, so that the tool does not stop between actions.
//!
//! Not responsible for what the joints can do ([`crate::kinematics::ik`]) nor for any safety limit ([`crate::safety`]).

use crate::clock::{Duration, Instant};
use crate::fault::Fault;
use crate::goal::GoalLimits;
use crate::observation::{TcpPose, TcpVelocity};
use nalgebra::Vector3;
use rsruckig::prelude::{
    ControlInterface, DataArrayOrVec, InputParameter, Ruckig, RuckigResult, Synchronization,
    ThrowErrorHandler, Trajectory,
};

/// x, y, z, yaw.
const AXES: usize = 4;
/// A slower axis rests, m/s and rad/s.
const SLOWEST: f64 = 1e-6;

/// How briskly the reference moves; each of x, y and z keeps the linear limits by itself.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetpointLimits {
    pub velocity_m_per_s: f64,
    pub acceleration_m_per_s2: f64,
    pub jerk_m_per_s3: f64,
    pub yaw_velocity_rad_per_s: f64,
    pub yaw_acceleration_rad_per_s2: f64,
    pub yaw_jerk_rad_per_s3: f64,
}

impl Default for SetpointLimits {
    fn default() -> Self {
        Self {
            velocity_m_per_s: 0.25,
            acceleration_m_per_s2: 3.0,
            jerk_m_per_s3: 100.0,
            yaw_velocity_rad_per_s: 2.0,
            yaw_acceleration_rad_per_s2: 20.0,
            yaw_jerk_rad_per_s3: 600.0,
        }
    }
}

/// Where the tool should be at one instant, and how that changes. Task frame; velocity and acceleration are
/// (x, y, z, yaw) in m/s and rad/s, m/s² and rad/s².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TcpReference {
    pub pose: TcpPose,
    pub velocity: [f64; AXES],
    pub acceleration: [f64; AXES],
}

impl TcpReference {
    /// The same point of the path, passed at this share of the speed.
    pub fn at_pace(&self, pace: f64) -> Self {
        Self {
            pose: self.pose,
            velocity: self.velocity.map(|v| v * pace),
            acceleration: self.acceleration.map(|a| a * pace * pace),
        }
    }

    pub fn is_at_rest(&self) -> bool {
        let motion = self.velocity.iter().chain(&self.acceleration);
        motion.fold(0.0, |most: f64, x| most.max(x.abs())) < 1e-9
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetpointError {
    #[error("the goal is not finite")]
    NotFinite,
    #[error("no motion to the goal was found")]
    NoPlan,
}

impl From<SetpointError> for Fault {
    fn from(error: SetpointError) -> Self {
        match error {
            SetpointError::NotFinite => Self::ActionNotFinite,
            SetpointError::NoPlan => Self::NoPlan,
        }
    }
}

/// Planning and sampling allocate nothing.
pub struct Setpoint {
    limits: SetpointLimits,
    planner: Ruckig<AXES, ThrowErrorHandler>,
    input: InputParameter<AXES>,
    plan: Trajectory<AXES>,
    /// Where the next plan is made, so that a failed attempt leaves the current one whole.
    draft: Trajectory<AXES>,
    planned_at: Instant,
}

impl Setpoint {
    /// A reference that rests at the task frame's origin until [`Setpoint::reset`].
    pub fn new(limits: SetpointLimits) -> Self {
        let l = limits;
        let axes = |linear, yaw| DataArrayOrVec::Stack([linear, linear, linear, yaw]);
        let mut input = InputParameter::new(None);
        // Each axis takes the time it needs: a long turn does not slow the approach.
        input.synchronization = Synchronization::None;
        input.max_velocity = axes(l.velocity_m_per_s, l.yaw_velocity_rad_per_s);
        input.max_acceleration = axes(l.acceleration_m_per_s2, l.yaw_acceleration_rad_per_s2);
        input.max_jerk = axes(l.jerk_m_per_s3, l.yaw_jerk_rad_per_s3);
        let mut setpoint = Self {
            limits,
            planner: Ruckig::new(None, 1e-3),
            input,
            plan: Trajectory::new(None),
            draft: Trajectory::new(None),
            planned_at: Instant::from_ticks(0),
        };
        let origin = TcpPose {
            position_m: Vector3::zeros(),
            yaw_rad: 0.0,
        };
        let planned = setpoint.reset(setpoint.planned_at, origin);
        assert!(
            planned.is_ok(),
            "setpoint limits must be positive: {limits:?}"
        );
        setpoint
    }

    /// The reference rests at `pose` from `now` on.
    pub fn reset(&mut self, now: Instant, pose: TcpPose) -> Result<(), SetpointError> {
        let at = coordinates(&pose);
        self.plan_from(
            now,
            TcpReference {
                pose,
                velocity: [0.0; AXES],
                acceleration: [0.0; AXES],
            },
            at,
        )
    }

    /// From `now` on the reference leads, from its present motion, to rest at `goal`. On an error it keeps its old goal.
    pub fn retarget(&mut self, now: Instant, goal: TcpPose) -> Result<(), SetpointError> {
        self.plan_from(now, self.sample(now), coordinates(&goal))
    }

    /// From `now` on the reference comes to rest, each axis as soon as its limits allow. Returns where that is: nothing
    /// turns back to where it was asked.
    pub fn come_to_rest(&mut self, now: Instant) -> Result<TcpPose, SetpointError> {
        let from = self.sample(now);
        self.input.control_interface = ControlInterface::Velocity;
        let planned = self.plan_from(now, from, coordinates(&from.pose));
        self.input.control_interface = ControlInterface::Position;
        planned.map(|()| self.at(self.plan.get_duration()).pose)
    }

    /// From `now` on the reference moves with `velocity`, cut to the limits, and comes to rest after about `span` and at the
    /// border of `within`. Asked again and again before `span` has passed, it moves evenly. Returns where it comes to rest.
    pub fn jog(
        &mut self,
        now: Instant,
        velocity: &TcpVelocity,
        span: Duration,
        within: &GoalLimits,
    ) -> Result<TcpPose, SetpointError> {
        let velocity = self.attainable(velocity)?;
        let from = self.sample(now);
        // From where it can rest, so that nothing brakes before `span` has passed.
        let rest = self.come_to_rest(now)?;
        let span_s = span.as_ticks() as f64 * 1e-9;
        let ahead = coordinates(&rest);
        let ahead = pose(std::array::from_fn(|axis| {
            ahead[axis] + velocity[axis] * span_s
        }));
        let goal = within.nearest_onward(&rest, &ahead);
        let limits = self.velocity_max();
        self.input.max_velocity =
            DataArrayOrVec::Stack(std::array::from_fn(|axis| match velocity[axis].abs() {
                0.0 => limits[axis],
                speed => speed,
            }));
        let planned = self.plan_from(now, from, coordinates(&goal));
        self.input.max_velocity = DataArrayOrVec::Stack(limits);
        planned.map(|()| goal)
    }

    fn velocity_max(&self) -> [f64; AXES] {
        let linear = self.limits.velocity_m_per_s;
        [linear, linear, linear, self.limits.yaw_velocity_rad_per_s]
    }

    /// In the same direction, and no faster than the limits.
    fn attainable(&self, velocity: &TcpVelocity) -> Result<[f64; AXES], SetpointError> {
        let (linear, yaw) = (velocity.linear_m_per_s, velocity.yaw_rad_per_s);
        if !(linear.iter().all(|v| v.is_finite()) && yaw.is_finite()) {
            return Err(SetpointError::NotFinite);
        }
        let limits = self.limits;
        let linear = linear * (limits.velocity_m_per_s / linear.amax()).min(1.0);
        let yaw_max = limits.yaw_velocity_rad_per_s;
        let velocity = [linear.x, linear.y, linear.z, yaw.clamp(-yaw_max, yaw_max)];
        Ok(velocity.map(|v| if v.abs() < SLOWEST { 0.0 } else { v }))
    }

    /// The reference at `now`; before the last plan's start it is that start, after its end it rests at the goal.
    pub fn sample(&self, now: Instant) -> TcpReference {
        let elapsed = now
            .checked_duration_since(self.planned_at)
            .map_or(0.0, |d| d.as_ticks() as f64 * 1e-9);
        self.at(elapsed)
    }

    /// The reference at this time after the last plan's start, s.
    fn at(&self, elapsed: f64) -> TcpReference {
        let mut p = DataArrayOrVec::Stack([0.0; AXES]);
        let mut v = DataArrayOrVec::Stack([0.0; AXES]);
        let mut a = DataArrayOrVec::Stack([0.0; AXES]);
        self.plan.at_time(
            elapsed,
            &mut Some(&mut p),
            &mut Some(&mut v),
            &mut Some(&mut a),
            &mut None,
            &mut None,
        );
        TcpReference {
            pose: pose(std::array::from_fn(|axis| p[axis])),
            velocity: std::array::from_fn(|axis| v[axis]),
            acceleration: std::array::from_fn(|axis| a[axis]),
        }
    }

    /// Lets the arm catch up: from `now` on the reference lags its plan by `by` more. Called each tick with the share of
    /// the period that the joints could not follow, it makes the reference wait on its path instead of running away.
    pub fn hold_back(&mut self, by: Duration) {
        self.planned_at += by;
    }

    fn plan_from(
        &mut self,
        now: Instant,
        from: TcpReference,
        goal: [f64; AXES],
    ) -> Result<(), SetpointError> {
        if !goal.iter().all(|x| x.is_finite()) {
            return Err(SetpointError::NotFinite);
        }
        self.input.current_position = DataArrayOrVec::Stack(coordinates(&from.pose));
        self.input.current_velocity = DataArrayOrVec::Stack(from.velocity);
        self.input.current_acceleration = DataArrayOrVec::Stack(from.acceleration);
        self.input.target_position = DataArrayOrVec::Stack(goal);
        match self.planner.calculate(&self.input, &mut self.draft) {
            Ok(RuckigResult::Working | RuckigResult::Finished) => {
                std::mem::swap(&mut self.plan, &mut self.draft);
                self.planned_at = now;
                Ok(())
            }
            _ => Err(SetpointError::NoPlan),
        }
    }
}

fn coordinates(pose: &TcpPose) -> [f64; AXES] {
    [
        pose.position_m.x,
        pose.position_m.y,
        pose.position_m.z,
        pose.yaw_rad,
    ]
}

/// The inverse of [`coordinates`].
fn pose(c: [f64; AXES]) -> TcpPose {
    TcpPose {
        position_m: Vector3::new(c[0], c[1], c[2]),
        yaw_rad: c[3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at_ms(ms: u64) -> Instant {
        Instant::from_ticks(ms * 1_000_000)
    }

    #[test]
    fn goals_in_one_direction_do_not_stop_the_tool_between_them() {
        let mut setpoint = Setpoint::new(SetpointLimits::default());
        let mut slowest = f64::INFINITY;
        for step in 1..=8_u64 {
            let now = at_ms(250 * step);
            setpoint
                .retarget(now, pose([0.0, 0.0, 0.06 * step as f64, 0.0]))
                .expect("a plan");
            if step > 2 {
                slowest = (0..250)
                    .map(|ms| setpoint.sample(at_ms(250 * step + ms)).velocity[2])
                    .fold(slowest, f64::min);
            }
        }
        assert!(slowest > 0.05, "{slowest}");
    }

    #[test]
    fn it_ends_at_rest_at_the_goal() {
        let mut setpoint = Setpoint::new(SetpointLimits::default());
        setpoint
            .reset(at_ms(5), pose([0.1, 0.0, 0.2, 1.0]))
            .expect("a plan");
        assert_eq!(setpoint.sample(at_ms(0)).pose, pose([0.1, 0.0, 0.2, 1.0]));
        setpoint
            .retarget(at_ms(10), pose([0.0, 0.1, 0.1, -2.0]))
            .expect("a plan");
        let end = setpoint.sample(at_ms(5_000));
        assert!(
            coordinates(&end.pose)
                .iter()
                .zip([0.0, 0.1, 0.1, -2.0])
                .all(|(a, b)| (a - b).abs() < 1e-12),
            "{end:?}"
        );
        assert!(
            end.velocity
                .iter()
                .chain(&end.acceleration)
                .all(|x| x.abs() < 1e-9),
            "{end:?}"
        );
    }

    #[test]
    fn it_comes_to_rest_without_turning_back() {
        let mut setpoint = Setpoint::new(SetpointLimits::default());
        setpoint
            .retarget(at_ms(0), pose([0.1, -0.2, 0.0, 1.0]))
            .expect("a plan");
        let moving = setpoint.sample(at_ms(200));
        assert!(!moving.is_at_rest());
        let end = setpoint.come_to_rest(at_ms(200)).expect("a plan");
        assert_eq!(setpoint.sample(at_ms(200)), moving, "from where it is");
        let rest = setpoint.sample(at_ms(1_000));
        assert!(rest.is_at_rest(), "{rest:?}");
        let off = (rest.pose.position_m - end.position_m).norm();
        assert!(off < 1e-12 && (rest.pose.yaw_rad - end.yaw_rad).abs() < 1e-12);
        let mut last = coordinates(&moving.pose);
        for ms in 200..1_000 {
            let now = coordinates(&setpoint.sample(at_ms(ms)).pose);
            for axis in 0..AXES {
                let ahead = (now[axis] - last[axis]) * moving.velocity[axis];
                assert!(ahead >= -1e-12, "axis {axis} turns back at {ms} ms");
            }
            last = now;
        }
        // Then it goes on as before.
        setpoint
            .retarget(at_ms(1_000), pose([0.0; AXES]))
            .expect("a plan");
        assert!(coordinates(&setpoint.sample(at_ms(5_000)).pose)[0].abs() < 1e-12);
    }

    #[test]
    fn a_goal_that_no_motion_reaches_is_a_fault_of_its_own() {
        let mut setpoint = Setpoint::new(SetpointLimits::default());
        let before = setpoint.sample(at_ms(5));
        let error = setpoint
            .retarget(at_ms(0), pose([1e300, 0.0, 0.0, 0.0]))
            .expect_err("too far");
        assert_eq!(error, SetpointError::NoPlan);
        assert_eq!(Fault::from(error), Fault::NoPlan);
        assert_eq!(
            Fault::from(SetpointError::NotFinite),
            Fault::ActionNotFinite
        );
        assert_eq!(setpoint.sample(at_ms(5)), before);
    }

    #[test]
    fn a_goal_that_is_not_finite_changes_nothing() {
        let mut setpoint = Setpoint::new(SetpointLimits::default());
        setpoint
            .retarget(at_ms(0), pose([0.1, 0.0, 0.0, 0.0]))
            .expect("a plan");
        let before = setpoint.sample(at_ms(100));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(
                setpoint.retarget(at_ms(50), pose([0.0, bad, 0.0, 0.0])),
                Err(SetpointError::NotFinite)
            );
            assert_eq!(
                setpoint.reset(at_ms(50), pose([0.0, 0.0, 0.0, bad])),
                Err(SetpointError::NotFinite)
            );
        }
        assert_eq!(setpoint.sample(at_ms(100)), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Any goals, at any instants: every limit holds, and position, velocity and acceleration are continuous.
        #[test]
        fn limits_hold_whatever_the_goals(
            goals in proptest::collection::vec((proptest::array::uniform4(-0.2..0.2), 1_u64..400), 1..20),
        ) {
            let limits = SetpointLimits::default();
            let mut setpoint = Setpoint::new(limits);
            let mut last = setpoint.sample(at_ms(0));
            let mut ms = 0;
            for (mut goal, hold_ms) in goals {
                goal[3] *= 10.0;
                setpoint.retarget(at_ms(ms), pose(goal)).expect("a plan");
                for _ in 0..hold_ms {
                    ms += 1;
                    let next = setpoint.sample(at_ms(ms));
                    let (p, before) = (coordinates(&next.pose), coordinates(&last.pose));
                    for axis in 0..AXES {
                        let (v, a, j) = if axis < 3 { (0.25, 3.0, 100.0) } else { (2.0, 20.0, 600.0) };
                        prop_assert!(next.velocity[axis].abs() <= v + 1e-9);
                        prop_assert!(next.acceleration[axis].abs() <= a + 1e-9);
                        prop_assert!((next.acceleration[axis] - last.acceleration[axis]).abs() <= j * 1e-3 + 1e-9);
                        prop_assert!((p[axis] - before[axis] - last.velocity[axis] * 1e-3).abs() <= a * 0.5e-6 + 1e-9);
                    }
                    last = next;
                }
            }
        }
    }
}
