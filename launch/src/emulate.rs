//! `visuomotor emulate`: a robot's drives as software, on a real line, until a person ends it.
//!
//! Not responsible for the drives ([`visuomotor_drivers::testkit::emulate`]).

use crate::any_arm::{self, AnyArm};
use crate::cli::EmulateArgs;
use crate::config::{ArmConfig, Launch};
use crate::error::{CommandError, Grade};
#[cfg(feature = "sim")]
use crate::wiring;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use visuomotor_drivers::can::CanConfig;
use visuomotor_drivers::servo_bus::{Calibration, ServoBusConfig};
use visuomotor_drivers::testkit::emulate::can::CanServer;
use visuomotor_drivers::testkit::emulate::servo::{SerialServer, ServoDevice};
use visuomotor_drivers::testkit::emulate::{Inertias, Plant};
use visuomotor_runtime::clock::LinuxMono;
use visuomotor_runtime::realtime::{Preference, Thread, ThreadPlan};

/// Of joints without a scene: kg·m², N·m·s/rad, and a step, s.
const INERTIA: f64 = 0.02;
const FRICTION: f64 = 0.3;
const STEP_S: f64 = 1e-3;

/// Drives have processors of their own and answer at once: above all of a controller but its control thread, which waits for
/// the answers anyway when it has said everything.
const FIFO_PRIORITY: i32 = 70;

const SO101: &str = include_str!("../robots/so101.toml");
const SO101_CALIBRATION: &str = include_str!("../robots/so101_calibration.toml");
const CAN_ARM: &str = include_str!("../robots/can_arm.toml");

pub fn run(args: &EmulateArgs) -> Result<Grade, CommandError> {
    let arm = match args.robot.to_str() {
        Some("so101") => {
            let calibration =
                Calibration::parse(SO101_CALIBRATION).map_err(CommandError::failed)?;
            ArmConfig::ServoBus(shipped(SO101, "servo_bus")?, calibration)
        }
        Some("can_arm") => ArmConfig::Can(shipped(CAN_ARM, "can")?),
        _ => return any_arm::run(args, &args.robot),
    };
    if args.video.is_some() {
        let problem = "there is no scene to show: name a launch file instead of a robot";
        return Err(CommandError::input(problem));
    }
    let stop = interrupt()?;
    let joints = match &arm {
        ArmConfig::ServoBus(_, calibration) => calibration.joints.len(),
        ArmConfig::Can(config) => config.joint.len(),
    };
    // Fingers come last.
    let plant = Inertias::at(&vec![0.0; joints + 1], INERTIA, FRICTION, STEP_S);
    serve(args, &arm, plant, &stop)
}

/// What a shipped launch file says of its arm.
fn shipped<T: serde::de::DeserializeOwned>(launch: &str, kind: &str) -> Result<T, CommandError> {
    let tables: toml::Table = launch.parse().map_err(CommandError::failed)?;
    let table = tables["arm"][kind].clone();
    table.try_into().map_err(CommandError::failed)
}

fn interrupt() -> Result<Arc<AtomicBool>, CommandError> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .map_err(CommandError::failed)?;
    Ok(stop)
}

/// Serves on the line that the command line names.
fn serve(
    args: &EmulateArgs,
    arm: &ArmConfig,
    plant: impl Plant,
    stop: &AtomicBool,
) -> Result<Grade, CommandError> {
    let plan = ThreadPlan {
        fifo_priority: Some(FIFO_PRIORITY),
        cpu: None,
    };
    // Where it is not granted, drives are late now and then.
    Thread::enter(Preference::Preferred, plan).map_err(CommandError::failed)?;
    match arm {
        ArmConfig::ServoBus(config, calibration) => {
            let path = args.pty.as_deref();
            let path = path.ok_or_else(|| CommandError::input("say where: --pty PATH"))?;
            on_pty(config, calibration, plant, path, stop)
        }
        ArmConfig::Can(config) => on_can(args, config, plant, stop),
    }
}

fn on_pty(
    config: &ServoBusConfig,
    calibration: &Calibration,
    plant: impl Plant,
    path: &Path,
    stop: &AtomicBool,
) -> Result<Grade, CommandError> {
    let device = ServoDevice::calibrated(calibration, plant, config.baud, LinuxMono::now());
    let mut server = SerialServer::open_pty(device, path).map_err(|error| no_pty(path, &error))?;
    eprintln!(
        "{} servos on {}",
        calibration.joints.len() + 1,
        path.display()
    );
    server.serve(stop).map_err(CommandError::failed)?;
    Ok(Grade::Good)
}

fn no_pty(path: &Path, error: &io::Error) -> CommandError {
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "end the emulator that serves it, name another path, or remove it"
        }
        io::ErrorKind::NotFound => "create its directory, or name another path",
        io::ErrorKind::PermissionDenied => "name a path that you may write to, as /tmp/so101",
        _ => "name another path",
    };
    CommandError::input(format!("{}: {error}; {remedy}", path.display()))
}

fn on_can(
    args: &EmulateArgs,
    config: &CanConfig,
    plant: impl Plant,
    stop: &AtomicBool,
) -> Result<Grade, CommandError> {
    let interface = args.can.clone();
    let config = CanConfig {
        interface: interface.ok_or_else(|| CommandError::input("say where: --can INTERFACE"))?,
        ..config.clone()
    };
    let mut server = CanServer::open(&config, plant).map_err(CommandError::input)?;
    eprintln!("{} drives on {}", config.joint.len() + 1, config.interface);
    server.serve(stop).map_err(CommandError::failed)?;
    Ok(Grade::Good)
}

impl AnyArm for EmulateArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let missing = "missing; say in [arm.servo_bus] or [arm.can] which drives there are";
        let arm = launch
            .arm
            .as_ref()
            .ok_or_else(|| CommandError::input(launch.source.error_in("arm", missing)))?;
        in_scene(self, launch, arm)
    }
}

/// With the launch file's scene behind the drives, and its camera's picture on a device.
#[cfg(feature = "sim")]
fn in_scene<const N: usize>(
    args: &EmulateArgs,
    launch: &Launch<N>,
    arm: &ArmConfig,
) -> Result<Grade, CommandError> {
    use rand::SeedableRng;
    use visuomotor_drivers::sim::{Rig, Split, View, World};
    use visuomotor_drivers::v4l::OutputDevice;
    let scene = wiring::scene(launch).map_err(CommandError::input)?;
    let output = args.video.as_deref().map(|device| {
        OutputDevice::open(device, scene.camera.size_px).map_err(|error| no_video(device, &error))
    });
    let output = output.transpose()?;
    let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(args.seed);
    let start = wiring::draw_start(launch, &mut rng);
    let q = wiring::start_joints(launch, &start, &mut rng).map_err(CommandError::input)?;
    let mut world = World::build(scene, Split::Test, args.seed).map_err(CommandError::input)?;
    world.place_arm::<N>(q.0.into());
    let mut rig = Rig::new(world);
    let seat = rig.camera(View::Policy);
    let mut judge = rig.observer();
    let (mut plant, _feeder) = rig.split_plant().map_err(CommandError::input)?;
    plant.restart(LinuxMono::now());
    let stop = interrupt()?;
    let served = std::thread::scope(|scope| {
        let shown = output.map(|output| {
            let (stop, hz) = (&stop, args.video_hz);
            scope.spawn(move || {
                let shown = show(seat, output, hz, stop);
                stop.store(true, Ordering::Relaxed);
                shown
            })
        });
        let watched = scope.spawn(|| watch(&mut judge, &stop));
        let served = serve(args, arm, plant, &stop);
        stop.store(true, Ordering::Relaxed);
        if let (Ok(lifting), Ok(_)) = (watched.join(), &served) {
            println!("{}", serde_json::json!(lifting));
        }
        if let Some(Ok(Err(error))) = shown.map(|shown| shown.join()) {
            let problem = format!("the picture could not be shown: {error}");
            return Err(CommandError::failed(problem));
        }
        served
    })?;
    Ok(served)
}

#[cfg(feature = "sim")]
fn no_video(device: &Path, error: &io::Error) -> CommandError {
    let remedy = "run `sudo modprobe v4l2loopback video_nr=9` for a /dev/video9 (Debian's package v4l2loopback-dkms), and name \
                  that";
    CommandError::input(format!("{}: {error}; {remedy}", device.display()))
}

/// What became of the scene's objects, by its physics.
#[cfg(feature = "sim")]
#[derive(Debug, Default, serde::Serialize)]
struct Lifting {
    /// One was held above the height for long enough.
    lifted: bool,
    /// The longest that one was held there, s.
    lifted_s: f64,
    held_height_m_max: f64,
}

/// So long an object is held before that counts: as in an evaluation.
#[cfg(feature = "sim")]
const HELD_S: f64 = 0.25;
#[cfg(feature = "sim")]
const LOOK_S: f64 = 0.02;

#[cfg(feature = "sim")]
fn watch(judge: &mut visuomotor_drivers::sim::SimObserver, stop: &AtomicBool) -> Lifting {
    use visuomotor_runtime::clock::Duration;
    let (mut lifting, mut held_s) = (Lifting::default(), 0.0);
    while !stop.load(Ordering::Relaxed) {
        if let Some(judged) = judge.judge() {
            held_s = if judged.success { held_s + LOOK_S } else { 0.0 };
            lifting.lifted_s = lifting.lifted_s.max(held_s);
            lifting.held_height_m_max = lifting.held_height_m_max.max(judged.held_height_m);
        }
        LinuxMono::sleep_until(LinuxMono::now() + Duration::from_ticks((LOOK_S * 1e9) as u64));
    }
    lifting.lifted = lifting.lifted_s >= HELD_S;
    lifting
}

#[cfg(not(feature = "sim"))]
fn in_scene<const N: usize>(
    _: &EmulateArgs,
    launch: &Launch<N>,
    _: &ArmConfig,
) -> Result<Grade, CommandError> {
    let problem = "needs the simulator, which this program was built without; name a robot instead of a launch file";
    Err(CommandError::input(
        launch.source.error_in("scene", problem),
    ))
}

/// Renders what the scene's camera sees and shows it, until `stop`.
#[cfg(feature = "sim")]
fn show(
    seat: visuomotor_drivers::sim::CameraSeat,
    mut output: visuomotor_drivers::v4l::OutputDevice,
    hz: f64,
    stop: &AtomicBool,
) -> io::Result<()> {
    use visuomotor_runtime::camera::{Camera, Frame};
    use visuomotor_runtime::clock::Duration;
    let mut camera = seat.open().map_err(io::Error::other)?;
    let period = Duration::from_ticks((1e9 / hz) as u64);
    let (mut frame, mut due) = (Frame::default(), LinuxMono::now());
    while !stop.load(Ordering::Relaxed) {
        if camera.capture(LinuxMono::now(), &mut frame).is_ok() {
            output.show(&frame.image)?;
        }
        due = (due + period).max(LinuxMono::now());
        LinuxMono::sleep_until(due);
    }
    Ok(())
}
