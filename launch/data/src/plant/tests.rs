//! The lint against planted defects in staged episodes: the small version of `visuomotor bench lint`.

use super::*;
use crate::lint::{Linter, Severity};
use crate::staged::Stage;
use rand::SeedableRng;
use std::collections::BTreeMap;
use visuomotor_runtime::episode::Ending;

const LAUNCH: &str = "[control]\nrate_hz = 1000.0\n[task]\naction_rate_hz = 4\n\
    [watchdogs]\nframe_age_ms_max = 150.0\narm_silence_ms_max = 20.0\nloop_gap_ms_max = 200.0\n";

/// A table with a few things on it, lit a little differently every time, and an arm's end that goes across it.
fn scene(frame: usize, random: &mut Random) -> Image {
    let (width, height) = (64_u32, 48_u32);
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let table = (12..52).contains(&x) && (10..40).contains(&y);
            let thing = (20..28).contains(&x) && (30..36).contains(&y);
            let arm = (x as i64 - 8 - 4 * (frame as i64 % 12)).abs() < 5 && y < 24;
            let level = match (arm, thing, table) {
                (true, ..) => 40,
                (_, true, _) => 90,
                (_, _, true) => 170,
                _ => 110,
            };
            rgb.extend([(); 3].map(|()| level + random.random_range(0..5)));
        }
    }
    Image { width, height, rgb }
}

fn draft(random: &mut Random) -> Draft {
    let mut stage = Stage {
        ticks: 5000,
        ..Stage::default()
    };
    stage.outcome.ended_at = crate::staged::at_ms(5000);
    stage.outcome.ending = Ending::Terminated;
    let mut timeline = Timeline::read(Cursor::new(stage.file())).unwrap();
    timeline.attachments[0].data = LAUNCH.into();
    let mut draft = Draft::of(timeline).unwrap();
    for (frame, image) in draft.frames.iter_mut().enumerate() {
        *image = scene(frame, random);
    }
    draft
}

#[test]
fn planted_defects_are_found_and_nothing_else() {
    let mut random = Random::seed_from_u64(7);
    let mut scores = BTreeMap::new();
    for kind in PLANTERS
        .iter()
        .map(|(kind, _)| *kind)
        .cycle()
        .take(3 * PLANTERS.len())
    {
        let mut linter = Linter::default();
        let clean = draft(&mut random);
        let (_, wrong) = {
            let findings = linter.look(&clean.read_back());
            let (missed, wrong) = Score::add(&mut scores, &[], &findings);
            (missed.len(), wrong.len())
        };
        assert_eq!(wrong, 0, "in a clean episode");
        let mut draft = clean;
        let label = draft
            .plant(kind, &mut random)
            .expect("room for every defect");
        let findings = linter.look(&draft.read_back());
        let labels = [label];
        let (missed, wrong) = Score::add(&mut scores, &labels, &findings);
        assert!(
            missed.is_empty() && wrong.is_empty(),
            "missed {missed:?}, wrong {wrong:?}"
        );
    }
    assert_eq!(scores.len(), PLANTERS.len());
}

#[test]
fn a_camera_that_moves_is_found_once_and_stays_where_it_is() {
    let mut random = Random::seed_from_u64(8);
    let mut linter = Linter::default();
    let places = [
        (0, 0),
        (0, 0),
        (2, 0),
        (2, 0),
        (2, 0),
        (-1, 2),
        (-1, 2),
        (0, 0),
    ];
    for (k, pair) in [(0, 0)].iter().chain(&places).zip(&places).enumerate() {
        let mut draft = draft(&mut random);
        draft.move_camera(pair.1.0, pair.1.1);
        let findings = linter.look(&draft.read_back());
        let serious = findings
            .iter()
            .filter(|finding| finding.severity > Severity::Info);
        let kinds: Vec<Kind> = serious.map(|finding| finding.kind).collect();
        match pair.0 == pair.1 {
            true => assert_eq!(kinds, [], "episode {k}"),
            false => assert_eq!(kinds, [Kind::CameraMoved], "episode {k}"),
        }
    }
}

#[test]
fn a_draft_that_is_left_alone_is_the_episode_that_it_was() {
    let timeline = Timeline::read(Cursor::new(Stage::default().file())).unwrap();
    let again = Draft::of(timeline.clone()).unwrap().read_back().unwrap();
    assert_eq!(again.ticks, timeline.ticks);
    assert_eq!(again.observations, timeline.observations);
    assert_eq!(again.observed, timeline.observed);
    assert_eq!(again.decisions, timeline.decisions);
    assert_eq!(again.outcome, timeline.outcome);
    let stamps = |timeline: &Timeline| -> Vec<_> {
        let frames = timeline.frames.iter();
        frames
            .map(|frame| (frame.captured_at, frame.sequence))
            .collect()
    };
    assert_eq!(stamps(&again), stamps(&timeline));
}

#[test]
fn equal_seeds_plant_equal_defects() {
    for (kind, _) in PLANTERS {
        let plant = || {
            let mut random = Random::seed_from_u64(3);
            let mut draft = draft(&mut random);
            (
                draft.plant(kind, &mut random),
                format!("{:?}", draft.read_back().map(|t| t.ticks)),
            )
        };
        assert!(plant() == plant(), "{kind}");
    }
}
