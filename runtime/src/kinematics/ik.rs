//! Which joint motion gives a tool motion ([`differential`]) and which joint positions give a tool pose
//! ([`solve_pose`]).
//!
//! An arm with fewer than six joints keeps the tool's position and as much of its rotation as it can ([`super::inverse`]).
//! Neither is trusted to keep limits: [`crate::safety`] is.

use super::chain::{Chain, JointLimit, bias_acceleration};
use super::inverse::{Inverse, rotations};
use super::pose::{ToolMotion, pose_error};
use crate::units::{JointAccelerations, JointPositions, JointVelocities};
use nalgebra::{Isometry3, SMatrix, SVector, Vector6};
use rand::{Rng, RngExt};
use std::f64::consts::PI;

/// How [`differential`] follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning<const N: usize> {
    /// The posture that the redundant joints drift toward.
    pub posture: JointPositions<N>,
    /// How fast each joint drifts: velocity per position error. 0 for a joint that the task alone should place, such as
    /// the last one of a tool that turns far: pulling it back would swing the elbow out.
    pub posture_gain_per_s: SVector<f64, N>,
    /// Tool velocity per pose error.
    pub pose_gain_per_s: f64,
    /// When a joint would have to be faster than this, all slow down together, so that the tool stays on its path.
    pub dq_max: JointVelocities<N>,
}

/// What the joints should do now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointMotion<const N: usize> {
    pub dq: JointVelocities<N>,
    pub ddq: JointAccelerations<N>,
    /// Reference minus actual: m, then rotation vector in rad, base frame.
    pub pose_error: Vector6<f64>,
    /// In (0, 1]: below 1 a joint's speed did not suffice.
    pub speed_scale: f64,
}

/// Joint velocity and acceleration that follow a moving tool pose: feed-forward plus proportional pose feedback through
/// damped least squares; what the task leaves free drifts toward the posture. Near a singularity the posture yields, so
/// that it never costs the task anything.
///
/// The result is not finite when an input is not.
pub fn differential<const N: usize>(
    chain: &Chain<N>,
    q: &JointPositions<N>,
    dq: &JointVelocities<N>,
    reference: &ToolMotion,
    tuning: &Tuning<N>,
) -> JointMotion<N> {
    let (pose, j) = chain.jacobian(q);
    let error = pose_error(&reference.pose, &pose);
    let Some((inverse, rank)) = Inverse::near_singularities(&j) else {
        let nan = SVector::repeat(f64::NAN);
        return JointMotion {
            dq: JointVelocities(nan),
            ddq: JointAccelerations(nan),
            pose_error: error,
            speed_scale: 1.0,
        };
    };
    let posture_gain = tuning.posture_gain_per_s * rank;
    let drift = (tuning.posture.0 - q.0).component_mul(&posture_gain);
    let drift_rate = -dq.0.component_mul(&posture_gain);

    let twist = reference.twist + error * tuning.pose_gain_per_s;
    let twist_rate = reference.acceleration + (reference.twist - j * dq.0) * tuning.pose_gain_per_s;
    let dq_d = drift + inverse.joints(&j, &(twist - j * drift));
    let ddq_d = drift_rate
        + inverse.joints(
            &j,
            &(twist_rate - bias_acceleration(&j, dq) - j * drift_rate),
        );

    let speed_scale = (0..N).fold(1.0, |scale: f64, i| {
        scale.min(tuning.dq_max[i] / dq_d[i].abs())
    });
    JointMotion {
        dq: JointVelocities(dq_d * speed_scale),
        ddq: JointAccelerations(ddq_d * speed_scale),
        pose_error: error,
        speed_scale,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum IkError {
    #[error("the goal or the seed is not finite")]
    NotFinite,
    #[error(
        "no joint positions within the limits reach the goal: the best of {attempts} attempts is {position_m:.4} m and {rotation_rad:.4} rad away"
    )]
    NotFound {
        attempts: u32,
        position_m: f64,
        rotation_rad: f64,
    },
}

/// Joint positions that hold the tool at a goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoseSolution<const N: usize> {
    pub q: JointPositions<N>,
    /// How far the tool is turned from the goal, rad. Only an arm with fewer than six joints leaves more than
    /// [`ROTATION_TOLERANCE_RAD`]: then no small motion of its joints within the limits turns the tool nearer.
    pub rotation_error_rad: f64,
}

/// A solution is at most this far from its goal.
pub const POSITION_TOLERANCE_M: f64 = 1e-4;
/// A solution is turned at most this far from its goal.
pub const ROTATION_TOLERANCE_RAD: f64 = 1e-3;
const ITERATIONS_MAX: usize = 60;
/// At the goal.
const DAMPING_MIN: f64 = 1e-6;
const STEP_MAX_RAD: f64 = 0.8;

/// What the code fixes in both solvers, by name.
pub fn constants() -> impl Iterator<Item = (&'static str, f64)> {
    let pose = [
        ("pose.position_tolerance_m", POSITION_TOLERANCE_M),
        ("pose.rotation_tolerance_rad", ROTATION_TOLERANCE_RAD),
        ("pose.iterations_max", ITERATIONS_MAX as f64),
        ("pose.damping_min", DAMPING_MIN),
        ("pose.step_max_rad", STEP_MAX_RAD),
    ];
    super::inverse::constants().into_iter().chain(pose)
}

/// Joint positions within `limits` whose tool pose is `goal`, near `seed` when that converges. With fewer than six
/// joints, those at the goal's position that leave least of its rotation.
///
/// Levenberg-Marquardt with the damping of Sugihara ("Solvability-unconcerned inverse kinematics by the
/// Levenberg-Marquardt method", 2011), clamped to the limits, restarted `restarts` times from random positions. It
/// takes at most 60·(1 + restarts) iterations and allocates nothing.
pub fn solve_pose<const N: usize>(
    chain: &Chain<N>,
    goal: &Isometry3<f64>,
    seed: &JointPositions<N>,
    limits: &[JointLimit; N],
    rng: &mut impl Rng,
    restarts: u32,
) -> Result<PoseSolution<N>, IkError> {
    let finite = goal
        .translation
        .vector
        .iter()
        .chain(goal.rotation.coords.iter())
        .all(|x| x.is_finite());
    if !(finite && seed.is_finite()) {
        return Err(IkError::NotFinite);
    }
    let mut nearest = Vector6::repeat(f64::INFINITY);
    let mut best: Option<PoseSolution<N>> = None;
    for attempt in 0..=restarts {
        let start = if attempt == 0 {
            *seed
        } else {
            random_positions(limits, rng)
        };
        let Descent {
            q,
            error,
            unreached,
        } = descend(chain, goal, start, limits);
        if within(&unreached, POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD) {
            let rotation_error_rad = error.fixed_rows::<3>(3).norm();
            let found = PoseSolution {
                q,
                rotation_error_rad,
            };
            if rotation_error_rad <= ROTATION_TOLERANCE_RAD {
                return Ok(found);
            }
            // An equally good one that is nearer to the seed stays.
            let clearly = rotation_error_rad + ROTATION_TOLERANCE_RAD;
            if best.is_none_or(|best| clearly < best.rotation_error_rad) {
                best = Some(found);
            }
        } else if error.norm_squared() < nearest.norm_squared() {
            nearest = error;
        }
    }
    best.ok_or(IkError::NotFound {
        attempts: restarts + 1,
        position_m: nearest.fixed_rows::<3>(0).norm(),
        rotation_rad: nearest.fixed_rows::<3>(3).norm(),
    })
}

fn within(error: &Vector6<f64>, position_m: f64, rotation_rad: f64) -> bool {
    error.fixed_rows::<3>(0).norm() <= position_m && error.fixed_rows::<3>(3).norm() <= rotation_rad
}

fn random_positions<const N: usize>(
    limits: &[JointLimit; N],
    rng: &mut impl Rng,
) -> JointPositions<N> {
    let mut q = JointPositions::zeros();
    for (i, limit) in limits.iter().enumerate() {
        let (lower, upper) = (limit.lower.max(-PI), limit.upper.min(PI));
        q[i] = lower + (upper - lower) * rng.random::<f64>();
    }
    q
}

/// Where a search has ended.
struct Descent<const N: usize> {
    q: JointPositions<N>,
    /// From there to the goal: m, then rotation vector in rad, base frame.
    error: Vector6<f64>,
    /// Of that, what the joints could still mend: all of it with six joints or more.
    unreached: Vector6<f64>,
}

fn descend<const N: usize>(
    chain: &Chain<N>,
    goal: &Isometry3<f64>,
    start: JointPositions<N>,
    limits: &[JointLimit; N],
) -> Descent<N> {
    const STALLS_MAX: u32 = 3;
    let mut q = start;
    for (i, limit) in limits.iter().enumerate() {
        q[i] = q[i].max(limit.lower).min(limit.upper);
    }
    let mut stalls = 0;
    let mut before = f64::INFINITY;
    let (mut pose, mut j) = chain.jacobian(&q);
    let mut error = pose_error(goal, &pose);
    let mut unreached = error;
    for _ in 0..ITERATIONS_MAX {
        // Tighter than the tolerance: the last steps converge fast and cost little.
        if within(
            &unreached,
            0.01 * POSITION_TOLERANCE_M,
            0.01 * ROTATION_TOLERANCE_RAD,
        ) {
            break;
        }
        let size = unreached.norm_squared();
        stalls = if size > 0.99 * before { stalls + 1 } else { 0 };
        if stalls > STALLS_MAX {
            break;
        }
        before = size;
        let damping = DAMPING_MIN + 0.02 * size.min(1.0);
        let Some((step, dropped)) = step_within_limits(&q, j, &error, damping, limits) else {
            break;
        };
        for (i, limit) in limits.iter().enumerate() {
            q[i] = (q[i] + step[i]).max(limit.lower).min(limit.upper);
        }
        (pose, j) = chain.jacobian(&q);
        error = pose_error(goal, &pose);
        unreached = error - dropped;
    }
    Descent {
        q,
        error,
        unreached,
    }
}

/// A damped step whose joints at a limit do not push against it, and the part of the error that no such step mends.
fn step_within_limits<const N: usize>(
    q: &JointPositions<N>,
    mut j: SMatrix<f64, 6, N>,
    error: &Vector6<f64>,
    damping: f64,
    limits: &[JointLimit; N],
) -> Option<(SVector<f64, N>, Vector6<f64>)> {
    const EDGE_RAD: f64 = 1e-9;
    let solve = |j: &SMatrix<f64, 6, N>| {
        Inverse::damped(j, damping).map(|inverse| inverse.joints(j, error))
    };
    let mut step = solve(&j)?;
    let mut held = false;
    for (i, limit) in limits.iter().enumerate() {
        if (step[i] < 0.0 && q[i] <= limit.lower + EDGE_RAD)
            || (step[i] > 0.0 && q[i] >= limit.upper - EDGE_RAD)
        {
            j.column_mut(i).fill(0.0);
            held = true;
        }
    }
    if held {
        step = solve(&j)?;
    }
    let dropped = if rotations(N) == 3 {
        Vector6::zeros()
    } else {
        Inverse::damped(&j, DAMPING_MIN)?.dropped(&j, error)
    };
    let largest = step.amax();
    let share = (STEP_MAX_RAD / largest).min(1.0);
    Some((step * share, dropped))
}

#[cfg(test)]
#[path = "ik_tests.rs"]
mod tests;
