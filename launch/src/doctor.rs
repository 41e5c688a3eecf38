//! `visuomotor doctor`: can this machine and this user run a control loop on time?
//!
//! Not responsible for the checks ([`visuomotor_runtime::realtime`]), which are those of the start of a session.

use crate::any_arm::{self, AnyArm};
use crate::cli::DoctorArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use serde::Serialize;
use std::fmt;
use visuomotor_runtime::realtime::{Check, Preference, ThreadPlan, checks};

/// Its field names are those of `doctor --json`.
#[derive(Debug, Serialize)]
struct Findings {
    checks: Vec<Check>,
    /// What the launch file says of them.
    #[serde(skip)]
    preference: Preference,
}

pub fn run(args: &DoctorArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    match &args.launch {
        Some(launch) => any_arm::run(args, launch),
        None => report(args, None, Preference::Required),
    }
}

impl AnyArm for DoctorArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        report(self, launch.control.cpu, launch.control.real_time)
    }
}

fn report(
    args: &DoctorArgs,
    cpu: Option<usize>,
    preference: Preference,
) -> Result<Grade, CommandError> {
    let findings = Findings {
        checks: checks(&ThreadPlan::control(cpu)),
        preference,
    };
    output::report(&findings, &findings, args.json.as_deref())?;
    Ok(findings.grade())
}

impl Findings {
    fn grade(&self) -> Grade {
        let is_missing = |check: &Check| check.required && !check.ok;
        if self.checks.iter().any(is_missing) {
            Grade::Short
        } else {
            Grade::Good
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let verdict = match check {
                Check { ok: true, .. } => "ok",
                Check { required: true, .. } => "MISSING",
                Check { .. } => "advice",
            };
            writeln!(f, "{verdict:8} {:18} {}", check.name, check.detail)?;
            if !check.ok {
                writeln!(f, "{:27} mend it: {}", "", check.remedy)?;
            }
        }
        match (self.grade(), self.preference) {
            (Grade::Good, _) => writeln!(f, "This machine can run a control loop in real time."),
            (Grade::Short, Preference::Required) => {
                writeln!(
                    f,
                    "A session that requires real time would refuse to start."
                )
            }
            (Grade::Short, Preference::Preferred) => writeln!(
                f,
                "The launch file only prefers real time: a session starts, and its episodes say what is missing."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_required_and_missing_falls_short() {
        let check = |ok, required| Check {
            name: "fifo",
            ok,
            required,
            detail: "SCHED_FIFO is looked at".into(),
            remedy: if ok { "" } else { "grant it" }.into(),
        };
        for (checks, grade, words) in [
            (vec![check(true, true)], Grade::Good, "ok       fifo"),
            (vec![check(false, false)], Grade::Good, "advice   fifo"),
            (
                vec![check(true, true), check(false, true)],
                Grade::Short,
                "mend it: grant it",
            ),
        ] {
            let preference = Preference::Required;
            let findings = Findings { checks, preference };
            assert_eq!(findings.grade(), grade);
            let text = findings.to_string();
            assert!(text.contains(words), "{text}");
            assert_eq!(text.contains("refuse to start"), grade == Grade::Short);
        }
    }
}
