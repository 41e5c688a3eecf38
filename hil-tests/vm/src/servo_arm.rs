//! The product's servo-bus driver on the kernel's serial ports, with an emulated SO-101 on the other end of the cable.
//!
//! What is asserted is what was exchanged, never how long it took: the cable is the host's.

use crate::case::{Case, Device, Kernel, Outcome};
use crate::serial::on_pci;
use rustix::termios::{QueueSelector, tcflush};
use serde_json::json;
use std::f64::consts::TAU;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use visuomotor_drivers::servo_bus::{Calibration, SerialLine, ServoArm, ServoBus, ServoBusConfig};
use visuomotor_drivers::testkit::conformance::Commands;
use visuomotor_drivers::testkit::emulate::Inertias;
use visuomotor_drivers::testkit::emulate::servo::{SerialServer, ServoDevice, SharedServos};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, Connected, Fingers};
use visuomotor_runtime::clock::{Duration, LinuxMono};
use visuomotor_runtime::safety::StopCategory;

pub const CASES: &[Case] = &[
    Case {
        name: "servo_arm_moves_over_serial_ports",
        kernels: &[Kernel::Realtime],
        devices: &[Device::SerialPair],
        run: moves_over_16550,
        ..Case::DEFAULT
    },
    Case {
        name: "servo_arm_moves_over_usb_serial",
        devices: &[Device::UsbSerialPair],
        run: moves_over_usb,
        ..Case::DEFAULT
    },
];

const JOINTS: usize = 5;
const Q: [f64; JOINTS + 1] = [0.1, -0.2, 0.3, -0.1, 0.2, 0.5];
const BAUD: u32 = 1_000_000;
const PERIOD: Duration = Duration::from_ticks(10_000_000);
const CALIBRATION: &str = include_str!("../../../launch/robots/so101_calibration.toml");

fn config(port: &Path) -> ServoBusConfig {
    let config = format!(
        "protocol = \"feetech\"\nport = {port:?}\ncalibration = \"so101_calibration.toml\"\n\
         # A busy host lets the far end's thread wait.\nadapter_latency_ms = 50.0"
    );
    toml::from_str(&config).expect("a configuration")
}

fn moves_over_16550() -> Outcome {
    let ports = on_pci();
    let near = ports[0].to_string_lossy();
    // The kernel would set another speed than it was asked for, without a word.
    let too_fast = SerialLine::open(&near, 3 * BAUD).expect_err("it ends at 1 Mbit/s");
    assert!(too_fast.remedy.contains("baud rate"), "{too_fast}");
    moves(&ports)
}

fn moves_over_usb() -> Outcome {
    let ports = ["/dev/ttyUSB0", "/dev/ttyUSB1"].map(PathBuf::from);
    // The kernel may still be looking at what hangs on its bus.
    again_and_again(|| ports.iter().all(|port| port.exists()).then_some(()));
    let timer = "/sys/class/tty/ttyUSB0/device/latency_timer";
    // As adapters are delivered; QEMU's is not.
    fs::write(timer, "16").expect(timer);
    let moved = moves(&ports);
    assert_eq!(fs::read_to_string(timer).expect(timer).trim(), "1", "ms");
    is_unplugged(&ports);
    moved
}

fn moves(ports: &[PathBuf]) -> Outcome {
    let [near, far] = ports else {
        panic!("two ports, not {ports:?}");
    };
    let calibration = Calibration::parse(CALIBRATION).expect("shipped");
    let plant = Inertias::at(&Q, 0.005, 0.15, 1e-3);
    let device = ServoDevice::calibrated(&calibration, plant, BAUD, LinuxMono::now());
    let mut server = SerialServer::open_line(device, &far.to_string_lossy()).expect("far end");
    let servos = server.device().clone();
    let config = config(near);
    let arm = served(&mut server, || brought_up(&config, &calibration));
    let busy = SerialLine::open(&config.port, BAUD).expect_err("it is ours");
    assert!(busy.remedy.contains("end the program"), "{busy}");
    let mut ticks = served(&mut server, || Ticks::start(arm, servos.clone()));
    let sound = served(&mut server, || ticks.run(200));
    assert!(sound.readings > 50, "{sound:?}");
    assert!(sound.moved_rad > 0.1, "{sound:?}");

    // Nobody is there: what is sent is lost.
    let silent = ticks.run(10);
    assert_eq!(silent.no_answer, 10, "{silent:?}");
    forget(far);
    let again = served(&mut server, || {
        ticks.read();
        ticks.run(50)
    });
    assert!(again.readings > 10, "{again:?}");

    let fault = served(&mut server, || {
        servos.lock().servo(2).overheat();
        let fault = again_and_again(|| match ticks.arm.read(LinuxMono::now()) {
            Err(ArmError::Drive { code }) => Some(code),
            _ => None,
        });
        ticks.arm.stop(StopCategory::Zero);
        again_and_again(|| {
            let device = servos.lock();
            (0..=JOINTS)
                .all(|servo| device.goal(servo).is_none())
                .then_some(())
        });
        fault
    });
    // It complains of heat, and its id is 3.
    assert_eq!(fault, 1 << 16 | 1 << 2 << 8 | 3);
    Outcome::Passed(json!({
        "sound": sound, "silent": silent, "again": again,
        "baud": BAUD,
    }))
}

/// On a busy host a packet may come in pieces so far apart that servos forget it: there is more than one chance.
fn brought_up(config: &ServoBusConfig, calibration: &Calibration) -> ServoArm<SerialLine, JOINTS> {
    let mut last = None;
    for _ in 0..20 {
        let line = SerialLine::open(&config.port, config.baud).expect("near end");
        let bus = ServoBus::connect(line, config, calibration);
        match bus.and_then(Connected::enable) {
            Ok(arm) => return arm,
            Err(error) => last = Some(error),
        }
    }
    panic!("no arm under power: {last:?}");
}

/// Lets the servos answer while this is done.
fn served<T>(server: &mut SerialServer<Inertias>, work: impl FnOnce() -> T) -> T {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve(&ended));
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        serving.join().expect("the servos' thread").expect("a line");
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What some ticks met.
#[derive(Debug, Default, serde::Serialize)]
struct Met {
    readings: u32,
    no_answer: u32,
    moved_rad: f64,
    age_ms_max: f64,
}

struct Ticks {
    arm: ServoArm<SerialLine, JOINTS>,
    servos: SharedServos<Inertias>,
    commands: Commands<JOINTS>,
}

impl Ticks {
    fn start(mut arm: ServoArm<SerialLine, JOINTS>, servos: SharedServos<Inertias>) -> Self {
        let state = again_and_again(|| arm.read(LinuxMono::now()).ok());
        let mut commands = Commands::new(PERIOD).expect("commands");
        commands.start_at(&state).expect("a standing start");
        Self {
            arm,
            servos,
            commands,
        }
    }

    /// The next reading that comes.
    fn read(&mut self) -> ArmState<JOINTS> {
        again_and_again(|| self.arm.read(LinuxMono::now()).ok())
    }

    /// Reads, compares, and moves.
    fn run(&mut self, ticks: u32) -> Met {
        let mut met = Met::default();
        let mut first = None;
        for tick in 0..ticks {
            LinuxMono::sleep_until(LinuxMono::now() + PERIOD);
            match self.arm.read(LinuxMono::now()) {
                Ok(state) => {
                    met.readings += 1;
                    let age = LinuxMono::now() - state.sampled_at;
                    met.age_ms_max = met.age_ms_max.max(age.as_ticks() as f64 * 1e-6);
                    self.compare(&state);
                    let moved = (state.q[0] - *first.get_or_insert(state.q[0])).abs();
                    met.moved_rad = met.moved_rad.max(moved);
                }
                Err(ArmError::NoAnswer) => met.no_answer += 1,
                Err(error) => panic!("{error}: {met:?}"),
            }
            // To and fro, fast enough for an age that is wrong by some milliseconds to show.
            let dq = if tick % 80 < 40 { 1.0 } else { -1.0 };
            let command = self.commands.next(dq, Fingers::Open).expect("a command");
            self.arm.write(&command).expect("it is sent");
        }
        met
    }

    /// A reading is where the joints were at some time since it says it was sampled.
    fn compare(&self, state: &ArmState<JOINTS>) {
        let now = LinuxMono::now();
        let mut device = self.servos.lock();
        device.advance(now);
        let (mut low, mut high) = ([f64::INFINITY; JOINTS], [f64::NEG_INFINITY; JOINTS]);
        let mut at = state.sampled_at;
        while at < now {
            let was = device.truth(at);
            for joint in 0..JOINTS {
                low[joint] = low[joint].min(was[joint]);
                high[joint] = high[joint].max(was[joint]);
            }
            at += Duration::from_ticks(500_000);
        }
        for joint in 0..JOINTS {
            let slack = TAU / 4096.0 + 3e-4;
            assert!(
                (low[joint] - slack..=high[joint] + slack).contains(&state.q[joint]),
                "joint {joint} reads {} rad, and was within {} to {} since",
                state.q[joint],
                low[joint],
                high[joint]
            );
        }
    }
}

/// As often as it takes: a case has a limit.
fn again_and_again<T>(mut act: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = act() {
            return found;
        }
        LinuxMono::sleep_until(LinuxMono::now() + PERIOD);
    }
}

/// What came while nobody listened is lost, as at servos without supply.
fn forget(port: &Path) {
    let port = OpenOptions::new().read(true).write(true).open(port);
    tcflush(port.expect("a port"), QueueSelector::IFlush).expect("flush");
}

/// The near adapter is unplugged, as far as its driver can tell, and plugged in again.
fn is_unplugged(ports: &[PathBuf; 2]) {
    use visuomotor_drivers::port::{PortError, SerialPort};
    let [near, far] = ports;
    let place = fs::canonicalize("/sys/class/tty/ttyUSB0/device/..").expect("an interface");
    let interface = place.file_name().expect("a name").to_owned();
    let tell = |file: &str| {
        let file = format!("/sys/bus/usb/drivers/ftdi_sio/{file}");
        fs::write(&file, interface.as_encoded_bytes()).expect(&file);
    };
    let open = |port: &Path| SerialLine::open(&port.to_string_lossy(), BAUD);
    let mut line = open(near).expect("near end");
    tell("unbind");
    let mut bytes = [0; 8];
    let until = LinuxMono::now() + PERIOD;
    assert_eq!(line.receive(&mut bytes, until), Err(PortError::Gone));
    assert_eq!(line.send(&[1]), Err(PortError::Gone));
    drop(line);
    let missing = open(near).expect_err("it is gone");
    assert!(missing.remedy.contains("plug the adapter in"), "{missing}");
    tell("bind");
    again_and_again(|| open(near).ok());
    open(far).expect("far end");
}
