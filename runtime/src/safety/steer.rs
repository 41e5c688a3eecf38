//! Bends requested jerks as little as possible, so that the arm slides along what limits it instead of stopping there.
//!
//! Two quadratic programs, solved only where something of the tool is in the way. The first bends the request around the
//! soft rows and keeps the tool's jerk as near to it as they allow. It knows no box: the request is often many times what
//! a joint can do, and clipped joint by joint it would point elsewhere, into the directions that the rows leave free. The
//! second keeps what is left of it, clipped, within rows and the hard boxes of viable jerks. Where no row is in the way,
//! each joint goes as far as it can by itself: others that made up for it would leave the motion that was asked of them.
//! Not responsible for safety: the certificate checks whatever comes out.

use super::filter::CommandState;
use super::limits::ToolLimits;
use super::qp::{ActiveSet, Problem, Row, Status};
use super::report::LimitSet;
use crate::kinematics::Chain;
use crate::kinematics::chain::bias_acceleration;
use nalgebra::{Isometry3, SMatrix, SVector, Vector3, Vector6};

/// Six sides of the workspace and the tool's speed.
const ROWS: usize = 7;
/// How much the tool's jerk counts, m/s³ and rad/s³, against each joint's, rad/s³.
const TOOL_WEIGHT: [f64; 6] = [1.0, 1.0, 1.0, 0.05, 0.05, 0.05];
const JOINT_WEIGHT: f64 = 1e-4;
/// Breaking a row by s costs s²/(2 softness), where leaving the requested jerk of the tool by s costs s²/2.
const WORKSPACE_SOFTNESS: f64 = 1e-4;
const SPEED_SOFTNESS: f64 = 1e-3;
/// p, how fast a limit may be closed in on, 1/s: h‴ + 3p·h″ + 3p²·h′ + p³·h >= 0 for the distance h to it, so that h falls
/// no faster than a critically damped third-order system, which never falls below 0. It is a sampled law, smooth only well
/// below the tick rate.
const APPROACH_MAX_PER_S: f64 = 100.0;
const APPROACH_MAX_PER_TICK: f64 = 0.1;
/// This far inside the borders the rows begin, and at this share of the speed limit: the certificate needs room for what
/// happens between its samples, and where it has none it lets nothing move.
const CLEARANCE_M: f64 = 3e-4;
const SPEED_SHARE: f64 = 0.95;

#[derive(Clone)]
pub(super) struct Steering {
    tool: ToolLimits,
    t_task_base: Isometry3<f64>,
    approach_per_s: f64,
    /// Of the last tick that needed the program.
    active: ActiveSet,
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
        }
    }

    /// What comes next does not depend on what was before.
    pub fn reset(&mut self) {
        self.active = ActiveSet::default();
    }

    /// The jerks within `ranges` that are nearest to the `wanted` ones, and which limits of the tool they were bent around.
    pub fn bend<const N: usize>(
        &mut self,
        chain: &Chain<N>,
        state: &CommandState<N>,
        ranges: &[Range; N],
        wanted: &SVector<f64, N>,
    ) -> (SVector<f64, N>, LimitSet) {
        let (pose, j) = chain.jacobian(&state.q);
        let rows = self.rows(&pose, &j, state);
        let clipped = nearest(ranges, wanted);
        let mut limits = LimitSet::default();
        for (row, limit) in &rows {
            if row.a.dot(wanted).max(row.a.dot(&clipped)) > row.bound {
                limits.insert(*limit);
            }
        }
        if limits == LimitSet::default() {
            return (clipped, limits);
        }
        let weights = SMatrix::<f64, 6, 6>::from_diagonal(&Vector6::from(TOOL_WEIGHT));
        let hessian = j.transpose() * weights * j + SMatrix::identity() * JOINT_WEIGHT;
        let mut problem = Problem::<N, ROWS>::new(hessian, -(hessian * wanted));
        // Nothing bounds a tool without a speed limit. There is room for all of them.
        for (row, _) in rows.iter().filter(|(row, _)| row.bound.is_finite()) {
            let _ = problem.push(*row);
        }
        let around = problem.solve(&self.active);
        let clipped = match around.status {
            Status::Optimal => nearest(ranges, &around.x),
            _ => clipped,
        };
        problem.gradient = -(hessian * clipped);
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

    fn rows<const N: usize>(
        &self,
        pose: &Isometry3<f64>,
        j: &SMatrix<f64, 6, N>,
        state: &CommandState<N>,
    ) -> [(Row<N>, LimitSet); ROWS] {
        let p_per_s = self.approach_per_s;
        let (square, cube) = (p_per_s * p_per_s, p_per_s * p_per_s * p_per_s);
        let velocity: Vector3<f64> = (j * state.dq.0).fixed_rows::<3>(0).into();
        let bias = bias_acceleration(j, &state.dq);
        let acceleration: Vector3<f64> = (j * state.ddq.0 + bias).fixed_rows::<3>(0).into();
        let linear = j.fixed_rows::<3>(0);
        let p = self
            .t_task_base
            .transform_point(&pose.translation.vector.into())
            .coords;
        let (lower, upper) = (self.tool.workspace.lower(), self.tool.workspace.upper());
        let workspace = &self.tool.workspace;
        let floor = match workspace.table_height_m >= workspace.min_m[2] {
            true => LimitSet::TABLE,
            false => LimitSet::WORKSPACE,
        };
        let side = |axis: usize, sign: f64, room_m: f64| {
            let normal = self
                .t_task_base
                .inverse_transform_vector(&Vector3::ith(axis, sign));
            Row {
                a: linear.tr_mul(&normal),
                bound: cube * (room_m - CLEARANCE_M)
                    - 3.0 * square * normal.dot(&velocity)
                    - 3.0 * p_per_s * normal.dot(&acceleration),
                softness: WORKSPACE_SOFTNESS,
            }
        };
        let speed = velocity.norm();
        let along = if speed > 0.0 {
            velocity / speed
        } else {
            Vector3::zeros()
        };
        // The same for the speed, which jerk reaches in one step less.
        let slower = Row {
            a: linear.tr_mul(&along),
            bound: square * (SPEED_SHARE * self.tool.speed_m_per_s - speed)
                - 2.0 * p_per_s * along.dot(&acceleration),
            softness: SPEED_SOFTNESS,
        };
        [
            (side(0, 1.0, upper.x - p.x), LimitSet::WORKSPACE),
            (side(1, 1.0, upper.y - p.y), LimitSet::WORKSPACE),
            (side(2, 1.0, upper.z - p.z), LimitSet::WORKSPACE),
            (side(0, -1.0, p.x - lower.x), LimitSet::WORKSPACE),
            (side(1, -1.0, p.y - lower.y), LimitSet::WORKSPACE),
            (side(2, -1.0, p.z - lower.z), floor),
            (slower, LimitSet::TCP_SPEED),
        ]
    }
}

/// Not `clamp`: rounding may leave the least above the most by nothing.
fn nearest<const N: usize>(ranges: &[Range; N], jerk: &SVector<f64, N>) -> SVector<f64, N> {
    SVector::from_fn(|i, _| jerk[i].max(ranges[i].least).min(ranges[i].most))
}
