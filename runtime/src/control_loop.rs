//! The loop: read, step, write, record; every failure is a value that flows into the next line.
//!
//! Responsible for the order of one tick and for nothing else. What a tick decides is in [`crate::controller`]; when it
//! runs is in [`crate::clock`]; what may be sent is in [`crate::safety`].

use crate::arm::Arm;
use crate::clock::{Clock, Ticker};
use crate::controller::{Controller, Inputs, Outputs, Request};
use crate::policy::Decision;
use crate::safety::Verdict;

/// The control loop's side of every hand-over to another thread or task. No method may block.
pub trait Exchange<const N: usize> {
    /// The next decision of the policy, if one has come.
    fn decision(&mut self) -> Option<Decision>;
    /// What a person or the session asks for, if anything.
    fn request(&mut self) -> Option<Request>;
    /// Passes on what the tick saw and did.
    fn publish(&mut self, outputs: &Outputs<N>);
    /// Whether the loop should end: it does so when the arm has come to rest, with a stop of category 2.
    fn ended(&self) -> bool;
}

/// Runs until [`Exchange::ended`]. The same future runs on Linux and in simulated time.
pub async fn control<C: Clock, const N: usize>(
    mut ticker: Ticker<C>,
    arm: &mut impl Arm<N>,
    controller: &mut Controller<N>,
    exchange: &mut impl Exchange<N>,
) {
    let mut write_error = None;
    loop {
        let tick = ticker.tick().await;
        let ending = exchange.ended();
        let inputs = Inputs {
            arm: arm.read(tick.due + tick.jitter),
            write_error,
            decision: exchange.decision(),
            request: if ending {
                Some(Request::End)
            } else {
                exchange.request()
            },
        };
        let outputs = controller.step(tick, inputs);
        write_error = match outputs.verdict {
            Verdict::Move(command) => arm.write(&command).err(),
            Verdict::Stop(category) => {
                arm.stop(category);
                None
            }
        };
        exchange.publish(&outputs);
        if ending && outputs.is_stopped() {
            break;
        }
    }
    arm.stop(crate::safety::StopCategory::Two);
}
