//! Episodes in simulated time: physics, camera, policy and controller as tasks on one thread.
//!
//! Responsible for the order of things in an episode and for judging its end in the physics. Controller, loop and
//! policy are the very ones that drive an arm; here only the clock jumps. Everything random follows from the episode's
//! seed, so an episode repeats byte for byte.
//!
//! Not responsible for real time ([`crate::session`]), for statistics ([`crate::report`]) or for files.

use crate::config::{JOINTS, Launch};
use crate::film::Observer;
use crate::played::{self, Played};
use crate::report::{EpisodeResult, Judged};
use crate::wiring::{self, SimulatedArm, WiringError};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use visuomotor_drivers::sim::{
    self, Judgement, Latency, SimCamera, SimObserver, Split, View, World,
};
use visuomotor_policies::explore::Explore;
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, Fingers};
use visuomotor_runtime::camera::{Camera, Frame};
use visuomotor_runtime::camera_loop::{self, CameraCounters, FrameExchange, Refused};
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::clock::{Duration, Instant, SimMono, Ticker, Timebase, executor};
use visuomotor_runtime::control_loop::{self, Exchange};
use visuomotor_runtime::controller::{Outputs, Request};
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::observation::{GripperObservation, Observation, SceneTruth};
use visuomotor_runtime::pace::Pace;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};
use visuomotor_runtime::policy_loop::{self, PolicyExchange, Schedule};
use visuomotor_runtime::safety::{OperatingMode, SafeCommand, StopCategory};
use visuomotor_runtime::units::JointPositions;

/// When the first decision falls due: the controller has armed itself and the physics have taken a few steps.
const FIRST_DECISION: Duration = Duration::from_ticks(100_000_000);
/// The gripper holds still for this long before the end is judged.
const SETTLE: Duration = Duration::from_ticks(250_000_000);
/// A perturbed episode's object is displaced by this much, m.
const PUSH_M: f64 = 0.05;
/// In mid-approach the open fingers are lower than this, m, task frame.
const MID_APPROACH_M: f64 = 0.11;

/// What the seed of an episode decides besides its scene.
#[derive(Clone, Copy, Debug)]
pub struct Drawn<const N: usize = JOINTS> {
    /// Where the arm starts.
    pub q: JointPositions<N>,
    pub latency: Latency,
    /// Seed of the push that displaces an object, where there is one.
    push: Option<u64>,
    /// Given to the policy.
    pub policy_seed: u64,
}

impl<const N: usize> Drawn<N> {
    /// `perturb` is the probability of a push.
    pub fn of(launch: &Launch<N>, seed: u64, perturb: f64) -> Result<Self, WiringError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let start = wiring::draw_start(launch, &mut rng);
        Ok(Self {
            q: wiring::start_joints(launch, &start, &mut rng)?,
            latency: wiring::scene(launch)?.latency.draw(&mut rng),
            push: (rng.random::<f64>() < perturb).then(|| rng.random()),
            policy_seed: rng.random(),
        })
    }
}

pub struct Rig<'a, const N: usize = JOINTS> {
    launch: &'a Launch<N>,
    split: Split,
    policy: Explore<Box<dyn Policy>>,
    mode: OperatingMode,
    arm: SimulatedArm<N>,
    camera: SimCamera,
    spectator: Option<SimCamera>,
    observer: SimObserver,
}

/// What the tasks of an episode share; they run on one thread.
#[derive(Default)]
struct Shared {
    gripper: Cell<Option<GripperObservation>>,
    decision: Cell<Option<Decision>>,
    request: Cell<Option<Request>>,
    fault: Cell<Option<Fault>>,
    /// The newest that nobody has looked at.
    frame: Cell<Option<Frame>>,
    /// Nothing more is to be decided.
    over: Cell<bool>,
    ended: Cell<bool>,
}

struct Link<'a, 'b, const N: usize> {
    shared: &'a Shared,
    observer: &'a RefCell<&'b mut dyn Observer<N>>,
}

impl<const N: usize> Exchange<N> for Link<'_, '_, N> {
    fn decision(&mut self) -> Option<Decision> {
        self.shared.decision.take()
    }

    fn request(&mut self) -> Option<Request> {
        self.shared.request.take()
    }

    fn publish(&mut self, outputs: &Outputs<N>) {
        self.shared.gripper.set(outputs.observation);
        self.shared.fault.set(outputs.step.fault);
        self.observer.borrow_mut().ticked(&outputs.step);
    }

    fn ended(&self) -> bool {
        self.shared.ended.get()
    }
}

impl<'a, const N: usize> Rig<'a, N> {
    /// With `view_px` observers are shown a square view of that size at every decision.
    pub fn new(
        launch: &'a Launch<N>,
        split: Split,
        policy: Box<dyn Policy>,
        view_px: Option<u32>,
    ) -> Result<Self, WiringError> {
        let world = World::build(wiring::scene(launch)?, split, 0)?;
        let mut parts = sim::Rig::new(world);
        let seat = parts.camera(View::Policy);
        let spectator = view_px.map(|size_px| parts.camera(View::Spectator { size_px }));
        let observer = parts.observer();
        let (arm, _) = SimulatedArm::of(launch, parts)?;
        wiring::check_pace(launch, &arm)?;
        Ok(Self {
            launch,
            split,
            policy: Explore::new(policy, launch.action),
            mode: OperatingMode::default(),
            arm,
            camera: seat.open()?,
            spectator: spectator.map(|seat| seat.open()).transpose()?,
            observer,
        })
    }

    pub fn launch(&self) -> &'a Launch<N> {
        self.launch
    }

    /// Share of exploration in the episodes that follow, in [0, 1]; see [`Explore`].
    pub fn explore(&mut self, level: f64) {
        self.policy.set_level(level);
    }

    /// The operating mode of the episodes that follow.
    pub fn set_mode(&mut self, mode: OperatingMode) {
        self.mode = mode;
    }

    /// Runs the episode of `seed`. `perturb` is the probability that the object nearest to the fingers is displaced by
    /// 5 cm in mid-approach.
    pub fn episode(
        &mut self,
        seed: u64,
        perturb: f64,
        observer: &mut dyn Observer<N>,
    ) -> Result<EpisodeResult, WiringError> {
        let drawn = Drawn::of(self.launch, seed, perturb)?;
        self.repeat(seed, drawn, observer)
    }

    /// The same with what was drawn given.
    pub fn repeat(
        &mut self,
        seed: u64,
        drawn: Drawn<N>,
        observer: &mut dyn Observer<N>,
    ) -> Result<EpisodeResult, WiringError> {
        let wall_start = LinuxMono::now();
        self.enter_world(seed)?;
        let mut result = self.play(seed, drawn, observer)?;
        result.wall_s = seconds(LinuxMono::now() - wall_start);
        Ok(result)
    }

    /// Enters the world of `seed`, for [`Self::pick`]; tells how many objects lie in the tray.
    pub fn enter_world(&mut self, seed: u64) -> Result<usize, WiringError> {
        let world = World::build(wiring::scene(self.launch)?, self.split, seed)?;
        self.arm.replace(Box::new(world), SimMono::EPOCH);
        Ok(self.arm.in_world(|world| world.judge().in_tray))
    }

    /// Runs an episode in the present world and tells how many objects it leaves in the tray: a grasped object is taken
    /// away, any other falls where the fingers open.
    pub fn pick(
        &mut self,
        seed: u64,
        observer: &mut dyn Observer<N>,
    ) -> Result<(EpisodeResult, usize), WiringError> {
        let drawn = Drawn::of(self.launch, seed, 0.0)?;
        let result = self.play(seed, drawn, observer)?;
        let left = self.arm.in_world(|world| {
            if let Judgement {
                success: true,
                gripped: Some(object),
                ..
            } = world.judge()
            {
                world.take_away(object);
            }
            world.settle();
            world.judge().in_tray
        });
        Ok((result, left))
    }

    /// Runs an episode in the present world.
    fn play(
        &mut self,
        seed: u64,
        drawn: Drawn<N>,
        observer: &mut dyn Observer<N>,
    ) -> Result<EpisodeResult, WiringError> {
        let wall_start = LinuxMono::now();
        let Drawn {
            q,
            latency,
            push,
            policy_seed,
        } = drawn;
        self.arm.in_world(|world| world.place_arm::<N>(q.0.into()));
        SimMono::reset();
        self.arm.restart(SimMono::EPOCH)?;
        // A new one, so that every episode begins at the measured pose.
        let mut controller = wiring::controller(self.launch, self.mode)?;
        self.policy.reset(policy_seed);

        let shared = Shared::default();
        let observer = RefCell::new(observer);
        let push_due = Cell::new(None);
        let mut arm = PushableArm {
            arm: &mut self.arm,
            push: &push_due,
        };
        let mut link = Link {
            shared: &shared,
            observer: &observer,
        };
        let first = SimMono::EPOCH + FIRST_DECISION;
        let schedule = Schedule {
            first,
            period: self.launch.action_period(),
            steps_max: self.launch.task.steps_max,
        };
        let mut film = FilmLink {
            shared: &shared,
            frame: Frame::default(),
            frames_max: u64::from(schedule.steps_max),
            frames: 0,
        };
        // Each decision looks at a picture that was taken so long before.
        let frames_due = Ticker::<SimMono>::new(first - latency.image, schedule.period);
        let mut looks = PolicyLink {
            shared: &shared,
            judge: &mut self.observer,
            frame: Frame::default(),
            scene: SceneTruth::default(),
            push,
            push_due: &push_due,
            max_held_m: 0.0,
        };
        let (mut played, mut view) = (Played::default(), Frame::default());
        let (policy, spectator) = (&mut self.policy, &mut self.spectator);
        let decide = |now: Instant, observation: &Observation<'_>| {
            let (decided, cpu_ms) = played::timed(policy, observation);
            played.policy_tick_ms.push(cpu_ms);
            if let Ok(decision) = &decided {
                played.note(&decision.action, observation.gripper.fingers);
                let mut observer = observer.borrow_mut();
                observer.decided(observation, decision, now + latency.action);
                if let Some(spectator) = spectator
                    && spectator.capture(now, &mut view).is_ok()
                {
                    observer.viewed(&view.image);
                }
            }
            (decided, latency.action)
        };
        let period = self.launch.control_period();
        let pace = Pace::<SimMono>::new(self.launch.control.pace, SimMono::EPOCH, period);
        shared.request.set(Some(Request::StartPolicy));
        executor::run::<SimMono>(&mut [
            pin!(control_loop::control(
                pace,
                &mut arm,
                &mut controller,
                &mut link
            )),
            pin!(async {
                policy_loop::play::<SimMono>(schedule, decide, &mut looks).await;
                shared.request.set(Some(Request::Hold));
                SimMono::delay_until(SimMono::now() + SETTLE).await;
                looks.note_held();
                shared.ended.set(true);
            }),
            pin!(camera_loop::poll(frames_due, &mut self.camera, &mut film)),
        ]);
        let max_held_m = looks.max_held_m;
        Ok(played.result(
            seed,
            Some(Judged::from(&self.arm.in_world(|world| world.judge()))),
            max_held_m,
            shared.fault.get().map(|fault| self.launch.describe(&fault)),
            seconds(SimMono::now() - SimMono::EPOCH),
            seconds(LinuxMono::now() - wall_start),
        ))
    }
}

fn seconds(span: Duration) -> f64 {
    span.as_nanos() as f64 * 1e-9
}

/// The camera's side of an episode: a picture for each decision.
struct FilmLink<'a> {
    shared: &'a Shared,
    frame: Frame,
    frames_max: u64,
    frames: u64,
}

impl FrameExchange for FilmLink<'_> {
    fn buffer(&mut self) -> &mut Frame {
        &mut self.frame
    }

    fn publish(&mut self) {
        self.shared.frame.set(Some(std::mem::take(&mut self.frame)));
    }

    fn polled(&mut self, _: &CameraCounters, refused: Option<Refused>) {
        self.frames += 1;
        if let Some(refused) = refused {
            tracing::error!("no frame: {refused}");
        }
    }

    fn ended(&self) -> bool {
        self.frames == self.frames_max || self.shared.over.get()
    }
}

/// The policy's side of an episode.
struct PolicyLink<'a> {
    shared: &'a Shared,
    judge: &'a mut SimObserver,
    frame: Frame,
    scene: SceneTruth,
    /// Seed of the push that this episode gets, until it is given.
    push: Option<u64>,
    push_due: &'a Cell<Option<u64>>,
    max_held_m: f64,
}

impl PolicyExchange for PolicyLink<'_> {
    fn observe(&mut self, _: Instant, step: u32) -> Option<Observation<'_>> {
        self.note_held();
        if let Some(frame) = self.shared.frame.take() {
            self.frame = frame;
        }
        let gripper = self.shared.gripper.get()?;
        if self.frame.image.rgb.is_empty() {
            return None;
        }
        let approaching =
            gripper.fingers == Fingers::Open && gripper.measured.position_m.z < MID_APPROACH_M;
        if approaching && self.push.is_some() {
            self.push_due.set(self.push.take());
        }
        let truth = self.judge.truth(&mut self.scene).is_some();
        Some(Observation {
            frame: &self.frame,
            gripper,
            step,
            truth: truth.then_some(&self.scene),
        })
    }

    fn deliver(&mut self, _: Instant, decided: Result<Decision, PolicyError>) {
        match decided {
            Ok(decision) => {
                self.shared.decision.set(Some(decision));
                let over =
                    decision.action.verb == Verb::Terminate || self.shared.fault.get().is_some();
                self.shared.over.set(over);
            }
            Err(error) => {
                tracing::error!("no decision: {error}");
                self.shared.over.set(true);
            }
        }
    }

    fn ended(&self) -> bool {
        self.shared.over.get()
    }
}

impl PolicyLink<'_> {
    fn note_held(&mut self) {
        if let Some(judgement) = self.judge.judge() {
            self.max_held_m = self.max_held_m.max(judgement.held_height_m);
        }
    }
}

/// The simulated arm, and somebody who displaces an object when told to.
struct PushableArm<'a, const N: usize> {
    arm: &'a mut SimulatedArm<N>,
    push: &'a Cell<Option<u64>>,
}

impl<const N: usize> Arm<N> for PushableArm<'_, N> {
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        if let Some(seed) = self.push.take() {
            self.arm.in_world(|world| world.push_nearest(PUSH_M, seed));
        }
        self.arm.read(now)
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        self.arm.write(command)
    }

    fn stop(&mut self, category: StopCategory) {
        self.arm.stop(category);
    }
}
