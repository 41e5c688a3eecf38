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
use crate::safety::{self, Safety, SafetyReport, StopCategory, Verdict};
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
    /// A person has seen the fault and wants to go on from where the arm stands.
    ClearFault,
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
    chain: Chain<N>,
    safety: Safety<N>,
    setpoint: Setpoint,
    tuning: Tuning<N>,
    phase: Phase,
    fault: Option<Fault>,
    goal: TcpPose,
    fingers: Fingers,
    newest: Option<ArmState<N>>,
    /// Number of the decision that is due next, and when silence began.
    next_decision: u32,
    heard_policy_at: Instant,
    counters: Counters,
    tick: u64,
}

impl<const N: usize> Controller<N> {
    pub fn new(config: ControllerConfig<N>, chain: Chain<N>, safety: Safety<N>) -> Self {
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
            goal: origin,
            fingers: Fingers::Open,
            newest: None,
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
        self.sense(now, &inputs);
        if let Some(request) = inputs.request {
            self.obey(now, request);
        }
        if let Some(decision) = inputs.decision {
            self.act(now, decision);
        }
        self.watch(now);
        let reference = self.setpoint.sample(now + self.config.period);
        let (verdict, report) = self.command(&reference);
        if let Some(fault) = report.fault {
            self.latch(fault);
        }
        let step = self.record(tick, inputs.arm.ok(), reference.pose, &verdict, report);
        self.tick += 1;
        Outputs {
            verdict,
            observation: self.observe(),
            step,
        }
    }

    fn sense(&mut self, now: Instant, inputs: &Inputs<N>) {
        match inputs.arm {
            Ok(state) if state.q.is_finite() && state.dq.is_finite() => {
                let reused = self
                    .newest
                    .is_some_and(|last| last.sampled_at == state.sampled_at);
                self.counters.reused_samples += u64::from(reused);
                self.newest = Some(state);
            }
            Ok(state) => {
                self.counters.failed_reads += 1;
                let joint = state
                    .q
                    .0
                    .iter()
                    .zip(&state.dq.0)
                    .position(|(q, dq)| !(q + dq).is_finite());
                self.latch(Fault::EncoderNotFinite {
                    joint: joint.unwrap_or(0) as u8,
                });
            }
            Err(ArmError::Drive { code }) => self.latch(Fault::Drive { code }),
            Err(_) => self.counters.failed_reads += 1,
        }
        if let Some(ArmError::Drive { code }) = inputs.write_error {
            self.latch(Fault::Drive { code });
        }
        if self.phase == Phase::Idle && self.newest.is_some() {
            self.start(now);
        }
    }

    /// First command equals the measured pose: arms the safety filter there, at rest.
    fn start(&mut self, now: Instant) {
        let Some(state) = self.newest else { return };
        match self.safety.arm(&state) {
            Ok(()) => {
                self.goal = self.tool(&state.q);
                match self.setpoint.reset(now, self.goal) {
                    Ok(()) => self.phase = Phase::Hold,
                    Err(_) => self.latch(Fault::ActionNotFinite),
                }
            }
            Err(fault) => self.latch(fault),
        }
    }

    fn obey(&mut self, now: Instant, request: Request) {
        match (request, self.phase) {
            (Request::ClearFault, Phase::Faulted) => {
                self.fault = None;
                self.phase = Phase::Idle;
                self.start(now);
            }
            (Request::Approach(goal), Phase::Hold | Phase::Approach | Phase::Policy) => {
                self.phase = Phase::Approach;
                self.fingers = Fingers::Open;
                self.set_goal(now, goal);
            }
            (Request::StartPolicy, Phase::Hold | Phase::Approach) => {
                self.phase = Phase::Policy;
                self.next_decision = 0;
                self.heard_policy_at = now;
            }
            (Request::Hold, Phase::Approach | Phase::Policy) => {
                self.phase = Phase::Hold;
                self.set_goal(now, self.setpoint.sample(now).pose);
            }
            _ => {}
        }
    }

    fn act(&mut self, now: Instant, decision: Decision) {
        let age = now.checked_duration_since(decision.frame_captured_at);
        let fresh = age.is_some_and(|age| age <= self.config.watchdogs.frame_age_max);
        if self.phase != Phase::Policy || decision.step < self.next_decision || !fresh {
            self.counters.late_decisions += 1;
            return;
        }
        if !decision.action.is_finite() {
            self.latch(Fault::ActionNotFinite);
            return;
        }
        self.next_decision = decision.step + 1;
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
        let asked = self.displaced(&decision.action);
        self.set_goal(now, asked);
    }

    /// The goal after `action`, with the action cut to its scale.
    fn displaced(&mut self, action: &Action) -> TcpPose {
        let scale = self.config.goal.scale;
        let cut = scale.action(scale.motion(action), action.verb);
        let difference = (cut.translation_m - action.translation_m)
            .amax()
            .max((cut.yaw_rad - action.yaw_rad).abs());
        self.counters.clamped_actions += u64::from(difference > 1e-9);
        TcpPose {
            position_m: self.goal.position_m + cut.translation_m,
            yaw_rad: self.goal.yaw_rad + cut.yaw_rad,
        }
    }

    fn set_goal(&mut self, now: Instant, asked: TcpPose) {
        let limits = &self.config.goal;
        let goal = TcpPose {
            position_m: asked
                .position_m
                .sup(&limits.position_min_m)
                .inf(&limits.position_max_m),
            yaw_rad: asked.yaw_rad.clamp(-limits.yaw_max_rad, limits.yaw_max_rad),
        };
        self.counters.clamped_actions += u64::from(goal != asked);
        if self.setpoint.retarget(now, goal).is_ok() {
            self.goal = goal;
        } else {
            self.latch(Fault::ActionNotFinite);
        }
    }

    fn watch(&mut self, now: Instant) {
        let dogs = self.config.watchdogs;
        if let Some(state) = self.newest {
            let age = age(now, state.sampled_at, self.config.period);
            if age > dogs.arm_silence_max {
                self.latch(Fault::ArmLinkLost { age_ms: ms(age) });
            }
            if let Some(command) = self.safety.command() {
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
        }
        if self.phase == Phase::Policy {
            let age = now - self.heard_policy_at;
            if age > dogs.policy_silence_max {
                self.latch(Fault::PolicySilent {
                    age_ms: ms(age),
                    limit_ms: ms(dogs.policy_silence_max),
                });
            }
        }
    }

    /// The first fault stays until a person clears it.
    fn latch(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.phase = Phase::Faulted;
    }

    fn command(&mut self, reference: &TcpReference) -> (Verdict<N>, SafetyReport) {
        let Some(command) = self.safety.command() else {
            return (
                Verdict::Stop(StopCategory::Two),
                SafetyReport {
                    fault: self.fault,
                    ..Default::default()
                },
            );
        };
        let request = match self.phase {
            Phase::Faulted | Phase::Idle => safety::Request::Stop,
            Phase::Hold | Phase::Approach | Phase::Policy => {
                let motion = pose::tool_motion(
                    &self.config.T_base_task,
                    &reference.pose,
                    &reference.velocity,
                    &reference.acceleration,
                );
                let joints =
                    ik::differential(&self.chain, &command.q, &command.dq, &motion, &self.tuning);
                // Where a joint is too slow, the reference waits on its path.
                let behind = (1.0 - joints.speed_scale) * self.config.period.as_ticks() as f64;
                self.setpoint
                    .hold_back(Duration::from_ticks(behind as u64));
                safety::Request::Motion {
                    dq: joints.dq,
                    ddq: joints.ddq,
                }
            }
        };
        self.safety.filter(request, self.fingers)
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

/// How old a sample is. The arm is read after the tick has begun, so a stamp may lie ahead by less than `ahead_max`;
/// one from further in the future is a broken clock, and counts as infinitely old.
fn age(now: Instant, sampled_at: Instant, ahead_max: Duration) -> Duration {
    match now.checked_duration_since(sampled_at) {
        Some(age) => age,
        None if sampled_at <= now + ahead_max => Duration::from_ticks(0),
        None => Duration::from_ticks(u64::MAX),
    }
}

fn ms(span: Duration) -> f64 {
    span.as_nanos() as f64 * 1e-6
}
