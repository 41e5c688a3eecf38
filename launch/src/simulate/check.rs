//! What must be true of every tick, judged from its record and from the physics, not from what the controller says of itself.
//!
//! Each checker computes anew what it demands: limits by finite differences of the commands, ages from the stamps, latches
//! from what leaves the runtime. Not responsible for the file that is written ([`super::ledger`]).

mod ladder;
mod latch;
mod limits;
mod phases;
mod recovery;

pub use recovery::RECOVERY_MAX;

use crate::config::{JOINTS, Launch};
use nalgebra::SVector;
use serde::Serialize;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::step::Step;

/// What a checker found wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub checker: &'static str,
    pub tick: u64,
    pub what: String,
}

/// Velocity of each joint of the arm itself, rad/s, whatever its encoders say.
pub type TrueVelocity = SVector<f64, JOINTS>;

/// Two ticks in a row.
#[derive(Clone, Copy)]
struct Pair<'a> {
    last: &'a Step<JOINTS>,
    step: &'a Step<JOINTS>,
}

impl Pair<'_> {
    fn now(&self) -> Instant {
        self.step.due + self.step.jitter
    }

    /// Whether a person asked, in this tick, to begin again at the measured pose.
    fn begins_again(&self) -> bool {
        matches!(
            self.step.inputs.request,
            Some(Request::Rearm | Request::ClearFault | Request::Recover)
        )
    }
}

pub struct Checkers<'a> {
    limits: limits::Limits<'a>,
    latch: latch::Latch,
    ladder: ladder::Ladder,
    recovery: recovery::Recovery,
    last: Option<Step<JOINTS>>,
}

impl<'a> Checkers<'a> {
    /// Nothing is wrong any more from `faults_over` on.
    pub fn new(launch: &'a Launch, faults_over: Instant) -> Self {
        Self {
            limits: limits::Limits::new(launch),
            latch: latch::Latch::new(launch),
            ladder: ladder::Ladder::new(launch),
            recovery: recovery::Recovery::new(faults_over),
            last: None,
        }
    }

    /// The next tick, and how fast the arm itself moved when it was read.
    pub fn tick(&mut self, step: &Step<JOINTS>, velocity: &TrueVelocity) -> Result<(), Violation> {
        let checked = match &self.last {
            None => self.limits.first(step),
            Some(last) => {
                let pair = Pair { last, step };
                phases::check(pair)
                    .and_then(|()| self.limits.check(pair))
                    .and_then(|()| self.latch.check(pair, velocity))
                    .and_then(|()| self.ladder.check(pair))
                    .and_then(|()| self.recovery.check(pair))
            }
        };
        self.last = Some(*step);
        checked.map_err(|(checker, what)| Violation {
            checker,
            tick: step.tick,
            what,
        })
    }
}

/// The name of the checker and what is wrong.
type Found = Result<(), (&'static str, String)>;

fn demand(holds: bool, checker: &'static str, what: impl FnOnce() -> String) -> Found {
    match holds {
        true => Ok(()),
        false => Err((checker, what())),
    }
}
