//! Whether the whole arm's stop keeps the tool inside its workspace.
//!
//! Not responsible for joint limits ([`super::joint`]). Further hard limits of the whole arm belong here.

use super::joint::Track;
use super::limits::{JointBounds, Workspace};
use super::report::LimitSet;
use crate::kinematics::Chain;
use crate::units::JointPositions;
use nalgebra::{Isometry3, Vector3};

pub(super) struct Certificate<const N: usize> {
    workspace: Workspace,
    t_task_base: Isometry3<f64>,
    /// The tip moves at most this far per rad of each joint, m.
    reach_m: [f64; N],
    jerk_max: [f64; N],
    dt: f64,
}

/// Samples along a stop; their distance in time grows with the stop's duration.
const SAMPLES: u32 = 16;

impl<const N: usize> Certificate<N> {
    pub fn new(
        chain: &Chain<N>,
        workspace: Workspace,
        t_base_task: &Isometry3<f64>,
        joints: &[JointBounds; N],
        dt: f64,
    ) -> Self {
        let jerk_max = std::array::from_fn(|i| joints[i].dddq_max);
        Self {
            workspace,
            t_task_base: t_base_task.inverse(),
            reach_m: chain.reach_m(),
            jerk_max,
            dt,
        }
    }

    /// How far outside the workspace the tool is at `q`, m.
    pub fn distance_m(&self, chain: &Chain<N>, q: &JointPositions<N>) -> f64 {
        self.workspace.distance_m(&self.tip(chain, q))
    }

    /// Whether the tool stays inside from now until every joint rests.
    ///
    /// Between two samples a point of the tool is at most max|p''|·h²/8 off the straight line between them, and the
    /// workspace is convex: so it suffices that every sample keeps that margin. The tick that leads from the present
    /// point, which has no margin, to the first sample needs max|p''|·dt²/2, hence h >= 2·dt. When even the sum of
    /// all joints' travel cannot reach the border, one sample is enough.
    pub fn check(&self, chain: &Chain<N>, tracks: &[Track; N]) -> Result<(), LimitSet> {
        let (lower, upper) = (self.workspace.lower(), self.workspace.upper());
        let start = self.tip(
            chain,
            &JointPositions::from(std::array::from_fn(|i| tracks[i].state.q)),
        );
        let travel_m: f64 = (0..N).map(|i| self.reach_m[i] * travel(&tracks[i])).sum();
        let room_m = (start - lower).inf(&(upper - start)).min();
        // The tick before the first sample has travelled too, by less than the bound below allows for.
        let duration_s = tracks
            .iter()
            .fold(0.0, |t: f64, track| t.max(track.remaining_s()));
        let stride_s = (duration_s / f64::from(SAMPLES)).max(2.0 * self.dt);
        let margin_m = self.acceleration_max(tracks) * stride_s * stride_s / 8.0;
        if room_m >= travel_m + margin_m {
            return Ok(());
        }
        let inside = |p: &Vector3<f64>| {
            if p.z - margin_m < self.workspace.table_height_m {
                return Err(LimitSet::TABLE);
            }
            if (p - lower).inf(&(upper - p)).min() < margin_m {
                return Err(LimitSet::WORKSPACE);
            }
            Ok(())
        };
        inside(&start)?;
        for k in 1..=SAMPLES {
            let t = f64::from(k) * stride_s;
            inside(&self.tip(
                chain,
                &JointPositions::from(std::array::from_fn(|i| tracks[i].ahead(t).q)),
            ))?;
            if t >= duration_s {
                break;
            }
        }
        Ok(())
    }

    /// An upper bound of the tip's acceleration along the stop and in the tick before it, m/s².
    ///
    /// |J·ddq| <= sum r_i|ddq_i|, and the bias term is at most (sum |dq_i|)·(sum r_i|dq_i|): see
    /// [`crate::kinematics::chain::bias_acceleration`].
    fn acceleration_max(&self, tracks: &[Track; N]) -> f64 {
        let (mut from_ddq, mut speed, mut tip_speed) = (0.0, 0.0, 0.0);
        for ((track, reach), jerk) in tracks.iter().zip(&self.reach_m).zip(&self.jerk_max) {
            let ddq = track.extent.acceleration_max + jerk * self.dt;
            let dq = track.extent.speed_max + ddq * self.dt;
            from_ddq += reach * ddq;
            speed += dq;
            tip_speed += reach * dq;
        }
        from_ddq + speed * tip_speed
    }

    fn tip(&self, chain: &Chain<N>, q: &JointPositions<N>) -> Vector3<f64> {
        self.t_task_base
            .transform_point(&chain.tip_position(q).into())
            .coords
    }
}

fn travel(track: &Track) -> f64 {
    (track.extent.upper - track.state.q).max(track.state.q - track.extent.lower)
}
