//! `visuomotor doctor`: can this machine and this user run a control loop on time, and are the launch file's devices well?
//!
//! Not responsible for what real time needs ([`visuomotor_runtime::realtime`]): those checks are those of the start of a session.

mod can;
mod clock;
mod robot;
mod serial;
mod storage;
mod usb;

use crate::any_arm::{self, AnyArm};
use crate::cli::DoctorArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use visuomotor_runtime::realtime::{Check, Preference, ThreadPlan, checks};

/// Its field names are those of `doctor --json`.
#[derive(Debug, Serialize)]
struct Findings {
    checks: Vec<Check>,
    /// So many of them, the first, are about real time.
    #[serde(skip)]
    realtime: usize,
    /// What the launch file says of those.
    #[serde(skip)]
    preference: Preference,
    /// There is a physical arm or camera.
    #[serde(skip)]
    physical: bool,
}

pub fn run(args: &DoctorArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    match &args.launch {
        Some(launch) => any_arm::run(args, launch),
        None => report(
            args,
            None,
            Preference::Required,
            vec![clock::check()],
            false,
        ),
    }
}

impl AnyArm for DoctorArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let mut devices = vec![clock::check()];
        devices.extend(robot::checks(Path::new("/"), launch));
        if let Some(episode) = &launch.episode {
            devices.extend(storage::checks(&episode.dir));
        }
        let (control, physical) = (
            &launch.control,
            launch.arm.is_some() || launch.camera.is_some(),
        );
        report(self, control.cpu, control.real_time, devices, physical)
    }
}

fn report(
    args: &DoctorArgs,
    cpu: Option<usize>,
    preference: Preference,
    devices: Vec<Check>,
    physical: bool,
) -> Result<Grade, CommandError> {
    let mut checks = checks(&ThreadPlan::control(cpu));
    let realtime = checks.len();
    checks.extend(devices);
    let findings = Findings {
        checks,
        realtime,
        preference,
        physical,
    };
    output::report(&findings, &findings, args.json.as_deref())?;
    Ok(findings.grade())
}

impl Findings {
    fn grade(&self) -> Grade {
        if is_short(&self.checks) {
            Grade::Short
        } else {
            Grade::Good
        }
    }
}

fn is_short(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.required && !check.ok)
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
        let (realtime, devices) = self.checks.split_at(self.realtime);
        match (is_short(realtime), self.preference) {
            (false, _) => writeln!(f, "This machine can run a control loop in real time.")?,
            (true, Preference::Required) => writeln!(
                f,
                "A session that requires real time would refuse to start."
            )?,
            (true, Preference::Preferred) => writeln!(
                f,
                "The launch file only prefers real time: its episodes would say what is missing."
            )?,
        }
        match (is_short(devices), self.physical) {
            (true, _) => writeln!(f, "The robot is not ready."),
            (false, true) => writeln!(f, "The robot is ready."),
            (false, false) => Ok(()),
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
            let findings = Findings {
                realtime: checks.len(),
                checks,
                preference,
                physical: true,
            };
            assert_eq!(findings.grade(), grade);
            let text = findings.to_string();
            assert!(text.contains(words), "{text}");
            assert_eq!(text.contains("refuse to start"), grade == Grade::Short);
            // What is about real time says nothing about the devices.
            assert!(text.contains("The robot is ready"), "{text}");
            let findings = Findings {
                realtime: 0,
                ..findings
            };
            let text = findings.to_string();
            assert_eq!(text.contains("is not ready"), grade == Grade::Short);
            assert_eq!(text.contains("is ready"), grade == Grade::Good);
        }
    }
}
