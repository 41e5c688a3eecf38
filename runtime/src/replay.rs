//! Replay: feeds recorded inputs to a [`Controller`] and demands what it answered then, bit for bit.
//!
//! Responsible for finding where a recording can begin, and the first tick and field that differ. Not responsible for
//! making the controller that recorded it: who calls knows the launch file.

use crate::controller::{Controller, Request};
use crate::episode::Fingerprint;
use crate::observation::TcpPose;
use crate::step::Step;

/// Where a recording and its replay part.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    pub tick: u64,
    /// Of [`Step`]; `tick` where records are missing.
    pub field: &'static str,
    pub recorded: String,
    pub replayed: String,
    /// By how much the field's numbers differ at most, in its own units (rad, m); `None` where they are no such numbers.
    pub magnitude: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replayed {
    /// That were fed to a controller.
    pub ticks: u64,
    /// Ticks before the first one from which on the controller's state is known.
    pub skipped: u64,
    pub first_difference: Option<Difference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStart {
    #[error("the recording has no ticks")]
    Empty,
    #[error(
        "nowhere in the recording is the controller's state known: it has neither the first tick of its process nor a re-arming"
    )]
    NeverKnown,
}

/// Replays `steps` until the first difference, with a new controller like that which recorded them, in the operating mode
/// of the first of them.
pub fn replay<const N: usize>(
    steps: &[Step<N>],
    mut controller: Controller<N>,
) -> Result<Replayed, NoStart> {
    let first = steps.first().ok_or(NoStart::Empty)?;
    let start = match first.tick {
        0 => 0,
        _ => resume(steps, &mut controller).ok_or(NoStart::NeverKnown)?,
    };
    let mut replayed = Replayed {
        skipped: start as u64,
        ..Replayed::default()
    };
    let mut fingerprints = (Fingerprint::default(), Fingerprint::default());
    for recorded in &steps[start..] {
        let step = controller.step(recorded.time(), recorded.inputs).step;
        replayed.ticks += 1;
        if fingerprints.0.of(recorded) != fingerprints.1.of(&step) {
            replayed.first_difference = Some(difference(recorded, &step));
            break;
        }
    }
    Ok(replayed)
}

/// Where the first re-arming is, with the controller made what it was before.
fn resume<const N: usize>(steps: &[Step<N>], controller: &mut Controller<N>) -> Option<usize> {
    let re_arms = |pair: &[Step<N>]| {
        pair[1].tick == pair[0].tick + 1 && pair[1].inputs.request == Some(Request::Rearm)
    };
    let pairs = steps.windows(2).enumerate();
    let mut starts = pairs.filter(|(_, pair)| re_arms(pair));
    starts
        .find(|(_, pair)| controller.resume(&pair[0]))
        .map(|(index, _)| index + 1)
}

fn difference<const N: usize>(recorded: &Step<N>, replayed: &Step<N>) -> Difference {
    macro_rules! first_of {
        ($($field:ident)*) => {
            [$((stringify!($field), format!("{:?}", recorded.$field), format!("{:?}", replayed.$field))),*]
                .into_iter()
                .find(|(_, recorded, replayed)| recorded != replayed)
        };
    }
    let found = first_of!(tick phase mode fault stop command report goal reference counters inputs missed due jitter);
    // Numbers that print alike and differ in their bits are not numbers.
    let (field, recorded_text, replayed_text) =
        found.unwrap_or(("command", "NaN".into(), "another NaN".into()));
    Difference {
        tick: recorded.tick,
        field,
        recorded: recorded_text,
        replayed: replayed_text,
        magnitude: magnitude(field, recorded, replayed),
    }
}

fn magnitude<const N: usize>(field: &str, recorded: &Step<N>, replayed: &Step<N>) -> Option<f64> {
    let pose = |a: &TcpPose, b: &TcpPose| {
        let moved = (a.position_m - b.position_m).amax();
        moved.max((a.yaw_rad - b.yaw_rad).abs())
    };
    let magnitude = match field {
        "command" => {
            let ((q, dq, _), (other_q, other_dq, _)) = recorded.command.zip(replayed.command)?;
            let off = (q.0 - other_q.0).amax();
            off.max((dq.0 - other_dq.0).amax())
        }
        "reference" => pose(&recorded.reference, &replayed.reference),
        "goal" => pose(&recorded.goal, &replayed.goal),
        _ => return None,
    };
    magnitude.is_finite().then_some(magnitude)
}
