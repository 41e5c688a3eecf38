//! An episode in numbers: what `show --json` says, and what page and terminal say in words.
//!
//! Not responsible for how any of it looks.

use crate::robot::RobotModel;
use crate::timeline::{Tick, Timeline};
use crate::words;
use serde::Serialize;
use std::collections::BTreeMap;
use visuomotor_runtime::episode::TextMap;
use visuomotor_runtime::safety::Intervention;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    pub id: String,
    pub task: String,
    pub started_at_utc: Option<String>,
    pub duration_s: f64,
    pub ticks: usize,
    pub frames: usize,
    pub observations: usize,
    /// Why the file is not whole.
    pub damage: Option<String>,
    /// `None` when the file ends before it.
    pub outcome: Option<OutcomeFacts>,
    /// Since the first tick of the episode.
    pub counters: Counted,
    pub phases: Vec<Span>,
    pub actions: Vec<ActionFacts>,
    /// Faults, requests and lines of the log, in order of time.
    pub events: Vec<Event>,
    pub limiter: Limiter,
    pub joints: Vec<JointFacts>,
    pub tool: Option<ToolFacts>,
    pub jitter_us: Option<Quantiles>,
    /// Own work of a tick; live episodes only.
    pub compute_us: Option<Quantiles>,
    pub annotations: Vec<Note>,
    /// Every record of the header, by name.
    pub lineage: BTreeMap<&'static str, TextMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeFacts {
    pub ending: &'static str,
    pub success: Option<bool>,
    pub actions: u32,
    pub lost_steps: u64,
    pub lost_frames: u64,
    pub lost_events: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub missed_ticks: u64,
    pub failed_reads: u64,
    pub reused_samples: u64,
    pub late_decisions: u64,
    pub clamped_actions: u64,
    pub refused_requests: u64,
    pub dropped_steps: u64,
    pub dropped_frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Span {
    pub phase: &'static str,
    pub from_s: f64,
    pub to_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ActionFacts {
    pub step: u32,
    pub decided_s: f64,
    /// Capture time of the frame that it looked at.
    pub frame_s: f64,
    pub verb: &'static str,
    /// m and rad.
    pub x_m: f64,
    pub y_m: f64,
    pub z_m: f64,
    pub yaw_rad: f64,
    pub q_value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Fault,
    Request,
    Warning,
    Log,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    pub at_s: f64,
    pub kind: EventKind,
    pub text: String,
}

/// Ticks in which the filter did what, and because of which limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limiter {
    pub interventions: BTreeMap<&'static str, u64>,
    pub limits: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JointFacts {
    pub name: String,
    /// rad
    pub lowest_rad: Option<f64>,
    pub highest_rad: Option<f64>,
    /// Largest distance between command and what was measured at the same tick.
    pub lag_rad_max: Option<f64>,
    /// Of the measured speed, as a share of the limit that launch file and robot description give.
    pub speed_share_max: Option<f64>,
}

/// Of the interpolated target, task frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ToolFacts {
    pub start_m: [f64; 3],
    pub end_m: [f64; 3],
    pub lowest_m: [f64; 3],
    pub highest_m: [f64; 3],
    pub path_m: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    pub from_s: f64,
    pub to_s: f64,
    pub label: String,
    pub note: String,
    pub author: String,
}

impl Facts {
    pub fn of(timeline: &Timeline, model: Option<&RobotModel>) -> Self {
        let Timeline { header, ticks, .. } = timeline;
        let started = &header.origin.started_at_utc;
        Self {
            id: header.origin.id.clone(),
            task: header.origin.task.clone(),
            started_at_utc: (!started.is_empty()).then(|| started.clone()),
            duration_s: timeline.duration_s(),
            ticks: ticks.len(),
            frames: timeline.frames.len(),
            observations: timeline.observations.len(),
            damage: timeline.damage.clone(),
            outcome: timeline.outcome.map(|(outcome, lost)| OutcomeFacts {
                ending: words::ending(outcome.ending),
                success: outcome.success,
                actions: outcome.actions,
                lost_steps: lost.steps,
                lost_frames: lost.frames,
                lost_events: lost.events,
            }),
            counters: counted(ticks),
            phases: phases(timeline),
            actions: actions(timeline),
            events: events(timeline),
            limiter: limiter(ticks),
            joints: joints(timeline, model),
            tool: tool(ticks),
            jitter_us: quantiles(
                ticks
                    .iter()
                    .map(|tick| tick.jitter.as_ticks() as f64 * 1e-3),
            ),
            compute_us: quantiles(
                timeline
                    .health
                    .iter()
                    .map(|record| record.health.compute.as_ticks() as f64 * 1e-3),
            ),
            annotations: annotations(timeline),
            lineage: header.to_records().into_iter().collect(),
        }
    }
}

fn counted(ticks: &[Tick]) -> Counted {
    let Some((first, last)) = ticks.first().zip(ticks.last()) else {
        return Counted::default();
    };
    let (first, last) = (first.counters, last.counters);
    Counted {
        missed_ticks: last.missed_ticks.saturating_sub(first.missed_ticks),
        failed_reads: last.failed_reads.saturating_sub(first.failed_reads),
        reused_samples: last.reused_samples.saturating_sub(first.reused_samples),
        late_decisions: last.late_decisions.saturating_sub(first.late_decisions),
        clamped_actions: last.clamped_actions.saturating_sub(first.clamped_actions),
        refused_requests: last.refused_requests.saturating_sub(first.refused_requests),
        dropped_steps: last.dropped_steps.saturating_sub(first.dropped_steps),
        dropped_frames: last.dropped_frames.saturating_sub(first.dropped_frames),
    }
}

/// Each ends where the next one begins, the last one with the last tick.
fn phases(timeline: &Timeline) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for tick in &timeline.ticks {
        let (at, phase) = (timeline.seconds(tick.due), words::phase(tick.phase));
        if let Some(last) = spans.last_mut() {
            last.to_s = at;
            if last.phase == phase {
                continue;
            }
        }
        spans.push(Span {
            phase,
            from_s: at,
            to_s: at,
        });
    }
    spans
}

fn actions(timeline: &Timeline) -> Vec<ActionFacts> {
    let facts = timeline.decisions.iter().map(|record| {
        let decision = &record.decision;
        let t = decision.action.translation_m;
        ActionFacts {
            step: decision.step,
            decided_s: timeline.seconds(record.decided_at),
            frame_s: timeline.seconds(decision.frame_captured_at),
            verb: words::verb(decision.action.verb),
            x_m: t.x,
            y_m: t.y,
            z_m: t.z,
            yaw_rad: decision.action.yaw_rad,
            q_value: decision.q_value,
        }
    });
    facts.collect()
}

/// From this severity on a line is a warning; see `rcl_interfaces/msg/Log`.
const WARNING: u8 = 30;

fn events(timeline: &Timeline) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut faulted, mut asked) = (None, None);
    for tick in &timeline.ticks {
        let at_s = timeline.seconds(tick.due);
        let code = tick.fault.map(|fault| fault.code());
        if let Some(fault) = tick.fault
            && code != faulted
        {
            events.push(Event {
                at_s,
                kind: EventKind::Fault,
                text: fault.to_string(),
            });
        }
        faulted = code;
        // Who asks on and on is told once.
        let request = tick.request.and_then(words::request);
        if let Some(name) = request.filter(|_| request != asked) {
            events.push(Event {
                at_s,
                kind: EventKind::Request,
                text: name.to_owned(),
            });
        }
        asked = request;
    }
    // The log tells faults once more.
    let told: Vec<String> = events.iter().map(|event| event.text.clone()).collect();
    for record in &timeline.log {
        if !told.contains(&record.text) {
            let is_warning = record.severity >= WARNING;
            events.push(Event {
                at_s: timeline.seconds(record.at),
                kind: if is_warning {
                    EventKind::Warning
                } else {
                    EventKind::Log
                },
                text: record.text.clone(),
            });
        }
    }
    events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    events
}

fn limiter(ticks: &[Tick]) -> Limiter {
    let mut limiter = Limiter::default();
    for tick in ticks {
        let report = &tick.report;
        if report.intervention != Intervention::Nothing {
            *limiter
                .interventions
                .entry(words::intervention(report.intervention))
                .or_default() += 1;
        }
        if report.limits.0 != 0 {
            for name in words::limits(report.limits) {
                *limiter.limits.entry(name).or_default() += 1;
            }
        }
    }
    limiter
}

fn joints(timeline: &Timeline, model: Option<&RobotModel>) -> Vec<JointFacts> {
    let names = timeline.header.robot.joint_names.0.iter().enumerate();
    let facts = names.map(|(joint, name)| {
        let measured = || {
            timeline
                .ticks
                .iter()
                .filter_map(move |tick| tick.measured.ok())
        };
        let q = || measured().map(move |state| state.q[joint]);
        let lag = timeline.ticks.iter().filter_map(|tick| {
            Some((tick.commanded?.q[joint] - tick.measured.ok()?.q[joint]).abs())
        });
        let share = model.and_then(|model| {
            let limit = model.joints.get(joint)?.velocity;
            largest(measured().map(|state| state.dq[joint].abs() / limit))
        });
        JointFacts {
            name: name.clone(),
            lowest_rad: largest(q().map(|q| -q)).map(|q| -q),
            highest_rad: largest(q()),
            lag_rad_max: largest(lag),
            speed_share_max: share,
        }
    });
    facts.collect()
}

/// Of those that are finite.
fn largest(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.filter(|value| value.is_finite()).reduce(f64::max)
}

fn tool(ticks: &[Tick]) -> Option<ToolFacts> {
    let finite = |tick: &&Tick| tick.reference.position_m.iter().all(|x| x.is_finite());
    let mut points = ticks
        .iter()
        .filter(finite)
        .map(|tick| tick.reference.position_m);
    let start = points.next()?;
    let (mut low, mut high, mut end, mut path_m) = (start, start, start, 0.0);
    for point in points {
        path_m += (point - end).norm();
        (low, high, end) = (low.inf(&point), high.sup(&point), point);
    }
    Some(ToolFacts {
        start_m: start.into(),
        end_m: end.into(),
        lowest_m: low.into(),
        highest_m: high.into(),
        path_m,
    })
}

fn quantiles(values: impl Iterator<Item = f64>) -> Option<Quantiles> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    };
    Some(Quantiles {
        p50: at(0.5)?,
        p99: at(0.99)?,
        max: at(1.0)?,
    })
}

fn annotations(timeline: &Timeline) -> Vec<Note> {
    let notes = timeline.annotations.iter().map(|annotation| Note {
        from_s: timeline.seconds(annotation.from),
        to_s: timeline.seconds(annotation.to),
        label: annotation.label.clone(),
        note: annotation.note.clone(),
        author: annotation.author.clone(),
    });
    notes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::Stage;
    use std::io::Cursor;
    use visuomotor_runtime::arm::ArmError;
    use visuomotor_runtime::fault::Fault;
    use visuomotor_runtime::phase::Phase;
    use visuomotor_runtime::safety::{LimitSet, StopCategory};

    #[test]
    fn phases_faults_limits_and_counts_are_those_of_the_ticks() {
        let file = Stage::default().changed::<7>(
            |step| {
                step.counters.missed_ticks = 5 + u64::from(step.tick > 900) * 2;
                if (100..110).contains(&step.tick) {
                    step.report.intervention = Intervention::Limited;
                    step.report.limits = LimitSet::JERK;
                }
                if step.tick >= 1500 {
                    step.fault = Some(Fault::NoPlan);
                    step.phase = Phase::Stopping(StopCategory::Two);
                    step.inputs.arm = Err(ArmError::NoAnswer);
                }
                true
            },
            |_| true,
        );
        let facts = Facts::of(&Timeline::read(Cursor::new(file)).unwrap(), None);
        let phases: Vec<_> = facts
            .phases
            .iter()
            .map(|span| (span.phase, span.from_s, span.to_s))
            .collect();
        assert_eq!(phases, [("policy", 0.0, 1.5), ("stopping_2", 1.5, 1.999)]);
        assert_eq!(facts.counters.missed_ticks, 2);
        assert_eq!(facts.limiter.interventions["limited"], 10);
        assert_eq!(facts.limiter.limits["jerk"], 10);
        let faults = facts
            .events
            .iter()
            .filter(|event| event.text == Fault::NoPlan.to_string());
        assert_eq!(
            faults
                .map(|event| (event.at_s, event.kind))
                .collect::<Vec<_>>(),
            [(1.5, EventKind::Fault)]
        );
        assert_eq!(facts.actions.len(), 8);
        assert_eq!(facts.joints[0].lag_rad_max, Some(0.0));
        assert_eq!(facts.jitter_us.unwrap().p50, 30.0);
        assert!((facts.tool.unwrap().path_m - 0.054 * 2.0).abs() < 0.01);
        assert_eq!(facts.outcome.unwrap().success, Some(true));
    }

    #[test]
    fn an_empty_episode_has_facts_too() {
        let stage = Stage {
            ticks: 0,
            ..Stage::default()
        };
        let facts = Facts::of(&Timeline::read(Cursor::new(stage.file())).unwrap(), None);
        assert_eq!((facts.ticks, facts.duration_s, facts.tool), (0, 0.0, None));
        assert!(facts.jitter_us.is_none() && facts.phases.is_empty());
        assert!(serde_json::to_string(&facts).is_ok());
    }
}
