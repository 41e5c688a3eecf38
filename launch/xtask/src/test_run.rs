//! `cargo xtask test`: everything that CI runs, cheapest verdict first.
//!
//! Every stage asks Cargo for the same profile, flags and workspace features, so that one build of the dependencies
//! serves them all and plain `cargo test` afterwards. (The controller alone and the planted bugs are the exceptions: that
//! is their point.)

use crate::{Failure, process, vm};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How much of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Everything,
    /// Without the tests whose names start with `long_`.
    Quick,
}

const VM: &str = "real kernel interfaces";

/// A name, and what to ask Cargo.
type Stage<'a> = (&'a str, Vec<&'a str>);

fn stages(extent: Extent) -> Vec<Stage<'static>> {
    let mut tests = vec!["test", "--workspace", "--tests"];
    if extent == Extent::Quick {
        tests.extend(["--", "--skip", "long_"]);
    }
    let mut stages = vec![
        ("format", vec!["fmt", "--all", "--check"]),
        ("tidy", vec!["test", "--workspace", "--test", "tidy"]),
        (
            "lint",
            vec![
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        ("examples in the docs", vec!["test", "--workspace", "--doc"]),
        (
            "controller without the simulator",
            vec!["build", "--package", "visuomotor", "--no-default-features"],
        ),
        ("tests", tests),
    ];
    if extent == Extent::Everything {
        let feature = "visuomotor/planted-bugs";
        let test = vec![
            "test",
            "--workspace",
            "--features",
            feature,
            "--test",
            "command",
            "planted",
        ];
        stages.push(("planted bugs are found", test));
    }
    stages
}

/// Tests that ran, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
    /// Adds what a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …` says.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = counts.split([' ', ';']).collect();
        let count = |of: &str| -> u32 {
            let place = words.iter().position(|word| *word == of);
            place
                .and_then(|i| words.get(i.checked_sub(1)?)?.parse().ok())
                .unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

pub fn run(extent: Extent) -> Result<(), Failure> {
    crate::make_ready()?;
    for (component, package) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !process::succeeds("cargo", &[component, "--version"]) {
            return Err(Failure::Unready(format!(
                "missing: cargo {component}. Install with\n\n    rustup component add {package}"
            )));
        }
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut tally = Tally::default();
    let mut left_out = None;
    for (name, arguments) in stages(extent) {
        // Tidy runs once more among all the tests: counted there.
        let mut uncounted = Tally::default();
        let counted = if name == "tidy" {
            &mut uncounted
        } else {
            &mut tally
        };
        times.push((name, stage(name, &arguments, counted)?));
    }
    if extent == Extent::Everything {
        let (time, skipped) = in_the_vm(&mut tally)?;
        times.push((VM, time));
        left_out = skipped;
    }
    println!();
    for (name, time) in times {
        println!("{name:>34} {:>7.1} s", time.as_secs_f64());
    }
    println!("{:>34} {:>7.1} s\n", "all", begun.elapsed().as_secs_f64());
    if let Some(reason) = left_out {
        println!("SKIPPED: all tests on real kernel interfaces in the VM: {reason}\n");
    }
    println!(
        "tests: {} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.ignored
    );
    Ok(())
}

/// The stage that is none of Cargo's. A machine that cannot have the VM fails no test, but is told of.
fn in_the_vm(tally: &mut Tally) -> Result<(Duration, Option<String>), Failure> {
    let begun = Instant::now();
    println!("\n==== {VM}: xtask vm");
    let ran = vm::run(&vm::Options::default());
    let time = begun.elapsed();
    let (verdict, result) = match ran {
        Ok(counts) => {
            tally.passed += counts.passed;
            tally.failed += counts.failed;
            tally.ignored += counts.skipped;
            match counts.failed {
                0 => ("good", Ok(None)),
                failed => {
                    let text = format!("{failed} VM tests failed");
                    ("FAILED", Err(Failure::FellShort(text)))
                }
            }
        }
        Err(Failure::Unready(reason)) => {
            println!("SKIPPED: {reason}");
            ("SKIPPED", Ok(Some(reason)))
        }
        Err(failure) => ("FAILED", Err(failure)),
    };
    println!("==== {VM}: {verdict} after {:.1} s", time.as_secs_f64());
    result.map(|skipped| (time, skipped))
}

/// Runs one stage and shows what it prints.
fn stage(name: &str, arguments: &[&str], tally: &mut Tally) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut cargo = process::cargo(arguments);
    println!("\n==== {name}: {}", process::line(&cargo));
    let ran = show_and_count(&mut cargo, &mut std::io::stdout(), tally);
    let time = begun.elapsed();
    let verdict = if ran.is_ok() { "good" } else { "FAILED" };
    println!("==== {name}: {verdict} after {:.1} s", time.as_secs_f64());
    ran.map(|()| time)
}

fn show_and_count(
    cargo: &mut Command,
    screen: &mut impl Write,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let unready = |e: std::io::Error| Failure::Unready(format!("cargo: {e}"));
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(unready)?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line.map_err(unready)?).into_owned();
            tally.add(&line);
            writeln!(screen, "{line}").map_err(unready)?;
        }
    }
    process::ended(child.wait(), cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            "test pass::this_is_no_result ... ok",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: of another kind",
            "",
        ] {
            tally.add(line);
        }
        let expected = Tally {
            passed: 16,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(tally, expected);
    }

    #[test]
    fn output_is_counted_and_failure_kept() {
        let mut tally = Tally::default();
        let mut screen = Vec::new();
        let mut good = Command::new("echo");
        good.arg("test result: ok. 3 passed; 0 failed; 0 ignored");
        assert!(show_and_count(&mut good, &mut screen, &mut tally).is_ok());
        assert_eq!(tally.passed, 3);
        assert_eq!(screen, b"test result: ok. 3 passed; 0 failed; 0 ignored\n");
        let mut bad = Command::new("false");
        assert!(show_and_count(&mut bad, &mut screen, &mut tally).is_err());
    }

    #[test]
    fn quick_leaves_out_only_the_long_tests() {
        let (everything, quick) = (stages(Extent::Everything), stages(Extent::Quick));
        assert_eq!(everything[..5], quick[..5]);
        assert_eq!((everything.len(), quick.len()), (7, 6));
        assert_eq!(
            quick[5].1,
            [&everything[5].1[..], &["--", "--skip", "long_"]].concat()
        );
    }
}
