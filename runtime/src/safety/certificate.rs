//! Whether the whole arm's stop keeps the tool inside its workspace and below its speed limits.
//!
//! Not responsible for joint limits ([`super::joint`]). Further hard limits of the whole arm belong here.
//!
//! A stop is looked at in samples, h apart. Between two samples a smooth f is at most max|f''|·h²/8 off the straight line
//! between its values there. So where a convex set holds the samples with that margin it holds everything between them.
//! f is the tool's position for workspace and table, its velocity for the speed limits. The tick that leads from the
//! present, which has no margin, to the first sample needs max|f''|·dt²/2, hence h >= 2·dt.

use super::joint::Track;
use super::limits::{Limits, ToolLimits};
use super::report::LimitSet;
use crate::kinematics::Chain;
use crate::units::{JointPositions, JointVelocities};
use nalgebra::{Isometry3, SVector, Vector3};

#[derive(Clone)]
pub(super) struct Certificate<const N: usize> {
    tool: ToolLimits,
    t_task_base: Isometry3<f64>,
    /// The tip moves at most this far per rad of each joint, m.
    reach_m: SVector<f64, N>,
    jerk_max: SVector<f64, N>,
    dt: f64,
}

/// A stop as the checks look at it.
struct Stop<'a, const N: usize> {
    tracks: &'a [Track; N],
    sums: &'a Sums,
    /// Between two samples.
    stride_s: f64,
    duration_s: f64,
}

/// Upper bounds along a stop and in the tick before it: sums over the joints, as they are and times their reach.
struct Sums {
    speed: f64,
    tip_speed_m_per_s: f64,
    acceleration: f64,
    tip_acceleration: f64,
    jerk: f64,
    tip_jerk: f64,
}

impl Sums {
    /// Of the second derivative of the tip's position, m/s².
    ///
    /// |J·ddq| <= sum r_i|ddq_i|, and the bias term is at most (sum |dq_i|)·(sum r_i|dq_i|): see
    /// [`crate::kinematics::chain::bias_acceleration`].
    fn tip_acceleration_max(&self) -> f64 {
        self.tip_acceleration + self.speed * self.tip_speed_m_per_s
    }

    /// Of the second derivative of the tip's velocity, m/s³: any k-th partial derivative of the tip's position is at most
    /// the reach of the outermost of its k joints, hence of any one of them.
    fn tip_jerk_max(&self) -> f64 {
        self.tip_jerk
            + 3.0 * self.speed * self.tip_acceleration
            + self.speed * self.speed * self.tip_speed_m_per_s
    }

    /// Of the second derivative of the tool's angular velocity, rad/s³: the same with every reach 1.
    fn turn_jerk_max(&self) -> f64 {
        self.jerk + 3.0 * self.speed * self.acceleration + self.speed.powi(3)
    }
}

/// Samples along a stop; their distance in time grows with the stop's duration.
const SAMPLES: u32 = 16;

impl<const N: usize> Certificate<N> {
    pub fn new(
        chain: &Chain<N>,
        tool: ToolLimits,
        t_base_task: &Isometry3<f64>,
        limits: &Limits<N>,
        dt: f64,
    ) -> Self {
        Self {
            tool,
            t_task_base: t_base_task.inverse(),
            reach_m: chain.reach_m().into(),
            jerk_max: limits.joints().map(|joint| joint.dddq_max).into(),
            dt,
        }
    }

    /// How far outside the workspace the tool is at `q`, m.
    pub fn distance_m(&self, chain: &Chain<N>, q: &JointPositions<N>) -> f64 {
        self.tool.workspace.distance_m(&self.tip(chain, q))
    }

    /// Whether the tool keeps its limits from now until every joint rests.
    pub fn check(&self, chain: &Chain<N>, tracks: &[Track; N]) -> Result<(), LimitSet> {
        let sums = self.sums(tracks);
        let duration_s = tracks
            .iter()
            .fold(0.0, |t: f64, track| t.max(track.remaining_s()));
        let stride_s = (duration_s / f64::from(SAMPLES)).max(2.0 * self.dt);
        let stop = Stop {
            tracks,
            sums: &sums,
            stride_s,
            duration_s,
        };
        self.check_place(chain, &stop)?;
        self.check_speed(chain, &stop)
    }

    /// When even the sum of all joints' travel cannot reach the border, one sample is enough.
    fn check_place(&self, chain: &Chain<N>, stop: &Stop<'_, N>) -> Result<(), LimitSet> {
        let Stop {
            tracks,
            sums,
            stride_s,
            duration_s,
        } = *stop;
        let (lower, upper) = (self.tool.workspace.lower(), self.tool.workspace.upper());
        let margin_m = sums.tip_acceleration_max() * stride_s * stride_s / 8.0;
        let inside = |p: &Vector3<f64>| {
            if p.z - margin_m < self.tool.workspace.table_height_m {
                return Err(LimitSet::TABLE);
            }
            if (p - lower).inf(&(upper - p)).min() < margin_m {
                return Err(LimitSet::WORKSPACE);
            }
            Ok(())
        };
        let at = |t: f64| self.tip(chain, &positions(tracks, t));
        let start = at(0.0);
        let travel_m: f64 = (0..N).map(|i| self.reach_m[i] * travel(&tracks[i])).sum();
        let room_m = (start - lower).inf(&(upper - start)).min();
        if room_m >= travel_m + margin_m {
            return Ok(());
        }
        inside(&start)?;
        samples(stride_s, duration_s).try_for_each(|t| inside(&at(t)))
    }

    /// When even the sum of all joints' speeds keeps the limits, no sample is needed.
    fn check_speed(&self, chain: &Chain<N>, stop: &Stop<'_, N>) -> Result<(), LimitSet> {
        let Stop {
            tracks,
            sums,
            stride_s,
            duration_s,
        } = *stop;
        let ToolLimits {
            speed_m_per_s,
            rotation_rad_per_s,
            ..
        } = self.tool;
        if sums.tip_speed_m_per_s <= speed_m_per_s && sums.speed <= rotation_rad_per_s {
            return Ok(());
        }
        let share = stride_s * stride_s / 8.0;
        let slow = speed_m_per_s - sums.tip_jerk_max() * share;
        let slow_turn = rotation_rad_per_s - sums.turn_jerk_max() * share;
        let keeps = |t: f64| {
            let twist = chain.jacobian(&positions(tracks, t)).1 * velocities(tracks, t).0;
            let keeps = twist.fixed_rows::<3>(0).norm() <= slow
                && twist.fixed_rows::<3>(3).norm() <= slow_turn;
            keeps.then_some(()).ok_or(LimitSet::TCP_SPEED)
        };
        keeps(0.0)?;
        samples(stride_s, duration_s).try_for_each(keeps)
    }

    fn sums(&self, tracks: &[Track; N]) -> Sums {
        let extent = |i: usize| &tracks[i].extent;
        let ddq = SVector::<f64, N>::from_fn(|i, _| {
            extent(i).acceleration_max + self.jerk_max[i] * self.dt
        });
        let dq = SVector::<f64, N>::from_fn(|i, _| extent(i).speed_max + ddq[i] * self.dt);
        Sums {
            speed: dq.sum(),
            tip_speed_m_per_s: dq.dot(&self.reach_m),
            acceleration: ddq.sum(),
            tip_acceleration: ddq.dot(&self.reach_m),
            jerk: self.jerk_max.sum(),
            tip_jerk: self.jerk_max.dot(&self.reach_m),
        }
    }

    fn tip(&self, chain: &Chain<N>, q: &JointPositions<N>) -> Vector3<f64> {
        self.t_task_base
            .transform_point(&chain.tip_position(q).into())
            .coords
    }
}

/// The times of the samples of a stop after its start, the last one at or after its end.
fn samples(stride_s: f64, duration_s: f64) -> impl Iterator<Item = f64> {
    (1..=SAMPLES)
        .map(move |k| f64::from(k) * stride_s)
        .take_while(move |t| *t < duration_s + stride_s)
}

fn positions<const N: usize>(tracks: &[Track; N], t: f64) -> JointPositions<N> {
    std::array::from_fn(|i| tracks[i].ahead(t).q).into()
}

fn velocities<const N: usize>(tracks: &[Track; N], t: f64) -> JointVelocities<N> {
    std::array::from_fn(|i| tracks[i].ahead(t).v).into()
}

fn travel(track: &Track) -> f64 {
    (track.extent.upper - track.state.q).max(track.state.q - track.extent.lower)
}
