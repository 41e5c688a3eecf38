//! Orders: goal, fingers, mode and the way inward change as somebody asked, and by nothing else.

use super::{Found, Pair, demand};
use crate::config::{JOINTS, Launch};
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::kinematics::pose::tcp_pose;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::step::Step;

/// Of sums and products of metres and radians.
const ROUNDING: f64 = 1e-9;

pub struct Orders<'a> {
    launch: &'a Launch,
    /// What a person asked for when the controller began again last.
    began_by: Option<Request>,
    /// Whether anybody has asked for motion since.
    asked: bool,
}

impl<'a> Orders<'a> {
    pub fn new(launch: &'a Launch) -> Self {
        Self {
            launch,
            began_by: None,
            asked: false,
        }
    }

    pub fn check(&mut self, pair: Pair<'_>) -> Found {
        let Pair { last, step } = pair;
        let request = step.inputs.request;
        if pair.begins_again() {
            self.began_by = request;
        }
        self.rests_until_asked(pair)?;
        let inward = step.phase == Phase::Inward && last.phase != Phase::Inward;
        demand(
            !inward || self.began_by == Some(Request::Recover),
            "orders",
            || format!("{:?} led inward", self.began_by),
        )?;
        let asked = match request {
            Some(Request::SetMode(mode)) => step.mode == mode || step.mode == last.mode,
            _ => step.mode == last.mode,
        };
        demand(asked, "orders", || {
            format!("{:?} became {:?}", last.mode, step.mode)
        })?;
        let (same_goal, same_fingers) = (
            step.goal == last.goal,
            fingers(step).is_none() || fingers(last).is_none() || fingers(step) == fingers(last),
        );
        let decided = step.inputs.decision.is_some();
        match request {
            Some(Request::Approach(goal)) if step.phase == Phase::Approach && !decided => {
                let expected = self.nearest(&goal);
                let fine = is_near(&step.goal, &expected) && fingers(step) == Some(Fingers::Open);
                demand(fine, "orders", || {
                    format!("{:?} instead of {expected:?}", step.goal)
                })
            }
            Some(Request::Hold) if step.phase == Phase::Hold && last.phase != Phase::Hold => {
                let way_m = (step.goal.position_m - step.reference.position_m).amax();
                demand(way_m <= self.braking_m(), "orders", || {
                    format!("holding leads {way_m} m further")
                })
            }
            Some(Request::Approach(_) | Request::Jog(_) | Request::Hold)
                if last.phase.latched().is_none() =>
            {
                Ok(())
            }
            _ if decided || pair.begins_again() => Ok(()),
            _ if matches!(last.phase, Phase::Idle | Phase::Inward) => Ok(()),
            _ => demand(same_goal && same_fingers, "orders", || {
                format!("nobody asked for {:?}, {:?}", step.goal, fingers(step))
            }),
        }
    }

    /// Where the controller begins, goal and arm are what is measured, and nothing moves before somebody asks.
    fn rests_until_asked(&mut self, pair: Pair<'_>) -> Found {
        let Pair { last, step } = pair;
        let begins = match last.phase {
            Phase::Idle => true,
            Phase::Hold => step.inputs.request == Some(Request::Rearm) && last.is_stopped(),
            phase => phase.latched().is_some(),
        };
        if let (Phase::Hold, true, Some(state)) = (step.phase, begins, step.measured()) {
            self.asked = false;
            let pose = self.launch.chain.fk(&state.q);
            let tool = tcp_pose(&self.launch.T_base_task(), &pose);
            let off_m = (tool.position_m - step.goal.position_m).amax();
            let off_rad = (tool.yaw_rad - step.goal.yaw_rad).sin().abs();
            let fine = off_m <= ROUNDING && off_rad <= ROUNDING;
            demand(fine || step.command.is_none(), "orders", || {
                format!(
                    "{:?} is where it begins, and the tool is at {tool:?}",
                    step.goal
                )
            })?;
        }
        // A way inward comes to its end in the hold.
        self.asked |= step.phase == Phase::Inward;
        self.asked |= matches!(
            step.inputs.request,
            Some(Request::Approach(_) | Request::Jog(_) | Request::StartPolicy)
        );
        if let (false, Some((q, ..)), Some((q_last, ..))) = (self.asked, step.command, last.command)
        {
            let holds = step.phase == Phase::Hold && last.phase == Phase::Hold && !begins;
            demand(!holds || q == q_last, "orders", || {
                "it moves unasked".into()
            })?;
        }
        Ok(())
    }

    /// A decision that counts moves the goal by its action, cut to the scale and to where goals may lie.
    pub fn obeyed(&self, pair: Pair<'_>, decision: &Decision) -> Found {
        let Pair { last, step } = pair;
        let (action, scale) = (decision.action, self.launch.action);
        let most = [scale.xy_m, scale.xy_m, scale.z_m];
        let mut cut = last.goal;
        for (axis, most) in most.into_iter().enumerate() {
            cut.position_m[axis] += action.translation_m[axis].clamp(-most, most);
        }
        cut.yaw_rad += action.yaw_rad.clamp(-scale.yaw_rad, scale.yaw_rad);
        let expected = self.nearest(&cut);
        demand(is_near(&step.goal, &expected), "orders", || {
            format!("{decision:?}: {:?} instead of {expected:?}", step.goal)
        })?;
        let expected = match action.verb {
            Verb::Close => Some(Fingers::Closed),
            Verb::Open => Some(Fingers::Open),
            Verb::Move | Verb::Terminate => fingers(last),
        };
        demand(fingers(step) == expected, "orders", || {
            format!("{:?}: {:?}", action.verb, fingers(step))
        })?;
        let whole = TcpPose {
            position_m: last.goal.position_m + action.translation_m,
            yaw_rad: last.goal.yaw_rad + action.yaw_rad,
        };
        let clamped = step.counters.clamped_actions - last.counters.clamped_actions;
        let fine = is_near(&step.goal, &whole) || clamped == 1;
        demand(fine, "counters", || "a cut action is not counted".into())
    }

    fn nearest(&self, asked: &TcpPose) -> TcpPose {
        let task = &self.launch.task;
        let mut nearest = *asked;
        for axis in 0..3 {
            let (low, high) = (task.goal_low_m[axis], task.goal_high_m[axis]);
            nearest.position_m[axis] = nearest.position_m[axis].clamp(low, high);
        }
        let most = task.goal_yaw_max_rad;
        nearest.yaw_rad = nearest.yaw_rad.clamp(-most, most);
        nearest
    }

    /// The longest that a reference goes on when it brakes, along an axis: with its acceleration, and the ramps up to it.
    fn braking_m(&self) -> f64 {
        let limits = self.launch.setpoint;
        let (v, a) = (limits.velocity_m_per_s, limits.acceleration_m_per_s2);
        v * (v / a + 3.0 * a / limits.jerk_m_per_s3)
    }
}

pub fn fingers(step: &Step<JOINTS>) -> Option<Fingers> {
    step.command.map(|(_, _, fingers)| fingers)
}

fn is_near(a: &TcpPose, b: &TcpPose) -> bool {
    let off = (a.position_m - b.position_m).amax();
    off <= ROUNDING && (a.yaw_rad - b.yaw_rad).abs() <= ROUNDING
}
