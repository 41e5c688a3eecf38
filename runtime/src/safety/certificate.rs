//! Whether the whole arm's stop keeps the tool inside its workspace and below its speed limits, and the arm's capsules away
//! from what they must not touch.
//!
//! Not responsible for joint limits ([`super::joint`]). Further hard limits of the whole arm belong here.
//!
//! A stop is looked at in samples, h apart. Between two samples a smooth f is at most max|f''|·h²/8 off the straight line
//! between its values there. So where a convex set holds the samples with that margin it holds everything between them.
//! f is the tool's position for workspace and table, its velocity for the speed limits. The tick that leads from the
//! present, which has no margin, to the first sample needs max|f''|·dt²/2, as if h were 2·dt.
//!
//! A capsule stays away from a solid over a time when some plane stands between them all that time: then f is the distance
//! of each of the capsule's ends from the plane, in the frame of the solid, where only the joints between the two move it.
//! The plane of an interval is the one that fits best at its beginning.

use super::bounds::Bounds;
use super::collision::{Around, Collision, PAIRS_MAX, PARTS_MAX, Pair, Part};
use super::joint::Track;
use super::limits::{Limits, ToolLimits, Workspace};
use super::report::LimitSet;
use crate::kinematics::{Chain, Frames};
use crate::units::{JointPositions, JointVelocities};
use nalgebra::{Isometry3, SVector, Vector3};

#[derive(Clone)]
pub(super) struct Certificate<const N: usize> {
    pub tool: ToolLimits,
    pub collision: Collision<N>,
    t_task_base: Isometry3<f64>,
    /// The tip moves at most this far per rad of each joint, m.
    reach_m: SVector<f64, N>,
    jerk_max: SVector<f64, N>,
    dt: f64,
}

/// Samples along a stop are at most this share of its duration apart, or two ticks.
const STRIDES: f64 = 16.0;
/// Where that is not enough for speeds, which are highest at the beginning, the first sample follows after so long, and
/// each after a share of the time since then.
const FIRST_S: f64 = 1.25e-4;
const GROWTH: f64 = 0.4;

/// What a stop could come near to, and what its samples' margins follow from.
struct Watch<const N: usize> {
    /// Highest second derivatives along the stop: of the tool's position, m/s².
    place: Option<f64>,
    /// Of the tool's velocity and angular velocity, m/s³ and rad/s³; then those in the tick before.
    speed: Option<([f64; 2], [f64; 2])>,
    parts: Parts,
    pairs: Pairs,
}

impl<const N: usize> Watch<N> {
    fn is_idle(&self) -> bool {
        let speeds = self.speed.is_some() || self.parts.fast != 0;
        !speeds && self.place.is_none() && self.pairs.near == 0
    }
}

/// Capsules that a stop could move too fast: which, and the same for their velocity.
struct Parts {
    fast: u64,
    jerks: [[f64; 2]; PARTS_MAX],
}

/// Pairs that a stop could bring together: which, the plane that stands between each, and the margin to it.
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

    /// How far outside a workspace the tool is at `q`, m.
    pub fn distance_m(
        &self,
        workspace: &Workspace,
        chain: &Chain<N>,
        q: &JointPositions<N>,
    ) -> f64 {
        workspace.distance_m(&self.place(chain, &chain.frames(q)))
    }

    /// From further than this off the workspace's border every motion inward begins, m; from nearer, where ticks are long,
    /// none may be certified: the margin of a tick allows for any jerk, and those of the samples of the shortest stop come on
    /// top. How often they do is found by trial (test `inward`), with an SO-101 at 100 Hz.
    pub fn room_to_move_m(&self) -> f64 {
        const MARGINS: f64 = 3.2;
        let acceleration = self.jerk_max.dot(&self.reach_m) * self.dt;
        MARGINS * margin(acceleration, 2.0 * self.dt)
    }

    /// Whether everything keeps its limits in the tick from the `old` tracks to these and until every joint rests.
    pub fn check(
        &self,
        chain: &Chain<N>,
        now: &Around<N>,
        old: &[Track; N],
        tracks: &[Track; N],
    ) -> Result<(), LimitSet> {
        let duration_s = tracks
            .iter()
            .fold(0.0, |t: f64, track| t.max(track.remaining_s()));
        let stride_s = (duration_s / STRIDES).max(2.0 * self.dt);
        let start = chain.frames(&positions(tracks, 0.0));
        let mut watch = self.watch(chain, now, &start, old, tracks, stride_s);
        if watch.is_idle() {
            return Ok(());
        }
        let mut walk = Walk {
            chain,
            tracks,
            start,
            duration_s,
            stride_s,
            first_s: stride_s,
        };
        match self.walk(&walk, &mut watch) {
            Err(LimitSet::TCP_SPEED | LimitSet::ARM_SPEED) => {
                walk.first_s = FIRST_S.min(stride_s);
                watch.pairs.normals = now.normals;
                self.walk(&walk, &mut watch)
            }
            other => other,
        }
    }

    fn walk(&self, walk: &Walk<'_, N>, watch: &mut Watch<N>) -> Result<(), LimitSet> {
        let mut sample = Sample {
            t: 0.0,
            until_next_s: walk.first_s,
        };
        self.look(walk, &walk.start, &sample, watch)?;
        while sample.t < walk.duration_s {
            sample.t += sample.until_next_s;
            sample.until_next_s = (GROWTH * sample.t).clamp(walk.first_s, walk.stride_s);
            let frames = walk.chain.frames(&positions(walk.tracks, sample.t));
            self.look(walk, &frames, &sample, watch)?;
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
        old: &[Track; N],
        tracks: &[Track; N],
        stride_s: f64,
    ) -> Watch<N> {
        let stop = Bounds::of_stop(tracks, &self.jerk_max, self.dt);
        let acceleration = stop.acceleration_max(&self.reach_m, 0..N);
        let (lower, upper) = (self.tool.workspace.lower(), self.tool.workspace.upper());
        let p = self.place(chain, start);
        let room_m = (p - lower).inf(&(upper - p)).min();
        let far = room_m >= stop.travel.dot(&self.reach_m);
        let slow = stop.speed_max(&self.reach_m) <= self.tool.speed_m_per_s
            && stop.turning_max() <= self.tool.rotation_rad_per_s;
        let mut watch = Watch {
            place: (!far).then_some(acceleration),
            speed: None,
            parts: Parts {
                fast: 0,
                jerks: [[0.0; 2]; PARTS_MAX],
            },
            pairs: Pairs {
                near: 0,
                normals: now.normals,
                margins_m: [0.0; PAIRS_MAX],
            },
        };
        for (k, pair) in self.collision.pairs().iter().enumerate() {
            // Comparisons that NaN fails, here and below.
            let far = now.gaps_m[k] >= stop.travel.dot(&pair.reach_m);
            if !far {
                let acceleration = stop.acceleration_max(&pair.reach_m, pair.joints.clone());
                watch.pairs.near |= 1 << k;
                watch.pairs.margins_m[k] = margin(acceleration, stride_s);
            }
        }
        if slow && self.tool.capsules_m_per_s == f64::INFINITY {
            return watch;
        }
        let tick = Bounds::of_tick(old, tracks, &self.jerk_max, self.dt);
        let jerks =
            |bounds: &Bounds<N>| [bounds.jerk_max(&self.reach_m), bounds.turning_jerk_max()];
        watch.speed = (!slow).then(|| (jerks(&stop), jerks(&tick)));
        for (k, part) in self.collision.parts().iter().enumerate() {
            let radius_m = part.capsule.radius_m;
            let fastest = stop.speed_max(&part.reach_m) + radius_m * stop.turning_max();
            let slow = fastest <= self.tool.capsules_m_per_s;
            if !slow {
                let jerk = |bounds: &Bounds<N>| {
                    bounds.jerk_max(&part.reach_m) + radius_m * bounds.turning_jerk_max()
                };
                watch.parts.fast |= 1 << k;
                watch.parts.jerks[k] = [jerk(&stop), jerk(&tick)];
            }
        }
        watch
    }

    fn look(
        &self,
        walk: &Walk<'_, N>,
        frames: &Frames<N>,
        sample: &Sample,
        watch: &mut Watch<N>,
    ) -> Result<(), LimitSet> {
        let chain = walk.chain;
        if let Some(acceleration) = watch.place {
            let margin_m = margin(acceleration, walk.stride_s);
            self.look_at_place(&self.place(chain, frames), margin_m)?;
        }
        let dq = || velocities(walk.tracks, sample.t);
        if let Some((along, before)) = watch.speed {
            let margins = std::array::from_fn(|i| sample.margin(along[i], before[i], self.dt));
            self.look_at_speed(chain, frames, &dq(), margins)?;
        }
        for k in ones(watch.parts.fast) {
            let [along, before] = watch.parts.jerks[k];
            let speed = speed(chain, &self.collision.parts()[k], frames, &dq());
            let margin = sample.margin(along, before, self.dt);
            let keeps = speed <= self.tool.capsules_m_per_s - margin;
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
        let above = p.z - margin_m >= self.tool.workspace.table_height_m;
        if !above {
            return Err(LimitSet::TABLE);
        }
        let inside = (0..3).all(|i| p[i] - lower[i] >= margin_m && upper[i] - p[i] >= margin_m);
        inside.then_some(()).ok_or(LimitSet::WORKSPACE)
    }

    fn look_at_speed(
        &self,
        chain: &Chain<N>,
        frames: &Frames<N>,
        dq: &JointVelocities<N>,
        [margin, turn_margin]: [f64; 2],
    ) -> Result<(), LimitSet> {
        let twist = chain.jacobian_at(frames, 0..N, &chain.tip_in(frames)) * dq.0;
        let keeps = twist.fixed_rows::<3>(0).norm() <= self.tool.speed_m_per_s - margin
            && twist.fixed_rows::<3>(3).norm() <= self.tool.rotation_rad_per_s - turn_margin;
        keeps.then_some(()).ok_or(LimitSet::TCP_SPEED)
    }

    /// The tip in the task frame, m.
    fn place(&self, chain: &Chain<N>, frames: &Frames<N>) -> Vector3<f64> {
        self.t_task_base
            .transform_point(&chain.tip_in(frames).into())
            .coords
    }
}

/// A stop, and how finely it is looked at.
struct Walk<'a, const N: usize> {
    chain: &'a Chain<N>,
    tracks: &'a [Track; N],
    start: Frames<N>,
    duration_s: f64,
    /// Longest and first time between two samples.
    stride_s: f64,
    first_s: f64,
}

/// One of the times at which a stop is looked at.
struct Sample {
    /// Since the stop's beginning, s.
    t: f64,
    /// Samples are further apart the later they are, up to the stride.
    until_next_s: f64,
}

impl Sample {
    /// Of a velocity, for its highest second derivatives along the stop and in the tick before.
    fn margin(&self, along: f64, before: f64, dt: f64) -> f64 {
        let after = margin(along, self.until_next_s);
        match self.t > 0.0 {
            true => after,
            // As if the interval were twice as long: the present has no margin.
            false => after.max(margin(before, 2.0 * dt)),
        }
    }
}

/// How far a function is off the straight line between two of its values at most.
fn margin(second_derivative: f64, interval_s: f64) -> f64 {
    second_derivative * interval_s * interval_s / 8.0
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
    let next = pair.normal_to(&capsule);
    if pair.gap_m(&next, &capsule) > gap_m {
        *normal = next;
    }
    Ok(())
}

fn positions<const N: usize>(tracks: &[Track; N], t: f64) -> JointPositions<N> {
    std::array::from_fn(|i| tracks[i].ahead(t).q).into()
}

fn velocities<const N: usize>(tracks: &[Track; N], t: f64) -> JointVelocities<N> {
    std::array::from_fn(|i| tracks[i].ahead(t).v).into()
}
