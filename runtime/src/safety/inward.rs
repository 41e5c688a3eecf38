//! An arm that starts outside its limits: the way back in, and nothing but that.
//!
//! What is broken at the start is widened to where the arm is, and then follows it inward: it never gets further out again,
//! by more than [`ROOM_RAD`] and `Safety::room_m`. It has come in only where that room lies inside the limits: on the border the
//! certificate would let nothing move. Everything else holds as always. Not responsible for who asks for the way in.

use super::filter::Safety;
use super::joint::Track;
use super::limits::{JointBounds, Limits, ToolLimits};
use crate::arm::ArmState;
use crate::fault::Fault;
use crate::units::JointPositions;

/// Room for rounding, rad, and for the certificate's margins, m, without which nothing could move. Slow ticks need more.
const ROOM_RAD: f64 = 1e-6;
const ROOM_M: f64 = 1e-3;

/// How much wider than the launch file's the limits are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widened<const N: usize> {
    limits: Limits<N>,
    /// Of the workspace, on all sides.
    workspace_m: f64,
}

impl<const N: usize> Safety<N> {
    /// As [`Safety::arm`], also outside the limits. Until [`Safety::is_inside`] the arm can only move inward from there.
    ///
    /// # Errors
    /// A fault, and disarmed, when the measured pose is not finite or not at rest.
    pub fn arm_inward(&mut self, measured: &ArmState<N>) -> Result<(), Fault> {
        self.start_at(measured)?;
        self.certificate.collision.yield_everything();
        self.widened = Some(Widened {
            limits: self.limits.reaching(&measured.q, ROOM_RAD),
            workspace_m: f64::INFINITY,
        });
        let tracks = self.rest_at(&measured.q);
        self.follow_inward(&tracks);
        Ok(())
    }

    /// Whether the launch file's limits hold, and are the ones that count.
    pub fn is_inside(&self) -> bool {
        self.widened.is_none()
    }

    /// Whether an arm that was measured at `q` has come in: one that lags its command, as a servo under a weight does, may
    /// still be outside. Twice the room, because it is armed again at what is measured then.
    pub fn has_come_in(&self, q: &JointPositions<N>) -> bool {
        self.is_inside() && self.admits(q, 2.0 * self.room_m()).is_ok()
    }

    fn room_m(&self) -> f64 {
        ROOM_M.max(self.certificate.room_to_move_m())
    }

    /// The joint limits that count now.
    pub(super) fn present_limits(&self) -> &Limits<N> {
        self.widened.as_ref().map_or(&self.limits, |w| &w.limits)
    }

    /// What was widened shrinks to where the command is, and ends where the stored stop needs it no more.
    pub(super) fn follow_inward(&mut self, tracks: &[Track; N]) {
        let Some(mut widened) = self.widened else {
            return;
        };
        let q = &std::array::from_fn(|i| tracks[i].state.q).into();
        widened.limits = widened.limits.within(&self.limits.reaching(q, ROOM_RAD));
        let tool = self.mode.limits(&self.tool);
        let room_m = self.room_m();
        let within = tool.workspace.grown_by(-room_m);
        let needs_m = self.certificate.distance_m(&within, &self.chain, q);
        widened.workspace_m = widened.workspace_m.min(needs_m);
        let apart = self.certificate.collision.yield_at(&self.chain, q, room_m);
        let inside = apart && widened.workspace_m == 0.0 && widened.limits == self.limits;
        self.keep(ToolLimits {
            workspace: tool.workspace.grown_by(widened.workspace_m),
            ..tool
        });
        let ended = inside && self.stop_keeps_limits(tracks, q);
        self.widened = (!ended).then_some(widened);
    }

    /// Whether the stored stop keeps the launch file's joint limits and the certificate's of the arm: one that was found
    /// further out may lead there once more.
    fn stop_keeps_limits(&self, tracks: &[Track; N], q: &JointPositions<N>) -> bool {
        let keeps = |(track, of): (&Track, &JointBounds)| {
            let ahead = track.extent_ahead(0.0, track.remaining_s());
            ahead.lower >= of.lower && ahead.upper <= of.upper
        };
        let around = self.certificate.collision.around(&self.chain, q);
        let arm = self.certificate.check(&self.chain, &around, tracks, tracks);
        tracks.iter().zip(self.limits.joints()).all(keeps) && arm.is_ok()
    }
}
