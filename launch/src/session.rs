//! `visuomotor run`: episodes in real time, one after the other, until a person has seen enough.
//!
//! Responsible for starting the threads, for what they hand over to one another, and for ending them under control. Not
//! responsible for the order of things in an episode ([`episodes`]) nor for the threads' work ([`crate::threads`]).

mod episodes;

use crate::config::{ArmConfig, JOINTS, Launch};
use crate::played::Played;
use crate::policy::OpenPolicy;
use crate::recording::Lineage;
use crate::report::EpisodeResult;
use crate::stage::Stage;
use crate::status::StatusLine;
use crate::supervision::Supervision;
use crate::threads::{
    self, CameraLink, ControlLink, ControlReport, PolicyLink, PolicyThread, Progress, SoFar,
};
use crate::wiring::{self, Parts, WiringError};
use crossbeam::channel::{self, Receiver, Sender};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use visuomotor_runtime::arm::{Arm, ArmState, Connected};
use visuomotor_runtime::camera_loop::CameraCounters;
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::episode::{EpisodeError, Losses, Queues, Recorder};
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::handoff::{self, LatestOutput};
use visuomotor_runtime::health::HealthSummary;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::realtime::{NotGranted, Process, Thread, ThreadPlan};
use visuomotor_runtime::safety::{LimitSet, OperatingMode, StopCategory};
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
/// Whose objects lie in a simulated tray, where nobody says otherwise.
const SPLIT: &str = "test";
/// From power until the control loop begins, at most.
const TAKE_OVER_MAX: Duration = Duration::from_ticks(3_000_000_000);
/// An arm rests that has been slower than this for so long.
const REST_RAD_PER_S: f64 = 0.04;
const REST: Duration = Duration::from_ticks(200_000_000);
/// A thread that does not answer for this long after a person wants to end the session is left behind.
const PATIENCE: Duration = Duration::from_ticks(2_000_000_000);

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error(
        "{0}\n`visuomotor doctor` checks all of them; `--allow-non-realtime` goes on without them this time, `real_time = \
         \"preferred\"` in the launch file always"
    )]
    NotGranted(#[from] NotGranted),
    #[error("the arm is not moved: {0}")]
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
    #[error(
        "the tool is {off_m:.4} m and {turned_rad:.3} rad away from where the recorded episode began: nothing is repeated \
         from another start"
    )]
    NotAtStart { off_m: f64, turned_rad: f64 },
    #[error(
        "the arm is stopped: {0}; put right what caused it and start again{hint}", hint = if *.1 { "; `--recover` brings an arm \
         that starts outside its limits slowly back inside" } else { "" }
    )]
    Stopped(String, bool),
    #[error(
        "the arm is outside its limits and comes no nearer to its home position, held back by {}; move it by hand to the middle \
         of its workspace and start again, and see that home_rad lies well inside all limits", held_by(*.0)
    )]
    StaysOutside(LimitSet),
    #[error("a thread of the session ended unexpectedly")]
    ThreadGone,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn held_by(limits: LimitSet) -> String {
    if limits == LimitSet::default() {
        return "no limit, but what is measured is not what is commanded".to_owned();
    }
    format!("the limits: {limits}")
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
    /// Begins where a recorded episode began, instead of somewhere in the launch file's box.
    pub repeat: Option<Repeat>,
    /// A person has looked: an arm that starts outside its limits may come back inside by itself.
    pub recover: bool,
}

/// What the first episode repeats.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    pub start: TcpPose,
    /// Whose objects lie in the tray: the name of a split.
    pub split: &'static str,
}

pub struct Summary<const N: usize = JOINTS> {
    pub finished: Vec<EpisodeResult>,
    pub control: ControlReport,
    /// Records that found the recorder's queues full.
    pub dropped: Losses,
    /// Decisions that found the control thread's ring full.
    pub dropped_decisions: u64,
    /// Episodes whose record is not as it should be, because the disk did not take it.
    pub incomplete: u32,
    pub camera: CameraCounters,
    /// Names of the threads that did not end; the arm is at rest without them.
    pub hanging: Vec<String>,
    /// The newest record of the control loop, with its counters.
    pub last: Step<N>,
    pub interrupted: bool,
}

/// What the session's own thread holds while the others run.
struct Session<'a, const N: usize> {
    launch: &'a Launch<N>,
    lineage: Lineage<'a, N>,
    plan: Plan,
    thread: Thread,
    /// Only where the arm is simulated.
    stage: Option<Box<dyn Stage>>,
    requests: rtrb::Producer<Request>,
    newest: LatestOutput<Step<N>>,
    seeds: Sender<u64>,
    played: Receiver<Played>,
    cancelled: Arc<AtomicBool>,
    progress: Arc<Progress>,
    camera: triple_buffer::Output<CameraCounters>,
    recorder: Recorder,
    status: StatusLine,
    supervision: Supervision,
    /// The policy has something to decide.
    playing: bool,
    finished: Vec<EpisodeResult>,
    seed: u64,
    /// Given to the policy when it starts.
    policy_seed: u64,
    /// Where the episode is recorded; `None` where it is not.
    record: Option<PathBuf>,
    /// Episodes whose record is not as it should be.
    incomplete: u32,
    /// The step that was shown last, to measure the rate.
    shown: Option<Step<N>>,
    realtime: Process,
}

/// Runs a session with the robot of the launch file. `interrupted` becomes true when a person wants the arm to stop.
pub fn run<const N: usize>(
    launch: &Launch<N>,
    policy: OpenPolicy,
    plan: Plan,
    interrupted: &Arc<AtomicBool>,
) -> Result<Summary<N>, SessionError> {
    let lineage = Lineage::new(launch, policy.identity)?;
    // Before any other thread starts: their stacks are then locked too.
    let wishes = ThreadPlan::control(launch.control.cpu);
    let realtime = Process::prepare(launch.control.real_time, &wishes)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
    let start = match plan.repeat {
        Some(repeat) => repeat.start,
        None => wiring::draw_start(launch, &mut rng),
    };
    let split = plan.repeat.map_or(SPLIT, |repeat| repeat.split);
    let Parts {
        arm,
        camera: seat,
        stage,
        truth,
    } = wiring::parts(launch, split, plan.seed, &start, &mut rng)?;

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
            truth,
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
    };

    thread::scope(|scope| {
        let (seeds, seeds_read) = channel::bounded(1);
        let (played_send, played) = channel::bounded(1);
        let (camera_ready, camera_opened) = channel::bounded(1);
        let (control_ready, control_started) = channel::bounded(1);
        // Whatever ends this scope also ends the threads.
        let _end = EndOnDrop(&ended);
        let period = threads::frame_period(launch);
        let camera = named("camera").spawn(move || match seat() {
            Ok(mut camera) => {
                let _ = camera_ready.send(Ok(()));
                threads::camera(&mut *camera, period, camera_link);
            }
            Err(error) => drop(camera_ready.send(Err(error))),
        })?;
        camera_opened
            .recv()
            .map_err(|_| SessionError::ThreadGone)?
            .map_err(SessionError::Camera)?;
        let policy = named("policy").spawn(move || player.run(&seeds_read, &played_send))?;
        let controller = &mut controller;
        let control = named("control").spawn_scoped(scope, move || {
            // Only now: from here on its drives expect a command every tick.
            match arm.enable() {
                Ok(mut arm) => {
                    take_over(&mut arm, launch.control_period());
                    threads::control(launch, &mut arm, controller, link, &control_ready)
                }
                Err(error) => {
                    let _ = control_ready.send(Err(error.to_string()));
                    None
                }
            }
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
            stage,
            requests,
            newest: newest_read,
            seeds,
            played,
            cancelled,
            progress,
            camera: camera_counters_read,
            recorder,
            status: StatusLine::new(quiet),
            supervision: Supervision::from_environment(LinuxMono::now()),
            playing: false,
            finished: Vec::new(),
            seed: 0,
            policy_seed: 0,
            record: None,
            incomplete: 0,
            shown: None,
            realtime,
        };
        let outcome = session.episodes(start, &mut rng, interrupted);
        let last = session.newest_step();
        let dropped_decisions = session.progress.dropped_decisions();
        let polled = *session.camera.read();
        let Session {
            finished,
            incomplete,
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
        say_what_holds(launch, last.as_ref());
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
            incomplete,
            camera: polled,
            hanging,
            last: last.ok_or(SessionError::ThreadGone)?,
            interrupted: interrupted.load(Ordering::Relaxed),
        })
    })
}

/// A person must know that the arm is under power though its program has ended.
fn say_what_holds<const N: usize>(launch: &Launch<N>, last: Option<&Step<N>>) {
    let holds = launch.arm.as_ref().is_some_and(ArmConfig::holds_by_itself);
    // Stop category 2 and no stop at all leave the power on, and so does a stop that servos did not hear.
    let latched = last.and_then(|last| last.phase.latched());
    let fault = last.and_then(|last| last.fault);
    let unheard = matches!(fault, Some(Fault::ArmLinkLost { .. }));
    if holds && (unheard || latched.is_none_or(|category| category == StopCategory::Two)) {
        eprintln!(
            "the servos hold the arm, as long as they have their supply: hold it before you switch that off. The next start asks \
             for that, or for `release_at_start = true` in the launch file"
        );
    }
}

/// Drives that get power give way a little to the weight that they take over: the loop begins when the arm has come to rest,
/// or nobody waits any longer. Whoever reads is heard by the drives' watchdogs.
fn take_over<const N: usize>(arm: &mut impl Arm<N>, period: Duration) {
    let mut now = LinuxMono::now();
    let (until, mut moved_at) = (now + TAKE_OVER_MAX, now);
    while now < until && now - moved_at < REST {
        // What it cannot answer now the loop will see.
        let rests = |state: ArmState<N>| state.dq.0.amax() < REST_RAD_PER_S;
        if !arm.read(now).is_ok_and(rests) {
            moved_at = now;
        }
        LinuxMono::sleep_until(now + period);
        now = LinuxMono::now();
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::{self, Pictures, PolicyChoice};
    use std::path::Path;
    use std::sync::Mutex;
    use visuomotor_runtime::episode::{Ending, Episode};
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
            identity: policy::open(&launch, Some(&PolicyChoice::Weak), Pictures::Live)
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
            repeat: None,
            recover: false,
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
