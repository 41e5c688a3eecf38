//! Whether the whole arm's stop keeps the tool inside its workspace and below its speed limits, and the arm's capsules away
//! from what they must not touch.
//!
//! Not responsible for joint limits ([`super::joint`]). Further hard limits of the whole arm belong here.
//!
//! A stop is looked at in samples, h apart. Between two samples a smooth f is at most max|f''|·h²/8 off the straight line
//! between its values there. So where a convex set holds the samples with that margin it holds everything between them.
//! f is the tool's position for workspace and table, its velocity for the speed limits. The tick that leads from the
//! present, which has no margin, to the first sample needs max|f''|·dt²/2, hence h >= 2·dt.
//!
//! A capsule stays away from a solid over a time when some plane stands between them all that time: then f is the distance
//! of each of the capsule's ends from the plane, in the frame of the solid, where only the joints between the two move it.
//! The plane of an interval is the one that fits best at its beginning.

use super::collision::{Around, Collision, PAIRS_MAX, PARTS_MAX, Pair, Part};
use super::joint::Track;
use super::limits::{Limits, ToolLimits};
use super::report::LimitSet;
use crate::kinematics::{Chain, Frames};
use crate::units::{JointPositions, JointVelocities};
use nalgebra::{Isometry3, SVector, Vector3};
use std::ops::Range;

#[derive(Clone)]
pub(super) struct Certificate<const N: usize> {
    tool: ToolLimits,
    collision: Collision<N>,
    t_task_base: Isometry3<f64>,
    /// The tip moves at most this far per rad of each joint, m.
    reach_m: SVector<f64, N>,
    jerk_max: SVector<f64, N>,
    dt: f64,
}

/// Upper bounds along a stop and in the tick before it.
struct Bounds<const N: usize> {
    /// How far each joint gets from where it is now, rad.
    travel: SVector<f64, N>,
    dq: SVector<f64, N>,
    ddq: SVector<f64, N>,
    jerk: SVector<f64, N>,
}

impl<const N: usize> Bounds<N> {
    /// Of the second derivative of a point's position, m/s², in the frame that these joints start from.
    ///
    /// |J·ddq| <= sum r_i|ddq_i|, and the bias term is at most (sum |dq_i|)·(sum r_i|dq_i|): see
    /// [`crate::kinematics::chain::bias_acceleration`].
    fn acceleration_max(&self, reach_m: &SVector<f64, N>, joints: Range<usize>) -> f64 {
        let speed: f64 = self.dq.as_slice()[joints].iter().sum();
        self.ddq.dot(reach_m) + speed * self.dq.dot(reach_m)
    }

    /// Of the second derivative of a point's velocity, m/s³: any k-th partial derivative of its position is at most the
    /// reach of the outermost of its k joints, hence of any one of them. With every reach 1: of an angular velocity's,
    /// rad/s³.
    fn jerk_max(&self, reach_m: &SVector<f64, N>) -> f64 {
        let (speed, tip_speed) = (self.dq.sum(), self.dq.dot(reach_m));
        self.jerk.dot(reach_m) + 3.0 * speed * self.ddq.dot(reach_m) + speed * speed * tip_speed
    }
}

/// Samples along a stop; their distance in time grows with the stop's duration.
const SAMPLES: u32 = 16;

/// What a stop could come near to, with the margins that its samples need.
struct Watch<const N: usize> {
    place_m: Option<f64>,
    /// Of the tool's linear and angular speed, m/s and rad/s.
    speed: Option<(f64, f64)>,
    parts: Parts,
    pairs: Pairs,
}

/// Capsules that a stop could move too fast: which, and the margins of their speeds.
struct Parts {
    fast: u64,
    margins_m_per_s: [f64; PARTS_MAX],
}

/// Pairs that a stop could bring together: which, and the plane that stands between each.
struct Pairs {
    near: u64,
    normals: [Vector3<f64>; PAIRS_MAX],
    margins_m: [f64; PAIRS_MAX],
}

impl<const N: usize> Certificate<N> {
    pub fn new(
        chain: &Chain<N>,
        tool: ToolLimits,
        collision: Collision<N>,
        t_base_task: &Isometry3<f64>,
        limits: &Limits<N>,
        dt: f64,
    ) -> Self {
        Self {
            tool,
            collision,
            t_task_base: t_base_task.inverse(),
            reach_m: chain.reach_m().into(),
            jerk_max: limits.joints().map(|joint| joint.dddq_max).into(),
            dt,
        }
    }

    pub fn collision(&self) -> &Collision<N> {
        &self.collision
    }

    /// How far outside the workspace the tool is at `q`, m.
    pub fn distance_m(&self, chain: &Chain<N>, q: &JointPositions<N>) -> f64 {
        self.tool
            .workspace
            .distance_m(&self.place(chain, &chain.frames(q)))
    }

    /// Whether everything keeps its limits from now until every joint rests.
    pub fn check(
        &self,
        chain: &Chain<N>,
        now: &Around<N>,
        tracks: &[Track; N],
    ) -> Result<(), LimitSet> {
        let bounds = self.bounds(tracks);
        let duration_s = tracks
            .iter()
            .fold(0.0, |t: f64, track| t.max(track.remaining_s()));
        let stride_s = (duration_s / f64::from(SAMPLES)).max(2.0 * self.dt);
        let start = chain.frames(&positions(tracks, 0.0));
        let mut watch = self.watch(chain, now, &start, &bounds, stride_s);
        let nothing = watch.place_m.is_none() && watch.speed.is_none();
        if nothing && watch.pairs.near == 0 && watch.parts.fast == 0 {
            return Ok(());
        }
        self.look(chain, &start, tracks, 0.0, &mut watch)?;
        for t in samples(stride_s, duration_s) {
            let frames = chain.frames(&positions(tracks, t));
            self.look(chain, &frames, tracks, t, &mut watch)?;
        }
        Ok(())
    }

    /// What even the sum of all joints' travel cannot reach, and speeds that even the sum of all joints' keeps, need no
    /// samples.
    fn watch(
        &self,
        chain: &Chain<N>,
        now: &Around<N>,
        start: &Frames<N>,
        bounds: &Bounds<N>,
        stride_s: f64,
    ) -> Watch<N> {
        let share = stride_s * stride_s / 8.0;
        let margin_m = bounds.acceleration_max(&self.reach_m, 0..N) * share;
        let (lower, upper) = (self.tool.workspace.lower(), self.tool.workspace.upper());
        let p = self.place(chain, start);
        let room_m = (p - lower).inf(&(upper - p)).min();
        let far = room_m >= bounds.travel.dot(&self.reach_m) + margin_m;
        let slow = bounds.dq.dot(&self.reach_m) <= self.tool.speed_m_per_s
            && bounds.dq.sum() <= self.tool.rotation_rad_per_s;
        let margins = || {
            let turn = bounds.jerk_max(&SVector::repeat(1.0));
            (bounds.jerk_max(&self.reach_m) * share, turn * share)
        };
        let mut pairs = Pairs {
            near: 0,
            normals: now.normals,
            margins_m: [0.0; PAIRS_MAX],
        };
        for (k, pair) in self.collision.pairs().iter().enumerate() {
            if now.gaps_m[k] < bounds.travel.dot(&pair.reach_m) {
                let joints = pair.joints.clone();
                pairs.near |= 1 << k;
                pairs.margins_m[k] = bounds.acceleration_max(&pair.reach_m, joints) * share;
            }
        }
        let mut parts = Parts {
            fast: 0,
            margins_m_per_s: [0.0; PARTS_MAX],
        };
        if self.tool.capsules_m_per_s.is_finite() {
            let turn_margin = bounds.jerk_max(&SVector::repeat(1.0)) * share;
            for (k, part) in self.collision.parts().iter().enumerate() {
                let radius_m = part.capsule.radius_m;
                let most = bounds.dq.dot(&part.reach_m) + radius_m * bounds.dq.sum();
                if most > self.tool.capsules_m_per_s {
                    parts.fast |= 1 << k;
                    parts.margins_m_per_s[k] =
                        bounds.jerk_max(&part.reach_m) * share + radius_m * turn_margin;
                }
            }
        }
        Watch {
            parts,
            place_m: (!far).then_some(margin_m),
            speed: (!slow).then(margins),
            pairs,
        }
    }

    fn look(
        &self,
        chain: &Chain<N>,
        frames: &Frames<N>,
        tracks: &[Track; N],
        t: f64,
        watch: &mut Watch<N>,
    ) -> Result<(), LimitSet> {
        if let Some(margin_m) = watch.place_m {
            self.look_at_place(&self.place(chain, frames), margin_m)?;
        }
        if let Some(margins) = watch.speed {
            self.look_at_speed(chain, frames, &velocities(tracks, t), margins)?;
        }
        for k in ones(watch.parts.fast) {
            let part = &self.collision.parts()[k];
            let speed = speed(chain, part, frames, &velocities(tracks, t));
            let keeps = speed <= self.tool.capsules_m_per_s - watch.parts.margins_m_per_s[k];
            if !keeps {
                return Err(LimitSet::ARM_SPEED);
            }
        }
        for k in ones(watch.pairs.near) {
            look_at_pair(
                &self.collision.pairs()[k],
                frames,
                &mut watch.pairs.normals[k],
                watch.pairs.margins_m[k],
            )?;
        }
        Ok(())
    }

    fn look_at_place(&self, p: &Vector3<f64>, margin_m: f64) -> Result<(), LimitSet> {
        let (lower, upper) = (self.tool.workspace.lower(), self.tool.workspace.upper());
        if p.z - margin_m < self.tool.workspace.table_height_m {
            return Err(LimitSet::TABLE);
        }
        if (p - lower).inf(&(upper - p)).min() < margin_m {
            return Err(LimitSet::WORKSPACE);
        }
        Ok(())
    }

    fn look_at_speed(
        &self,
        chain: &Chain<N>,
        frames: &Frames<N>,
        dq: &JointVelocities<N>,
        (margin, turn_margin): (f64, f64),
    ) -> Result<(), LimitSet> {
        let twist = chain.jacobian_at(frames, 0..N, &chain.tip_in(frames)) * dq.0;
        let keeps = twist.fixed_rows::<3>(0).norm() <= self.tool.speed_m_per_s - margin
            && twist.fixed_rows::<3>(3).norm() <= self.tool.rotation_rad_per_s - turn_margin;
        keeps.then_some(()).ok_or(LimitSet::TCP_SPEED)
    }

    fn bounds(&self, tracks: &[Track; N]) -> Bounds<N> {
        let extent = |i: usize| &tracks[i].extent;
        let ddq = SVector::<f64, N>::from_fn(|i, _| {
            extent(i).acceleration_max + self.jerk_max[i] * self.dt
        });
        let dq = SVector::<f64, N>::from_fn(|i, _| extent(i).speed_max + ddq[i] * self.dt);
        Bounds {
            travel: SVector::from_fn(|i, _| travel(&tracks[i]) + dq[i] * self.dt),
            dq,
            ddq,
            jerk: self.jerk_max,
        }
    }

    /// The tip in the task frame, m.
    fn place(&self, chain: &Chain<N>, frames: &Frames<N>) -> Vector3<f64> {
        self.t_task_base
            .transform_point(&chain.tip_in(frames).into())
            .coords
    }
}

/// The places of the ones in a set of bits.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let k = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        (k < 64).then_some(k)
    })
}

/// What no point of a capsule exceeds, m/s: along its line speed is greatest at an end, and what lies beside the line moves
/// at most by radius times rotation faster.
fn speed<const N: usize>(
    chain: &Chain<N>,
    part: &Part<N>,
    frames: &Frames<N>,
    dq: &JointVelocities<N>,
) -> f64 {
    let twist = part.capsule.ends.map(|end| {
        let point = frames.point(part.joints, &end);
        chain.jacobian_at(frames, 0..part.joints, &point) * dq.0
    });
    let [a, b] = twist.map(|twist| twist.fixed_rows::<3>(0).norm());
    a.max(b) + part.capsule.radius_m * twist[0].fixed_rows::<3>(3).norm()
}

/// Whether the plane of the last interval still stands between the two at its end; then the one of the next.
fn look_at_pair<const N: usize>(
    pair: &Pair<N>,
    frames: &Frames<N>,
    normal: &mut Vector3<f64>,
    margin_m: f64,
) -> Result<(), LimitSet> {
    let capsule = pair.capsule_in(frames);
    let gap_m = pair.gap_m(normal, &capsule);
    // A comparison that NaN fails.
    let apart = gap_m >= margin_m;
    if !apart {
        return Err(LimitSet::COLLISION);
    }
    let (next, _) = pair.nearest(&capsule);
    if pair.gap_m(&next, &capsule) > gap_m {
        *normal = next;
    }
    Ok(())
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
