//! The real line and the real driver, over a pseudo terminal with emulated servos behind it. Nothing here is judged by how long it
//! takes: a machine that is busy elsewhere makes readings fail, and then another one is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use visuomotor_drivers::port::{PortError, SerialPort};
use visuomotor_drivers::servo_bus::{Calibration, SerialLine, ServoBus, ServoBusConfig};
use visuomotor_drivers::testkit::conformance::Commands;
use visuomotor_drivers::testkit::conformance::servo::{Feetech, Kind, N, config};
use visuomotor_drivers::testkit::emulate::Inertias;
use visuomotor_drivers::testkit::emulate::servo::{SerialServer, ServoDevice};
use visuomotor_runtime::arm::{Arm, Connected, Fingers};
use visuomotor_runtime::clock::{Duration, LinuxMono};
use visuomotor_runtime::safety::StopCategory;

const CALIBRATION: &str = include_str!("../../../launch/robots/so101_calibration.toml");
const Q: [f64; N + 1] = [0.1, -0.2, 0.3, -0.1, 0.2, 0.5];

struct Served {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn so101(name: &str) -> Self {
        let calibration = Calibration::parse(CALIBRATION).unwrap();
        let plant = Inertias::at(&Q, 0.005, 0.15, 1e-3);
        let device = ServoDevice::calibrated(&calibration, plant, 1_000_000, LinuxMono::now());
        let path = std::env::temp_dir().join(format!("visuomotor-{}-{name}", std::process::id()));
        let mut server = SerialServer::open_pty(device, &path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || server.serve(&stopping).unwrap());
        Self {
            path,
            stop,
            thread: Some(thread),
        }
    }

    fn config(&self) -> ServoBusConfig {
        ServoBusConfig {
            port: self.path.to_string_lossy().into_owned(),
            // The server's thread may have to wait for this one.
            adapter_latency_ms: 40.0,
            ..config::<Feetech>()
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_real_driver_moves_emulated_servos_over_a_pseudo_terminal() {
    let mut served = Served::so101("moves");
    let config = served.config();
    let line = SerialLine::open(&config.port, config.baud).unwrap();
    let busy = SerialLine::open(&config.port, config.baud).unwrap_err();
    assert!(
        busy.remedy.contains("end the program that uses it"),
        "{busy}"
    );
    let calibration = Calibration::parse(CALIBRATION).unwrap();
    let mut connected = ServoBus::<_, N>::connect(line, &config, &calibration).unwrap();
    let state = again(|| connected.read(LinuxMono::now()).ok());
    let far = (0..N).find(|&i| (state.q[i] - Q[i]).abs() > 2e-3);
    assert_eq!(far, None, "{state:?}");
    let mut arm = connected.enable().unwrap();
    let period = Duration::from_ticks(10_000_000);
    let mut commands = Commands::new(period).unwrap();
    commands.start_at(&state).unwrap();
    for _ in 0..60 {
        LinuxMono::sleep_until(LinuxMono::now() + period);
        let _ = arm.read(LinuxMono::now());
        let command = commands.next(0.5, Fingers::Closed).unwrap();
        arm.write(&command).unwrap();
    }
    let goal = *commands.next(0.0, Fingers::Closed).unwrap().q();
    let there = again(|| {
        let state = arm.read(LinuxMono::now()).ok()?;
        (0..N)
            .all(|i| (state.q[i] - goal[i]).abs() < 0.1)
            .then_some(state)
    });
    assert!(there.q[0] > Q[0] + 0.1, "{}", there.q[0]);
    arm.stop(StopCategory::Zero);
    // The adapter is unplugged.
    served.end();
    again(|| arm.read(LinuxMono::now()).err());
}

#[test]
fn a_terminal_that_is_served_is_not_taken_over_and_what_a_dead_server_left_is() {
    let serve = |path: &Path| {
        let calibration = Calibration::parse(CALIBRATION).unwrap();
        let plant = Inertias::at(&Q, 0.005, 0.15, 1e-3);
        let device = ServoDevice::calibrated(&calibration, plant, 1_000_000, LinuxMono::now());
        SerialServer::open_pty(device, path)
    };
    let path = std::env::temp_dir().join(format!("visuomotor-{}-twice", std::process::id()));
    std::os::unix::fs::symlink("/dev/pts/none", &path).unwrap();
    let first = serve(&path).unwrap();
    let target = std::fs::read_link(&path).unwrap();
    let refused = serve(&path).err().expect("it is served");
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_link(&path).unwrap(), target);
    drop(first);
    assert!(!path.is_symlink());
}

/// As often as it takes, with a pause; for a minute of pauses at most.
fn again<T>(mut act: impl FnMut() -> Option<T>) -> T {
    let pause = || LinuxMono::sleep_until(LinuxMono::now() + Duration::from_ticks(20_000_000));
    let attempts = (0..3_000).map(|_| {
        act().or_else(|| {
            pause();
            None
        })
    });
    let mut found = attempts.flatten();
    found.next().expect("it never came")
}

#[test]
fn a_line_that_is_gone_says_so_and_a_missing_one_says_what_to_do() {
    let mut served = Served::so101("gone");
    let mut line = SerialLine::open(&served.path.to_string_lossy(), 1_000_000).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(line.receive(&mut bytes, LinuxMono::now()), Ok(0));
    served.end();
    let until = LinuxMono::now() + Duration::from_ticks(50_000_000);
    assert_eq!(line.receive(&mut bytes, until), Err(PortError::Gone));
    assert_eq!(line.send(&[1]), Err(PortError::Gone));
    let missing = SerialLine::open("/dev/no-such-adapter", 1_000_000).unwrap_err();
    assert!(missing.remedy.contains("plug the adapter in"), "{missing}");
    let not_a_line = SerialLine::open("/dev/null", 1_000_000).unwrap_err();
    assert!(
        not_a_line.remedy.contains("name a serial line"),
        "{not_a_line}"
    );
    assert_eq!(Feetech::WATCHDOG_MS, None);
}
