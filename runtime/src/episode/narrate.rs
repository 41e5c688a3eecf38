//! Tells what the control loop did as `tracing` spans and events, on the recorder's thread: the control thread hands over
//! records of a fixed size and formats nothing.
//!
//! A span for each phase of the controller; in it events for faults, missed and lost ticks, and for limits that begin and
//! end to act. They come when the recorder drains its ring, so their own time is late: `due_ns` says when it was.

use crate::fault::Fault;
use crate::phase::Phase;
use crate::safety::LimitSet;
use crate::step::Step;
use std::mem::{Discriminant, discriminant};
use tracing::{Span, debug, info, info_span, warn};

#[derive(Debug, Default)]
pub struct Narrator {
    last: Option<Last>,
}

/// What the last step said.
#[derive(Debug)]
struct Last {
    tick: u64,
    missed_ticks: u64,
    phase: Phase,
    /// Its kind: numbers in it may be NaN, which equals nothing.
    fault: Option<Discriminant<Fault>>,
    limits: LimitSet,
    span: Span,
}

impl Narrator {
    pub fn step<const N: usize>(&mut self, step: &Step<N>) {
        let (tick, due_ns) = (step.tick, step.due.as_ticks());
        let last = self.last.take();
        let known = last.as_ref();
        let span = match known.filter(|last| last.phase == step.phase) {
            Some(last) => last.span.clone(),
            None => info_span!("phase", phase = ?step.phase, tick, due_ns),
        };
        let inside = span.enter();
        let lost = known.map_or(0, |last| tick.saturating_sub(last.tick + 1));
        if lost > 0 {
            warn!(
                tick,
                due_ns, lost, "the recorder fell behind: steps are lost"
            );
        }
        let missed = step.counters.missed_ticks;
        let missed = known.map_or(0, |last| missed.saturating_sub(last.missed_ticks));
        if missed > 0 {
            info!(tick, due_ns, missed, "deadlines were missed");
        }
        let kind = step.fault.as_ref().map(discriminant);
        if known.and_then(|last| last.fault) != kind {
            match &step.fault {
                Some(fault) => warn!(tick, due_ns, "{fault}"),
                None => info!(tick, due_ns, "the fault is cleared"),
            }
        }
        let limits = step.report.limits;
        let before = known.map_or(LimitSet::default(), |last| last.limits);
        let (began, ended) = (limits.0 & !before.0, before.0 & !limits.0);
        if began != 0 {
            debug!(tick, due_ns, limits = %LimitSet(began), "limits act");
        }
        if ended != 0 {
            debug!(tick, due_ns, limits = %LimitSet(ended), "limits act no more");
        }
        drop(inside);
        self.last = Some(Last {
            tick,
            missed_ticks: step.counters.missed_ticks,
            phase: step.phase,
            fault: kind,
            limits,
            span,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::samples;
    use crate::safety::StopCategory;
    use std::fmt::{Debug, Write};
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps a line for every span and event, as it happens.
    #[derive(Clone, Default)]
    struct Collector(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }

    impl Collector {
        fn note(&self, line: Line) -> usize {
            let mut lines = self.0.lock().unwrap();
            lines.push(line.0);
            lines.len()
        }
    }

    impl Subscriber for Collector {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, attributes: &Attributes<'_>) -> Id {
            let mut line = Line(format!("new {}", attributes.metadata().name()));
            attributes.record(&mut line);
            Id::from_u64(self.note(line) as u64)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.note(line);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}

        fn try_close(&self, _: Id) -> bool {
            false
        }
    }

    /// A tick of an eventless loop.
    fn quiet(tick: u64) -> Step<7> {
        let mut step = samples::step(tick);
        (step.phase, step.fault) = (Phase::Hold, None);
        step.report.limits = LimitSet::default();
        step.counters.missed_ticks = 0;
        step
    }

    fn told(steps: &[Step<7>]) -> Vec<String> {
        let collector = Collector::default();
        tracing::subscriber::with_default(collector.clone(), || {
            let mut narrator = Narrator::default();
            steps.iter().for_each(|step| narrator.step(step));
        });
        let lines = collector.0.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn an_eventless_phase_is_one_span_with_its_first_tick_and_due_time() {
        let steps: Vec<_> = (5..500).map(quiet).collect();
        assert_eq!(told(&steps), ["new phase phase=Hold tick=5 due_ns=5000000"]);
    }

    #[test]
    fn every_change_is_told_once() {
        let mut steps: Vec<_> = (0..100).map(quiet).collect();
        for step in &mut steps[20..] {
            step.phase = Phase::Policy;
        }
        for step in &mut steps[30..40] {
            step.report.limits = LimitSet(LimitSet::TABLE.0 | LimitSet::JERK.0);
        }
        for step in &mut steps[35..50] {
            step.report.limits.insert(LimitSet::TABLE);
        }
        for step in &mut steps[60..] {
            step.counters.missed_ticks = 3;
        }
        for step in &mut steps[70..80] {
            step.phase = Phase::Stopped(StopCategory::One);
            let (joint, error_rad, limit_rad) = (3, f64::NAN, 0.1);
            step.fault = Some(Fault::Tracking {
                joint,
                error_rad,
                limit_rad,
            });
        }
        steps.remove(90);
        let fault = steps[70].fault.unwrap();
        let expected = [
            "new phase phase=Hold tick=0 due_ns=0",
            "new phase phase=Policy tick=20 due_ns=20000000",
            "DEBUG message=limits act tick=30 due_ns=30000000 limits=jerk table",
            "DEBUG message=limits act no more tick=40 due_ns=40000000 limits=jerk",
            "DEBUG message=limits act no more tick=50 due_ns=50000000 limits=table",
            "INFO message=deadlines were missed tick=60 due_ns=60000000 missed=3",
            "new phase phase=Stopped(One) tick=70 due_ns=70000000",
            &format!("WARN message={fault} tick=70 due_ns=70000000"),
            "new phase phase=Policy tick=80 due_ns=80000000",
            "INFO message=the fault is cleared tick=80 due_ns=80000000",
            "WARN message=the recorder fell behind: steps are lost tick=91 due_ns=91000000 lost=1",
        ];
        assert_eq!(told(&steps), expected);
    }
}
