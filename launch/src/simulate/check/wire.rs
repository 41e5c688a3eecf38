//! What passes between the loop and the arm: the record says it as it was, and everything decided is sent, once.

use super::{Found, Witness, demand};
use crate::config::JOINTS;
use visuomotor_runtime::arm::{ArmError, ArmState};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{StopCategory, Verdict};
use visuomotor_runtime::step::Step;

/// What the arm was told last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    pub what: Verdict<JOINTS>,
    pub failed: Option<ArmError>,
}

#[derive(Default)]
pub struct Wire {
    /// Whether the command of the last tick could not be sent.
    failed: Option<ArmError>,
}

impl Wire {
    pub fn check(&mut self, step: &Step<JOINTS>, witness: &Witness) -> Found {
        let inputs = step.inputs;
        let now = step.due + step.jitter;
        demand(witness.read_at == now, "wire", || {
            format!(
                "the arm was read at {} and stepped at {now}",
                witness.read_at
            )
        })?;
        demand(
            witness
                .answer
                .is_some_and(|answer| same(answer, inputs.arm)),
            "wire",
            || format!("{:?} was read and recorded otherwise", witness.answer),
        )?;
        demand(inputs.write_error == self.failed, "wire", || {
            let recorded = inputs.write_error;
            format!(
                "{:?} came of a command and {recorded:?} was recorded",
                self.failed
            )
        })?;
        let told = match (witness.told, witness.times_told) {
            (Some(told), 1) => told,
            (_, times) => {
                return demand(false, "wire", || format!("the arm was told {times} things"));
            }
        };
        self.failed = told.failed;
        match told.what {
            Verdict::Move(sent) => {
                let sent = (*sent.q(), *sent.dq(), sent.fingers());
                demand(step.command == Some(sent), "wire", || {
                    format!("{sent:?} was sent and {:?} recorded", step.command)
                })?;
                let off = matches!(step.phase, Phase::Idle | Phase::Stopped(StopCategory::One));
                demand(!off, "wire", || format!("a command in {:?}", step.phase))
            }
            Verdict::Stop(category) => {
                let latched = step.phase.latched().unwrap_or(StopCategory::Two);
                let fine = step.stop == Some(category) && category == latched;
                demand(fine, "wire", || {
                    format!("the drives were asked for {category:?} in {:?}", step.phase)
                })
            }
        }
    }
}

/// NaN is the same as NaN.
fn same(a: Result<ArmState<JOINTS>, ArmError>, b: Result<ArmState<JOINTS>, ArmError>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) if a.not_finite().is_some() => {
            a.not_finite() == b.not_finite() && a.sampled_at == b.sampled_at
        }
        (a, b) => a == b,
    }
}
