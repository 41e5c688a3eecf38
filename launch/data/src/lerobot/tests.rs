//! Data sets out and in again: against rules that are written down here a second time, in the plainest way.

use super::export::{data_path, export_in_files_of};
use super::*;
use crate::DatasetError;
use crate::dataset_lineage::DatasetLineage;
use crate::shards::Progress;
use crate::staged::{self, Stage, TestDirectory, at_ms};
use crate::table::{Column, read_columns};
use crate::timeline::Timeline;
use crate::unfinished::JOURNAL;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::clock::Instant;

type Columns = BTreeMap<String, Column>;

/// Episodes whose cameras are never on time: frames come up to 40 ms late, in an order of their own.
fn recordings(directory: &Path, count: u64) -> Vec<PathBuf> {
    let record = |k: u64| {
        let mut header = staged::header();
        header.origin.id = format!("staged-{k}");
        let mut stage = Stage {
            header,
            ticks: 700 + 100 * k,
            ..Stage::default()
        };
        stage.outcome.success = [Some(true), Some(false), None][k as usize % 3];
        let late = |ms: u64| ms + (ms * 7 + k * 13) % 41;
        let file = stage.changed::<7>(
            |step| {
                if step.tick % 50 == 7 {
                    step.command = None;
                }
                if let Some((_, _, fingers)) = &mut step.command
                    && step.tick > 300
                {
                    *fingers = Fingers::Closed;
                }
                true
            },
            |frame| {
                let ms = (frame.captured_at.as_ticks() - at_ms(0).as_ticks()) / 1_000_000;
                frame.captured_at = at_ms(late(ms));
                true
            },
        );
        let path = directory.join(format!("{k}.mcap"));
        fs::write(&path, file).unwrap();
        path
    };
    (0..count).map(record).collect()
}

fn what(sources: &[PathBuf], fps: u32) -> LeRobotExport {
    LeRobotExport {
        survey: Survey::of(sources, None).unwrap(),
        fps,
        task: None,
        age_ms_max: None,
    }
}

fn columns(root: &Path, file: u64) -> Columns {
    read_columns(&root.join(data_path(file)), &|_| true).unwrap()
}

fn integers<'a>(columns: &'a Columns, name: &str) -> &'a [i64] {
    match &columns[name] {
        Column::I64(values) => values,
        other => panic!("{name}: {other:?}"),
    }
}

fn newest_before<T>(samples: impl Iterator<Item = (Instant, T)>, at: u64) -> Option<(u64, T)> {
    let before = samples.filter(|(taken, _)| taken.as_ticks() <= at);
    let newest = before.max_by_key(|(taken, _)| *taken);
    newest.map(|(taken, sample)| (taken.as_ticks(), sample))
}

#[test]
fn rows_hold_what_was_newest_at_their_instant() {
    let directory = TestDirectory::new("lerobot-rows");
    let sources = recordings(directory.path(), 3);
    for fps in [3, 10, 50] {
        let out = directory.path().join(format!("at-{fps}"));
        let report = export(&what(&sources, fps), &sources, &out, &mut |_| {}).unwrap();
        assert_eq!((report.report.given, report.report.episodes), (3, 3));
        let columns = columns(&out, 0);
        let rows = columns["index"].rows();
        assert_eq!(rows as u64, report.report.rows);
        let mut row = 0;
        for (episode, source) in sources.iter().enumerate() {
            let timeline = Timeline::open(source).unwrap();
            let ticks = || timeline.ticks.iter();
            let mut frame = 0;
            let start = integers(&columns, INSTANT_NS)[row] as u64;
            while row < rows && integers(&columns, "episode_index")[row] == episode as i64 {
                let instant = start + frame * 1_000_000_000 / u64::from(fps);
                let next = start + (frame + 1) * 1_000_000_000 / u64::from(fps);
                assert_eq!(integers(&columns, INSTANT_NS)[row] as u64, instant);
                assert_eq!(integers(&columns, "frame_index")[row], frame as i64);
                assert_eq!(integers(&columns, "index")[row], row as i64);
                let timestamp = columns["timestamp"].numbers(row).unwrap()[0];
                assert!((f64::from(timestamp) - frame as f64 / f64::from(fps)).abs() < 1e-6);

                let frames = timeline
                    .frames
                    .iter()
                    .map(|frame| (frame.captured_at, &frame.jpeg));
                let (taken, jpeg) = newest_before(frames, instant).unwrap();
                assert_eq!(integers(&columns, IMAGE_NS)[row] as u64, taken);
                let Column::Image(images) = &columns[CAMERA] else {
                    panic!()
                };
                assert_eq!(&*images[row], jpeg);

                let states = ticks().filter_map(|tick| tick.measured.ok());
                let states = states.map(|state| (state.sampled_at, state));
                let (taken, state) = newest_before(states, instant).unwrap();
                assert_eq!(integers(&columns, STATE_NS)[row] as u64, taken);
                let numbers = columns[STATE].numbers(row).unwrap();
                for (number, q) in numbers
                    .iter()
                    .zip(state.q.iter().chain([&state.aperture_m]))
                {
                    assert_eq!(*number, *q as f32);
                }

                let commands = ticks().filter_map(|tick| Some((tick.due, tick.commanded?)));
                let (sent, command) = newest_before(commands, next - 1).unwrap();
                let numbers = columns[ACTION].numbers(row).unwrap();
                for (number, q) in numbers.iter().zip(command.q.iter()) {
                    assert_eq!(*number, *q as f32);
                }
                assert_eq!(numbers[7] == 1.0, command.fingers == Fingers::Closed);
                assert!(sent >= instant);

                let decided = timeline
                    .decisions
                    .iter()
                    .filter(|record| (instant..next).contains(&record.decided_at.as_ticks()));
                let x: f64 = decided
                    .clone()
                    .map(|one| one.decision.action.translation_m.x)
                    .sum();
                assert_eq!(columns[TCP_DELTA].numbers(row).unwrap()[0], x as f32);
                let verb = if decided.count() == 0 { -1 } else { 0 };
                assert_eq!(integers(&columns, VERB)[row], verb);
                frame += 1;
                row += 1;
            }
            let last = timeline.ticks.last().unwrap().due.as_ticks();
            let end = start + frame * 1_000_000_000 / u64::from(fps);
            assert!(end > last && frame > 0, "all up to the last tick");
        }
        assert_eq!(row, rows);
        let residual = &report.residual_ms["image"];
        let ages = integers(&columns, INSTANT_NS)
            .iter()
            .zip(integers(&columns, IMAGE_NS));
        let max = ages.map(|(at, taken)| at - taken).max().unwrap();
        assert_eq!(residual.max, max as f64 * 1e-6);
        assert!(report.residual_ms["state"].max <= 1.0);
    }
}

#[test]
fn statistics_are_those_of_the_rows() {
    let directory = TestDirectory::new("lerobot-stats");
    let sources = recordings(directory.path(), 3);
    let out = directory.path().join("set");
    export(&what(&sources, 10), &sources, &out, &mut |_| {}).unwrap();
    let stats: Value =
        serde_json::from_slice(&fs::read(out.join("meta/stats.json")).unwrap()).unwrap();
    let columns = columns(&out, 0);
    let rows = columns["index"].rows();
    let close = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!(
            (value - expected).abs() < 1e-9 * (1.0 + expected.abs()),
            "{value} {expected}"
        );
    };
    for (name, column) in &columns {
        let of = &stats[name.as_str()];
        assert_eq!(of["count"], json!([rows]), "{name}");
        let Column::F32(width, values) = column else {
            continue;
        };
        for k in 0..*width {
            let values = || values.iter().skip(k).step_by(*width).map(|&x| f64::from(x));
            let mean = values().sum::<f64>() / rows as f64;
            let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
            close(&of["mean"][k], mean);
            close(&of["std"][k], variance.sqrt());
            close(&of["min"][k], values().fold(f64::MAX, f64::min));
            close(&of["max"][k], values().fold(f64::MIN, f64::max));
        }
    }
    let Column::Image(images) = &columns[CAMERA] else {
        panic!()
    };
    let (mut sum, mut n) = (0.0, 0.0);
    for image in images {
        for pixel in crate::picture::decode_jpeg(image).unwrap().rgb.chunks(3) {
            sum += f64::from(pixel[0]) / 255.0;
            n += 1.0;
        }
    }
    close(&stats[CAMERA]["mean"][0][0][0], sum / n);
    assert_eq!(stats[DONE]["max"], json!([true]));
    close(&stats[DONE]["mean"][0], 3.0 / rows as f64);
}

/// Everything below a directory, by path.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn plant(root: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    let _ = fs::remove_dir_all(root);
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn an_interrupted_export_goes_on_and_gives_the_same_bytes() {
    let directory = TestDirectory::new("lerobot-resume");
    let mut sources = recordings(directory.path(), 7);
    let broken = directory.path().join("broken.mcap");
    fs::write(&broken, b"no episode").unwrap();
    sources.insert(3, broken);
    let what = what(&sources, 10);
    let out = directory.path().join("set");
    let export = |out: &Path, progress: &mut dyn FnMut(Progress)| {
        export_in_files_of(9_000, &what, &sources, out, progress)
    };
    // What a kill leaves is what is in the directory at that moment.
    let mut moments = Vec::new();
    export(&out, &mut |_| moments.push(tree(&out))).unwrap();
    let whole = tree(&out);
    let files = whole.keys().filter(|name| name.starts_with("data")).count();
    assert!(files >= 3, "{files}");
    assert!(!whole.contains_key(Path::new(JOURNAL)));
    assert!(moments.len() > sources.len());

    let mut cases = moments.clone();
    let last = moments.last().unwrap();
    let journal = last[Path::new(JOURNAL)].clone();
    for length in (1..journal.len()).step_by(journal.len() / 12) {
        // The entry of a group was torn, and the files of the next ones were not begun.
        let mut torn = last.clone();
        torn.insert(JOURNAL.into(), journal[..length].to_vec());
        torn.retain(|name, _| !name.starts_with("meta"));
        cases.push(torn);
    }
    for name in last.keys().filter(|name| name.starts_with("meta")) {
        let mut without = last.clone();
        without.remove(name);
        cases.push(without);
    }
    let again = directory.path().join("again");
    let mut resumed = 0;
    for case in cases {
        plant(&again, &case);
        let report = export(&again, &mut |_| {}).unwrap();
        resumed = resumed.max(report.report.resumed_after);
        assert_eq!(
            (report.report.episodes, report.report.refused.len()),
            (7, 1)
        );
        let bytes = tree(&again);
        assert!(bytes.keys().eq(whole.keys()), "{:?}", bytes.keys());
        assert!(bytes == whole);
    }
    assert_eq!(resumed, sources.len());
}

#[test]
fn nothing_is_overwritten_and_a_disk_that_refuses_is_named() {
    let directory = TestDirectory::new("lerobot-taken");
    let sources = recordings(directory.path(), 2);
    let out = directory.path().join("set");
    let what = what(&sources, 10);
    let begin =
        |what: &LeRobotExport, sources: &[PathBuf]| export(what, sources, &out, &mut |_| {});

    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = begin(&what, &sources).unwrap_err();
    assert!(
        error.is_input() && error.to_string().contains("notes.txt"),
        "{error}"
    );
    fs::remove_file(out.join("notes.txt")).unwrap();

    // The disk refuses `meta/` for a while; what was done until then stays.
    let mut blocked = false;
    let blocking = &mut |progress: Progress| {
        if progress.done == 1 && !blocked {
            blocked = true;
            fs::write(out.join("meta"), "").unwrap();
        }
    };
    let error = export(&what, &sources, &out, blocking).unwrap_err();
    assert!(
        !error.is_input() && error.to_string().contains("meta"),
        "{error}"
    );
    fs::remove_file(out.join("meta")).unwrap();
    let other = LeRobotExport {
        fps: 5,
        ..what.clone()
    };
    let error = begin(&other, &sources).unwrap_err();
    assert!(error.to_string().contains("options"), "{error}");
    let error = begin(&what, &sources[..1]).unwrap_err();
    assert!(error.to_string().contains("sources"), "{error}");
    assert_eq!(begin(&what, &sources).unwrap().report.resumed_after, 2);

    let error = begin(&what, &sources).unwrap_err();
    assert!(matches!(error, DatasetError::Taken { .. }), "{error}");
}

#[test]
fn what_cannot_be_exported_is_counted_with_its_reason() {
    let directory = TestDirectory::new("lerobot-refused");
    let mut sources = recordings(directory.path(), 2);
    let mut add = |name: &str, file: Vec<u8>| {
        let path = directory.path().join(name);
        fs::write(&path, file).unwrap();
        sources.push(path);
    };
    let whole = Stage::default().file();
    add("short.mcap", whole[..whole.len() / 2].to_vec());
    let lossy = Stage {
        lost: visuomotor_runtime::episode::Losses {
            steps: 3,
            ..Default::default()
        },
        ..Stage::default()
    };
    add("lossy.mcap", lossy.file());
    let gap = Stage {
        ticks: 4000,
        ..Stage::default()
    };
    let gap = gap.changed::<7>(|_| true, |frame| !(4..9).contains(&frame.sequence));
    add("gap.mcap", gap);
    let unread = Stage::default().changed::<7>(
        |step| {
            if let Ok(state) = &mut step.inputs.arm
                && step.tick == 1004
            {
                state.q = [f64::NAN; 7].into();
            }
            true
        },
        |_| true,
    );
    add("nan.mcap", unread);
    let out = directory.path().join("set");
    let strict = what(&sources, 100);
    let report = export(&strict, &sources, &out, &mut |_| {}).unwrap().report;
    assert_eq!(
        (report.given, report.episodes, report.refused.len()),
        (6, 2, 4)
    );
    let reasons = [
        "damaged or ends early",
        "3 steps",
        "picture is 75",
        "not finite",
    ];
    for (refused, reason) in report.refused.iter().zip(reasons) {
        assert!(refused.reason.contains(reason), "{refused:?}");
    }
    let lineage = fs::read(out.join("meta/visuomotor_lineage.json")).unwrap();
    let lineage: DatasetLineage = serde_json::from_slice(&lineage).unwrap();
    assert_eq!(lineage.refused, report.refused);
    assert_eq!(lineage.identity_of_content(), report.identity);

    let lenient = LeRobotExport {
        age_ms_max: Some(2000),
        ..strict
    };
    let out = directory.path().join("lenient");
    let report = export(&lenient, &sources, &out, &mut |_| {}).unwrap();
    assert_eq!(report.report.episodes, 3);
    assert!(report.residual_ms["image"].max > 1000.0);
}

#[test]
fn an_imported_export_has_the_same_rows() {
    let directory = TestDirectory::new("lerobot-trip");
    let sources = recordings(directory.path(), 3);
    for fps in [4, 30] {
        let first = directory.path().join(format!("first-{fps}"));
        export(&what(&sources, fps), &sources, &first, &mut |_| {}).unwrap();
        let episodes = directory.path().join(format!("episodes-{fps}"));
        let report = import(&first, &episodes, &ImportOptions::default(), &mut |_| {}).unwrap();
        assert_eq!((report.episodes, report.true_stamps), (3, true));
        assert_eq!(report.left_out, [""; 0]);
        let imported = crate::paths::episodes(&[episodes], true).unwrap();
        assert_eq!(imported.len(), 3);
        for (path, source) in imported.iter().zip(&sources) {
            let (back, from) = (
                Timeline::open(path).unwrap(),
                Timeline::open(source).unwrap(),
            );
            assert_eq!(back.damage, None);
            assert_eq!(
                back.outcome.unwrap().0.success,
                from.outcome.unwrap().0.success
            );
            assert_eq!(back.header.robot, from.header.robot);
            assert_eq!(back.header.checkpoints, from.header.checkpoints);
            let derivation = back.header.derivation.unwrap();
            assert_eq!(derivation.how, "imported with true stamps");
            assert_eq!(derivation.parent_id, from.header.origin.id);
            assert!(
                back.frames
                    .iter()
                    .all(|frame| from.frames.iter().any(|other| {
                        (frame.captured_at, &frame.jpeg) == (other.captured_at, &other.jpeg)
                    }))
            );
        }
        let second = directory.path().join(format!("second-{fps}"));
        export(&what(&imported, fps), &imported, &second, &mut |_| {}).unwrap();
        assert!(columns(&first, 0) == columns(&second, 0));
    }
}

#[test]
fn smaller_robots_come_back_too() {
    let directory = TestDirectory::new("lerobot-small");
    for joints in [5, 6] {
        let mut header = staged::header();
        header.robot.joint_names.0.truncate(joints);
        header.policy = None;
        let stage = Stage {
            header,
            ..Stage::default()
        };
        let file = match joints {
            5 => stage.file_of::<5>(),
            _ => stage.file_of::<6>(),
        };
        let place = |name: &str| directory.path().join(format!("{name}-{joints}"));
        let sources = [place("source").with_extension("mcap")];
        fs::write(&sources[0], file).unwrap();
        let export = |sources: &[PathBuf], out: &Path| {
            export(&what(sources, 20), sources, out, &mut |_| {}).unwrap()
        };
        export(&sources, &place("first"));
        let first = columns(&place("first"), 0);
        // Nobody's policy acted, so that nothing is said of one.
        assert!(first.contains_key(ACTION) && !first.contains_key(VERB));
        assert_eq!(first[STATE].numbers(0).unwrap().len(), joints + 1);
        import(
            &place("first"),
            &place("back"),
            &ImportOptions::default(),
            &mut |_| {},
        )
        .unwrap();
        let imported = crate::paths::episodes(&[place("back")], true).unwrap();
        export(&imported, &place("second"));
        assert!(first == columns(&place("second"), 0));
    }
}

#[test]
fn an_interrupted_import_goes_on() {
    let directory = TestDirectory::new("lerobot-import");
    let sources = recordings(directory.path(), 3);
    let set = directory.path().join("set");
    export(&what(&sources, 10), &sources, &set, &mut |_| {}).unwrap();
    let out = directory.path().join("episodes");
    let mut moments = Vec::new();
    let options = ImportOptions::default();
    import(&set, &out, &options, &mut |_| moments.push(tree(&out))).unwrap();
    let whole = tree(&out);
    assert_eq!(whole.len(), 3);
    let again = directory.path().join("again");
    for (done, mut moment) in moments.into_iter().enumerate() {
        moment.insert(
            format!("episode_{done:06}.mcap.open").into(),
            b"torn".to_vec(),
        );
        if done == 3 {
            moment.remove(Path::new("episode_000003.mcap.open"));
        }
        plant(&again, &moment);
        let report = import(&set, &again, &options, &mut |_| {}).unwrap();
        assert_eq!((report.episodes, report.resumed_after), (3, done));
        assert!(tree(&again) == whole, "after {done}");
    }
    let taken = import(&set, &again, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(taken, DatasetError::Taken { .. }), "{taken}");
}

/// Our export as LeRobot would have written it: without our columns, without lineage.
fn foreign(root: &Path, change: impl FnOnce(&mut Value)) {
    fs::remove_file(root.join("meta/visuomotor_lineage.json")).unwrap();
    let path = root.join("meta/info.json");
    let mut info: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let features = info["features"].as_object_mut().unwrap();
    features.retain(|name, _| !name.starts_with("visuomotor.") && !name.contains("tcp"));
    change(&mut info);
    fs::write(&path, info.to_string()).unwrap();
}

#[test]
fn a_data_set_of_another_house_says_that_it_has_no_stamps() {
    let directory = TestDirectory::new("lerobot-foreign");
    let sources = recordings(directory.path(), 2);
    let made = |name: &str| {
        let set = directory.path().join(name);
        export(&what(&sources, 10), &sources, &set, &mut |_| {}).unwrap();
        set
    };
    let set = made("plain");
    foreign(&set, |_| {});
    let out = directory.path().join("episodes");
    let report = import(&set, &out, &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(
        (report.true_stamps, report.camera.as_deref()),
        (false, Some(CAMERA))
    );
    let timeline = Timeline::open(&out.join("episode_000001.mcap")).unwrap();
    assert_eq!(timeline.header.derivation.as_ref().unwrap().how, "imported");
    assert!((timeline.seconds(timeline.ticks[3].due) - 0.3).abs() < 1e-9);
    assert_eq!(timeline.frames[3].captured_at, timeline.ticks[3].due);
    assert_eq!(timeline.outcome.unwrap().0.success, Some(false));

    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 5] = [
        (
            "video",
            |info| info["features"][CAMERA]["dtype"] = json!("video"),
            "--skip-video",
        ),
        (
            "cameras",
            |info| info["features"]["observation.images.b"] = info["features"][CAMERA].clone(),
            "--camera",
        ),
        (
            "joints",
            |info| {
                info["features"][STATE] = json!({"dtype": "float32", "shape": [14], "names": null})
            },
            "14 joints",
        ),
        (
            "version",
            |info| info["codebase_version"] = json!("v2.1"),
            "v2.1",
        ),
        (
            "count",
            |info| info["total_episodes"] = json!(3),
            "`total_episodes` is 3",
        ),
    ];
    for (name, change, expected) in cases {
        let set = made(name);
        foreign(&set, change);
        let out = directory.path().join("refused");
        let error = import(&set, &out, &ImportOptions::default(), &mut |_| {}).unwrap_err();
        assert!(
            error.is_input() && error.to_string().contains(expected),
            "{error}"
        );
        assert!(!out.exists());
    }
    let set = directory.path().join("video");
    let blind = ImportOptions {
        skip_video: true,
        ..Default::default()
    };
    import(&set, &directory.path().join("blind"), &blind, &mut |_| {}).unwrap();
}

#[test]
fn a_damaged_data_set_is_an_error_that_names_the_file() {
    let directory = TestDirectory::new("lerobot-damaged");
    let sources = recordings(directory.path(), 2);
    let set = directory.path().join("set");
    export(&what(&sources, 10), &sources, &set, &mut |_| {}).unwrap();
    let whole = tree(&set);
    let damaged = directory.path().join("damaged");
    let mut errors = 0;
    for (name, bytes) in &whole {
        for part in 0..24 {
            let at = part * bytes.len() / 24 + part % 5;
            let mut files = whole.clone();
            let file = files.get_mut(name).unwrap();
            if part % 3 == 0 {
                file.truncate(at)
            } else {
                file[at] ^= 0x15
            }
            plant(&damaged, &files);
            let out = directory.path().join("out");
            let _ = fs::remove_dir_all(&out);
            if let Err(error) = import(&damaged, &out, &ImportOptions::default(), &mut |_| {}) {
                assert!(error.to_string().contains("damaged"), "{error}");
                errors += 1;
            }
        }
    }
    assert!(errors > 60, "{errors}");
}
