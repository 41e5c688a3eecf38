//! The product's CAN driver on the kernel's CAN, with emulated drives on the other end: the suite that every arm's driver
//! passes, in the guest's own time, and interfaces that go down under it.
//!
//! With a clock that counts instructions the host changes nothing. Drives have processors of their own: here they have a
//! priority above the driver's.

use crate::can::ip;
use crate::case::{Case, Device, Kernel, Mode, Outcome};
use serde_json::json;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{JoinHandle, panicking, sleep};
use visuomotor_drivers::can::wire::Status;
use visuomotor_drivers::can::{CanArm, CanConfig, ConnectedCanArm, SocketCan};
use visuomotor_drivers::testkit::Window;
use visuomotor_drivers::testkit::conformance::can::{ByHand, example_config, weightless};
use visuomotor_drivers::testkit::conformance::{Bench, Commands, LineFault, arm};
use visuomotor_drivers::testkit::emulate::Plant;
use visuomotor_drivers::testkit::emulate::can::{
    CanServer, FaultsHandle, FaultyCanPort, SharedDrives,
};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, BringUpError, Connected, Fingers};
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::realtime::{Preference, Process, Thread, ThreadPlan};
use visuomotor_runtime::safety::StopCategory;

pub const CASES: &[Case] = &[
    Case {
        name: "can_arm_conforms_on_virtual_can",
        mode: Mode::IcountFast,
        kernels: &[Kernel::Realtime],
        devices: &[Device::VirtualCan],
        limit_s: 600,
        run: conforms::<Virtual>,
        ..Case::DEFAULT
    },
    Case {
        name: "can_arm_conforms_on_cards",
        mode: Mode::IcountFast,
        // In the other one the threads of two cards' interrupts share a priority, and QEMU's cards know no pace: one sends
        // what fills the other's buffer before that one's thread runs.
        kernels: &[Kernel::Standard],
        devices: &[Device::CanCards],
        limit_s: 600,
        run: conforms::<Cards>,
        ..Case::DEFAULT
    },
    Case {
        name: "can_arm_survives_virtual_can_going_down",
        mode: Mode::IcountFast,
        kernels: &[Kernel::Realtime],
        devices: &[Device::VirtualCan],
        limit_s: 300,
        run: survives_down::<Virtual>,
        ..Case::DEFAULT
    },
    Case {
        name: "can_arm_survives_cards_going_down",
        mode: Mode::IcountFast,
        kernels: &[Kernel::Standard],
        devices: &[Device::CanCards],
        limit_s: 300,
        run: survives_down::<Cards>,
        ..Case::DEFAULT
    },
];

pub const JOINTS: usize = 7;
/// As the shipped launch file.
const PERIOD: Duration = Duration::from_ticks(4_000_000);
/// Finer than the bench in virtual time, whose ticks fall on its steps.
const STEP_S: f64 = 1e-4;
const MS: Duration = Duration::from_ticks(1_000_000);

/// Which interfaces make the bus.
trait Bus {
    /// The driver's and the drives'.
    const ENDS: [&str; 2];
    /// Makes it.
    fn make();
    fn remove();
}

pub fn make_vcan0() {
    // A test that failed may have left it.
    if !Path::new("/sys/class/net/vcan0").exists() {
        ip("link add dev vcan0 type vcan");
    }
    ip("link set vcan0 txqueuelen 128 up");
}

struct Virtual;

impl Bus for Virtual {
    const ENDS: [&str; 2] = ["vcan0", "vcan0"];

    fn make() {
        make_vcan0();
    }

    fn remove() {
        ip("link del vcan0");
    }
}

struct Cards;

impl Bus for Cards {
    const ENDS: [&str; 2] = ["can0", "can1"];

    fn make() {
        for bus in Self::ENDS {
            ip(&format!("link set {bus} down"));
            ip(&format!(
                "link set {bus} txqueuelen 128 up type can bitrate 1000000 restart-ms 100"
            ));
        }
    }

    fn remove() {
        for bus in Self::ENDS {
            ip(&format!("link set {bus} down"));
        }
    }
}

/// Emulated drives that are served by a thread of their own until they are dropped.
pub struct Served<L> {
    pub drives: SharedDrives<L>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<L: Plant + Send + 'static> Served<L> {
    pub fn start(config: &CanConfig, plant: L) -> Self {
        let mut server = CanServer::open(config, plant).expect("a bus");
        let drives = server.drives().clone();
        let ended = Arc::new(AtomicBool::new(false));
        let ending = ended.clone();
        let thread = std::thread::spawn(move || {
            let plan = ThreadPlan {
                fifo_priority: Some(90),
                cpu: None,
            };
            Thread::enter(Preference::Required, plan).expect("thread");
            // Drives survive a bus that is down.
            while server.serve(&ending).is_err() {
                sleep(MS.into());
            }
        });
        Self {
            drives,
            ended,
            thread: Some(thread),
        }
    }
}

impl<L> Drop for Served<L> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let served = self.thread.take().map(JoinHandle::join);
        let is_sound = served.is_none_or(|served| served.is_ok());
        assert!(is_sound || panicking(), "the drives' thread panicked");
    }
}

/// The bench of the conformance suite, over the kernel.
struct Live<B> {
    config: CanConfig,
    served: Served<ByHand>,
    faults: FaultsHandle,
    port: Option<FaultyCanPort<SocketCan>>,
    bus: PhantomData<B>,
}

impl<B: Bus> Bench<JOINTS> for Live<B> {
    type Connected = ConnectedCanArm<FaultyCanPort<SocketCan>, JOINTS>;

    fn new(seed: u64) -> Self {
        let [near, far] = B::ENDS;
        let config = |interface: &str| CanConfig {
            interface: interface.to_owned(),
            ..example_config()
        };
        let q: Vec<f64> = (0..=JOINTS as u64)
            .map(|i| ((seed + 3 * i) % 7) as f64 * 0.3 - 0.9)
            .collect();
        let served = Served::start(&config(far), ByHand::at(&q, STEP_S));
        let config = config(near);
        let port = SocketCan::open(near, &config.master_ids()).expect("a bus");
        let port = FaultyCanPort::new(port, &config.master_ids(), seed);
        Self {
            config,
            served,
            faults: port.handle(),
            port: Some(port),
            bus: PhantomData,
        }
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    /// The drives' work is done on this processor as well.
    fn processor_time_max(&self) -> Duration {
        MS
    }

    fn connect(&mut self) -> Result<Self::Connected, BringUpError> {
        let port = self.port.take().expect("a bench has one driver");
        CanArm::connect(port, &self.config, weightless().expect("a chain"))
    }

    fn schedule(&mut self, from: Instant, until: Instant, fault: LineFault) {
        self.faults.schedule(Window { from, until }, fault);
    }

    fn injected(&self) -> u64 {
        self.faults.injected()
    }

    fn now(&self) -> Instant {
        LinuxMono::now()
    }

    fn advance(&mut self, at: Instant) {
        LinuxMono::sleep_until(at);
    }

    fn truth(&self, at: Instant) -> [f64; JOINTS] {
        let mut drives = self.served.drives.lock();
        drives.advance(LinuxMono::now());
        std::array::from_fn(|i| drives.was(i, at))
    }

    fn push_by_hand(&mut self, dq: f64) {
        let mut drives = self.served.drives.lock();
        drives.advance(LinuxMono::now());
        drives.plant.push(dq);
    }

    fn goals(&self) -> [Option<f64>; JOINTS] {
        let drives = self.served.drives.lock();
        std::array::from_fn(|i| drives.drives[i].goal())
    }

    fn resolution(&self) -> f64 {
        let joints = self.config.joint.iter();
        let each = joints.map(|joint| joint.actuator.ranges().resolution_rad());
        each.fold(0.0, f64::max)
    }

    fn watchdog(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.config.watchdog_ms.into()))
    }

    fn break_drive(&mut self, joint: usize) {
        self.served.drives.lock().drives[joint].fail(Status(0xB));
    }
}

/// As in the product: locked memory, a thread at the control thread's priority.
pub fn on_the_control_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let plan = ThreadPlan::control(None);
    let _process = Process::prepare(Preference::Required, &plan).expect("process");
    let worked = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            Thread::enter(Preference::Required, plan).expect("thread");
            work()
        });
        thread.join()
    });
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn conforms<B: Bus>() -> Outcome {
    B::make();
    let begun = LinuxMono::now();
    on_the_control_thread(|| arm::run::<Live<B>, JOINTS>(0..1));
    let took = LinuxMono::now() - begun;
    B::remove();
    let checks: Vec<_> = arm::checks::<Live<B>, JOINTS>().map(|check| check.0).into();
    Outcome::Passed(json!({"checks": checks, "guest_s": took.as_ticks() as f64 * 1e-9}))
}

/// What a few hundred ticks met while the driver's interface went down and up.
#[derive(Debug, Default, serde::Serialize)]
struct Ticks {
    ticks: u32,
    readings: u32,
    no_answer: u32,
    drive_faults: u32,
    io_ms_max: f64,
}

const ROUNDS: u32 = 3;

fn survives_down<B: Bus>() -> Outcome {
    B::make();
    let (enabled, rounds) = (Barrier::new(2), AtomicU32::new(0));
    let met = std::thread::scope(|scope| {
        scope.spawn(|| {
            enabled.wait();
            for _ in 0..ROUNDS {
                sleep((MS * 100).into());
                ip(&format!("link set {} down", B::ENDS[0]));
                // Longer than the drives' watchdogs wait.
                sleep((MS * 150).into());
                ip(&format!("link set {} up", B::ENDS[0]));
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        on_the_control_thread(|| {
            let mut bench = Live::<B>::new(1);
            let connected = bench.connect().expect("an arm that answers");
            let mut driver = connected.enable().expect("an arm under power");
            enabled.wait();
            drive(&bench, &mut driver, &rounds)
        })
    });
    B::remove();
    Outcome::Passed(json!(met))
}

/// Moves slowly, as a controller does whose operator clears every stop at once, until some time after the last round.
fn drive<B: Bus>(bench: &Live<B>, driver: &mut impl Arm<JOINTS>, rounds: &AtomicU32) -> Ticks {
    const AFTERWARDS: u32 = 150;
    let mut commands = Commands::<JOINTS>::new(PERIOD).expect("commands");
    let (mut met, mut after, mut failed_last) = (Ticks::default(), 0, 0);
    let mut moving = false;
    let mut due = LinuxMono::now();
    while after < AFTERWARDS {
        due = (due + PERIOD).max(LinuxMono::now());
        LinuxMono::sleep_until(due);
        met.ticks += 1;
        after += u32::from(rounds.load(Ordering::Relaxed) == ROUNDS);
        let begun = LinuxMono::now();
        let answer = driver.read(begun);
        if let Ok(state) = &answer {
            met.readings += 1;
            compare(bench, state);
        }
        match answer {
            Ok(state) if !moving => {
                commands.start_at(&state).expect("a standing start");
                moving = true;
            }
            Ok(_) => {}
            Err(error) => {
                failed_last = after;
                match error {
                    ArmError::Drive { .. } => {
                        met.drive_faults += 1;
                        driver.stop(StopCategory::Zero);
                        moving = false;
                    }
                    _ => met.no_answer += 1,
                }
            }
        }
        if moving {
            let command = commands.next(0.1, Fingers::Open).expect("a command");
            // What cannot be sent is missed by the next reading.
            let _ = driver.write(&command);
        }
        let took = LinuxMono::now() - begun;
        met.io_ms_max = met.io_ms_max.max(took.as_ticks() as f64 * 1e-6);
        let most = driver.io_time_max() + bench.processor_time_max();
        assert!(took <= most, "tick {}: {took}, more than {most}", met.ticks);
    }
    assert!(met.no_answer >= ROUNDS * 20, "{met:?}");
    assert!(met.drive_faults >= ROUNDS, "{met:?}");
    assert!(failed_last < AFTERWARDS - 50, "it never recovers: {met:?}");
    let goals = bench.goals();
    assert!(goals.iter().all(Option::is_some), "{goals:?}");
    driver.stop(StopCategory::Zero);
    sleep((MS * 10).into());
    let goals = bench.goals();
    assert!(goals.iter().all(Option::is_none), "{goals:?}");
    met
}

/// A reading is where the joints were at some time since it says it was sampled.
fn compare<B: Bus>(bench: &Live<B>, state: &ArmState<JOINTS>) {
    let now = LinuxMono::now();
    let mut drives = bench.served.drives.lock();
    drives.advance(now);
    for joint in 0..JOINTS {
        let q = state.q[joint];
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut at = state.sampled_at;
        while at < now {
            let was = drives.was(joint, at);
            (low, high) = (low.min(was), high.max(was));
            at += MS / 2;
        }
        let slack = bench.resolution() + 1e-4;
        assert!(
            (low - slack..=high + slack).contains(&q),
            "joint {joint} reads {q} rad, and was within {low} to {high} since"
        );
    }
}
