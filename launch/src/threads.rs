//! The threads of a session in real time, and the hand-overs between them.
//!
//! ```text
//! control (FIFO 80): arm, controller --- newest observation, newest step --> policy, session
//!                                    --- every step -----------------------> recorder
//! camera  (FIFO 60): newest frame -----> policy;  every frame -------------> recorder
//! policy           : decisions --------> control
//! session          : requests ---------> control;  "play an episode" ------> policy
//! ```
//!
//! Not responsible for the order of episodes ([`crate::session`]), nor for what any of them decides.

use crate::allocations;
use crate::config::{JOINTS, Launch};
use crate::played::{self, Played};
use crossbeam::channel::{Receiver, Sender};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use visuomotor_runtime::arm::{Arm, Fingers};
use visuomotor_runtime::camera::{Camera, Frame};
use visuomotor_runtime::camera_loop::{self, CameraCounters, FrameExchange, Refused};
use visuomotor_runtime::clock::linux::{LinuxMono, thread_cpu_time};
use visuomotor_runtime::clock::{Duration, Instant, ThreadMono, Ticker, block_on, executor};
use visuomotor_runtime::control_loop::{self, Exchange};
use visuomotor_runtime::controller::{Controller, Outputs, Request};
use visuomotor_runtime::episode::{DecisionRecord, EventSink, ObservationRecord, StepSink};
use visuomotor_runtime::handoff::{LatestInput, LatestOutput, Stamped};
use visuomotor_runtime::health::{Health, HealthMeter, HealthSummary};
use visuomotor_runtime::observation::{GripperObservation, Observation, SceneTruth};
use visuomotor_runtime::pace::Pace;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};
use visuomotor_runtime::policy_loop::{self, PolicyExchange, Schedule};
use visuomotor_runtime::realtime::{Preference, Thread, ThreadPlan};
use visuomotor_runtime::step::Step;

/// The control thread's ends of all hand-overs; wait-free.
pub struct ControlLink<const N: usize = JOINTS> {
    pub requests: rtrb::Consumer<Request>,
    pub decisions: rtrb::Consumer<Decision>,
    pub observation: LatestInput<GripperObservation>,
    pub newest: LatestInput<Step<N>>,
    pub steps: StepSink<N>,
    pub ended: Arc<AtomicBool>,
    /// Of all ticks.
    pub health: HealthSummary,
    /// Of the loop.
    pub period: Duration,
    /// Set by the thread itself before its first tick.
    pub meter: Option<HealthMeter>,
}

impl<const N: usize> ControlLink<N> {
    /// How the tick of this step fared.
    pub fn measure(&mut self, step: &Step<N>) -> Option<Health> {
        let woken = step.due + step.jitter;
        let meter = self.meter.as_mut()?;
        let health = meter.tick(woken, LinuxMono::now);
        self.health.add(step.lateness(self.period), &health);
        Some(health)
    }

    /// Everything that leaves the control thread in a tick but for the command.
    pub fn hand_over(&mut self, outputs: &Outputs<N>, health: Option<Health>) {
        let step = outputs.step;
        if let Some(observation) = outputs.observation {
            self.observation.write(Some(Stamped {
                at: observation.sampled_at,
                value: observation,
            }));
        }
        self.newest.write(Some(Stamped {
            at: step.due,
            value: step,
        }));
        self.steps.push(&step, health);
    }
}

impl<const N: usize> Exchange<N> for ControlLink<N> {
    fn decision(&mut self) -> Option<Decision> {
        self.decisions.pop().ok()
    }

    fn request(&mut self) -> Option<Request> {
        self.requests.pop().ok()
    }

    fn publish(&mut self, outputs: &Outputs<N>) {
        let health = self.measure(&outputs.step);
        self.hand_over(outputs, health);
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// What the control thread reports when it ends.
pub struct ControlReport {
    pub health: HealthSummary,
    /// Calls of the allocator from before the first tick until after the last.
    pub allocations: u64,
    /// CPU time of the thread from before the first tick until after the last.
    pub cpu_time: Duration,
}

/// The control thread, from its first tick to a controlled end.
pub fn control<const N: usize>(
    launch: &Launch<N>,
    arm: &mut impl Arm<N>,
    controller: &mut Controller<N>,
    mut link: ControlLink<N>,
    ready: &Sender<Result<Thread, String>>,
) -> Option<ControlReport> {
    let plan = ThreadPlan::control(launch.control.cpu);
    let entered = Thread::enter(launch.control.real_time, plan).map_err(|error| error.to_string());
    let refused = entered.is_err();
    if ready.send(entered).is_err() || refused {
        return None;
    }
    link.meter = Some(HealthMeter::of_this_thread());
    let mut allocations = 0;
    let before = thread_cpu_time();
    let (pace, period) = (launch.control.pace, launch.control_period());
    let pace = Pace::<LinuxMono>::new(pace, LinuxMono::now() + period, period);
    let ticks = control_loop::control(pace, arm, controller, &mut link);
    executor::run::<LinuxMono>(&mut [pin!(async {
        ((), allocations) = allocations::count_in(ticks).await;
    })]);
    Some(ControlReport {
        health: link.health,
        allocations,
        cpu_time: thread_cpu_time() - before,
    })
}

/// The camera thread's ends of all hand-overs.
pub struct CameraLink {
    /// To the policy.
    pub newest: triple_buffer::Input<Frame>,
    pub counters: triple_buffer::Input<CameraCounters>,
    /// To the recorder.
    pub events: EventSink,
    pub ended: Arc<AtomicBool>,
}

impl FrameExchange for CameraLink {
    fn buffer(&mut self) -> &mut Frame {
        self.newest.input_buffer_mut()
    }

    fn publish(&mut self) {
        self.events.frame(self.newest.input_buffer_mut());
        self.newest.publish();
    }

    fn polled(&mut self, counters: &CameraCounters, refused: Option<Refused>) {
        self.counters.write(*counters);
        // A slow camera has nothing for every second poll.
        if let Some(refused) = refused.filter(|refused| counters.is_first(*refused)) {
            tracing::warn!("no frame: {refused}; further ones of this kind are only counted");
        }
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// The camera thread: a frame every period, the newest to the policy and all of them to the recorder.
pub fn camera(camera: &mut (impl Camera + ?Sized), period: Duration, mut link: CameraLink) {
    // Without the right to it the camera is merely less punctual; the control thread has reported what is missing.
    let _ = Thread::enter(Preference::Preferred, ThreadPlan::camera());
    let ticker = Ticker::<ThreadMono>::new(LinuxMono::now(), period);
    block_on(camera_loop::poll(ticker, camera, &mut link));
}

/// How far the episode has come, for the status line.
#[derive(Default)]
pub struct Progress {
    step: AtomicU32,
    /// The bits of an `f64`.
    q_value: AtomicU64,
    frame_age_ns: AtomicU64,
    /// Decisions that found control's ring full.
    dropped_decisions: AtomicU64,
}

impl Progress {
    pub fn step(&self) -> u32 {
        self.step.load(Ordering::Relaxed)
    }

    pub fn q_value(&self) -> f64 {
        f64::from_bits(self.q_value.load(Ordering::Relaxed))
    }

    pub fn dropped_decisions(&self) -> u64 {
        self.dropped_decisions.load(Ordering::Relaxed)
    }

    fn note(&self, decision: &Decision, observed: &ObservationRecord, dropped: bool) {
        self.step.store(observed.step + 1, Ordering::Relaxed);
        self.q_value
            .store(decision.q_value.to_bits(), Ordering::Relaxed);
        let age = observed
            .observed_at
            .checked_duration_since(observed.frame_captured_at);
        let age_ns = age.map_or(0, |age| age.as_nanos());
        self.frame_age_ns.store(age_ns, Ordering::Relaxed);
        self.dropped_decisions
            .fetch_add(u64::from(dropped), Ordering::Relaxed);
    }

    pub fn frame_age_ms(&self) -> f64 {
        self.frame_age_ns.load(Ordering::Relaxed) as f64 * 1e-6
    }
}

/// Writes the simulator's truth, where there is one.
pub type TruthSource = Box<dyn FnMut(&mut SceneTruth) -> bool + Send>;

/// The policy thread's ends of all hand-overs, and what came of the episode so far.
pub struct PolicyLink {
    pub frames: triple_buffer::Output<Frame>,
    pub observation: LatestOutput<GripperObservation>,
    pub truth: Option<TruthSource>,
    pub decisions: rtrb::Producer<Decision>,
    pub events: EventSink,
    pub progress: Arc<Progress>,
    /// The session ends the episode early.
    pub cancelled: Arc<AtomicBool>,
    pub so_far: SoFar,
}

/// The episode so far.
#[derive(Default)]
pub struct SoFar {
    scene: SceneTruth,
    played: Played,
    /// The last that the policy looked at, and what the fingers had been told.
    observed: Option<(ObservationRecord, Fingers)>,
}

impl PolicyExchange for PolicyLink {
    fn observe(&mut self, now: Instant, step: u32) -> Option<Observation<'_>> {
        let gripper = self.observation.read().as_ref()?.value;
        let frame = self.frames.read();
        if frame.image.rgb.is_empty() {
            return None;
        }
        let truth = match &mut self.truth {
            Some(source) => source(&mut self.so_far.scene).then_some(&self.so_far.scene),
            None => None,
        };
        let observation = Observation {
            frame,
            gripper,
            step,
            truth,
        };
        let record = ObservationRecord::new(&observation, now);
        self.so_far.observed = Some((record, gripper.fingers));
        Some(observation)
    }

    fn deliver(&mut self, now: Instant, decided: Result<Decision, PolicyError>) {
        let Some((observed, fingers)) = self.so_far.observed.take() else {
            return;
        };
        let decision = match decided {
            Ok(decision) => decision,
            Err(error) => {
                tracing::error!("step {}: no decision: {error}", observed.step);
                return;
            }
        };
        self.so_far.played.note(&decision.action, fingers);
        self.progress
            .note(&decision, &observed, self.decisions.push(decision).is_err());
        // Still the frame that was looked at: nothing newer is taken before the next look.
        let image = &self.frames.output_buffer().image;
        self.events.observation(observed, image);
        self.events.decision(DecisionRecord {
            decision,
            decided_at: now,
        });
    }

    fn ended(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

pub struct PolicyThread {
    pub policy: Box<dyn Policy>,
    pub period: Duration,
    pub steps_max: u32,
    pub link: PolicyLink,
}

impl PolicyThread {
    /// Plays an episode for every seed that comes, until the sender is gone.
    pub fn run(mut self, seeds: &Receiver<u64>, played: &Sender<Played>) {
        while let Ok(seed) = seeds.recv() {
            if played.send(self.play(seed)).is_err() {
                return;
            }
        }
    }

    fn play(&mut self, seed: u64) -> Played {
        self.policy.reset(seed);
        let schedule = Schedule {
            first: LinuxMono::now(),
            period: self.period,
            steps_max: self.steps_max,
        };
        let mut cpu_ms = Vec::new();
        let decide = |_: Instant, observation: &Observation<'_>| {
            let (decided, ms) = played::timed(&mut *self.policy, observation);
            cpu_ms.push(ms);
            // Real thinking takes its time by itself.
            (decided, Duration::ZERO)
        };
        block_on(policy_loop::play::<ThreadMono>(
            schedule,
            decide,
            &mut self.link,
        ));
        let mut played = std::mem::take(&mut self.link.so_far.played);
        played.policy_tick_ms = cpu_ms;
        played
    }
}

/// The period of frames, from the launch file's rate of actions: several frames an action, so that the newest is fresh.
pub fn frame_period<const N: usize>(launch: &Launch<N>) -> Duration {
    const FRAMES_PER_ACTION: u64 = 8;
    Duration::from_ticks(launch.action_period().as_ticks() / FRAMES_PER_ACTION)
}
