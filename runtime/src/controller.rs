//! One tick of control as a pure function: [`Controller::step`] turns the time and what was read into what is sent.
//!
//! Responsible for doing what requests and decisions ask where [`crate::phase`] accepts them, for the watchdogs, and for
//! what is commanded in each phase. Not responsible for reading, writing or waiting ([`crate::control_loop`]), nor for
//! whether a motion is safe ([`crate::safety`]).
//!
//! Replay and simulation call the same function: equal inputs give equal outputs, bit for bit.

use crate::action::Verb;
use crate::arm::{ArmError, ArmState, Fingers};
use crate::clock::{Duration, Instant, Tick};
use crate::fault::Fault;
use crate::follow::{Follower, POSE_GAIN_PER_S};
use crate::goal::GoalLimits;
use crate::kinematics::Chain;
use crate::kinematics::ik::Tuning;
use crate::observation::{GripperObservation, TcpPose, TcpVelocity};
use crate::phase::{Answer, Event, Phase};
use crate::planted::{self, Bug, is_planted};
use crate::policy::Decision;
use crate::safety::{
    self, CommandState, OperatingMode, REST_DQ_MAX_RAD_PER_S, Safety, SafetyReport, StopCategory,
    Verdict,
};
use crate::setpoint::{Setpoint, SetpointError, SetpointLimits, TcpReference};
use crate::step::{Counters, Step};
use crate::units::{JointAccelerations, JointPositions, JointVelocities};
use crate::watchdogs::Watchdogs;
use nalgebra::{Isometry3, SVector, Vector3};
use std::f64::consts::TAU;

// T_a_b is the field's own name for the pose of frame b in frame a.
#[allow(non_snake_case)]
#[derive(Clone, Debug)]
pub struct ControllerConfig<const N: usize> {
    /// The task frame in the robot's base frame.
    pub T_base_task: Isometry3<f64>,
    pub period: Duration,
    pub goal: GoalLimits,
    pub setpoint: SetpointLimits,
    pub watchdogs: Watchdogs,
    /// Where redundancy pulls the joints, and how fast each.
    pub posture: JointPositions<N>,
    pub posture_gain_per_s: SVector<f64, N>,
    /// Above this the whole tool motion is slowed down, so that the tool stays on its path.
    pub dq_max: JointVelocities<N>,
}

/// What a person or the session asks of the controller. [`Phase::on`] says when each is accepted; what is refused is
/// counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// Come to rest on the tool's path, and stay.
    Hold,
    /// Move the tool there, then hold.
    Approach(TcpPose),
    /// From now on decisions move the tool.
    StartPolicy,
    /// Move the tool with this velocity, within the setpoint's limits and where goals may lie. Somebody holds a stick and says
    /// so again and again: silence is a fault, and letting go is [`Request::Hold`].
    Jog(TcpVelocity),
    /// Go on from the measured pose, as at the beginning: whoever held the arm back has let go.
    Rearm,
    /// Keep the limits of this mode; nothing moves.
    SetMode(OperatingMode),
    /// Stop with this category, and stay so until a person clears it.
    Stop(StopCategory),
    /// A person has seen what stopped the arm and wants to go on from where it stands.
    ClearFault,
    /// The same, and where the arm stands outside its limits it moves inward, slowly, until they hold.
    Recover,
    /// Come to rest as fast as the limits allow; nothing moves the arm afterwards.
    End,
}

/// Everything that one tick may depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs<const N: usize> {
    pub arm: Result<ArmState<N>, ArmError>,
    /// Whether the command of the last tick could not be sent.
    pub write_error: Option<ArmError>,
    pub decision: Option<Decision>,
    pub request: Option<Request>,
}

#[derive(Clone, Copy, Debug)]
pub struct Outputs<const N: usize> {
    pub verdict: Verdict<N>,
    /// `None` until the arm was read once.
    pub observation: Option<GripperObservation>,
    pub step: Step<N>,
}

pub struct Controller<const N: usize> {
    config: ControllerConfig<N>,
    follower: Follower<N>,
    safety: Safety<N>,
    setpoint: Setpoint,
    phase: Phase,
    /// The first one since the last that a person cleared; the stop may have a stricter category than its own.
    fault: Option<Fault>,
    /// Whether an arm outside its limits may be armed, to come inward.
    recovering: bool,
    /// Whether the arm was at rest at the end of the last tick, as far as that could be known.
    resting: bool,
    goal: TcpPose,
    /// Somebody has asked for motion, and it has not come to its end. Otherwise the arm rests as it is: the reference's
    /// tool points straight down, the measured one may not.
    asked: bool,
    fingers: Fingers,
    newest: Option<ArmState<N>>,
    /// The first tick: an arm that has never answered is silent since then.
    began: Option<Instant>,
    /// The tick before this one.
    ticked_at: Option<Instant>,
    /// The newest tick whose command did not fail to leave.
    wrote_at: Instant,
    /// Number of the decision that is due next, and when silence began.
    next_decision: u64,
    heard_policy_at: Instant,
    heard_operator_at: Instant,
    /// How old the frame was for which the last decision since then was dropped.
    stale_frame: Option<Duration>,
    counters: Counters,
    tick: u64,
}

impl<const N: usize> Controller<N> {
    /// # Panics
    /// When the goal's limits leave no room.
    pub fn new(config: ControllerConfig<N>, chain: Chain<N>, safety: Safety<N>) -> Self {
        assert!(
            config.goal.have_room(),
            "no room for goals: {:?}",
            config.goal
        );
        let origin = TcpPose {
            position_m: Vector3::zeros(),
            yaw_rad: 0.0,
        };
        Self {
            setpoint: Setpoint::new(config.setpoint),
            follower: Follower {
                chain,
                T_base_task: config.T_base_task,
                tuning: Tuning {
                    posture: config.posture,
                    posture_gain_per_s: config.posture_gain_per_s,
                    pose_gain_per_s: POSE_GAIN_PER_S,
                    dq_max: config.dq_max,
                },
            },
            config,
            safety,
            phase: Phase::default(),
            fault: None,
            recovering: false,
            resting: false,
            goal: origin,
            asked: false,
            fingers: Fingers::Open,
            newest: None,
            began: None,
            ticked_at: None,
            wrote_at: Instant::from_ticks(0),
            next_decision: 0,
            heard_policy_at: Instant::from_ticks(0),
            heard_operator_at: Instant::from_ticks(0),
            stale_frame: None,
            counters: Counters::default(),
            tick: 0,
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Makes a new controller the one that recorded `last`, as far as the ticks after it can tell; false where it cannot
    /// become that. It can after a hold at rest, when the next tick re-arms.
    pub fn resume(&mut self, last: &Step<N>) -> bool {
        let (Ok(state), None) = (last.inputs.arm, last.inputs.write_error) else {
            return false;
        };
        let now = last.due + last.jitter;
        let same = last.phase == Phase::Hold
            && last.is_stopped()
            && self.safety.set_mode(last.mode).is_ok()
            && self.setpoint.reset(now, last.reference).is_ok();
        self.phase = last.phase;
        self.resting = true;
        self.goal = last.goal;
        self.fingers = last.command.map_or(Fingers::Open, |command| command.2);
        self.newest = Some(state);
        (self.ticked_at, self.wrote_at) = (Some(now), now);
        self.counters = last.counters;
        self.tick = last.tick + 1;
        same
    }

    pub fn step(&mut self, tick: Tick, inputs: Inputs<N>) -> Outputs<N> {
        let now = tick.due + tick.jitter;
        self.counters.missed_ticks += tick.missed;
        let resting = self.resting;
        if resting || is_planted(Bug::ClearedInMotion) {
            self.on(Event::Standstill);
        }
        // Before sensing: what is still wrong latches again, and motion goes on from this tick's measured pose.
        match inputs.request {
            Some(request @ (Request::ClearFault | Request::Recover)) if self.on(Event::Clear) => {
                self.fault = None;
                self.recovering = request == Request::Recover;
            }
            Some(Request::Rearm) => {
                self.on(Event::Rearm { resting });
            }
            _ => {}
        }
        let arming = self.phase == Phase::Idle;
        self.sense(now, &inputs);
        if let Some(request) = inputs.request {
            self.obey(now, request, resting);
        }
        if let Some(decision) = inputs.decision {
            self.act(now, decision);
        }
        self.watch(now);
        self.counters.clamped_actions += planted::hidden_state();
        let reference = self.setpoint.sample(now + self.config.period);
        let (verdict, report) = self.command(&reference, arming);
        if let Some(fault) = report.fault {
            self.latch(fault);
        }
        if self.phase == Phase::Inward
            && let (Some(command), Some(measured)) = (self.safety.command(), self.newest)
            && self.safety.has_come_in(&measured.q)
        {
            self.on(Event::Inside);
            self.begin_at(now, &command.q);
        }
        let step = self.record(tick, inputs, reference.pose, &verdict, report);
        self.tick += 1;
        let outputs = Outputs {
            verdict,
            observation: self.observe(),
            step,
        };
        self.resting = self.is_at_rest(now, &outputs);
        outputs
    }

    /// Whether the event is accepted.
    fn on(&mut self, event: Event) -> bool {
        if let (Event::Stop(category), true) = (event, is_planted(Bug::WeakenedStop)) {
            self.phase = Phase::Stopping(category);
        }
        match self.phase.on(event) {
            Answer::Next(phase) => {
                self.phase = phase;
                return true;
            }
            Answer::Ignored => {}
            Answer::Refused => self.counters.refused_requests += 1,
        }
        false
    }

    /// Whether what is commanded rests. Where nothing is, the encoders must say so, and now: an arm without power moves as
    /// its brakes let it.
    fn is_at_rest(&self, now: Instant, outputs: &Outputs<N>) -> bool {
        match (outputs.verdict, outputs.step.measured()) {
            (Verdict::Move(_), _) => outputs.step.is_stopped(),
            (Verdict::Stop(_), None) => false,
            (Verdict::Stop(_), Some(state)) => {
                let age = self.age(now, state.sampled_at);
                let slow = |dq: &f64| dq.abs() <= REST_DQ_MAX_RAD_PER_S;
                age <= self.config.watchdogs.arm_silence_max && state.dq.0.iter().all(slow)
            }
        }
    }

    fn sense(&mut self, now: Instant, inputs: &Inputs<N>) {
        self.began.get_or_insert(now);
        match inputs.arm {
            Ok(state) => match state.not_finite() {
                None => self.take(now, state),
                Some(joint) => {
                    self.counters.failed_reads += 1;
                    self.latch(Fault::EncoderNotFinite { joint });
                }
            },
            Err(error) => {
                self.counters.failed_reads += 1;
                self.latch_drive(error);
                if let (Some(last), true) = (&mut self.newest, is_planted(Bug::StaleSample)) {
                    last.sampled_at = now;
                }
            }
        }
        match inputs.write_error {
            None => self.wrote_at = now,
            Some(_) if is_planted(Bug::IgnoredWriteError) => self.wrote_at = now,
            Some(error) => self.latch_drive(error),
        }
    }

    fn take(&mut self, now: Instant, state: ArmState<N>) {
        let reused = self
            .newest
            .is_some_and(|last| last.sampled_at == state.sampled_at);
        self.counters.reused_samples += u64::from(reused);
        self.newest = Some(state);
        if self.phase == Phase::Idle {
            self.start(now, &state);
        }
    }

    /// First command equals the measured pose: arms the safety filter there, at rest. Never at a pose that was.
    fn start(&mut self, now: Instant, state: &ArmState<N>) {
        if self.age(now, state.sampled_at) > self.config.watchdogs.arm_silence_max {
            return;
        }
        let mut state = *state;
        state.q[0] += planted::elsewhere_rad();
        let armed = match self.safety.arm(&state) {
            Err(fault) if self.recovering && fault.is_outside_limits() => {
                let outside = self.safety.arm_inward(&state);
                outside.map(|()| Event::ArmedOutside)
            }
            inside => inside.map(|()| Event::Armed),
        };
        self.recovering = false;
        match armed {
            Ok(event) => {
                self.begin_at(now, &state.q);
                self.on(event);
            }
            Err(fault) => self.latch(fault),
        }
    }

    /// Goal and reference rest where the arm is.
    fn begin_at(&mut self, now: Instant, q: &JointPositions<N>) {
        let before_rad = self.goal.yaw_rad;
        self.goal = self.follower.tool(q);
        self.goal.yaw_rad = nearest_turn(self.goal.yaw_rad, before_rad);
        self.asked = false;
        if let Err(error) = self.setpoint.reset(now, self.goal) {
            self.latch(error.into());
        }
    }

    fn obey(&mut self, now: Instant, request: Request, resting: bool) {
        match request {
            Request::Hold => {
                if self.on(Event::Hold) {
                    match self.setpoint.come_to_rest(now) {
                        Ok(goal) => self.goal = goal,
                        Err(error) => self.latch(error.into()),
                    }
                }
            }
            Request::Approach(goal) => {
                if self.on(Event::Approach) {
                    self.fingers = Fingers::Open;
                    self.go_to(now, self.config.goal.nearest(&goal));
                }
            }
            Request::StartPolicy => {
                if self.on(Event::StartPolicy) {
                    self.next_decision = 0;
                    self.hear_policy(now);
                }
            }
            Request::Jog(velocity) => {
                if self.on(Event::Jog) {
                    self.heard_operator_at = now;
                    let span = self.config.watchdogs.teleop_silence_max;
                    let jogged = self.setpoint.jog(now, &velocity, span, &self.config.goal);
                    self.head_for(jogged);
                }
            }
            Request::SetMode(mode) => {
                if self.on(Event::SetMode { resting }) && self.safety.set_mode(mode).is_err() {
                    self.counters.refused_requests += 1;
                }
            }
            Request::Stop(category) => {
                self.on(Event::Stop(category));
            }
            Request::End => {
                self.on(Event::End);
            }
            // Before this tick's reading.
            Request::Rearm | Request::ClearFault | Request::Recover => {}
        }
    }

    fn act(&mut self, now: Instant, decision: Decision) {
        let number = u64::from(decision.step);
        if self.phase != Phase::Policy || number < self.next_decision {
            self.counters.late_decisions += 1;
            return;
        }
        let age = now.checked_duration_since(decision.frame_captured_at);
        let stale = age.is_none_or(|age| age > self.config.watchdogs.frame_age_max);
        if stale && !is_planted(Bug::IgnoredAge) {
            self.counters.late_decisions += 1;
            self.stale_frame = age;
            return;
        }
        if !decision.action.is_finite() {
            self.latch(Fault::ActionNotFinite);
            return;
        }
        self.next_decision = number + 1;
        self.hear_policy(now);
        match decision.action.verb {
            Verb::Move => {}
            Verb::Close => self.fingers = Fingers::Closed,
            Verb::Open => self.fingers = Fingers::Open,
            Verb::Terminate => {
                self.on(Event::Terminate);
                return;
            }
        }
        let (goal, clamped) = self.config.goal.displaced(&self.goal, &decision.action);
        self.counters.clamped_actions += u64::from(clamped);
        self.go_to(now, goal);
    }

    fn hear_policy(&mut self, now: Instant) {
        self.heard_policy_at = now;
        self.stale_frame = None;
    }

    fn go_to(&mut self, now: Instant, goal: TcpPose) {
        let planned = self.setpoint.retarget(now, goal);
        self.head_for(planned.map(|()| goal));
    }

    fn head_for(&mut self, planned: Result<TcpPose, SetpointError>) {
        match planned {
            Ok(goal) => {
                self.goal = goal;
                self.asked = true;
            }
            Err(error) => self.latch(error.into()),
        }
    }

    fn watch(&mut self, now: Instant) {
        let dogs = self.config.watchdogs;
        let last = self.ticked_at.replace(now).unwrap_or(now);
        let gap = self.age(now, last);
        let arm = self.newest.map(|state| state.sampled_at);
        let arm = self.age(now, arm.or(self.began).unwrap_or(now));
        let silences = [
            dogs.gap(gap),
            dogs.arm(arm.max(self.age(now, self.wrote_at))),
        ];
        silences
            .into_iter()
            .flatten()
            .for_each(|fault| self.latch(fault));
        if let Some(state) = self.newest
            && let Err(fault) = self.safety.note_measured(&state.q, dogs.tracking_max_rad)
        {
            self.latch(fault);
        }
        let silence = match self.phase {
            Phase::Teleop if is_planted(Bug::OperatorForgotten) => None,
            Phase::Teleop => dogs.operator(self.age(now, self.heard_operator_at)),
            Phase::Policy => dogs.policy(self.age(now, self.heard_policy_at), self.stale_frame),
            _ => None,
        };
        silence.into_iter().for_each(|fault| self.latch(fault));
    }

    /// How old is what was heard at `heard_at`. The arm is read after the tick has begun, so a stamp may lie ahead by
    /// less than a period; one from further in the future is a broken clock, and counts as infinitely old.
    fn age(&self, now: Instant, heard_at: Instant) -> Duration {
        match now.checked_duration_since(heard_at) {
            Some(age) => age,
            None if heard_at <= now + self.config.period => Duration::ZERO,
            None => Duration::from_ticks(u64::MAX),
        }
    }

    fn latch_drive(&mut self, error: ArmError) {
        if let ArmError::Drive { code } = error {
            self.latch(Fault::Drive { code });
        }
    }

    /// The first fault stays the named one until a person clears it; the strictest category is the one that counts.
    fn latch(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        if is_planted(Bug::SkippedLatch) && matches!(fault, Fault::ArmLinkLost { .. }) {
            return;
        }
        self.on(Event::Stop(fault.category()));
    }

    /// While `arming`, the command is the measured pose itself.
    fn command(&mut self, reference: &TcpReference, arming: bool) -> (Verdict<N>, SafetyReport) {
        // Idle here: what was to be armed could not be, and an old command is not to be gone on with.
        if self.phase.is_without_power() || self.phase == Phase::Idle {
            self.safety.disarm();
        }
        let Some(command) = self.safety.command() else {
            let (_, report) = self.safety.filter(safety::Request::Stop, self.fingers);
            let category = self.phase.latched().unwrap_or(StopCategory::Two);
            return (Verdict::Stop(category), report);
        };
        let request = match self.phase {
            Phase::Hold | Phase::Approach | Phase::Policy | Phase::Teleop
                if self.asked && !arming =>
            {
                self.follow(reference, &command)
            }
            Phase::Inward if !arming => safety::Request::Motion {
                dq: self.follower.inward(&command.q),
                ddq: JointAccelerations::zeros(),
            },
            _ => safety::Request::Stop,
        };
        self.safety.filter(request, self.fingers)
    }

    fn follow(
        &mut self,
        reference: &TcpReference,
        command: &CommandState<N>,
    ) -> safety::Request<N> {
        let holding = self.phase == Phase::Hold;
        let following = self.follower.follow(reference, command, holding);
        if holding && following.settled {
            self.asked = false;
            return safety::Request::Stop;
        }
        let behind = (1.0 - following.progress) * self.config.period.as_ticks() as f64;
        self.setpoint.hold_back(Duration::from_ticks(behind as u64));
        let (dq, ddq) = (following.joints.dq, following.joints.ddq);
        safety::Request::Motion { dq, ddq }
    }

    fn observe(&self) -> Option<GripperObservation> {
        let state = self.newest?;
        Some(GripperObservation {
            sampled_at: state.sampled_at,
            measured: self.follower.tool(&state.q),
            goal: self.goal,
            fingers: self.fingers,
            aperture_m: state.aperture_m,
        })
    }

    fn record(
        &self,
        tick: Tick,
        inputs: Inputs<N>,
        reference: TcpPose,
        verdict: &Verdict<N>,
        report: SafetyReport,
    ) -> Step<N> {
        let (command, stop) = match verdict {
            Verdict::Move(command) => {
                (Some((*command.q(), *command.dq(), command.fingers())), None)
            }
            Verdict::Stop(category) => (None, Some(*category)),
        };
        Step {
            tick: self.tick,
            due: tick.due,
            jitter: tick.jitter,
            missed: tick.missed,
            inputs,
            phase: self.phase,
            mode: self.safety.mode(),
            command,
            stop,
            reference,
            goal: self.goal,
            report,
            fault: self.fault,
            counters: self.counters,
        }
    }
}

/// The angle that differs from `angle_rad` by whole turns and from `near_rad` by half a turn at most.
fn nearest_turn(angle_rad: f64, near_rad: f64) -> f64 {
    angle_rad - ((angle_rad - near_rad) / TAU).round() * TAU
}

#[cfg(test)]
#[path = "controller_tests.rs"]
pub(crate) mod tests;
