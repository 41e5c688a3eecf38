//! Tests of all checks together: sound episodes, hostile ones, and that every check has a planted defect.

use super::*;
use crate::idle::busy_span;
use crate::plant;
use crate::staged::Stage;
use proptest::prelude::*;
use std::io::Cursor;
use visuomotor_runtime::clock::Instant;

fn staged() -> Timeline {
    Timeline::read(Cursor::new(Stage::default().file())).unwrap()
}

#[test]
fn a_sound_episode_has_no_findings_that_matter() {
    let findings = Linter::default().look(&Ok(staged()));
    let kinds: Vec<Kind> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::SkewUnchecked]);
}

#[test]
fn every_kind_that_matters_can_be_planted() {
    for &kind in Kind::ALL {
        let matters = kind.severity() > Severity::Info;
        assert_eq!(
            plant::kinds().any(|planted| planted == kind),
            matters,
            "{kind}"
        );
    }
}

#[test]
fn what_is_no_episode_is_a_finding_and_the_next_one_is_looked_at() {
    let mut linter = Linter::default();
    let findings = linter.look(&Timeline::read(Cursor::new(b"no episode".to_vec())));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].kind, Kind::Unreadable);
    assert!(findings[0].detail.contains_key("reason"));
    assert_eq!(linter.look(&Ok(staged())).len(), 1);
}

#[test]
fn findings_are_flat_json() {
    let finding = Finding::new(Kind::Idle, (1.0, 4.5)).with("where", "end");
    let json = serde_json::to_string(&finding).unwrap();
    let expected = r#"{"kind":"idle","severity":"warning","from_s":1.0,"to_s":4.5,"where":"end"}"#;
    assert_eq!(json, expected);
}

#[test]
fn pictures_that_stay_the_same_matter_only_while_the_arm_moves() {
    for (rests, expected) in [(true, None), (false, Some(Kind::FrozenCamera))] {
        let mut timeline = staged();
        let first = timeline.frames[0].jpeg.clone();
        for frame in &mut timeline.frames {
            frame.jpeg.clone_from(&first);
        }
        let pose = timeline.ticks[0].measured.unwrap();
        for tick in timeline.ticks.iter_mut().filter(|_| rests) {
            if let Ok(measured) = &mut tick.measured {
                (measured.q, measured.dq) = (pose.q, pose.dq);
            }
        }
        let findings = Linter::default().look(&Ok(timeline));
        let same = [Kind::FrozenCamera, Kind::DuplicatedFrame];
        let found = findings.iter().map(|f| f.kind).find(|k| same.contains(k));
        assert_eq!(found, expected, "rests: {rests}");
    }
}

/// Numbers that a damaged file can have, the odd ones often.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MAX),
        Just(0.0),
        any::<f64>()
    ]
}

fn stamp() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        1_000_000_000..4_000_000_000_u64,
        any::<u64>()
    ]
}

/// A change of one record: which, and what it becomes.
type Change = (prop::sample::Index, u8, u64, f64);

fn change(timeline: &mut Timeline, (index, what, at, number): &Change) {
    let at = Instant::from_ticks(*at);
    if !timeline.ticks.is_empty() {
        let tick = index.get(&timeline.ticks).tick as usize % timeline.ticks.len();
        let tick = &mut timeline.ticks[tick];
        match what % 16 {
            0 => tick.due = at,
            1 => tick.tick = at.as_ticks(),
            2 => tick.missed = at.as_ticks(),
            3 => tick.counters.clamped_actions = at.as_ticks(),
            4..7 => {
                if let Ok(measured) = &mut tick.measured {
                    measured.sampled_at = at;
                    measured.q[0] = *number;
                    measured.aperture_m = *number;
                }
            }
            7 => {
                if let Some(commanded) = &mut tick.commanded {
                    commanded.q[1] = *number;
                    commanded.dq[1] = *number;
                }
            }
            _ => {}
        }
    }
    if !timeline.frames.is_empty() {
        let frame = index.index(timeline.frames.len());
        match what % 16 {
            8 => timeline.frames[frame].captured_at = at,
            9 => timeline.frames[frame].sequence = at.as_ticks() as u32,
            10 => timeline.frames[frame]
                .jpeg
                .truncate(at.as_ticks() as usize % 600),
            11 => drop(timeline.frames.remove(frame)),
            _ => {}
        }
    }
    if !timeline.observations.is_empty() {
        let seen = index.index(timeline.observations.len());
        match what % 16 {
            12 => timeline.observations[seen].frame_captured_at = at,
            13 => timeline.observations[seen].observed_at = at,
            14 => timeline.decisions[seen].decided_at = at,
            _ => timeline.attachments[0].data = format!("[control]\nrate_hz = {number}\n").into(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_that_a_file_can_hold_makes_a_check_panic(
        ticks in prop_oneof![Just(0_u64), Just(1), Just(2), 3..700_u64],
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>(), stamp(), number()), 0..40),
        without in any::<(bool, bool)>(),
    ) {
        let stage = Stage { ticks, ..Stage::default() };
        let mut timeline = Timeline::read(Cursor::new(stage.file())).unwrap();
        for one in &changes {
            change(&mut timeline, one);
        }
        if without.0 {
            timeline.frames.clear();
        }
        if without.1 {
            timeline.ticks.clear();
        }
        let mut linter = Linter::default();
        linter.look(&Ok(staged()));
        let span = busy_span(&timeline);
        prop_assert!(span.is_none_or(|(from, to)| from <= to));
        let read = Ok(timeline);
        for _ in 0..2 {
            for finding in linter.look(&read) {
                prop_assert!(finding.from_s.is_finite() && finding.to_s.is_finite());
                prop_assert!(finding.from_s <= finding.to_s, "{}", finding);
            }
        }
    }
}
