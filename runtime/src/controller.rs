//! One tick of control as a pure function: [`Controller::step`] turns the time and what was read into what is sent.
//!
//! Responsible for who may ask for motion (arbitration between hold, approach and policy), for turning actions into a
//! goal, for the watchdogs, and for latching faults. Not responsible for reading, writing or waiting
//! ([`crate::control_loop`]), nor for whether a motion is safe ([`crate::safety`]).
//!
//! Replay and simulation call the same function: equal inputs give equal outputs, bit for bit.

use crate::action::{Action, ActionScale, Verb};
use crate::arm::{ArmError, ArmState, Fingers};
use crate::clock::{Duration, Instant, Tick};
use crate::fault::Fault;
use crate::kinematics::ik::{self, Tuning};
use crate::kinematics::{Chain, pose};
use crate::observation::{GripperObservation, TcpPose};
use crate::policy::Decision;
use crate::safety::{self, Intervention, Safety, SafetyReport, Verdict};
use crate::setpoint::{Setpoint, SetpointLimits, TcpReference};
use crate::step::{Counters, Phase, Step};
use crate::units::{JointPositions, JointVelocities};
use nalgebra::{Isometry3, SVector, Vector3};

/// Where an action's goal may lie, and how large one action may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoalLimits {
    /// Lowest and highest TCP goal, m, task frame.
    pub position_min_m: Vector3<f64>,
    pub position_max_m: Vector3<f64>,
    /// The unwrapped yaw goal stays within plus and minus this, rad.
    pub yaw_max_rad: f64,
    pub scale: ActionScale,
}

/// So far the reference leads the tool without waiting for it.
const LAG_FREE_M: f64 = 0.003;
/// So far ahead of the tool it stands still.
const LAG_MAX_M: f64 = 0.010;

/// After how long silence becomes a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watchdogs {
    pub arm_silence_max: Duration,
    pub policy_silence_max: Duration,
    pub frame_age_max: Duration,
    /// How far a measured joint may lag its command, rad.
    pub tracking_max_rad: f64,
}

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

/// Pose error is corrected with this time constant's inverse, 1/s: fast against the actions, slow against the tick.
const POSE_GAIN_PER_S: f64 = 30.0;

/// What a person or the session asks of the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    Hold,
    /// Move the tool there, then hold.
    Approach(TcpPose),
    /// From now on decisions move the tool.
    StartPolicy,
    /// A person has seen the fault and wants to go on from where the arm stands. Ignored while the arm still decelerates.
    ClearFault,
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

impl<const N: usize> Outputs<N> {
    /// Whether a stop has come to its end; false while the arm is free to move, even where it does not.
    pub fn is_stopped(&self) -> bool {
        match self.verdict {
            Verdict::Move(_) => self.step.report.intervention == Intervention::Stopped,
            Verdict::Stop(_) => true,
        }
    }
}

pub struct Controller<const N: usize> {
    config: ControllerConfig<N>,
    chain: Chain<N>,
    safety: Safety<N>,
    setpoint: Setpoint,
    tuning: Tuning<N>,
    phase: Phase,
    fault: Option<Fault>,
    /// [`Request::End`] has come.
    ending: bool,
    /// The last tick's [`Outputs::is_stopped`].
    stopped: bool,
    goal: TcpPose,
    /// Somebody has asked for motion since the arm was armed. Until then it rests as it is: the reference's tool points
    /// straight down, the measured one may not.
    asked: bool,
    fingers: Fingers,
    newest: Option<ArmState<N>>,
    /// The first tick: an arm that has never answered is silent since then.
    began: Option<Instant>,
    /// The newest tick whose command did not fail to leave.
    wrote_at: Instant,
    /// Number of the decision that is due next, and when silence began.
    next_decision: u64,
    heard_policy_at: Instant,
    counters: Counters,
    tick: u64,
}

impl<const N: usize> Controller<N> {
    /// # Panics
    /// When the goal's limits leave no room.
    pub fn new(config: ControllerConfig<N>, chain: Chain<N>, safety: Safety<N>) -> Self {
        let GoalLimits {
            position_min_m: low,
            position_max_m: high,
            yaw_max_rad,
            ..
        } = config.goal;
        assert!(
            low.iter().zip(&high).all(|(low, high)| low <= high) && yaw_max_rad >= 0.0,
            "no room for goals: {:?}",
            config.goal
        );
        let origin = TcpPose {
            position_m: Vector3::zeros(),
            yaw_rad: 0.0,
        };
        Self {
            setpoint: Setpoint::new(config.setpoint),
            tuning: Tuning {
                posture: config.posture,
                posture_gain_per_s: config.posture_gain_per_s,
                pose_gain_per_s: POSE_GAIN_PER_S,
                dq_max: config.dq_max,
            },
            config,
            chain,
            safety,
            phase: Phase::Idle,
            fault: None,
            ending: false,
            stopped: false,
            goal: origin,
            asked: false,
            fingers: Fingers::Open,
            newest: None,
            began: None,
            wrote_at: Instant::from_ticks(0),
            next_decision: 0,
            heard_policy_at: Instant::from_ticks(0),
            counters: Counters::default(),
            tick: 0,
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn step(&mut self, tick: Tick, inputs: Inputs<N>) -> Outputs<N> {
        let now = tick.due + tick.jitter;
        self.counters.missed_ticks += tick.missed;
        // Before sensing: what is still wrong latches again, and motion goes on from this tick's measured pose.
        if inputs.request == Some(Request::ClearFault) {
            self.clear();
        }
        let arming = self.phase == Phase::Idle;
        self.sense(now, &inputs);
        if let Some(request) = inputs.request {
            self.obey(now, request);
        }
        if let Some(decision) = inputs.decision {
            self.act(now, decision);
        }
        self.watch(now);
        let reference = self.setpoint.sample(now + self.config.period);
        let (verdict, report) = self.command(&reference, arming);
        if let Some(fault) = report.fault {
            self.latch(fault);
        }
        let step = self.record(tick, inputs.arm.ok(), reference.pose, &verdict, report);
        self.tick += 1;
        let outputs = Outputs {
            verdict,
            observation: self.observe(),
            step,
        };
        self.stopped = outputs.is_stopped();
        outputs
    }

    fn sense(&mut self, now: Instant, inputs: &Inputs<N>) {
        self.began.get_or_insert(now);
        match inputs.arm {
            Ok(state) => match not_finite(&state) {
                None => self.take(now, state),
                Some(joint) => {
                    self.counters.failed_reads += 1;
                    self.latch(Fault::EncoderNotFinite { joint });
                }
            },
            Err(error) => {
                self.counters.failed_reads += 1;
                self.latch_drive(error);
            }
        }
        match inputs.write_error {
            None => self.wrote_at = now,
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
        match self.safety.arm(state) {
            Ok(()) => {
                self.goal = self.tool(&state.q);
                self.asked = false;
                match self.setpoint.reset(now, self.goal) {
                    Ok(()) => self.phase = Phase::Hold,
                    Err(_) => self.latch(Fault::ActionNotFinite),
                }
            }
            Err(fault) => self.latch(fault),
        }
    }

    /// A moving arm first comes to rest: starting from there would tear the motion off.
    fn clear(&mut self) {
        if self.phase == Phase::Faulted && self.stopped {
            self.fault = None;
            self.phase = Phase::Idle;
        }
    }

    fn obey(&mut self, now: Instant, request: Request) {
        match (request, self.phase) {
            (Request::End, phase) => {
                self.ending = true;
                if matches!(phase, Phase::Approach | Phase::Policy) {
                    self.phase = Phase::Hold;
                }
            }
            _ if self.ending => {}
            (Request::Approach(goal), Phase::Hold | Phase::Approach | Phase::Policy) => {
                self.phase = Phase::Approach;
                self.fingers = Fingers::Open;
                self.go_to(now, self.within_reach(goal));
            }
            (Request::StartPolicy, Phase::Hold | Phase::Approach) => {
                self.phase = Phase::Policy;
                self.next_decision = 0;
                self.heard_policy_at = now;
            }
            (Request::Hold, Phase::Approach | Phase::Policy) => {
                self.phase = Phase::Hold;
                self.go_to(now, self.setpoint.sample(now).pose);
            }
            _ => {}
        }
    }

    fn act(&mut self, now: Instant, decision: Decision) {
        let age = now.checked_duration_since(decision.frame_captured_at);
        let fresh = age.is_some_and(|age| age <= self.config.watchdogs.frame_age_max);
        let number = u64::from(decision.step);
        if self.phase != Phase::Policy || number < self.next_decision || !fresh {
            self.counters.late_decisions += 1;
            return;
        }
        if !decision.action.is_finite() {
            self.latch(Fault::ActionNotFinite);
            return;
        }
        self.next_decision = number + 1;
        self.heard_policy_at = now;
        match decision.action.verb {
            Verb::Move => {}
            Verb::Close => self.fingers = Fingers::Closed,
            Verb::Open => self.fingers = Fingers::Open,
            Verb::Terminate => {
                self.phase = Phase::Hold;
                return;
            }
        }
        let (goal, clamped) = self.displaced(&decision.action);
        self.counters.clamped_actions += u64::from(clamped);
        self.go_to(now, goal);
    }

    /// The goal after `action`, and whether scale or reach cut it.
    fn displaced(&self, action: &Action) -> (TcpPose, bool) {
        let scale = self.config.goal.scale;
        let cut = scale.action(scale.motion(action), action.verb);
        let difference = (cut.translation_m - action.translation_m)
            .amax()
            .max((cut.yaw_rad - action.yaw_rad).abs());
        let asked = TcpPose {
            position_m: self.goal.position_m + cut.translation_m,
            yaw_rad: self.goal.yaw_rad + cut.yaw_rad,
        };
        let goal = self.within_reach(asked);
        (goal, difference > 1e-9 || goal != asked)
    }

    /// The nearest pose where a goal may lie. What is not finite stays so, for [`Setpoint`] to refuse.
    fn within_reach(&self, asked: TcpPose) -> TcpPose {
        let limits = &self.config.goal;
        TcpPose {
            // Not `sup` and `inf`: they turn NaN into a corner.
            position_m: Vector3::from_fn(|axis, _| {
                let (low, high) = (limits.position_min_m[axis], limits.position_max_m[axis]);
                asked.position_m[axis].clamp(low, high)
            }),
            yaw_rad: asked.yaw_rad.clamp(-limits.yaw_max_rad, limits.yaw_max_rad),
        }
    }

    fn go_to(&mut self, now: Instant, goal: TcpPose) {
        if self.setpoint.retarget(now, goal).is_ok() {
            self.goal = goal;
            self.asked = true;
        } else {
            self.latch(Fault::ActionNotFinite);
        }
    }

    fn watch(&mut self, now: Instant) {
        let dogs = self.config.watchdogs;
        let heard_arm_at = self
            .newest
            .map_or(self.began.unwrap_or(now), |state| state.sampled_at);
        let age = self
            .age(now, heard_arm_at)
            .max(self.age(now, self.wrote_at));
        if age > dogs.arm_silence_max {
            self.latch(Fault::ArmLinkLost { age_ms: ms(age) });
        }
        if let (Some(state), Some(command)) = (self.newest, self.safety.command()) {
            let error = command.q.0 - state.q.0;
            let joint = error.iamax();
            let (error_rad, limit_rad) = (error[joint].abs(), dogs.tracking_max_rad);
            if error_rad > limit_rad {
                self.latch(Fault::Tracking {
                    joint: joint as u8,
                    error_rad,
                    limit_rad,
                });
            }
        }
        if self.phase == Phase::Policy {
            let age = self.age(now, self.heard_policy_at);
            if age > dogs.policy_silence_max {
                self.latch(Fault::PolicySilent {
                    age_ms: ms(age),
                    limit_ms: ms(dogs.policy_silence_max),
                });
            }
        }
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

    /// The first fault stays until a person clears it.
    fn latch(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.phase = Phase::Faulted;
    }

    /// While `arming`, the command is the measured pose itself.
    fn command(&mut self, reference: &TcpReference, arming: bool) -> (Verdict<N>, SafetyReport) {
        let Some(command) = self.safety.command() else {
            return self.safety.filter(safety::Request::Stop, self.fingers);
        };
        let request = match self.phase {
            Phase::Faulted | Phase::Idle => safety::Request::Stop,
            _ if arming || self.ending || !self.asked => safety::Request::Stop,
            Phase::Hold | Phase::Approach | Phase::Policy => {
                let mut tuning = self.tuning;
                if self.phase == Phase::Hold {
                    // Who holds still does not tidy up the elbow either.
                    tuning.posture_gain_per_s.fill(0.0);
                }
                let pace = self.pace(&reference.pose, &command.q);
                let motion = pose::tool_motion(
                    &self.config.T_base_task,
                    &reference.pose,
                    &reference.velocity.map(|v| v * pace),
                    &reference.acceleration.map(|a| a * pace * pace),
                );
                let joints =
                    ik::differential(&self.chain, &command.q, &command.dq, &motion, &tuning);
                // Where a joint is too slow, or the filter holds the arm back, the reference waits on its path.
                let behind = 1.0 - joints.speed_scale * pace;
                let behind = behind * self.config.period.as_ticks() as f64;
                self.setpoint.hold_back(Duration::from_ticks(behind as u64));
                safety::Request::Motion {
                    dq: joints.dq,
                    ddq: joints.ddq,
                }
            }
        };
        self.safety.filter(request, self.fingers)
    }

    /// How fast the reference goes on, in [0, 1]: slower the further it is ahead of the commanded tool.
    fn pace(&self, reference: &TcpPose, q: &JointPositions<N>) -> f64 {
        let ahead_m = (reference.position_m - self.tool(q).position_m).norm();
        1.0 - ((ahead_m - LAG_FREE_M) / (LAG_MAX_M - LAG_FREE_M)).clamp(0.0, 1.0)
    }

    fn tool(&self, q: &JointPositions<N>) -> TcpPose {
        pose::tcp_pose(&self.config.T_base_task, &self.chain.fk(q))
    }

    fn observe(&self) -> Option<GripperObservation> {
        let state = self.newest?;
        Some(GripperObservation {
            sampled_at: state.sampled_at,
            measured: self.tool(&state.q),
            goal: self.goal,
            fingers: self.fingers,
            aperture_m: state.aperture_m,
        })
    }

    fn record(
        &self,
        tick: Tick,
        measured: Option<ArmState<N>>,
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
            phase: self.phase,
            measured,
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

/// The first joint whose measurement is not finite; the fingers count as the one after the last.
fn not_finite<const N: usize>(state: &ArmState<N>) -> Option<u8> {
    let joint = |i: usize| !(state.q[i].is_finite() && state.dq[i].is_finite());
    let fingers = !state.aperture_m.is_finite();
    (0..N)
        .find(|&i| joint(i))
        .or(fingers.then_some(N))
        .map(|i| i as u8)
}

fn ms(span: Duration) -> f64 {
    span.as_nanos() as f64 * 1e-6
}

#[cfg(test)]
#[path = "controller_tests.rs"]
pub(crate) mod tests;
