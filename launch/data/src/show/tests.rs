//! Tests of the whole report: well-formed whatever the episode is, nothing hostile, nothing from elsewhere, nothing lost.

use super::*;
use crate::staged::{self, Stage};
use proptest::prelude::*;
use std::io::Cursor;
use visuomotor_runtime::episode::{Annotation, Attachment, LogRecord, Sha256};
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::safety::{Intervention, LimitSet};

const HOSTILE: &str =
    "</title><script>alert('1')</script><img src=x onerror=\"a()\"> ]]> \0 \x1b \u{202e} &amp;";

fn report(file: Vec<u8>) -> Report {
    Report::of(Timeline::read(Cursor::new(file)).unwrap())
}

fn parse(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    roxmltree::Document::parse_with_options(page, options).unwrap()
}

/// The page of any report: XML, one script which is ours, no other address than that of a data URI.
fn check(page: &str) {
    let document = parse(page);
    let scripts: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", "script")))
        .collect();
    assert_eq!(scripts.len(), 1);
    assert_eq!(scripts[0].text(), Some(include_str!("script.js")));
    for node in document.descendants() {
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on"), "{name}");
            if matches!(name, "src" | "href") {
                assert!(
                    value.starts_with("data:image/jpeg;base64,"),
                    "{name}={value}"
                );
            }
            if matches!(
                name,
                "d" | "x" | "width" | "style" | "data-s" | "data-low" | "data-high"
            ) {
                assert!(
                    !value.contains("NaN") && !value.contains("inf"),
                    "{name}={value}"
                );
            }
        }
        if let Some(data_key) = node.attribute("data-key") {
            assert_eq!(
                document
                    .descendants()
                    .filter(|other| other.attribute("id") == Some(data_key))
                    .count(),
                1
            );
        }
    }
    assert!(page.starts_with(page::BEGINNING));
    assert!(!page.contains("url(") && !page.contains("@import"));
}

fn titles(page: &str) -> Vec<String> {
    let document = parse(page);
    let headings = document
        .descendants()
        .filter(|node| node.tag_name().name() == "h3");
    headings
        .filter_map(|node| Some(node.text()?.trim().to_owned()))
        .collect()
}

#[test]
fn the_page_of_a_usual_episode_has_every_track() {
    let file = Stage::default().changed::<7>(
        |step| {
            if (700..720).contains(&step.tick) {
                step.report.intervention = Intervention::Shrunk;
                step.report.limits = LimitSet::WORKSPACE;
            }
            true
        },
        |_| true,
    );
    let report = report(file);
    let page = report.html("a.mcap").unwrap();
    check(&page);
    let titles = titles(&page);
    for expected in [
        "camera",
        "phase",
        "action",
        "limiter: pulled toward the stop",
        "limit: workspace",
        "frames captured",
        "policy looked",
        "Q of the action",
        "x",
        "y",
        "z",
        "yaw",
        "Gripper aperture",
        "joint_1",
        "joint_7",
        "Measured speed",
        "Jitter: wake-up minus deadline",
        "episode",
        "code",
        "robot",
        "camera",
        "solver",
        "policy",
    ] {
        assert!(
            titles.iter().any(|title| title == expected),
            "{expected} is not in {titles:?}"
        );
    }
    assert!(!titles.iter().any(|title| title.starts_with("limit: jerk")));
    for text in [
        "✓ Succeeded",
        "The policy ended it after 8 actions.",
        "launch.toml",
        "sha256-",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 8);
    assert!(
        report.text().unwrap().contains("terminate") || report.text().unwrap().contains("move")
    );
}

#[test]
fn a_spike_of_one_tick_is_in_the_picture() {
    let at = 1234;
    let file = Stage::default().changed::<7>(
        |step| {
            if step.tick == at {
                step.inputs.arm.as_mut().unwrap().dq.0[2] = 40.0;
            }
            true
        },
        |_| true,
    );
    let page = report(file).html("a.mcap").unwrap();
    let document = parse(&page);
    let curve = document
        .descendants()
        .find(|node| node.attribute("data-key") == Some("dq-2"))
        .unwrap();
    let points = curve
        .attribute("d")
        .unwrap()
        .split(['M', 'L'])
        .filter(|point| !point.is_empty());
    let highest = points.map(|point| {
        point
            .split(' ')
            .map(|x| x.parse::<f64>().unwrap())
            .collect::<Vec<_>>()
    });
    let highest = highest.min_by(|a, b| a[1].total_cmp(&b[1])).unwrap();
    assert!(
        highest[1] < 6.0 && (highest[0] - 1000.0 * at as f64 / 2000.0).abs() < 1.0,
        "{highest:?}"
    );
}

#[test]
fn hostile_text_stays_text_wherever_it_stands() {
    let mut timeline = Timeline::read(Cursor::new(Stage::default().file())).unwrap();
    let header = &mut timeline.header;
    header.origin.id = HOSTILE.into();
    header.origin.task = HOSTILE.into();
    header.origin.started_at_utc = HOSTILE.into();
    header.robot.name = HOSTILE.into();
    header.robot.joint_names.0 = vec![HOSTILE.into(); 7];
    header.code.git_commit = HOSTILE.into();
    header.camera = [(HOSTILE.to_owned(), HOSTILE.to_owned())].into();
    header.checkpoints = [(HOSTILE.to_owned(), HOSTILE.to_owned())].into();
    if let Some(policy) = &mut header.policy {
        policy.name = HOSTILE.into();
    }
    timeline.attachments.push(Attachment {
        name: HOSTILE.into(),
        media_type: HOSTILE.into(),
        data: HOSTILE.into(),
    });
    let at = staged::at_ms(500);
    timeline.log.push(LogRecord {
        at,
        severity: 30,
        text: HOSTILE.into(),
    });
    timeline.annotations.push(Annotation {
        said_at: at,
        from: at,
        to: staged::at_ms(900),
        label: HOSTILE.into(),
        note: HOSTILE.into(),
        author: HOSTILE.into(),
    });
    timeline.damage = Some(HOSTILE.into());
    let report = Report::of(timeline);
    let page = report.html(HOSTILE).unwrap();
    check(&page);
    assert_eq!(page.matches("<script>").count(), 1);
    let document = parse(&page);
    assert!(
        !document
            .descendants()
            .any(|node| node.tag_name().name() == "img" && node.attribute("src") == Some("x"))
    );
    let text = report.text().unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn empty_short_and_damaged_episodes_have_a_page_that_says_so() {
    for ticks in [0, 1, 2] {
        let stage = Stage {
            ticks,
            ..Stage::default()
        };
        let page = report(stage.file()).html("a.mcap").unwrap();
        check(&page);
    }
    let blind = Stage::default().changed::<7>(|_| true, |_| false);
    let page = report(blind).html("a.mcap").unwrap();
    check(&page);
    assert!(page.contains("No pictures were recorded."));

    let whole = Stage::default().file();
    let report = report(whole[..whole.len() / 2].to_vec());
    let page = report.html("a.mcap").unwrap();
    check(&page);
    assert!(
        page.contains("<p class=\"danger\">The file is damaged or ends early"),
        "{}",
        &page[..9000]
    );
    assert!(page.contains("✗ No outcome") && page.contains("all that came after that is lost"));
    assert!(report.text().unwrap().contains("! The file is damaged"));
}

#[test]
fn a_fault_and_losses_are_told_large() {
    let fault = Fault::PolicySilent {
        age_ms: 510.0,
        limit_ms: 500.0,
    };
    let mut stage = Stage::default();
    stage.outcome.ending = visuomotor_runtime::episode::Ending::Fault;
    stage.outcome.success = None;
    stage.lost.steps = 17;
    let file = stage.changed::<7>(
        |step| {
            step.fault = (step.tick >= 1500).then_some(fault);
            true
        },
        |_| true,
    );
    let page = report(file).html("a.mcap").unwrap();
    check(&page);
    assert!(
        page.contains("✗ Fault") && page.contains("At 1.500 s: the policy gave nothing for 510 ms")
    );
    assert!(page.contains("Lost while it was recorded: 17 steps"));
    assert_eq!(page.matches("class=\"strike\"").count(), 1);

    stage.outcome.ending = visuomotor_runtime::episode::Ending::Stopped;
    let file = stage.changed::<7>(
        |step| {
            step.fault = (step.tick % 1000 >= 500).then_some(fault);
            step.inputs.request =
                (step.tick > 1900).then_some(visuomotor_runtime::controller::Request::End);
            true
        },
        |_| true,
    );
    let report = report(file);
    let page = report.html("a.mcap").unwrap();
    assert!(page.contains("2 faults, the first at 0.500 s: the policy gave nothing for 510 ms"));
    let requests = report
        .facts
        .events
        .iter()
        .filter(|event| event.text == "end");
    assert_eq!(requests.count(), 1, "who asks on and on is told once");
}

#[test]
fn a_loop_that_is_always_late_does_not_fill_the_page() {
    let file = Stage::default().changed::<7>(
        |step| {
            step.counters.missed_ticks = step.tick;
            true
        },
        |_| true,
    );
    let report = report(file);
    assert!(report.facts.events.len() > 1900);
    let page = report.html("a.mcap").unwrap();
    check(&page);
    assert_eq!(page.matches("deadlines were missed").count(), 499);
    assert!(page.contains("more; the JSON has all."));
}

#[test]
fn only_reports_are_written_over() {
    let directory = std::env::temp_dir().join(format!("visuomotor-show-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let path = default_path(&directory.join("a.mcap.open"));
    assert_eq!(path, directory.join("a.html"));
    let page = format!("{}first", page::BEGINNING);
    write(&page, &path).unwrap();
    write(&page.replace("first", "second"), &path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().ends_with("second"));
    for precious in ["", "<!DOCTYPE html>\n<html>", "precious"] {
        fs::write(&path, precious).unwrap();
        let error = write(&page, &path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), precious);
    }
    assert!(write(&page, &directory).is_err());
    assert_eq!(
        fs::read_dir(&directory).unwrap().count(),
        1,
        "nothing is left over"
    );
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_hash_is_short_and_all_of_it_is_there_to_point_at() {
    let page = report(Stage::default().file()).html("a.mcap").unwrap();
    let limits = Sha256::of(b"limits").to_string();
    assert!(page.contains(&format!(
        "<code title=\"{limits}\">{}…</code>",
        &limits[..8]
    )));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_numbers_make_a_page(odd in any::<[f64; 8]>(), at in 0..200_u64, every in 1..50_u64) {
        let stage = Stage { ticks: 200, ..Stage::default() };
        let file = stage.changed::<7>(
            |step| {
                if step.tick >= at && step.tick % every == 0 {
                    let arm = step.inputs.arm.as_mut().unwrap();
                    arm.q.0[0] = odd[0];
                    arm.dq.0[1] = odd[1];
                    arm.aperture_m = odd[2];
                    if let Some(command) = &mut step.command {
                        command.0.0[2] = odd[3];
                    }
                    step.reference.position_m.x = odd[4];
                    step.goal.yaw_rad = odd[5];
                    step.reference.yaw_rad = odd[6];
                    step.fault = Some(Fault::FrameTooOld { age_ms: odd[7], limit_ms: f64::NAN });
                }
                true
            },
            |_| true,
        );
        let report = report(file);
        check(&report.html("a.mcap").unwrap());
        prop_assert!(report.text().is_ok());
        prop_assert!(serde_json::to_string(&report.facts).is_ok());
    }
}
