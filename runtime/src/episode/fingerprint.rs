//! A step as bytes: two steps have the same ones when every bit of every number is the same.

use super::messages::JointState;
use super::{cdr, convert};
use crate::step::Step;

#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    /// Kept for its buffer.
    bytes: Vec<u8>,
}

impl Fingerprint {
    pub fn of<const N: usize>(&mut self, step: &Step<N>) -> &[u8] {
        let bytes = &mut self.bytes;
        cdr::encode(&convert::step(step), bytes);
        let mut joints = JointState::default();
        if let Some(state) = step.measured() {
            convert::set_joint_state(
                &mut joints,
                state.sampled_at,
                &state.q.0,
                &state.dq.0,
                Some(&state.tau.0),
            );
            cdr::append(&joints, bytes);
        }
        if let Some((q, dq, _)) = step.command {
            convert::set_joint_state(&mut joints, step.due, &q.0, &dq.0, None);
            cdr::append(&joints, bytes);
        }
        bytes
    }
}
