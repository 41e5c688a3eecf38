//! A session without a robot: everything that runs beside a control thread, and the thread itself, in real time.
//!
//! The arm follows at once, the camera shows a pattern, the policy acts at random; recorder, rings, cells and threads are
//! those of [`crate::session`]. For benches and proofs of what the control thread does; not responsible for either, nor
//! for locked memory.

use crate::bench_tick::random_decision;
use crate::config::{JOINTS, Launch};
use crate::error::CommandError;
use crate::output;
use crate::policy::{self, Pictures, PolicyChoice};
use crate::recording::{Lineage, Particulars};
use crate::session::QUEUES;
use crate::threads::{self, CameraLink, ControlLink, PolicyLink, PolicyThread, SoFar};
use crate::wiring;
use crossbeam::channel;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::camera_loop::CameraCounters;
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::{Controller, Request};
use visuomotor_runtime::episode::{Ending, EpisodeWriter, Outcome, Recorder, Summary};
use visuomotor_runtime::handoff;
use visuomotor_runtime::health::HealthSummary;
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};
use visuomotor_runtime::realtime::{Granted, Preference, Process, Thread, ThreadPlan};
use visuomotor_runtime::safety::{OperatingMode, SafeCommand, StopCategory};
use visuomotor_runtime::step::Step;
use visuomotor_runtime::units::{JointPositions, JointTorques, JointVelocities};

/// Values in the rings of requests and decisions.
const RING: usize = 16;
/// Until the controller has seen the arm and holds it.
const ARMED_AFTER: Duration = Duration::from_ticks(100_000_000);

/// A directory for a bench's files, gone when it ends.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Result<Self, CommandError> {
        let path = std::env::temp_dir().join(format!("visuomotor-{name}-{}", std::process::id()));
        output::directory(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the control thread says which rights it got, or why it goes no further.
pub type Ready = channel::Sender<Result<Thread, String>>;

/// What a dry run gives.
pub struct Ended<R> {
    /// Of the control thread.
    pub control: R,
    pub granted: Granted,
    pub recorded: Summary,
    /// The newest step when the recording ended, with its counters.
    pub last: Step<JOINTS>,
}

pub struct DryRun<'a> {
    launch: &'a Launch,
    lineage: Lineage<'a>,
    directory: PathBuf,
    /// Of the episode that comes next.
    pub seed: u64,
    camera: PatternCamera,
    realtime: Process,
}

impl<'a> DryRun<'a> {
    /// Episodes go into `directory`. Asks for all real-time rights, so call it before any thread starts; goes on without
    /// them, and says so.
    pub fn new(
        launch: &'a Launch,
        directory: &Path,
        seed: u64,
        camera: PatternCamera,
    ) -> Result<Self, CommandError> {
        let identity = policy::open(launch, Some(&PolicyChoice::Weak), Pictures::Scene)
            .map_err(CommandError::input)?
            .identity;
        let plan = ThreadPlan::control(launch.control.cpu);
        let realtime =
            Process::prepare(Preference::Preferred, &plan).map_err(CommandError::failed)?;
        for check in &realtime.missing {
            tracing::warn!("{check}");
        }
        Ok(Self {
            realtime,
            launch,
            lineage: Lineage::new(launch, identity).map_err(CommandError::failed)?,
            directory: directory.to_owned(),
            seed,
            camera,
        })
    }

    /// Records one episode of this length while `control`, on a thread of its own, reports what rights it got and runs
    /// the control loop until its link has ended.
    pub fn run<R: Send>(
        &self,
        span: Duration,
        control: impl FnOnce(&mut FollowingArm, &mut Controller<JOINTS>, ControlLink, &Ready) -> R
        + Send,
    ) -> Result<Ended<R>, CommandError> {
        let launch = self.launch;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let start = wiring::draw_start(launch, &mut rng);
        let q = wiring::start_joints(launch, &start, &mut rng).map_err(CommandError::input)?;
        let mut arm = FollowingArm::at(q);
        let mut controller =
            wiring::controller(launch, OperatingMode::default()).map_err(CommandError::input)?;
        let (mut recorder, steps, events) =
            Recorder::start(QUEUES).map_err(CommandError::failed)?;
        let (mut requests, requests_read) = rtrb::RingBuffer::new(RING);
        let (decisions, decisions_read) = rtrb::RingBuffer::new(RING);
        let (observation, observation_read) = handoff::latest();
        let (newest, mut newest_read) = handoff::latest();
        let (frames, frames_read) = triple_buffer::triple_buffer(&Frame::default());
        let (ended, cancelled) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let link = ControlLink {
            requests: requests_read,
            decisions: decisions_read,
            observation,
            newest,
            steps,
            ended: ended.clone(),
            health: HealthSummary::default(),
            period: self.launch.control_period(),
            meter: None,
        };
        let policy = RandomPolicy {
            scale: launch.action,
            rng: Xoshiro256PlusPlus::seed_from_u64(self.seed),
        };
        let player = PolicyThread {
            policy: Box::new(policy),
            period: launch.action_period(),
            steps_max: u32::MAX,
            link: PolicyLink {
                frames: frames_read,
                observation: observation_read,
                truth: None,
                decisions,
                events: events.clone(),
                progress: Arc::default(),
                cancelled: cancelled.clone(),
                so_far: SoFar::default(),
            },
        };
        let (counters, _counters_read) = triple_buffer::triple_buffer(&CameraCounters::default());
        let camera_link = CameraLink {
            newest: frames,
            counters,
            events,
            ended: ended.clone(),
        };
        let mut camera = self.camera.clone();
        thread::scope(|scope| {
            let end = EndOnDrop([&ended, &cancelled]);
            let (ready, started) = channel::bounded(1);
            let (seeds, seeds_read) = channel::bounded(1);
            let (played_send, _played) = channel::bounded(1);
            let period = camera.period;
            named("camera")
                .spawn_scoped(scope, move || {
                    threads::camera(&mut camera, period, camera_link);
                })
                .map_err(CommandError::failed)?;
            named("policy")
                .spawn_scoped(scope, move || player.run(&seeds_read, &played_send))
                .map_err(CommandError::failed)?;
            let (arm, controller) = (&mut arm, &mut controller);
            let control = named("control")
                .spawn_scoped(scope, move || control(arm, controller, link, &ready))
                .map_err(CommandError::failed)?;
            let thread = started.recv().map_err(CommandError::failed)?;
            let granted = self
                .realtime
                .granted(&thread.map_err(CommandError::failed)?);
            wait(ARMED_AFTER);
            let particulars = Particulars {
                seed: self.seed,
                policy_seed: self.seed,
                split: "test",
                objects: None,
            };
            let (path, header, attachments) =
                self.lineage.live(&self.directory, &particulars, &granted);
            let writer = EpisodeWriter::create(&path, &header, &attachments)
                .map_err(CommandError::failed)?;
            recorder
                .begin(writer, LinuxMono::now())
                .map_err(CommandError::failed)?;
            // There is room: nothing has been asked yet.
            let _ = requests.push(Request::StartPolicy);
            let _ = seeds.send(self.seed);
            wait(span);
            let recorded = recorder
                .finish(Outcome {
                    ended_at: LinuxMono::now(),
                    ending: Ending::Stopped,
                    success: None,
                    actions: 0,
                })
                .map_err(CommandError::failed)?;
            let last = newest_read.read().as_ref().map(|stamped| stamped.value);
            drop(end);
            drop(seeds);
            let control = control
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(Ended {
                control,
                granted,
                recorded,
                last: last.ok_or_else(|| CommandError::failed("the control loop did not tick"))?,
            })
        })
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

fn wait(span: Duration) {
    LinuxMono::sleep_until(LinuxMono::now() + span);
}

/// Whatever ends a dry run also ends its threads.
struct EndOnDrop<'a>([&'a AtomicBool; 2]);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0
            .iter()
            .for_each(|flag| flag.store(true, Ordering::Relaxed));
    }
}

/// Is where it was told to be, at once.
#[derive(Clone)]
pub struct FollowingArm {
    state: ArmState<JOINTS>,
}

impl FollowingArm {
    fn at(q: JointPositions<JOINTS>) -> Self {
        Self {
            state: ArmState {
                sampled_at: Instant::from_ticks(0),
                q,
                dq: JointVelocities::zeros(),
                tau: JointTorques::zeros(),
                aperture_m: 0.0,
            },
        }
    }
}

impl Arm<JOINTS> for FollowingArm {
    fn read(&mut self, now: Instant) -> Result<ArmState<JOINTS>, ArmError> {
        self.state.sampled_at = now;
        Ok(self.state)
    }

    fn write(&mut self, command: &SafeCommand<JOINTS>) -> Result<(), ArmError> {
        (self.state.q, self.state.dq) = (*command.q(), *command.dq());
        Ok(())
    }

    fn stop(&mut self, _: StopCategory) {
        self.state.dq = JointVelocities::zeros();
    }
}

/// Shows a slope that moves, with some noise, as fast as it is asked.
#[derive(Clone)]
pub struct PatternCamera {
    pub size_px: (u32, u32),
    pub period: Duration,
    sequence: u64,
}

impl PatternCamera {
    pub fn new(size_px: (u32, u32), period: Duration) -> Self {
        Self {
            size_px,
            period,
            sequence: 0,
        }
    }

    /// What the launch file's policy would look at.
    pub fn of(launch: &Launch) -> Self {
        Self::new((64, 64), threads::frame_period(launch))
    }
}

impl Camera for PatternCamera {
    fn size(&self) -> (u32, u32) {
        self.size_px
    }

    fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
        self.sequence += 1;
        (frame.captured_at, frame.sequence) = (now, self.sequence);
        (frame.image.width, frame.image.height) = self.size_px;
        let (width, height) = self.size_px;
        let bytes = 3 * width * height;
        let first = self.sequence as u32;
        frame.image.rgb.clear();
        frame.image.rgb.extend((first..first + bytes).map(|at| {
            let slope = (at / 3 % width) * 255 / width + first;
            let noise = at.wrapping_mul(0x9e37_79b9) >> 30;
            (slope + noise) as u8
        }));
        Ok(())
    }
}

struct RandomPolicy {
    scale: ActionScale,
    rng: Xoshiro256PlusPlus,
}

impl Policy for RandomPolicy {
    fn reset(&mut self, seed: u64) {
        self.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let captured_at = observation.frame.captured_at;
        Ok(random_decision(
            &self.scale,
            captured_at,
            observation.step,
            &mut self.rng,
        ))
    }
}
