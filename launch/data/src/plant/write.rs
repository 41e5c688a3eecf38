//! A draft as a file again.
//!
//! Not responsible for what is in it.

use super::Draft;
use crate::timeline::{Joints, Tick};
use std::io::Cursor;
use visuomotor_runtime::arm::ArmState;
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::controller::Inputs;
use visuomotor_runtime::episode::{Ending, EpisodeError, EpisodeWriter, Losses, Outcome};
use visuomotor_runtime::step::Step;

pub fn episode(draft: &Draft) -> Result<Vec<u8>, EpisodeError> {
    match draft.timeline.header.robot.joint_names.0.len() {
        7 => of::<7>(draft),
        5 => of::<5>(draft),
        _ => of::<6>(draft),
    }
}

fn of<const N: usize>(draft: &Draft) -> Result<Vec<u8>, EpisodeError> {
    let timeline = &draft.timeline;
    let sink = Cursor::new(Vec::new());
    let mut writer = EpisodeWriter::new(sink, &timeline.header, &timeline.attachments)?;
    // In the order in which they would have come to a recorder: by their stamps, frames first.
    let mut frames = timeline.frames.iter().zip(&draft.frames).peekable();
    let mut seen = timeline.observations.iter().zip(&draft.observed).peekable();
    let mut decisions = timeline.decisions.iter().peekable();
    let last = Instant::from_ticks(u64::MAX);
    let ticks = timeline.ticks.iter().map(|tick| (tick.due, Some(tick)));
    for (now, tick) in ticks.chain([(last, None)]) {
        while let Some((record, image)) = frames.next_if(|(frame, _)| frame.captured_at <= now) {
            writer.frame(&Frame {
                captured_at: record.captured_at,
                sequence: u64::from(record.sequence),
                image: image.clone(),
            })?;
        }
        while let Some((record, image)) = seen.next_if(|(seen, _)| seen.observed_at <= now) {
            writer.observation(record, image)?;
        }
        while let Some(record) = decisions.next_if(|record| record.decided_at <= now) {
            writer.decision(&record.decision, record.decided_at)?;
        }
        if let Some(tick) = tick {
            writer.step(&step::<N>(tick))?;
        }
    }
    for annotation in &timeline.annotations {
        writer.annotation(annotation)?;
    }
    let unknown = Outcome {
        ended_at: timeline
            .ticks
            .last()
            .map_or(timeline.start(), |tick| tick.due),
        ending: Ending::Stopped,
        success: None,
        actions: 0,
    };
    let (outcome, lost) = timeline.outcome.unwrap_or((unknown, Losses::default()));
    Ok(writer.finish(&outcome, lost)?.1.into_inner())
}

/// Without why the last command was not sent, which a [`Tick`] does not have.
fn step<const N: usize>(tick: &Tick) -> Step<N> {
    let joints = |joints: &Joints| -> [f64; N] {
        std::array::from_fn(|joint| joints.get(joint).copied().unwrap_or(0.0))
    };
    Step {
        tick: tick.tick,
        due: tick.due,
        jitter: tick.jitter,
        missed: tick.missed,
        inputs: Inputs {
            arm: tick.measured.map(|measured| ArmState {
                sampled_at: measured.sampled_at,
                q: joints(&measured.q).into(),
                dq: joints(&measured.dq).into(),
                tau: joints(&measured.tau).into(),
                aperture_m: measured.aperture_m,
            }),
            write_error: None,
            decision: tick.decision,
            request: tick.request,
        },
        phase: tick.phase,
        mode: tick.mode,
        command: tick.commanded.map(|commanded| {
            let (q, dq) = (joints(&commanded.q), joints(&commanded.dq));
            (q.into(), dq.into(), commanded.fingers)
        }),
        stop: tick.stop,
        reference: tick.reference,
        goal: tick.goal,
        report: tick.report,
        fault: tick.fault,
        counters: tick.counters,
    }
}
