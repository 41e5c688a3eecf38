//! What a run of the VM tests found: for the screen, and as JSON.

use super::Flavour;
use super::boot::Seen;
use super::catalogue::{End, Mode, Test};
use super::setup::{Kernel, Setup};
use serde_json::{Value, json};
use std::time::Duration;

/// Everything that was found so far.
#[derive(Debug, Default)]
pub struct Report {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
    boots: Vec<Value>,
    tests: Vec<Value>,
}

impl Report {
    pub fn add_boot(
        &mut self,
        kernel: &Kernel,
        mode: Mode,
        booted: Option<(f64, f64)>,
        took: Duration,
    ) {
        println!(
            "vm: {} ({mode:?}) was up for {:.1} s in all",
            kernel.release,
            took.as_secs_f64()
        );
        self.boots.push(json!({
            "kernel": kernel.flavour,
            "mode": mode,
            "first_process_s": booted.map(|(first, _)| first),
            "modules_loaded_s": booted.map(|(_, loaded)| loaded),
            "wall_s": took.as_secs_f64(),
        }));
    }

    /// Judges one test and shows it.
    pub fn add(&mut self, flavour: Flavour, mode: Mode, seen: &Seen) {
        let (word, detail) = judge(seen);
        match word {
            "ok" => self.passed += 1,
            "SKIPPED" => self.skipped += 1,
            _ => self.failed += 1,
        }
        println!(
            "vm test {} ({}, {mode:?}) ... {word} ({:.1} s){}{detail}",
            seen.test.name,
            flavour.name(),
            seen.took.as_secs_f64(),
            if detail.is_empty() { "" } else { ": " },
        );
        if word == "FAILED" {
            for line in &seen.said {
                println!("    {line}");
            }
        } else if !seen.figures.is_null() {
            println!("    {}", seen.figures);
        }
        self.tests.push(json!({
            "name": seen.test.name,
            "kernel": flavour,
            "mode": mode,
            "ok": word != "FAILED",
            "skipped": word == "SKIPPED",
            "detail": detail,
            "figures": seen.figures,
            "wall_s": seen.took.as_secs_f64(),
        }));
    }

    /// A test that cannot even be booted for.
    pub fn skip(&mut self, test: &Test, why: &str) {
        self.skipped += 1;
        println!("vm test {} ... SKIPPED: {why}", test.name);
        self.tests.push(json!({
            "name": test.name, "mode": test.mode, "ok": true, "skipped": true, "detail": why,
        }));
    }

    pub fn to_json(&self, setup: &Setup, took: Duration) -> Value {
        let packages = setup.packages.lines().map(|line| {
            let mut words = line.split(' ').map(Value::from);
            let mut next = || words.next().unwrap_or_default();
            json!({"name": next(), "version": next(), "sha256": next()})
        });
        let kernels = setup.kernels.iter();
        let kernels = kernels.map(|k| json!({"kernel": k.flavour, "release": k.release}));
        json!({
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "wall_s": took.as_secs_f64(),
            "kernels": kernels.collect::<Vec<_>>(),
            "boots": self.boots,
            "tests": self.tests,
            "packages": packages.collect::<Vec<_>>(),
        })
    }
}

/// A planted test is good exactly when it ended as badly as it had to.
fn judge(seen: &Seen) -> (&'static str, String) {
    let Some(wanted) = seen.test.planted else {
        let word = match seen.end {
            None if seen.skipped => "SKIPPED",
            None => "ok",
            Some(_) => "FAILED",
        };
        return (word, seen.detail.clone());
    };
    if seen.end == Some(wanted) {
        return (
            "ok",
            format!("seen to go wrong, as it must: {}", seen.detail),
        );
    }
    let found = seen
        .end
        .map_or("passed".to_owned(), |end: End| format!("{end:?}"));
    (
        "FAILED",
        format!("planted, {wanted:?} expected, but {found}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(end: Option<End>, skipped: bool, planted: Option<End>) -> Seen {
        Seen {
            test: Test {
                name: "a".to_owned(),
                mode: Mode::Tcg,
                kernels: Vec::new(),
                devices: Vec::new(),
                memory_mb: 1,
                limit_s: 1,
                files: Vec::new(),
                planted,
            },
            end,
            skipped,
            detail: String::new(),
            figures: Value::Null,
            took: Duration::ZERO,
            said: Vec::new(),
        }
    }

    #[test]
    fn only_the_planted_end_makes_a_planted_test_good() {
        use End::{Failed, TimedOut};
        for (end, skipped, planted, expected) in [
            (None, false, None, "ok"),
            (None, true, None, "SKIPPED"),
            (Some(Failed), false, None, "FAILED"),
            (Some(TimedOut), true, None, "FAILED"),
            (None, false, Some(Failed), "FAILED"),
            (None, true, Some(Failed), "FAILED"),
            (Some(TimedOut), false, Some(Failed), "FAILED"),
            (Some(TimedOut), false, Some(TimedOut), "ok"),
        ] {
            let word = judge(&seen(end, skipped, planted)).0;
            assert_eq!(word, expected, "{end:?} {skipped} {planted:?}");
        }
    }
}
