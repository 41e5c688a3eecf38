//! One simulation: arm, camera, policy, operator and control as tasks on one thread, in simulated time, from one seed.
//!
//! Loop, controller and the drivers' traits are the ones of the real system; the physics are MuJoCo's. Camera pictures are
//! not rendered: no policy here looks at them. Everything random follows from the seed. Not responsible for what goes wrong
//! ([`super::plan`]) nor for judging it ([`super::check`]).

use super::check::{self, Checkers, RECOVERY_MAX, Told, Violation, Witness};
use super::handover::{Link, Newest, Player, Shared};
use super::ledger::Ledger;
use super::operator::{LOOK, Operator};
use super::plan::{Kind, Planned};
use super::policy::{Misbehaving, Thinking};
use crate::config::{JOINTS, Launch};
use crate::recording::{Lineage, Particulars};
use crate::wiring::{self, WiringError};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use visuomotor_drivers::sim::{self, SimArm, Split, World};
use visuomotor_drivers::testkit::{FaultyArm, FaultyCamera};
use visuomotor_policies::scripted::PrivilegedExpert;
use visuomotor_policies::task::Workspace;
use visuomotor_policies::weak::PrivilegedWeak;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::camera_loop;
use visuomotor_runtime::clock::{Clock, Duration, Instant, SimMono, Ticker, executor};
use visuomotor_runtime::control_loop;
use visuomotor_runtime::episode::EpisodeError;
use visuomotor_runtime::observation::{Observation, SceneTruth};
use visuomotor_runtime::pace::Pace;
use visuomotor_runtime::policy::Policy;
use visuomotor_runtime::policy_loop::{self, PolicyExchange, Schedule};
use visuomotor_runtime::safety::{OperatingMode, SafeCommand, StopCategory, Verdict};
use visuomotor_runtime::step::Step;

/// How long people and policies are at it; then the loop is asked to end.
const LENGTH: Duration = Duration::from_millis(3_000);
/// A loop that has not ended this long after it was asked to never will.
const PATIENCE: Duration = Duration::from_millis(5_000);
/// How often the writer looks.
const WRITE: Duration = Duration::from_millis(10);
/// Frames an action.
const FRAMES: u64 = 8;

/// What one simulation came to.
pub struct Simulated {
    pub steps: Vec<Step<JOINTS>>,
    /// Records that nobody accounts for.
    pub uncounted: u64,
    /// The episode's file.
    pub record: Vec<u8>,
    /// Each planned kind, and how often it was really played.
    pub injected: Vec<(Kind, u64)>,
    pub violation: Option<Violation>,
}

#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error(transparent)]
    Episode(#[from] EpisodeError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The arm as the loop sees it, with all that passes kept for the checkers.
struct Witnessed<'a> {
    arm: FaultyArm<SimArm, JOINTS>,
    seen: &'a Cell<Witness>,
}

impl Arm<JOINTS> for Witnessed<'_> {
    fn read(&mut self, now: Instant) -> Result<ArmState<JOINTS>, ArmError> {
        let answer = self.arm.read(now);
        self.seen.set(Witness {
            velocity: match self.arm.truth() {
                Some(state) => state.dq.0,
                None => self.seen.get().velocity,
            },
            read_at: now,
            answer: Some(answer),
            told: None,
            times_told: 0,
        });
        answer
    }

    fn write(&mut self, command: &SafeCommand<JOINTS>) -> Result<(), ArmError> {
        let written = self.arm.write(command);
        self.told(Verdict::Move(*command), written.err());
        written
    }

    fn stop(&mut self, category: StopCategory) {
        self.arm.stop(category);
        self.told(Verdict::Stop(category), None);
    }
}

impl Witnessed<'_> {
    fn told(&self, what: Verdict<JOINTS>, failed: Option<ArmError>) {
        let seen = self.seen.get();
        self.seen.set(Witness {
            told: Some(Told { what, failed }),
            times_told: seen.times_told + 1,
            ..seen
        });
    }
}

/// Counts pictures instead of taking them.
struct Counting {
    size: (u32, u32),
    sequence: u64,
    latency: Duration,
}

impl Camera for Counting {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
        let (width, height) = self.size;
        self.sequence += 1;
        frame.captured_at = now - self.latency;
        frame.sequence = self.sequence;
        frame.image.width = width;
        frame.image.height = height;
        let bytes = (3 * width * height) as usize;
        frame.image.rgb.clear();
        frame.image.rgb.resize(bytes, self.sequence as u8);
        Ok(())
    }
}

/// Simulates one seed with this plan.
pub fn simulate(
    launch: &Launch,
    lineage: &Lineage<'_>,
    seed: u64,
    plan: &[Planned],
) -> Result<Simulated, SimulationError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let scene = wiring::scene(launch)?;
    let mut world = World::build(scene, Split::Validation, seed).map_err(WiringError::from)?;
    let start = wiring::draw_start(launch, &mut rng);
    world.place_arm(wiring::start_joints(launch, &start, &mut rng)?.0.into());
    let mut parts = sim::Rig::new(world);
    let mut judge = parts.observer();
    let (mut arm, _) = parts.split::<JOINTS>().map_err(WiringError::from)?;
    wiring::check_pace(launch, &arm)?;
    SimMono::reset();
    arm.restart(SimMono::EPOCH);

    let ends = plan.iter().map(|planned| planned.window().until);
    let faults_over = ends.max().unwrap_or(SimMono::EPOCH);
    let begins = plan.iter().map(|planned| planned.window().from);
    let faults_begin = begins.min().unwrap_or(Instant::from_ticks(u64::MAX));
    let end = (SimMono::EPOCH + LENGTH).max(faults_over + RECOVERY_MAX + LOOK);
    let arm_faults = plan.iter().filter_map(|planned| planned.arm_fault(JOINTS));
    let camera_faults = plan.iter().filter_map(Planned::camera_fault);
    let stalls = plan
        .iter()
        .filter(|planned| planned.kind == Kind::ClockJump);
    let (header, attachments) = lineage.simulated(&Particulars {
        seed,
        policy_seed: seed,
        split: "test",
        objects: None,
    });
    let (mut ledger, step_sink, events) =
        Ledger::open(&header, &attachments, plan, SimMono::EPOCH)?;
    let shared = Shared {
        gripper: Cell::default(),
        newest: Cell::default(),
        frame: RefCell::default(),
        decisions: RefCell::default(),
        requests: RefCell::default(),
        witness: Cell::default(),
        ended: Cell::new(false),
        finished: Cell::new(false),
        steps: RefCell::default(),
        events,
        handed_over: Cell::default(),
        checkers: RefCell::new(Checkers::new(launch, faults_begin, faults_over)),
        violation: RefCell::default(),
        stalls: RefCell::new(stalls.copied().collect()),
        stalled: Cell::new(0),
    };
    let mut arm = Witnessed {
        arm: FaultyArm::new(arm, arm_faults.collect(), rng.random()),
        seen: &shared.witness,
    };
    let [least, most] = scene.latency.image_ms;
    let latency_ms = least + (most - least) * rng.random::<f64>();
    let size_px = scene.camera.size_px;
    let still = Counting {
        size: (size_px[0], size_px[1]),
        sequence: 0,
        latency: Duration::from_ticks((latency_ms * 1e6) as u64),
    };
    let mut camera = FaultyCamera::new(still, camera_faults.collect());
    let policy: Box<dyn Policy> = match rng.random_bool(0.5) {
        true => Box::new(PrivilegedExpert::new(Workspace::default())),
        false => Box::new(PrivilegedWeak::new(Workspace::default())),
    };
    let mut policy = Misbehaving::new(policy, plan);
    let mut thinking = Thinking::new(plan, scene.latency.action_ms, rng.random());
    let mut operator = Operator::new(
        launch,
        plan,
        Xoshiro256PlusPlus::seed_from_u64(rng.random()),
    );
    let mut controller = wiring::controller(launch, OperatingMode::default())?;
    let mut link = Link {
        shared: &shared,
        steps: step_sink,
    };
    let period = launch.control_period();
    let pace = Pace::<SimMono>::new(launch.control.pace, SimMono::EPOCH, period);
    let frames = Ticker::<SimMono>::new(SimMono::EPOCH, launch.action_period() / FRAMES as u32);
    let mut newest = Newest {
        shared: &shared,
        frame: Frame::default(),
    };
    let mut player = Player {
        shared: &shared,
        judge: &mut judge,
        truth: SceneTruth::default(),
        frame: Frame::default(),
        seen: None,
    };
    executor::run::<SimMono>(&mut [
        pin!(watch::<SimMono>(end, &shared)),
        pin!(async {
            control_loop::control(pace, &mut arm, &mut controller, &mut link).await;
            shared.finished.set(true);
        }),
        pin!(camera_loop::poll(frames, &mut camera, &mut newest)),
        pin!(play::<SimMono>(
            launch,
            &mut policy,
            &mut thinking,
            &mut player
        )),
        pin!(operate::<SimMono>(&mut operator, &shared)),
        pin!(write::<SimMono>(&mut ledger)),
    ]);
    let people = policy
        .faults()
        .chain(thinking.faults())
        .chain(operator.faults());
    let mut injected: Vec<(Kind, u64)> = people.chain(ledger.faults()).collect();
    for planned in plan {
        let count = |count: Option<u64>| count.map(|count| (planned.kind, count));
        let arm_count = planned.arm_fault(JOINTS).and_then(|fault| {
            let faults = arm.arm.faults().iter();
            faults
                .clone()
                .find(|played| played.fault == fault.fault && played.window == fault.window)
                .map(|played| played.injected)
        });
        let camera_count = planned.camera_fault().and_then(|fault| {
            let faults = camera.faults().iter();
            faults
                .clone()
                .find(|played| played.fault == fault.fault && played.window == fault.window)
                .map(|played| played.injected)
        });
        let stalled = (planned.kind == Kind::ClockJump).then(|| shared.stalled.get());
        injected.extend(count(arm_count).or(count(camera_count)).or(count(stalled)));
    }
    let steps = shared.steps.take();
    let mut violation = shared.violation.take();
    if !shared.finished.get() {
        violation.get_or_insert_with(|| Violation {
            checker: "ends",
            tick: steps.last().map_or(0, |step| step.tick),
            what: "the loop did not end".into(),
        });
    }
    if let (true, None, Some(last)) = (shared.finished.get(), &violation, steps.last()) {
        violation = check::end(last, &shared.witness.get()).err();
    }
    let audit = ledger.audit(&steps, shared.handed_over.get());
    Ok(Simulated {
        violation: violation.or(audit.violation),
        uncounted: audit.uncounted,
        record: audit.bytes,
        steps,
        injected,
    })
}

/// Ends the people's part in time, and everything when the loop has ended or should have.
async fn watch<C: Clock>(end: Instant, shared: &Shared<'_>) {
    C::delay_until(end).await;
    shared.ended.set(true);
    let mut due = end;
    while !shared.finished.get() && due < end + PATIENCE {
        due += LOOK;
        C::delay_until(due).await;
    }
}

/// Plays an episode whenever the controller is in its policy phase.
async fn play<C: Clock>(
    launch: &Launch,
    policy: &mut Misbehaving,
    thinking: &mut Thinking,
    player: &mut Player<'_, '_>,
) {
    let mut due = SimMono::EPOCH;
    for seed in 0.. {
        while player.ended() {
            due = (due + LOOK).max(C::now());
            C::delay_until(due).await;
        }
        policy.reset(seed);
        let schedule = Schedule {
            first: C::now(),
            period: launch.action_period(),
            steps_max: launch.task.steps_max,
        };
        let decide =
            |now, observation: &Observation<'_>| (policy.decide(observation), thinking.time(now));
        policy_loop::play::<C>(schedule, decide, player).await;
        due = C::now();
    }
}

async fn write<C: Clock>(ledger: &mut Ledger) {
    let mut due = SimMono::EPOCH;
    loop {
        C::delay_until(due).await;
        ledger.turn(C::now());
        due = (due + WRITE).max(C::now());
    }
}

async fn operate<C: Clock>(operator: &mut Operator<'_>, shared: &Shared<'_>) {
    let mut due = SimMono::EPOCH + LOOK;
    loop {
        C::delay_until(due).await;
        if let Some(step) = shared.newest.get()
            && let Some(request) = operator.look(C::now(), &step)
        {
            shared.requests.borrow_mut().push_back(request);
        }
        due = (due + LOOK).max(C::now());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{plan_of, replayed};
    use super::*;
    use crate::session::tests::REAL_TIME;
    use crate::simulate::plan::{Choice, text};
    use std::path::Path;
    use visuomotor_runtime::episode::Fingerprint;

    fn launch() -> Launch {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("robots/sim_iiwa14.toml");
        Launch::read(&path).expect("the shipped launch file")
    }

    fn record(launch: &Launch, seed: u64, plan: &[Planned]) -> Vec<Step<JOINTS>> {
        let lineage = super::super::lineage(launch).expect("the test's own executable");
        let simulated = simulate(launch, &lineage, seed, plan).expect("it is wired");
        assert_eq!(simulated.violation, None, "seed {seed}, {}", text(plan));
        simulated.steps
    }

    #[test]
    fn a_simulation_repeats_bit_for_bit_and_so_does_its_replay() {
        let _alone = REAL_TIME.lock();
        let launch = launch();
        let all: Choice = "all".parse().expect("a choice");
        for seed in 7_000..7_040 {
            let plan = plan_of(&all, seed);
            let a = record(&launch, seed, &plan);
            // On another thread, whose clock and queue are its own.
            let b = std::thread::scope(|scope| {
                let again = scope.spawn(|| record(&launch, seed, &plan));
                again.join().expect("it ends well")
            });
            assert_eq!(a.len(), b.len());
            let mut prints = (Fingerprint::default(), Fingerprint::default());
            for (a, b) in a.iter().zip(&b) {
                assert_eq!(
                    prints.0.of(a),
                    prints.1.of(b),
                    "seed {seed}, {}",
                    text(&plan)
                );
            }
            assert_eq!(replayed(&launch, &a).expect("it is wired"), None);
        }
    }
}
