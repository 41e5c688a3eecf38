//! The camera's frames one after the other: duplicated, frozen, missing, undecodable, stamped backwards.
//!
//! Not responsible for what they show ([`super::exposure`]) nor for when, by another clock ([`super::skew`]).

use super::exposure::shows_something;
use super::grey::Grey;
use super::{Finding, Kind, View};

/// A camera sees the arm move when its joints together went this far: a few millimetres at the tool.
const MOVED_RAD: f64 = 0.004;
/// Frames are missing where they are this many periods apart: cameras and exposure times jitter by less.
const APART_MAX: f64 = 1.9;
/// So long before the first frame and after the last is usual, s: sessions start and end without a camera.
const ENDS_S: f64 = 1.0;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let frames = &view.timeline.frames;
    let mut findings = Vec::new();
    // Then it is the clock of both that did, which is said once.
    let mut ticks = view.timeline.ticks.windows(2);
    let ticks_step_back = ticks.any(|pair| pair[1].due < pair[0].due);
    let size = |picture: &Grey| (picture.width, picture.height, picture.scale);
    let first_size = view.pictures.iter().flatten().next().map(size);
    for (frame_s, picture) in view.frames_s.iter().zip(&view.pictures) {
        let reason = match picture.as_ref().map(size) {
            None => "it does not decode",
            its_size if its_size != first_size => "another size",
            _ => continue,
        };
        let finding = Finding::new(Kind::BadFrame, (*frame_s, *frame_s));
        findings.push(finding.with("reason", reason));
    }
    for (pair, times) in frames.windows(2).zip(view.frames_s.windows(2)) {
        let span = (times[0], times[1]);
        if pair[1].captured_at < pair[0].captured_at {
            if ticks_step_back {
                continue;
            }
            let finding = Finding::new(Kind::ClockBackwards, (span.1, span.0));
            let finding = finding.with("of", "frames");
            findings.push(finding.measured("back_ms", 1e3 * (span.0 - span.1)));
        } else if pair[1].captured_at == pair[0].captured_at {
            findings.push(Finding::new(Kind::DuplicatedFrame, span).with("same", "stamp"));
        } else {
            let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
            findings.extend(missing(view, step, span));
        }
    }
    findings.extend(ends(view));
    findings.extend(repeated(view));
    findings
}

fn missing(view: &View<'_>, sequence_step: u32, span: (f64, f64)) -> Option<Finding> {
    // Numbers that go backwards are another camera's, or one that was started again.
    let by_number = if sequence_step < 1 << 31 {
        sequence_step.saturating_sub(1)
    } else {
        0
    };
    let periods = (span.1 - span.0) / view.frame_period_s?;
    let by_time = if periods > APART_MAX {
        (periods.round() - 1.0) as u32
    } else {
        0
    };
    let missing = by_number.max(by_time);
    let finding = Finding::new(Kind::MissingFrames, span).with("missing", missing);
    (missing > 0).then(|| finding.measured("gap_ms", 1e3 * (span.1 - span.0)))
}

/// Ticks without any frame, before the first and after the last.
fn ends(view: &View<'_>) -> Vec<Finding> {
    let (start_s, end_s) = view.all();
    let finding = |from_s: f64, to_s: f64, place: &str| {
        let least_s = ENDS_S + view.frame_period_s.unwrap_or(0.0);
        let is_long = to_s - from_s > least_s;
        is_long.then(|| Finding::new(Kind::MissingFrames, (from_s, to_s)).with("where", place))
    };
    let found = match (view.frames_s.first(), view.frames_s.last()) {
        (Some(&first_s), Some(&last_s)) => vec![
            finding(start_s, first_s, "start"),
            finding(last_s, end_s, "end"),
        ],
        _ => vec![finding(start_s, end_s, "all")],
    };
    found.into_iter().flatten().collect()
}

/// Runs of frames with one content and stamps that go on, where the arm moved meanwhile: a scene at rest may look the same.
fn repeated(view: &View<'_>) -> Vec<Finding> {
    let is_same = |k: usize| match (&view.pictures[k], &view.pictures[k + 1]) {
        (Some(a), Some(b)) => {
            a.difference(b) == Some(0.0)
                && shows_something(a)
                && view.timeline.frames[k].captured_at < view.timeline.frames[k + 1].captured_at
        }
        _ => false,
    };
    let mut findings = Vec::new();
    let mut first = 0;
    while first + 1 < view.pictures.len() {
        let mut last = first;
        while last + 1 < view.pictures.len() && is_same(last) {
            last += 1;
        }
        let span = (view.frames_s[first], view.frames_s[last]);
        if last > first && view.way_rad(span.0, span.1) > MOVED_RAD {
            let count = last - first + 1;
            let kind = match count {
                2 => Kind::DuplicatedFrame,
                _ => Kind::FrozenCamera,
            };
            let finding = Finding::new(kind, span).with("frames", count);
            findings.push(finding.with("same", "content"));
        }
        first = last.max(first + 1);
    }
    findings
}
