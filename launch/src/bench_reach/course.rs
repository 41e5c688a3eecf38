//! One motion through the safety filter: where it leads, who asks for it, and how long it takes.

use super::reference::Reference;
use crate::config::{JOINTS, Launch};
use crate::error::CommandError;
use crate::fuzz::EVERYWHERE;
use rand::{Rng, RngExt};
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::safety::{Collision, CommandState, Request, Safety, ToolLimits};
use visuomotor_runtime::units::{
    JointAccelerations, JointPositions, JointTorques, JointVelocities,
};

/// Correction of whoever asks: velocity per error of position, that of the controller.
const GAIN_PER_S: f64 = 30.0;
/// A motion has reached its goal when from then on every joint is this near and this slow.
const NEAR_RAD: f64 = 1e-3;
const SLOW_RAD_PER_S: f64 = 1e-2;
/// It is watched for so long after that; and given up, and counted as it is, after so many times its bound.
const WATCHED_S: f64 = 0.2;
const GIVEN_UP: f64 = 10.0;
/// Draws until something is found that keeps the tool's limits.
const DRAWS: u32 = 1_000_000;
/// How far the goals of motions that keep the tool's limits are from their starts at most, every joint.
const NEARBY_RAD: f64 = 0.5;

pub struct Course<'a> {
    pub from: JointPositions<JOINTS>,
    pub to: JointPositions<JOINTS>,
    pub reference: Reference,
    launch: &'a Launch,
}

impl<'a> Course<'a> {
    fn new(
        launch: &'a Launch,
        from: JointPositions<JOINTS>,
        to: JointPositions<JOINTS>,
    ) -> Result<Self, CommandError> {
        let reference = Reference::new(&launch.limits, &from, &to).map_err(CommandError::failed)?;
        Ok(Self {
            from,
            to,
            reference,
            launch,
        })
    }

    /// Between any two joint positions that hold the tool in its workspace.
    pub fn draw(launch: &'a Launch, rng: &mut impl Rng) -> Result<Self, CommandError> {
        let from = anywhere(launch, rng)?;
        let to = anywhere(launch, rng)?;
        Self::new(launch, from, to)
    }

    /// Nearby, so that the fastest motion keeps the workspace and the tool's speed limits all the way.
    pub fn draw_within_all_limits(
        launch: &'a Launch,
        rng: &mut impl Rng,
    ) -> Result<Self, CommandError> {
        let joints = launch.limits.joints();
        for _ in 0..DRAWS {
            let from = anywhere(launch, rng)?;
            let to = std::array::from_fn(|i| {
                let moved = from[i] + rng.random_range(-NEARBY_RAD..NEARBY_RAD);
                moved.max(joints[i].lower).min(joints[i].upper)
            });
            let course = Self::new(launch, from, to.into())?;
            if course.keeps_tool_limits() {
                return Ok(course);
            }
        }
        Err(nothing_found("motion"))
    }

    fn keeps_tool_limits(&self) -> bool {
        let tool = &self.launch.tool_limits;
        let ticks = (self.reference.duration_s() / period_s(self.launch)).ceil() as u32;
        (0..=ticks).all(|tick| {
            let state = self.reference.at(f64::from(tick) * period_s(self.launch));
            let twist = self.launch.chain.jacobian(&state.q).1 * state.dq.0;
            is_inside(self.launch, &state.q)
                && twist.fixed_rows::<3>(0).norm() <= tool.speed_m_per_s
                && twist.fixed_rows::<3>(3).norm() <= tool.rotation_rad_per_s
        })
    }

    /// How long it takes through a filter that keeps these limits, divided by the bound.
    pub fn ratio(
        &self,
        keeps: Keeps,
        ask: &dyn Fn(&CommandState<JOINTS>, f64) -> Request<JOINTS>,
    ) -> Result<f64, CommandError> {
        let (bound_s, dt) = (self.reference.duration_s(), period_s(self.launch));
        let mut safety = armed(self.launch, keeps, &self.from)?;
        let (mut now, mut reached) = (0.0, 0.0);
        while now < reached + WATCHED_S && now < GIVEN_UP * bound_s {
            let Some(state) = safety.command() else { break };
            safety.filter(ask(&state, now), Fingers::Open);
            now += dt;
            if !self.is_at_goal(&safety) {
                reached = now + dt;
            }
        }
        Ok(reached / bound_s)
    }

    fn is_at_goal(&self, safety: &Safety<JOINTS>) -> bool {
        safety.command().is_some_and(|state| {
            (state.q.0 - self.to.0).amax() <= NEAR_RAD && state.dq.0.amax() <= SLOW_RAD_PER_S
        })
    }

    /// Asks for the fastest motion, and corrects errors.
    pub fn follow(&self, state: &CommandState<JOINTS>, now_s: f64) -> Request<JOINTS> {
        let now = self.reference.at(now_s);
        let next = self.reference.at(now_s + period_s(self.launch));
        Request::Motion {
            dq: JointVelocities(next.dq.0 + (now.q.0 - state.q.0) * GAIN_PER_S),
            ddq: JointAccelerations(next.ddq.0 + (now.dq.0 - state.dq.0) * GAIN_PER_S),
        }
    }

    /// Asks for more velocity the farther the goal, whatever the joints can do.
    pub fn rush(&self, state: &CommandState<JOINTS>) -> Request<JOINTS> {
        Request::Motion {
            dq: JointVelocities((self.to.0 - state.q.0) * GAIN_PER_S),
            ddq: JointAccelerations::zeros(),
        }
    }
}

/// Which of the launch file's limits a filter keeps.
#[derive(Clone, Copy)]
pub enum Keeps {
    Joints,
    Everything,
}

/// A filter that is armed at rest.
pub fn armed(
    launch: &Launch,
    keeps: Keeps,
    q: &JointPositions<JOINTS>,
) -> Result<Safety<JOINTS>, CommandError> {
    let (tool, collision) = match keeps {
        Keeps::Joints => (ToolLimits::anywhere_in(EVERYWHERE), Collision::none()),
        Keeps::Everything => (launch.tool_limits, launch.collision.clone()),
    };
    let (chain, limits) = (launch.chain.clone(), launch.limits);
    let (task, period) = (launch.T_base_task(), launch.control_period());
    let mut safety =
        Safety::new(chain, limits, tool, collision, task, period).map_err(CommandError::input)?;
    let state = ArmState {
        sampled_at: Instant::from_ticks(0),
        q: *q,
        dq: JointVelocities::zeros(),
        tau: JointTorques::zeros(),
        aperture_m: 0.0,
    };
    safety
        .arm(&state)
        .map_err(|fault| CommandError::input(launch.describe(&fault)))?;
    Ok(safety)
}

pub fn period_s(launch: &Launch) -> f64 {
    launch.control_period().as_nanos() as f64 * 1e-9
}

/// Joint positions within the limits that hold the tool in its workspace and touch nothing, each as likely as any other.
pub fn anywhere(
    launch: &Launch,
    rng: &mut impl Rng,
) -> Result<JointPositions<JOINTS>, CommandError> {
    let joints = launch.limits.joints();
    (0..DRAWS)
        .map(|_| std::array::from_fn(|i| rng.random_range(joints[i].lower..joints[i].upper)).into())
        .find(|q| is_inside(launch, q))
        .ok_or_else(|| nothing_found("posture"))
}

fn is_inside(launch: &Launch, q: &JointPositions<JOINTS>) -> bool {
    let tip = launch.chain.tip_position(q).into();
    let tip = launch.T_base_task().inverse_transform_point(&tip).coords;
    let nearest = launch.collision.nearest(&launch.chain, q);
    let touches = nearest.is_some_and(|(_, distance_m)| distance_m < 0.0);
    launch.tool_limits.workspace.distance_m(&tip) == 0.0 && !touches
}

fn nothing_found(what: &str) -> CommandError {
    CommandError::input(format!(
        "no {what} of {DRAWS} random ones keeps the tool's limits: are [workspace] and [limits] meant for this arm?"
    ))
}
