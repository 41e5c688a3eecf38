//! What a policy is to the runtime. `visuomotor-policies` implements [`Policy`].
//!
//! A policy runs on its own thread, at its own rate, and may be late or wrong: the controller drops late answers and
//! the safety filter bounds the rest.

use crate::action::Action;
use crate::clock::Instant;
use crate::observation::Observation;

/// An action and what is worth recording about how it was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    pub action: Action,
    /// The policy's own estimate that the episode ends in success, in [0, 1]; NaN where it has none.
    pub q_value: f64,
    /// Capture time of the frame that it looked at.
    pub frame_captured_at: Instant,
    /// Number of the observation that it answers, counted from 0 in each episode.
    pub step: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    #[error("inference failed")]
    Inference,
    #[error("the network answered with a value that is not finite")]
    NotFinite,
    #[error(
        "an image of {got_width} x {got_height} where {expected_width} x {expected_height} is expected"
    )]
    WrongImage {
        got_width: u32,
        got_height: u32,
        expected_width: u32,
        expected_height: u32,
    },
    #[error("this policy needs the simulator's truth and there is none")]
    NoTruth,
}

pub trait Policy: Send {
    /// Forgets the last episode. `seed` is the only source of randomness until the next reset.
    fn reset(&mut self, seed: u64);

    /// Chooses the next action. Blocks for as long as the policy thinks.
    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError>;
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn reset(&mut self, seed: u64) {
        (**self).reset(seed);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        (**self).decide(observation)
    }
}
