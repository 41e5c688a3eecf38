//! What must be true of every tick, judged from its record and from the physics, not from what the controller says of itself.
//!
//! Each checker computes anew what it demands: limits by finite differences of the commands, ages from the stamps, latches
//! from what leaves the runtime. Not responsible for the file that is written ([`super::ledger`]).

mod causes;
mod ladder;
mod latch;
mod limits;
mod orders;
mod phases;
mod recovery;
mod tally;
mod wire;

pub use recovery::RECOVERY_MAX;
pub use wire::Told;

use crate::config::{JOINTS, Launch};
use nalgebra::SVector;
use serde::Serialize;
use visuomotor_runtime::arm::{ArmError, ArmState};
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::safety::{StopCategory, Verdict};
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

/// What an arm's own witness saw of one tick, whatever the loop records.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    pub velocity: TrueVelocity,
    /// What the loop said of the time when it read.
    pub read_at: Instant,
    pub answer: Option<Result<ArmState<JOINTS>, ArmError>>,
    pub told: Option<Told>,
    /// Commands and stops since the answer.
    pub times_told: u32,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            velocity: TrueVelocity::zeros(),
            read_at: Instant::from_ticks(0),
            answer: None,
            told: None,
            times_told: 0,
        }
    }
}

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
    ladder: ladder::Ladder<'a>,
    tally: tally::Tally,
    wire: wire::Wire,
    recovery: recovery::Recovery,
    last: Option<Step<JOINTS>>,
}

impl<'a> Checkers<'a> {
    /// What is wrong begins at `faults_begin`, and nothing is wrong any more from `faults_over` on.
    pub fn new(launch: &'a Launch, faults_begin: Instant, faults_over: Instant) -> Self {
        Self {
            limits: limits::Limits::new(launch),
            latch: latch::Latch::new(launch),
            ladder: ladder::Ladder::new(launch),
            tally: tally::Tally::new(launch.control_period()),
            wire: wire::Wire::default(),
            recovery: recovery::Recovery::new(faults_begin, faults_over),
            last: None,
        }
    }

    /// The next tick, and what the arm's witness saw of it.
    pub fn tick(&mut self, step: &Step<JOINTS>, witness: &Witness) -> Result<(), Violation> {
        let wire = self.wire.check(step, witness);
        let checked = wire.and_then(|()| match &self.last {
            None => self.limits.first(step),
            Some(last) => {
                let pair = Pair { last, step };
                phases::check(pair)
                    .and_then(|()| self.limits.check(pair))
                    .and_then(|()| self.latch.check(pair, &witness.velocity))
                    .and_then(|()| self.ladder.check(pair))
                    .and_then(|()| causes::check(pair, &self.ladder))
                    .and_then(|()| self.tally.check(pair))
                    .and_then(|()| self.recovery.check(pair))
            }
        });
        self.last = Some(*step);
        checked.map_err(|(checker, what)| Violation {
            checker,
            tick: step.tick,
            what,
        })
    }
}

/// What must be true of the end: the arm rests, and was told to stop as strictly as the stop that is latched.
pub fn end(last: &Step<JOINTS>, witness: &Witness) -> Result<(), Violation> {
    let category = last.phase.latched().unwrap_or(StopCategory::Two);
    let told = witness.told.map(|told| told.what);
    let fine = last.is_stopped() && told == Some(Verdict::Stop(category));
    demand(fine, "ends", || {
        format!(
            "the loop ended in {:?} and told the arm {told:?}",
            last.phase
        )
    })
    .map_err(|(checker, what)| Violation {
        checker,
        tick: last.tick,
        what,
    })
}

/// What is wrong with a frame that goes on to the policy after `last`, if anything.
pub fn frame(last: &Frame, frame: &Frame, now: Instant) -> Option<String> {
    let image = &frame.image;
    let bytes = 3 * image.width as usize * image.height as usize;
    let whole = !image.rgb.is_empty() && image.rgb.len() == bytes;
    let newer = frame.captured_at > last.captured_at && frame.sequence != last.sequence;
    let fine = whole && newer && frame.captured_at <= now;
    (!fine).then(|| {
        let (number, at) = (frame.sequence, frame.captured_at);
        format!(
            "frame {number} of {at}, with {} bytes, after {}",
            image.rgb.len(),
            last.captured_at
        )
    })
}

/// The name of the checker and what is wrong.
type Found = Result<(), (&'static str, String)>;

fn demand(holds: bool, checker: &'static str, what: impl FnOnce() -> String) -> Found {
    match holds {
        true => Ok(()),
        false => Err((checker, what())),
    }
}
