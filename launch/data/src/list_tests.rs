//! Tests of [`super`]: whole, damaged, open, left behind and unreadable files.

use super::*;
use crate::staged::Stage;
use std::fs;
use std::io::Write;
use visuomotor_runtime::episode::EpisodeFile;

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("visuomotor-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    directory
}

#[test]
fn every_file_is_a_row_whatever_is_wrong_with_it() {
    let directory = directory("list");
    let whole = Stage::default().file();
    fs::write(directory.join("1-whole.mcap"), &whole).unwrap();
    fs::write(directory.join("2-cut.mcap"), &whole[..whole.len() / 2]).unwrap();
    let mut flipped = whole.clone();
    let near_the_end = flipped.len() - 40;
    flipped[near_the_end] ^= 0xff;
    fs::write(directory.join("3-index.mcap"), flipped).unwrap();
    fs::write(directory.join("4-empty.mcap"), b"").unwrap();
    fs::write(directory.join("5-nonsense.mcap"), vec![7; 4096]).unwrap();
    fs::write(
        directory.join("6-left.mcap.open"),
        &whole[..whole.len() / 2],
    )
    .unwrap();
    fs::write(directory.join("8-left-early.mcap.open"), b"").unwrap();
    let mut being_written = EpisodeFile::create(&directory.join("7-open.mcap")).unwrap();
    being_written.write_all(&whole[..whole.len() / 2]).unwrap();

    let files = paths::episodes(std::slice::from_ref(&directory), true).unwrap();
    let list = list(&files);
    let states: Vec<State> = list.episodes.iter().map(|row| row.state).collect();
    use State::*;
    assert_eq!(
        states,
        [
            Whole, Damaged, Whole, Unreadable, Unreadable, LeftBehind, Open, LeftBehind
        ]
    );
    for row in &list.episodes {
        assert_eq!(row.problem.is_some(), row.state != Whole, "{row:?}");
    }
    // What is cut says what is left of it; without an index an episode is whole all the same.
    let ticks = |row: usize| list.episodes[row].facts.as_ref().map(|facts| facts.ticks);
    assert_eq!(
        (ticks(0), ticks(2), ticks(4)),
        (Some(2000), Some(2000), None)
    );
    assert!((500..1500).contains(&ticks(1).unwrap()));
    let total = &list.total;
    assert_eq!(
        (
            total.episodes,
            total.whole,
            total.damaged,
            total.open,
            total.left_behind,
            total.unreadable
        ),
        (8, 2, 1, 1, 2, 2)
    );
    let text = list.to_string();
    assert_eq!(text.lines().count(), 1 + 8 + 6 + 1, "{text}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_row_is_the_same_whether_the_ends_were_read_or_everything() {
    let directory = directory("list-same");
    let path = directory.join("a.mcap");
    let mut stage = Stage::default();
    stage.lost.frames = 3;
    let file = stage.changed::<7>(
        |step| {
            // A process counts on from one episode to the next.
            step.counters.missed_ticks = 1000 + step.tick / 500;
            step.counters.late_decisions = 7;
            step.counters.clamped_actions = step.tick / 1000;
            true
        },
        |_| true,
    );
    fs::write(&path, &file).unwrap();
    let (_, glanced, problem) = read(&path).unwrap();
    assert_eq!(problem, None);
    assert_eq!(glanced, Facts::read(&Timeline::open(&path).unwrap()));
    assert_eq!(
        (
            glanced.missed_ticks,
            glanced.late_decisions,
            glanced.clamped_actions,
            glanced.lost_records
        ),
        (3, 0, 1, 3)
    );
    assert!((glanced.duration_s - 1.999).abs() < 1e-9);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let mut stage = Stage {
        ticks: 1,
        ..Stage::default()
    };
    stage.header.origin.id = "\x1b[2J\nfake".into();
    stage.header.robot.name = "a\x07".into();
    let directory = directory("list-hostile");
    fs::write(directory.join("a.mcap"), stage.file()).unwrap();
    let text = list(&[directory.join("a.mcap")]).to_string();
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    assert_eq!(text.lines().count(), 3);
    fs::remove_dir_all(directory).unwrap();
}
