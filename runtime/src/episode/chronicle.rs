//! What happened in an episode, as log messages that people read along with its plots: phases, faults, lost deadlines.
//!
//! Responsible for finding the changes from step to step. Not responsible for telling them while they happen
//! ([`super::narrate`]).

use super::convert::time;
use super::messages::Log;
use crate::clock::Instant;
use crate::fault::Fault;
use crate::phase::Phase;
use crate::step::Step;
use std::mem::{Discriminant, discriminant};

/// Severities of `rcl_interfaces/msg/Log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    Info = 20,
    Warning = 30,
}

/// Remembers what the last step said.
#[derive(Debug, Default)]
pub struct Chronicle {
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    phase: Phase,
    /// Its kind: numbers in it may be NaN, which equals nothing.
    fault: Option<Discriminant<Fault>>,
    missed_ticks: u64,
}

impl Chronicle {
    /// What changed with this step, each as a line of its own.
    pub fn changes<const N: usize>(&mut self, step: &Step<N>) -> Vec<(Severity, String)> {
        let now = Last {
            phase: step.phase,
            fault: step.fault.as_ref().map(discriminant),
            missed_ticks: step.counters.missed_ticks,
        };
        let last = self.last.replace(now);
        let mut lines = Vec::new();
        if last.as_ref().is_none_or(|last| last.phase != step.phase) {
            lines.push((Severity::Info, format!("phase {:?}", step.phase)));
        }
        let (fault, missed) = last.map_or((None, step.counters.missed_ticks), |last| {
            (last.fault, last.missed_ticks)
        });
        match &step.fault {
            Some(now) if fault != Some(discriminant(now)) => {
                lines.push((Severity::Warning, now.to_string()));
            }
            None if fault.is_some() => {
                lines.push((Severity::Info, "the fault is cleared".to_owned()));
            }
            _ => {}
        }
        let missed = step.counters.missed_ticks.saturating_sub(missed);
        if missed > 0 {
            lines.push((Severity::Warning, format!("{missed} deadlines were missed")));
        }
        lines
    }
}

pub fn message(at: Instant, severity: Severity, msg: String) -> Log {
    Log {
        stamp: time(at),
        level: severity as u8,
        name: "controller".to_owned(),
        msg,
        ..Log::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::samples;

    #[test]
    fn every_change_is_told_once() {
        let mut chronicle = Chronicle::default();
        let mut told = Vec::new();
        for tick in 0..100 {
            let mut step = samples::step(tick);
            step.phase = if tick < 50 {
                Phase::Hold
            } else {
                Phase::Policy
            };
            step.counters.missed_ticks = if tick < 30 { 4 } else { 6 };
            step.fault = (60..70).contains(&tick).then_some(Fault::FrameTooOld {
                age_ms: f64::NAN,
                limit_ms: 150.0,
            });
            told.extend(
                chronicle
                    .changes(&step)
                    .into_iter()
                    .map(|(severity, line)| (tick, severity, line)),
            );
        }
        let fault = Fault::FrameTooOld {
            age_ms: f64::NAN,
            limit_ms: 150.0,
        }
        .to_string();
        let expected = [
            (0, Severity::Info, "phase Hold".to_owned()),
            (30, Severity::Warning, "2 deadlines were missed".to_owned()),
            (50, Severity::Info, "phase Policy".to_owned()),
            (60, Severity::Warning, fault),
            (70, Severity::Info, "the fault is cleared".to_owned()),
        ];
        assert_eq!(told, expected);
    }
}
