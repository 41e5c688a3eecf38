//! The real port in real time: over a pair of sockets everywhere, and over `vcan0` where the machine has it.
//!
//! What is asserted is what was exchanged, never how long it took.

use super::{CanArm, SocketCan};
use crate::port::CanPort;
use crate::testkit::conformance::Commands;
use crate::testkit::conformance::can::example_config;
use crate::testkit::emulate::Inertias;
use crate::testkit::emulate::can::CanServer;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use visuomotor_runtime::arm::{Arm, Connected, Fingers};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::kinematics::dynamics::UPRIGHT_M_PER_S2;
use visuomotor_runtime::kinematics::{Chain, Dynamics};
use visuomotor_runtime::safety::StopCategory;

const PERIOD: Duration = Duration::from_ticks(4_000_000);
const VCAN: &str = "vcan0";

fn plant() -> Inertias {
    Inertias::at(&[0.2, 0.7, 0.1, -1.2, 0.3, 1.0, -0.4, 1.5], 0.02, 1.6, 1e-3)
}

/// Connects, enables, moves for some ticks and stops; a machine that is busy elsewhere gets more than one chance to connect.
fn drive(mut port: impl FnMut() -> SocketCan) -> (usize, f64) {
    let mut config = example_config();
    config.watchdog_ms = 500;
    let urdf = include_str!("../../../launch/robots/iiwa14.urdf");
    let chain = Chain::<7>::from_urdf(urdf, "base_link", "tcp").unwrap();
    // The plant knows no gravity.
    let weightless = UPRIGHT_M_PER_S2.map(|g| 0.0 * g);
    let dynamics = Dynamics::new(&chain, urdf, weightless).unwrap();
    let enabled = (0..20).find_map(|_| {
        CanArm::connect(port(), &config, dynamics.clone())
            .ok()?
            .enable()
            .ok()
    });
    let mut arm = enabled.expect("an emulated arm answers");
    let mut commands = Commands::<7>::new(PERIOD).unwrap();
    let mut due = arm.port().now();
    let first = (0..50).find_map(|_| {
        due += PERIOD;
        LinuxMono::sleep_until(due);
        arm.read(LinuxMono::now()).ok()
    });
    let first = first.expect("a reading");
    commands.start_at(&first).unwrap();
    let (mut readings, mut moved) = (0, 0.0);
    for _ in 0..100 {
        due += PERIOD;
        LinuxMono::sleep_until(due);
        if let Ok(state) = arm.read(LinuxMono::now()) {
            readings += 1;
            moved = state.q[0] - first.q[0];
        }
        let _ = arm.write(&commands.next(0.5, Fingers::Open).unwrap());
    }
    arm.stop(StopCategory::Zero);
    for _ in 0..5 {
        due += PERIOD;
        LinuxMono::sleep_until(due);
        let _ = arm.read(LinuxMono::now());
    }
    (readings, moved)
}

fn exercise<P: CanPort + Send>(
    mut server: CanServer<P, Inertias>,
    port: impl FnMut() -> SocketCan,
) {
    let stop = AtomicBool::new(false);
    let (readings, moved) = thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve(&stop));
        let driven = drive(port);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(serving.join().unwrap(), Ok(()));
        driven
    });
    assert!(readings > 20, "{readings} of 100 readings");
    assert!(moved > 0.01, "it moved by {moved} rad");
    let drives = &server.drives().lock().drives;
    assert!(
        drives.iter().all(|drive| drive.goal().is_none()),
        "all drives are off"
    );
}

#[test]
fn the_driver_moves_an_emulated_arm_over_real_sockets() {
    let (near, far) = SocketCan::pair();
    exercise(CanServer::new(far, &example_config(), plant()), || {
        near.share()
    });
}

#[test]
fn the_driver_moves_an_emulated_arm_over_vcan() {
    if !Path::new("/sys/class/net").join(VCAN).exists() {
        eprintln!(
            "SKIPPED: this machine has no {VCAN} (sudo ip link add {VCAN} type vcan; sudo ip link set {VCAN} up)"
        );
        return;
    }
    let mut config = example_config();
    config.interface = VCAN.into();
    let server = CanServer::open(&config, plant()).unwrap();
    exercise(server, || {
        SocketCan::open(VCAN, &config.master_ids()).unwrap()
    });
}
