//! Bends requested jerks as little as possible, so that the arm slides along what limits it instead of stopping there.
//!
//! Two quadratic programs, solved only where something of the arm is in the way. The first bends the request around the
//! soft rows and keeps the tool's jerk as near to it as they allow. It knows no box: the request is often many times what
//! a joint can do, and clipped joint by joint it would point elsewhere, into the directions that the rows leave free. The
//! second keeps what is left of it, clipped, within rows and the hard boxes of viable jerks. Where no row is in the way,
//! each joint goes as far as it can by itself: others that made up for it would leave the motion that was asked of them.
//! Not responsible for safety: the certificate checks whatever comes out.

use super::collision::{Around, Collision};
use super::filter::CommandState;
use super::limits::ToolLimits;
use super::qp::{ActiveSet, Problem, Row, Status};
use super::report::LimitSet;
use crate::kinematics::Chain;
use crate::kinematics::chain::bias_acceleration;
use nalgebra::{Isometry3, SMatrix, SVector, Vector3, Vector6};

/// Six sides of the workspace, the tool's speeds, and the nearest of what must not be touched.
const ROWS: usize = 16;
/// What is further away is not approached in earnest, m.
const STEERS_WITHIN_M: f64 = 0.15;
/// How much the tool's jerk counts, m/s³ and rad/s³, against each joint's, rad/s³.
const TOOL_WEIGHT: [f64; 6] = [1.0, 1.0, 1.0, 0.05, 0.05, 0.05];
const JOINT_WEIGHT: f64 = 1e-2;
/// Breaking a row by s costs s²/(2 softness), where leaving the requested jerk of the tool by s costs s²/2.
const COLLISION_SOFTNESS: f64 = 1e-5;
const WORKSPACE_SOFTNESS: f64 = 1e-4;
const SPEED_SOFTNESS: f64 = 1e-3;
/// p, how fast a limit may be closed in on, 1/s: h‴ + 3p·h″ + 3p²·h′ + p³·h >= 0 for the distance h to it, so that h falls
/// no faster than a critically damped third-order system, which never falls below 0. It is a sampled law, smooth only well
/// below the tick rate.
const APPROACH_MAX_PER_S: f64 = 100.0;
const APPROACH_MAX_PER_TICK: f64 = 0.1;
/// This far inside the borders the rows begin, and this far below the speed limits, m/s or rad/s: the certificate needs
/// room for what happens between its samples, and where it has none it lets nothing move.
const CLEARANCE_M: f64 = 3e-4;
const SPEED_CLEARANCE: f64 = 5e-5;

#[derive(Clone)]
pub(super) struct Steering {
    pub tool: ToolLimits,
    t_task_base: Isometry3<f64>,
    approach_per_s: f64,
    /// Of the last tick that needed the program.
    active: ActiveSet,
    #[cfg(test)]
    pub panics: bool,
}

/// The jerks that keep a joint's limits, rad/s³.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub least: f64,
    pub most: f64,
    /// What less than the least and more than the most would break.
    pub below: LimitSet,
    pub above: LimitSet,
}

impl Range {
    /// What keeps this jerk out of the range.
    pub fn against(&self, jerk: f64) -> Option<LimitSet> {
        if jerk < self.least {
            Some(self.below)
        } else if jerk > self.most {
            Some(self.above)
        } else {
            None
        }
    }
}

impl Steering {
    pub fn new(tool: ToolLimits, t_base_task: &Isometry3<f64>, dt: f64) -> Self {
        Self {
            tool,
            t_task_base: t_base_task.inverse(),
            approach_per_s: APPROACH_MAX_PER_S.min(APPROACH_MAX_PER_TICK / dt),
            active: ActiveSet::default(),
            #[cfg(test)]
            panics: false,
        }
    }

    /// What comes next does not depend on what was before.
    pub fn reset(&mut self) {
        self.active = ActiveSet::default();
    }

    /// The jerks within `ranges` that are nearest to the `wanted` ones, and which limits of the arm they were bent around.
    pub fn bend<const N: usize>(
        &mut self,
        chain: &Chain<N>,
        collision: &Collision<N>,
        around: &Around<N>,
        state: &CommandState<N>,
        ranges: &[Range; N],
        wanted: &SVector<f64, N>,
    ) -> (SVector<f64, N>, LimitSet) {
        #[cfg(test)]
        assert!(!self.panics, "as asked");
        let clipped = nearest(ranges, wanted);
        let mut limits = LimitSet::default();
        let most = SVector::from_fn(|i, _| ranges[i].most.max(-ranges[i].least));
        let tip = chain.tip_in(&around.frames);
        let j = chain.jacobian_at(&around.frames, 0..N, &tip);
        let mut problem = Problem::<N, ROWS>::new(SMatrix::identity(), SVector::zeros());
        let mut keep = |row: Row<N>, limit: LimitSet| {
            // Most rows cannot be broken in one tick. Those that find no room are soft, and the certificate is not.
            if row.a.abs().dot(&most) > row.bound
                && problem.push(row)
                && row.a.dot(wanted).max(row.a.dot(&clipped)) > row.bound
            {
                limits.insert(limit);
            }
        };
        self.tool_rows(&tip, &j, state, &mut keep);
        self.collision_rows(chain, collision, around, state, &mut keep);
        self.speed_rows(chain, collision, around, state, &mut keep);
        if limits == LimitSet::default() {
            return (clipped, limits);
        }
        let weights = SMatrix::<f64, 6, 6>::from_diagonal(&Vector6::from(TOOL_WEIGHT));
        problem.hessian = j.transpose() * weights * j + SMatrix::identity() * JOINT_WEIGHT;
        // Beyond what the joints can do only the request's direction counts, and rows leave the less of it astray.
        let beyond = (0..N).fold(1.0, |x: f64, i| x.max(wanted[i].abs() / (10.0 * most[i])));
        problem.gradient = -(problem.hessian * wanted) / beyond;
        let around = problem.solve(&self.active);
        let clipped = match around.status {
            Status::Optimal => nearest(ranges, &around.x),
            _ => clipped,
        };
        problem.gradient = -(problem.hessian * clipped);
        for (i, range) in ranges.iter().enumerate() {
            (problem.lower[i], problem.upper[i]) = (range.least, range.most);
        }
        let solution = problem.solve(&self.active);
        self.active = solution.active;
        match solution.status {
            Status::Optimal => (solution.x, limits),
            _ => (clipped, LimitSet::default()),
        }
    }

    fn tool_rows<const N: usize>(
        &self,
        tip: &Vector3<f64>,
        j: &SMatrix<f64, 6, N>,
        state: &CommandState<N>,
        keep: &mut impl FnMut(Row<N>, LimitSet),
    ) {
        let bias = bias_acceleration(j, &state.dq);
        let motion = Motion::of(j, &bias, state, LINEAR);
        let p = self.t_task_base.transform_point(&(*tip).into()).coords;
        let workspace = &self.tool.workspace;
        let (lower, upper) = (workspace.lower(), workspace.upper());
        for axis in 0..3 {
            let out = self
                .t_task_base
                .inverse_transform_vector(&Vector3::ith(axis, 1.0));
            let floor = axis == 2 && workspace.table_height_m >= workspace.min_m[2];
            let below = if floor {
                LimitSet::TABLE
            } else {
                LimitSet::WORKSPACE
            };
            let room_m = [upper[axis] - p[axis], p[axis] - lower[axis]];
            keep(
                self.approach(&motion, &out, room_m[0], WORKSPACE_SOFTNESS),
                LimitSet::WORKSPACE,
            );
            keep(
                self.approach(&motion, &-out, room_m[1], WORKSPACE_SOFTNESS),
                below,
            );
        }
        let turning = Motion::of(j, &bias, state, ANGULAR);
        for (motion, most) in [
            (&motion, self.tool.speed_m_per_s),
            (&turning, self.tool.rotation_rad_per_s),
        ] {
            let room = most - SPEED_CLEARANCE - motion.velocity.norm();
            keep(self.slowing(motion, room), LimitSet::TCP_SPEED);
        }
    }

    /// Where the speed of the arm's capsules is limited.
    fn speed_rows<const N: usize>(
        &self,
        chain: &Chain<N>,
        collision: &Collision<N>,
        around: &Around<N>,
        state: &CommandState<N>,
        keep: &mut impl FnMut(Row<N>, LimitSet),
    ) {
        if self.tool.capsules_m_per_s == f64::INFINITY {
            return;
        }
        for part in collision.parts() {
            for end in &part.capsule.ends {
                let point = around.frames.point(part.joints, end);
                let j = chain.jacobian_at(&around.frames, 0..part.joints, &point);
                let motion = Motion::of_point(&j, state);
                let turning = (j.fixed_rows::<3>(3) * state.dq.0).norm();
                let speed = motion.velocity.norm() + part.capsule.radius_m * turning;
                let room = self.tool.capsules_m_per_s - SPEED_CLEARANCE - speed;
                keep(self.slowing(&motion, room), LimitSet::ARM_SPEED);
            }
        }
    }

    fn collision_rows<const N: usize>(
        &self,
        chain: &Chain<N>,
        collision: &Collision<N>,
        around: &Around<N>,
        state: &CommandState<N>,
        keep: &mut impl FnMut(Row<N>, LimitSet),
    ) {
        for (k, pair) in collision.pairs().iter().enumerate() {
            if around.gaps_m[k] > STEERS_WITHIN_M {
                continue;
            }
            let (frames, normal) = (&around.frames, &around.normals[k]);
            let toward = -frames.direction(pair.joints.start, normal);
            let rooms_m = pair.rooms_m(normal, &pair.capsule_in(frames));
            for (end, room_m) in pair.capsule.ends.iter().zip(rooms_m) {
                let point = frames.point(pair.joints.end, end);
                let j = chain.jacobian_at(frames, pair.joints.clone(), &point);
                let motion = Motion::of_point(&j, state);
                let row = self.approach(&motion, &toward, room_m, COLLISION_SOFTNESS);
                keep(row, LimitSet::COLLISION);
            }
        }
    }

    /// How much faster a point may get that is `room` below the speed it may have, m/s: as for a distance, but the speed is
    /// one derivative nearer to the jerk.
    fn slowing<const N: usize>(&self, motion: &Motion<N>, room: f64) -> Row<N> {
        let p_per_s = self.approach_per_s;
        let along = motion
            .velocity
            .try_normalize(f64::MIN_POSITIVE)
            .unwrap_or_else(Vector3::zeros);
        Row {
            a: motion.rows.tr_mul(&along),
            bound: p_per_s * p_per_s * room - 2.0 * p_per_s * along.dot(&motion.acceleration),
            softness: SPEED_SOFTNESS,
        }
    }

    /// How fast a point may approach what lies `room_m` ahead of it in this direction.
    fn approach<const N: usize>(
        &self,
        motion: &Motion<N>,
        toward: &Vector3<f64>,
        room_m: f64,
        softness: f64,
    ) -> Row<N> {
        let p_per_s = self.approach_per_s;
        let (square, cube) = (p_per_s * p_per_s, p_per_s * p_per_s * p_per_s);
        Row {
            a: motion.rows.tr_mul(toward),
            bound: cube * (room_m - CLEARANCE_M)
                - 3.0 * square * toward.dot(&motion.velocity)
                - 3.0 * p_per_s * toward.dot(&motion.acceleration),
            softness,
        }
    }
}

/// Not `clamp`: rounding may leave the least above the most by nothing.
fn nearest<const N: usize>(ranges: &[Range; N], jerk: &SVector<f64, N>) -> SVector<f64, N> {
    SVector::from_fn(|i, _| jerk[i].max(ranges[i].least).min(ranges[i].most))
}

/// The first of a Jacobian's rows for a point and for its rotation.
const LINEAR: usize = 0;
const ANGULAR: usize = 3;

/// How a point moves, m/s and m/s², or turns, rad/s and rad/s², and what each joint adds to that; base frame.
struct Motion<const N: usize> {
    velocity: Vector3<f64>,
    acceleration: Vector3<f64>,
    rows: SMatrix<f64, 3, N>,
}

impl<const N: usize> Motion<N> {
    /// `bias` is the acceleration while no joint accelerates.
    fn of(
        j: &SMatrix<f64, 6, N>,
        bias: &Vector6<f64>,
        state: &CommandState<N>,
        first_row: usize,
    ) -> Self {
        let rows = j.fixed_rows::<3>(first_row).into_owned();
        Self {
            velocity: rows * state.dq.0,
            acceleration: rows * state.ddq.0 + bias.fixed_rows::<3>(first_row),
            rows,
        }
    }

    fn of_point(j: &SMatrix<f64, 6, N>, state: &CommandState<N>) -> Self {
        Self::of(j, &bias_acceleration(j, &state.dq), state, LINEAR)
    }
}
