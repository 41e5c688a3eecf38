//! What the tasks of a simulation hand to each other, with plain cells: they run on one thread.
//!
//! Not responsible for what any of them does.

use super::check::{self, Checkers, Violation, Witness};
use super::ledger::HandedOver;
use super::plan::Planned;
use crate::config::JOINTS;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use visuomotor_drivers::sim::SimObserver;
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::camera_loop::{CameraCounters, FrameExchange, Refused};
use visuomotor_runtime::clock::{Duration, Instant, SimMono};
use visuomotor_runtime::control_loop::Exchange;
use visuomotor_runtime::controller::{Outputs, Request};
use visuomotor_runtime::episode::{DecisionRecord, EventSink, ObservationRecord, StepSink};
use visuomotor_runtime::observation::{GripperObservation, Observation, SceneTruth};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::{Decision, PolicyError};
use visuomotor_runtime::policy_loop::PolicyExchange;
use visuomotor_runtime::step::Step;

/// What the tasks share; they run on one thread.
pub struct Shared<'a> {
    pub gripper: Cell<Option<GripperObservation>>,
    pub newest: Cell<Option<Step<JOINTS>>>,
    pub frame: RefCell<Frame>,
    pub decisions: RefCell<VecDeque<Decision>>,
    pub requests: RefCell<VecDeque<Request>>,
    pub witness: Cell<Witness>,
    pub ended: Cell<bool>,
    pub finished: Cell<bool>,
    pub steps: RefCell<Vec<Step<JOINTS>>>,
    pub events: EventSink,
    pub handed_over: Cell<HandedOver>,
    pub checkers: RefCell<Checkers<'a>>,
    pub violation: RefCell<Option<Violation>>,
    /// Stalls of the whole process that are still to come, and those that came.
    pub stalls: RefCell<Vec<Planned>>,
    pub stalled: Cell<u64>,
}

impl Shared<'_> {
    /// Whether the policy moves the arm.
    pub fn plays(&self) -> bool {
        self.newest
            .get()
            .is_some_and(|step| step.phase == Phase::Policy)
    }

    fn hand_over(&self, count: impl FnOnce(&mut HandedOver)) {
        let mut sent = self.handed_over.get();
        count(&mut sent);
        self.handed_over.set(sent);
    }
}

pub struct Link<'a, 'b> {
    pub shared: &'a Shared<'b>,
    pub steps: StepSink<JOINTS>,
}

impl Exchange<JOINTS> for Link<'_, '_> {
    fn decision(&mut self) -> Option<Decision> {
        self.shared.decisions.borrow_mut().pop_front()
    }

    fn request(&mut self) -> Option<Request> {
        self.shared.requests.borrow_mut().pop_front()
    }

    fn publish(&mut self, outputs: &Outputs<JOINTS>) {
        let shared = self.shared;
        let step = &outputs.step;
        self.steps.push(step, None);
        shared.gripper.set(outputs.observation);
        shared.newest.set(Some(*step));
        shared.steps.borrow_mut().push(*step);
        let mut violation = shared.violation.borrow_mut();
        if violation.is_none() {
            let mut checkers = shared.checkers.borrow_mut();
            *violation = checkers.tick(step, &shared.witness.get()).err();
        }
        let mut stalls = shared.stalls.borrow_mut();
        if let Some(due) = stalls
            .iter()
            .position(|stall| stall.contains(SimMono::now()))
        {
            let stall = stalls.swap_remove(due);
            // Rarely a whole number of periods.
            let odd = Duration::from_micros(u64::from(stall.number));
            SimMono::spend(Duration::from_millis(stall.span_ms) + odd);
            shared.stalled.set(shared.stalled.get() + 1);
        }
    }

    fn ended(&self) -> bool {
        self.shared.ended.get()
    }
}

/// The camera's hand-over: the newest frame to the policy, every frame to the recorder.
pub struct Newest<'a, 'b> {
    pub shared: &'a Shared<'b>,
    pub frame: Frame,
}

impl FrameExchange for Newest<'_, '_> {
    fn buffer(&mut self) -> &mut Frame {
        &mut self.frame
    }

    fn publish(&mut self) {
        let last = self.shared.frame.borrow();
        let found = check::frame(&last, &self.frame, SimMono::now());
        if let (Some(what), Some(step)) = (found, self.shared.newest.get()) {
            let mut violation = self.shared.violation.borrow_mut();
            violation.get_or_insert(Violation {
                checker: "frames",
                tick: step.tick,
                what,
            });
        }
        drop(last);
        self.shared.events.frame(&self.frame);
        self.shared.hand_over(|sent| sent.frames += 1);
        self.shared.frame.borrow_mut().clone_from(&self.frame);
    }

    fn polled(&mut self, _: &CameraCounters, _: Option<Refused>) {}

    fn ended(&self) -> bool {
        false
    }
}

/// The policy's hand-over.
pub struct Player<'a, 'b> {
    pub shared: &'a Shared<'b>,
    pub judge: &'a mut SimObserver,
    pub truth: SceneTruth,
    pub frame: Frame,
    pub seen: Option<ObservationRecord>,
}

impl PolicyExchange for Player<'_, '_> {
    fn observe(&mut self, now: Instant, step: u32) -> Option<Observation<'_>> {
        self.frame.clone_from(&self.shared.frame.borrow());
        let truth = self.judge.truth(&mut self.truth).map(|_| &self.truth);
        let observation = Observation {
            frame: &self.frame,
            gripper: self.shared.gripper.get()?,
            step,
            truth,
        };
        self.seen = Some(ObservationRecord::new(&observation, now));
        Some(observation)
    }

    fn deliver(&mut self, now: Instant, decided: Result<Decision, PolicyError>) {
        let (Ok(decision), Some(seen)) = (decided, self.seen.take()) else {
            return;
        };
        self.shared.events.observation(seen, &self.frame.image);
        self.shared.events.decision(DecisionRecord {
            decision,
            decided_at: now,
        });
        self.shared.hand_over(|sent| sent.events += 2);
        self.shared.decisions.borrow_mut().push_back(decision);
    }

    fn ended(&self) -> bool {
        !self.shared.plays()
    }
}
