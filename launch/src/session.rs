//! `visuomotor run`: episodes in real time, one after the other, until a person has seen enough.
//!
//! Responsible for the order of things in a session: start the threads, bring the tool to a start pose, let the policy
//! play, judge, record, and stop under control on Ctrl-C. Not responsible for the threads' work ([`crate::threads`]).

use crate::config::{JOINTS, Launch, OnLoss};
use crate::played::Played;
use crate::policy::OpenPolicy;
use crate::recording::{Lineage, Particulars};
use crate::report::EpisodeResult;
use crate::status::{Status, StatusLine};
use crate::threads::{
    self, CameraLink, ControlLink, ControlReport, PolicyLink, PolicyThread, Progress, SoFar,
};
use crate::wiring::{self, WiringError};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use visuomotor_drivers::sim::{self, Split, View, World};
use visuomotor_runtime::camera_loop::CameraCounters;
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::episode::{
    Condition, Ending, EpisodeError, EpisodeWriter, Losses, Outcome, Queues, Recorder,
};
use visuomotor_runtime::handoff::{self, LatestOutput};
use visuomotor_runtime::health::HealthSummary;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::realtime::{NotGranted, Process, Thread, ThreadPlan};
use visuomotor_runtime::safety::{OperatingMode, StopCategory};
use visuomotor_runtime::step::Step;

/// Rings hold this many values: seconds of requests and decisions, since control reads one of each a tick.
const RING: usize = 16;
/// The recorder may fall this far behind: two seconds of steps, four of frames.
pub const QUEUES: Queues = Queues {
    steps: 2048,
    events: 256,
};
/// How often the session looks at the newest step.
const LOOK_MS: u64 = 20;
/// The tool has arrived when it is this close to where it was sent, m and rad.
const ARRIVED: f64 = 0.005;
const APPROACH_MAX: Duration = Duration::from_ticks(10_000_000_000);
/// A thread that does not answer for this long after a person wants to end the session is left behind.
const PATIENCE: Duration = Duration::from_ticks(2_000_000_000);
/// The gripper holds still for this long before the end is judged.
const SETTLE: Duration = Duration::from_ticks(250_000_000);

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error(
        "{0}\n`visuomotor doctor` checks all of them; `--allow-non-realtime` goes on without them this time, `real_time = \
         \"preferred\"` in the launch file always"
    )]
    NotGranted(#[from] NotGranted),
    #[error("the control thread could not start: {0}")]
    Control(String),
    #[error("the camera could not start: {0}")]
    Camera(String),
    #[error("the episode cannot be recorded: {0}")]
    Record(#[from] EpisodeError),
    #[error(
        "the arm is stopped because {lost} of the episode are lost{}; `on_loss = \"continue\"` in [episode] goes on and \
         counts them", because(.trouble.as_deref())
    )]
    Lost {
        lost: Losses,
        trouble: Option<String>,
    },
    #[error("a thread of the session ended unexpectedly")]
    ThreadGone,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn because(trouble: Option<&str>) -> String {
    trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"))
}

/// What a person asked for.
pub struct Plan {
    pub episodes: Option<u32>,
    pub seconds: Option<f64>,
    pub seed: u64,
    pub mode: OperatingMode,
    /// Where the recordings go.
    pub directory: PathBuf,
    /// Standard output belongs to a program.
    pub quiet: bool,
}

pub struct Summary {
    pub finished: Vec<EpisodeResult>,
    pub control: ControlReport,
    /// Records that found the recorder's queues full.
    pub dropped: Losses,
    /// Decisions that found the control thread's ring full.
    pub dropped_decisions: u64,
    pub camera: CameraCounters,
    /// Names of the threads that did not end; the arm is at rest without them.
    pub hanging: Vec<String>,
    /// The newest record of the control loop, with its counters.
    pub last: Step<JOINTS>,
    pub interrupted: bool,
}

/// What the session's own thread holds while the others run.
struct Session<'a> {
    launch: &'a Launch,
    lineage: Lineage<'a>,
    plan: Plan,
    thread: Thread,
    feeder: sim::SceneFeeder,
    judge: sim::SimObserver,
    requests: rtrb::Producer<Request>,
    newest: LatestOutput<Step<JOINTS>>,
    seeds: Sender<u64>,
    played: Receiver<Played>,
    cancelled: Arc<AtomicBool>,
    progress: Arc<Progress>,
    camera: triple_buffer::Output<CameraCounters>,
    recorder: Recorder,
    status: StatusLine,
    finished: Vec<EpisodeResult>,
    seed: u64,
    /// Given to the policy when it starts.
    policy_seed: u64,
    /// The step that was shown last, to measure the rate.
    shown: Option<Step<JOINTS>>,
    realtime: Process,
}

/// Runs the session of a simulated robot. `interrupted` becomes true when a person wants the arm to stop.
pub fn run(
    launch: &Launch,
    policy: OpenPolicy,
    plan: Plan,
    interrupted: &Arc<AtomicBool>,
) -> Result<Summary, SessionError> {
    let lineage = Lineage::new(launch, policy.identity)?;
    // Before any other thread starts: their stacks are then locked too.
    let wishes = ThreadPlan::control(launch.control.cpu);
    let realtime = Process::prepare(launch.control.real_time, &wishes)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
    let scene = wiring::scene(launch)?;
    let mut world = World::build(scene, Split::Test, plan.seed).map_err(WiringError::from)?;
    let start = wiring::draw_start(launch, &mut rng);
    world.place_arm(wiring::start_joints(launch, &start, &mut rng)?.0.into());
    let mut parts = sim::Rig::new(world);
    let seat = parts.camera(View::Policy);
    let (mut policy_truth, judge) = (parts.observer(), parts.observer());
    let (mut arm, feeder) = parts.split();
    wiring::check_pace(launch, &arm)?;

    let mut controller = wiring::controller(launch, plan.mode)?;
    let (recorder, steps, events) = Recorder::start(QUEUES)?;
    let (requests, requests_read) = rtrb::RingBuffer::new(RING);
    let (decisions, decisions_read) = rtrb::RingBuffer::new(RING);
    let (observation, observation_read) = handoff::latest();
    let (newest, newest_read) = handoff::latest();
    let (frames, frames_read) = triple_buffer::triple_buffer(&Default::default());
    let (camera_counters, camera_counters_read) =
        triple_buffer::triple_buffer(&CameraCounters::default());
    let ended = Arc::new(AtomicBool::new(false));
    let cancelled = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(Progress::default());
    let link = ControlLink {
        requests: requests_read,
        decisions: decisions_read,
        observation,
        newest,
        steps,
        ended: ended.clone(),
        health: HealthSummary::default(),
        period: launch.control_period(),
        meter: None,
    };
    let player = PolicyThread {
        policy: policy.policy,
        period: launch.action_period(),
        steps_max: launch.task.steps_max,
        link: PolicyLink {
            frames: frames_read,
            observation: observation_read,
            truth: Some(Box::new(move |truth| policy_truth.truth(truth).is_some())),
            decisions,
            events: events.clone(),
            progress: progress.clone(),
            cancelled: cancelled.clone(),
            so_far: SoFar::default(),
        },
    };
    let camera_link = CameraLink {
        newest: frames,
        counters: camera_counters,
        events,
        ended: ended.clone(),
        well: true,
    };

    thread::scope(|scope| {
        let (seeds, seeds_read) = channel::bounded(1);
        let (played_send, played) = channel::bounded(1);
        let (camera_ready, camera_opened) = channel::bounded(1);
        let (control_ready, control_started) = channel::bounded(1);
        // Whatever ends this scope also ends the threads.
        let _end = EndOnDrop(&ended);
        let period = threads::frame_period(launch);
        let camera = named("camera").spawn(move || match seat.open() {
            Ok(mut camera) => {
                let _ = camera_ready.send(Ok(()));
                threads::camera(&mut camera, period, camera_link);
            }
            Err(error) => drop(camera_ready.send(Err(error.to_string()))),
        })?;
        camera_opened
            .recv()
            .map_err(|_| SessionError::ThreadGone)?
            .map_err(SessionError::Camera)?;
        let policy = named("policy").spawn(move || player.run(&seeds_read, &played_send))?;
        let (arm, controller) = (&mut arm, &mut controller);
        arm.restart(LinuxMono::now());
        let control = named("control").spawn_scoped(scope, move || {
            threads::control(launch, arm, controller, link, &control_ready)
        })?;
        let thread = control_started
            .recv()
            .map_err(|_| SessionError::ThreadGone)?
            .map_err(SessionError::Control)?;
        for check in &realtime.missing {
            tracing::warn!("{check}");
        }
        let quiet = plan.quiet;
        let mut session = Session {
            launch,
            lineage,
            plan,
            thread,
            feeder,
            judge,
            requests,
            newest: newest_read,
            seeds,
            played,
            cancelled,
            progress,
            camera: camera_counters_read,
            recorder,
            status: StatusLine::new(quiet),
            finished: Vec::new(),
            seed: 0,
            policy_seed: 0,
            shown: None,
            realtime,
        };
        let outcome = session.episodes(start, &mut rng, interrupted);
        let last = session.newest_step();
        let dropped_decisions = session.progress.dropped_decisions();
        let polled = *session.camera.read();
        let Session {
            finished,
            seeds,
            recorder,
            ..
        } = session;
        ended.store(true, Ordering::Relaxed);
        drop(seeds);
        // The arm comes to rest before anything else is waited for.
        let control = control
            .join()
            .map_err(|_| SessionError::ThreadGone)?
            .ok_or(SessionError::ThreadGone)?;
        let hanging = still_running(&[&camera, &policy]);
        let dropped = recorder.dropped();
        outcome?;
        for thread in [camera, policy] {
            if thread.is_finished() && thread.join().is_err() {
                return Err(SessionError::ThreadGone);
            }
        }
        Ok(Summary {
            finished,
            control,
            dropped,
            dropped_decisions,
            camera: polled,
            hanging,
            last: last.ok_or(SessionError::ThreadGone)?,
            interrupted: interrupted.load(Ordering::Relaxed),
        })
    })
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

/// Names of the threads that have not ended when nobody waits for them any more.
fn still_running(threads: &[&JoinHandle<()>]) -> Vec<String> {
    let until = LinuxMono::now() + PATIENCE;
    loop {
        let running = threads.iter().filter(|thread| !thread.is_finished());
        let names = running.map(|running| running.thread().name().unwrap_or_default().to_owned());
        let names: Vec<_> = names.collect();
        if names.is_empty() || LinuxMono::now() >= until {
            return names;
        }
        LinuxMono::sleep_until(LinuxMono::now() + Duration::from_ticks(LOOK_MS * 1_000_000));
    }
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Session<'_> {
    fn episodes(
        &mut self,
        first_start: TcpPose,
        rng: &mut Xoshiro256PlusPlus,
        interrupted: &AtomicBool,
    ) -> Result<(), SessionError> {
        let began = LinuxMono::now();
        let mut start = first_start;
        for k in 0.. {
            let enough = self
                .plan
                .episodes
                .is_some_and(|episodes| k >= u64::from(episodes));
            let elapsed_s = (LinuxMono::now() - began).as_nanos() as f64 * 1e-9;
            let over = self
                .plan
                .seconds
                .is_some_and(|seconds| elapsed_s >= seconds);
            if enough || over || interrupted.load(Ordering::Relaxed) {
                break;
            }
            let seed = self.plan.seed + k;
            self.seed = seed;
            if k > 0 {
                start = wiring::draw_start(self.launch, rng);
            }
            self.policy_seed = rng.random();
            let Some(path) = self.approach(seed, start, interrupted)? else {
                continue;
            };
            if k > 0 {
                // Only now that the fingers are up: new objects may lie where they were.
                self.change_scene(seed)?;
            }
            self.episode(seed, &path, interrupted)?;
        }
        self.request(Request::Hold)?;
        self.wait(SETTLE)
    }

    /// The arm goes on where it is; the tray is another one.
    fn change_scene(&mut self, seed: u64) -> Result<(), SessionError> {
        let scene = wiring::scene(self.launch)?;
        let mut world =
            Box::new(World::build(scene, Split::Test, seed).map_err(WiringError::from)?);
        while let Err(refused) = self.feeder.offer(world) {
            world = refused;
            self.wait(Duration::from_ticks(LOOK_MS * 1_000_000))?;
        }
        // Until the first frame of the new scene is there.
        self.wait(SETTLE)
    }

    /// Begins the record of an episode and brings the tool to the start pose. Tells where the record is; `None` when that
    /// takes too long, or a person interrupts.
    fn approach(
        &mut self,
        seed: u64,
        start: TcpPose,
        interrupted: &AtomicBool,
    ) -> Result<Option<PathBuf>, SessionError> {
        let began = LinuxMono::now();
        let mut record = None;
        let mut rearmed = false;
        self.request(Request::Hold)?;
        loop {
            self.wait(Duration::from_ticks(LOOK_MS * 1_000_000))?;
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let Some(step) = self.newest_step() else {
                continue;
            };
            let off = (step.reference.position_m - start.position_m).amax();
            let turned = (step.reference.yaw_rad - start.yaw_rad).abs();
            match step.phase {
                Phase::Approach if off.max(turned) < ARRIVED => return Ok(record),
                // Every episode begins at the measured pose, and its record before that: there a replay can begin.
                Phase::Hold if step.is_stopped() && !rearmed => {
                    rearmed = true;
                    if record.is_none() {
                        record = Some(self.begin(seed, step.due)?);
                    }
                    self.request(Request::Rearm)?;
                    self.request(Request::Approach(start))?;
                }
                // In the simulator a stop hurts nobody: the session clears it, as a person does at an arm.
                Phase::Stopped(_) => {
                    rearmed = false;
                    self.request(Request::Recover)?;
                }
                _ => {}
            }
            if LinuxMono::now() - began > APPROACH_MAX {
                tracing::error!(
                    "the start pose was not reached; phase {:?}, {}",
                    step.phase,
                    step.fault
                        .map_or("no fault".to_owned(), |fault| self.launch.describe(&fault))
                );
                break;
            }
        }
        if record.is_some() {
            self.abandon()?;
        }
        Ok(None)
    }

    /// Begins a record with the step that was due at `since`.
    fn begin(&mut self, seed: u64, since: Instant) -> Result<PathBuf, SessionError> {
        let granted = self.realtime.granted(&self.thread);
        let particulars = Particulars {
            seed,
            policy_seed: self.policy_seed,
            split: "test",
            objects: None,
        };
        let directory = &self.plan.directory;
        let (path, header, attachments) = self.lineage.live(directory, &particulars, &granted);
        let writer = EpisodeWriter::create(&path, &header, &attachments)?;
        self.recorder.begin(writer, since)?;
        Ok(path)
    }

    fn episode(
        &mut self,
        seed: u64,
        path: &Path,
        interrupted: &AtomicBool,
    ) -> Result<(), SessionError> {
        let _span = tracing::info_span!("episode", seed, path = %path.display()).entered();
        let began = LinuxMono::now();
        self.request(Request::StartPolicy)?;
        self.seeds
            .send(self.policy_seed)
            .map_err(|_| SessionError::ThreadGone)?;
        let mut max_held_m: f64 = 0.0;
        let Some(played) = self.watch(&mut max_held_m, interrupted)? else {
            return self.abandon();
        };
        self.cancelled.store(false, Ordering::Relaxed);
        self.request(Request::Hold)?;
        self.wait(SETTLE)?;
        let interrupted = interrupted.load(Ordering::Relaxed);
        let wall_s = (LinuxMono::now() - began).as_nanos() as f64 * 1e-9;
        let result = self.close(seed, played, max_held_m, wall_s, interrupted)?;
        let path = path.display().to_string();
        if interrupted {
            self.status.stop_episode(&result, &path);
        } else {
            self.status.finish_episode(&result, &path);
            self.finished.push(result);
        }
        Ok(())
    }

    /// Until the policy has played the episode; `None` when a person has ended it and the policy does not answer.
    fn watch(
        &mut self,
        max_held_m: &mut f64,
        interrupted: &AtomicBool,
    ) -> Result<Option<Played>, SessionError> {
        let mut asked_to_end = None;
        loop {
            match self
                .played
                .recv_timeout(std::time::Duration::from_millis(LOOK_MS))
            {
                Ok(played) => return Ok(Some(played)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(SessionError::ThreadGone),
            }
            let step = self.newest_step();
            let latched = step.is_some_and(|step| step.phase.latched().is_some());
            let interrupted = interrupted.load(Ordering::Relaxed);
            if latched || interrupted {
                self.cancelled.store(true, Ordering::Relaxed);
                self.request(Request::Hold)?;
            }
            let now = LinuxMono::now();
            if interrupted && now - *asked_to_end.get_or_insert(now) >= PATIENCE {
                return Ok(None);
            }
            let judgement = self.judge.judge();
            *max_held_m = max_held_m.max(judgement.map_or(0.0, |judged| judged.held_height_m));
            self.show(step);
            self.heed_losses()?;
        }
    }

    /// Stops the arm where the launch file wants no motion that is not recorded.
    fn heed_losses(&mut self) -> Result<(), SessionError> {
        let on_loss = self.launch.episode.as_ref().map(|episode| episode.on_loss);
        if on_loss != Some(OnLoss::Stop) {
            return Ok(());
        }
        let Condition { trouble, lost } = self.recorder.condition();
        if lost == Losses::default() {
            return Ok(());
        }
        self.cancelled.store(true, Ordering::Relaxed);
        self.request(Request::Stop(StopCategory::Two))?;
        self.wait(SETTLE)?;
        Err(SessionError::Lost { lost, trouble })
    }

    /// Completes the recording without the policy's word.
    fn abandon(&mut self) -> Result<(), SessionError> {
        self.recorder.finish(Outcome {
            ended_at: LinuxMono::now(),
            ending: Ending::Stopped,
            success: None,
            actions: self.progress.step(),
        })?;
        Ok(())
    }

    /// Judges the end and completes the recording.
    fn close(
        &mut self,
        seed: u64,
        played: Played,
        max_held_m: f64,
        wall_s: f64,
        interrupted: bool,
    ) -> Result<EpisodeResult, SessionError> {
        let end = self.judge.judge().ok_or(SessionError::ThreadGone)?;
        let fault = self.newest_step().and_then(|step| step.fault);
        let fault = fault.map(|fault| self.launch.describe(&fault));
        let ending = match &played {
            _ if fault.is_some() => Ending::Fault,
            _ if interrupted => Ending::Stopped,
            Played {
                terminated: true, ..
            } => Ending::Terminated,
            _ => Ending::StepLimit,
        };
        let result = played.result(seed, &end, max_held_m, fault, wall_s, wall_s);
        self.recorder.finish(Outcome {
            ended_at: LinuxMono::now(),
            ending,
            success: (!interrupted).then_some(result.success()),
            actions: result.steps,
        })?;
        Ok(result)
    }

    fn request(&mut self, request: Request) -> Result<(), SessionError> {
        self.requests
            .push(request)
            .map_err(|_| SessionError::ThreadGone)
    }

    fn newest_step(&mut self) -> Option<Step<JOINTS>> {
        self.newest.read().as_ref().map(|stamped| stamped.value)
    }

    fn wait(&mut self, span: Duration) -> Result<(), SessionError> {
        LinuxMono::sleep_until(LinuxMono::now() + span);
        // Nobody reads the requests any more: whatever this waits for does not come.
        if self.requests.is_abandoned() {
            return Err(SessionError::ThreadGone);
        }
        let step = self.newest_step();
        self.show(step);
        Ok(())
    }

    fn show(&mut self, step: Option<Step<JOINTS>>) {
        let Some(step) = step else { return };
        let last = self.shown.replace(step).unwrap_or(step);
        let span_s = (step.due - last.due).as_nanos() as f64 * 1e-9;
        let successes = self
            .finished
            .iter()
            .filter(|episode| episode.success())
            .count();
        self.status.show(&Status {
            seed: self.seed,
            phase: step.phase,
            mode: step.mode,
            rate_hz: (step.tick - last.tick) as f64 / span_s,
            frame_age_ms: self.progress.frame_age_ms(),
            q_value: self.progress.q_value(),
            step: self.progress.step(),
            episodes: self.finished.len() as u32,
            successes: successes as u32,
            counters: step.counters,
            camera: *self.camera.read(),
            lost: self.recorder.dropped(),
            trouble: self.recorder.condition().trouble,
            fault: step.fault.map(|fault| self.launch.describe(&fault)),
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::{self, PolicyChoice};
    use std::path::Path;
    use std::sync::Mutex;
    use visuomotor_runtime::episode::Episode;
    use visuomotor_runtime::observation::Observation;
    use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

    /// With the right to real time, a control thread has the process's critical section for itself: no simulation runs beside
    /// it.
    pub(crate) static REAL_TIME: Mutex<()> = Mutex::new(());

    /// Has a person end the session as soon as it is asked, and never answers.
    struct Hanging(Arc<AtomicBool>);

    impl Policy for Hanging {
        fn reset(&mut self, _: u64) {}

        fn decide(&mut self, _: &Observation<'_>) -> Result<Decision, PolicyError> {
            self.0.store(true, Ordering::Relaxed);
            loop {
                thread::park();
            }
        }
    }

    #[test]
    fn a_policy_that_never_answers_is_left_behind_and_the_episode_is_kept() {
        let _alone = REAL_TIME.lock();
        let robots = Path::new(env!("CARGO_MANIFEST_DIR")).join("robots");
        let launch = Launch::read(&robots.join("sim_iiwa14.toml")).unwrap();
        let directory =
            std::env::temp_dir().join(format!("visuomotor-hanging-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        let interrupted = Arc::new(AtomicBool::new(false));
        let policy = OpenPolicy {
            policy: Box::new(Hanging(interrupted.clone())),
            identity: policy::open(&launch, Some(&PolicyChoice::Weak))
                .unwrap()
                .identity,
        };
        let plan = Plan {
            episodes: Some(1),
            seconds: None,
            seed: 1,
            mode: OperatingMode::Automatic,
            directory: directory.clone(),
            quiet: true,
        };
        let summary = run(&launch, policy, plan, &interrupted).unwrap();
        assert_eq!(summary.hanging, ["policy"]);
        assert!(summary.interrupted && summary.finished.is_empty());
        let mut files = std::fs::read_dir(&directory).unwrap();
        let episode = Episode::<7>::open(&files.next().unwrap().unwrap().path()).unwrap();
        assert_eq!(episode.damage, None);
        let (outcome, lost) = episode.outcome.unwrap();
        assert_eq!((outcome.ending, outcome.success), (Ending::Stopped, None));
        assert_eq!(lost, Losses::default());
        assert!(episode.steps.last().unwrap().is_stopped());
        let _ = std::fs::remove_dir_all(&directory);
    }
}
