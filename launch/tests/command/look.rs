//! Recorded episodes through `visuomotor show`, `episodes` and `lineage`: what they write, and how they end.

use crate::scratch::{Scratch, run, stderr};
use serde_json::Value;

#[test]
fn recorded_episodes_are_shown_listed_and_traced() {
    let scratch = Scratch::new("look");
    let launch = scratch.write("launch.toml", scratch.good());
    let records = scratch.path("records");
    let output = run(
        "eval {} --policy weak --episodes 2 --seed 3 --record {} --json -",
        &[&launch, &records],
    );
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
    let episode = records.join("00000003.mcap");
    let page = records.join("00000003.html");

    let shown = run("show {}", &[&episode]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    let said = String::from_utf8(shown.stdout).expect("UTF-8");
    assert_eq!(said.trim(), page.display().to_string());
    let text = std::fs::read_to_string(&page).expect("written");
    assert!(text.contains("Content-Security-Policy") && text.contains("joint_7"));

    // An earlier page may go, nothing else.
    assert_eq!(run("show {}", &[&episode]).status.code(), Some(0));
    std::fs::write(&page, "precious").expect("it was there");
    let refused = run("show {}", &[&episode]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--out"), "{}", stderr(&refused));
    assert_eq!(
        std::fs::read_to_string(&page).expect("it was there"),
        "precious"
    );
    let elsewhere = scratch.path("elsewhere.html");
    assert_eq!(
        run("show {} --out {}", &[&episode, &elsewhere])
            .status
            .code(),
        Some(0)
    );

    let facts = run("show {} --json -", &[&episode]);
    let facts: Value = serde_json::from_slice(&facts.stdout).expect("JSON and nothing else");
    assert!(facts["outcome"]["success"].is_boolean() && facts["phases"][0]["phase"].is_string());
    let words = run("show {} --text", &[&episode]);
    assert!(
        String::from_utf8(words.stdout)
            .expect("UTF-8")
            .contains("joints (rad")
    );

    let list = run("episodes {} --json -", &[&records]);
    assert_eq!(list.status.code(), Some(0), "{}", stderr(&list));
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON and nothing else");
    assert_eq!(
        (&list["total"]["episodes"], &list["total"]["whole"]),
        (&2.into(), &2.into())
    );
    let row = &list["episodes"][0];
    assert_eq!(row["success"], facts["outcome"]["success"]);
    assert_eq!(row["ticks"], facts["ticks"]);
    assert_eq!(row["duration_s"], facts["duration_s"]);

    let svg = scratch.path("lineage.svg");
    let lineage = run("lineage {} --svg {} --json -", &[&records, &svg]);
    assert_eq!(lineage.status.code(), Some(0), "{}", stderr(&lineage));
    let lineage: Value = serde_json::from_slice(&lineage.stdout).expect("JSON and nothing else");
    assert_eq!(lineage["edges"][0]["how"], "collected");
    assert_eq!(lineage["sets"][0]["mixed"], false);
    assert!(
        std::fs::read_to_string(svg)
            .expect("written")
            .starts_with("<svg")
    );

    // A file that ends early is shown as far as it goes, and is no reason to list no other.
    let bytes = std::fs::read(&episode).expect("recorded");
    let short = scratch.write("records/short.mcap", &bytes[..bytes.len() * 2 / 3]);
    let shown = run("show {}", &[&short]);
    assert_eq!(shown.status.code(), Some(1), "{}", stderr(&shown));
    let text = std::fs::read_to_string(records.join("short.html")).expect("written");
    assert!(text.contains("The file is damaged or ends early"));
    scratch.write("records/nothing.mcap", b"nothing");
    assert_eq!(
        run("show {}", &[&records.join("nothing.mcap")])
            .status
            .code(),
        Some(2)
    );
    let list = run("episodes {} --json -", &[&records]);
    assert_eq!(list.status.code(), Some(1));
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON and nothing else");
    let states: Vec<_> = list["episodes"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["state"].clone())
        .collect();
    assert_eq!(states, ["whole", "whole", "unreadable", "damaged"]);
    assert_eq!(
        run("episodes {}", &[&scratch.path("nowhere")])
            .status
            .code(),
        Some(2)
    );
}
