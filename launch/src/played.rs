//! The policy's part of an episode as it goes by, and the result that it makes with the judgement of the physics.

use crate::report::{Class, EpisodeResult, Evidence, Judged};
use sha2::{Digest, Sha256};
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::clock::linux::thread_cpu_time;
use visuomotor_runtime::episode;
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// A decision, and the CPU time that it took, ms. For reports: nothing is decided by it.
pub fn timed(
    policy: &mut dyn Policy,
    observation: &Observation<'_>,
) -> (Result<Decision, PolicyError>, f32) {
    let before = thread_cpu_time();
    let decided = policy.decide(observation);
    let ms = (thread_cpu_time() - before).as_nanos() as f32 * 1e-6;
    (decided, ms)
}

#[derive(Clone, Debug, Default)]
pub struct Played {
    pub steps: u32,
    pub closes: u32,
    /// The policy ended the episode itself.
    pub terminated: bool,
    /// CPU time of each decision, ms.
    pub policy_tick_ms: Vec<f32>,
    /// Over the exact bytes of the actions.
    actions: Sha256,
}

impl Played {
    /// Counts one action; `fingers` is what they were told before it.
    pub fn note(&mut self, action: &Action, fingers: Fingers) {
        self.steps += 1;
        self.closes += u32::from(action.verb == Verb::Close && fingers == Fingers::Open);
        self.terminated |= action.verb == Verb::Terminate;
        for number in action.translation_m.iter().chain([&action.yaw_rad]) {
            self.actions.update(number.to_le_bytes());
        }
        self.actions.update([action.verb as u8]);
    }

    /// `end` is the judgement after the gripper held still, where there is one; `max_held_m` the highest that an object was
    /// held at.
    pub fn result(
        self,
        seed: u64,
        end: Option<Judged>,
        max_held_m: f64,
        fault: Option<String>,
        sim_s: f64,
        wall_s: f64,
    ) -> EpisodeResult {
        let judged = end.unwrap_or_default();
        let evidence = Evidence {
            success: judged.success,
            faulted: fault.is_some(),
            terminated: self.terminated,
            closes: self.closes,
            held_at_end: judged.held,
            held_ever: max_held_m > 0.0,
            reachable: judged.reachable,
        };
        let class = match (end, &fault) {
            (None, None) => Class::Unjudged,
            _ => evidence.class(),
        };
        EpisodeResult {
            seed,
            class,
            fault,
            steps: self.steps,
            closes: self.closes,
            terminated: self.terminated,
            held_height_m: judged.held_height_m,
            max_held_height_m: max_held_m.max(judged.held_height_m),
            policy_tick_ms: self.policy_tick_ms,
            sim_s,
            wall_s,
            actions_sha256: episode::Sha256(self.actions.finalize().into()).to_string(),
        }
    }
}
