//! What is the servo bus's own: what stalls, what is refused, what a manual prints.

use visuomotor_drivers::port::SerialPort;
use visuomotor_drivers::servo_bus::wire::{Parser, Protocol};
use visuomotor_drivers::servo_bus::{Fault, ServoArm, ServoBusConfig};
use visuomotor_drivers::testkit::FaultySerialPort;
use visuomotor_drivers::testkit::conformance::servo::{
    Dynamixel, Feetech, Hand, Kind, N, START, ServoBench,
};
use visuomotor_drivers::testkit::conformance::{Bench, Commands, LineFault};
use visuomotor_drivers::testkit::emulate::servo::{OVERLOADED, SerialLink};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, Connected, Fingers};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::safety::StopCategory;

const MS: Duration = Duration::from_ticks(1_000_000);
const TICK: Duration = Duration::from_ticks(10_000_000);

type ArmOnBench = ServoArm<FaultySerialPort<SerialLink<Hand>>, N>;

struct Running<K> {
    bench: ServoBench<K>,
    arm: ArmOnBench,
    commands: Commands<N>,
}

impl<K: Kind> Running<K> {
    fn new(seed: u64) -> Self {
        Self::on(ServoBench::new(seed))
    }

    fn on(mut bench: ServoBench<K>) -> Self {
        let mut arm = bench.connect().unwrap().enable().unwrap();
        let mut commands = Commands::new(TICK).unwrap();
        commands.start_at(&arm.read(bench.now()).unwrap()).unwrap();
        Self {
            bench,
            arm,
            commands,
        }
    }

    fn tick(&mut self, dq: f64, fingers: Fingers) -> Result<ArmState<N>, ArmError> {
        self.bench.advance(self.bench.now() + TICK);
        let state = self.arm.read(self.bench.now());
        let command = self.commands.next(dq, fingers).unwrap();
        let written = self.arm.write(&command);
        state.and_then(|state| written.map(|()| state))
    }
}

#[test]
fn a_joint_that_pushes_against_something_is_a_fault_of_its_servo() {
    let mut running = Running::<Feetech>::new(5);
    running.bench.link.device().plant().blocked[2] = true;
    let mut faults = (0..200).map(|tick| (tick, running.tick(0.4, Fingers::Open)));
    let (tick, fault) = faults.find(|(_, answer)| answer.is_err()).unwrap();
    assert_eq!(fault, Err(Fault::Stalled { id: 3 }.into()));
    // Half a second at full torque, and what it took to get there.
    assert!((50..100).contains(&tick), "{tick}");
    running.arm.stop(StopCategory::Zero);
    running.bench.advance(running.bench.now() + TICK);
    assert_eq!(running.bench.goals(), [None; N]);
    running.arm.read(running.bench.now()).unwrap();
}

#[test]
fn a_gripper_that_holds_something_pushes_less_and_is_no_fault() {
    let mut running = Running::<Feetech>::new(6);
    (0..100).for_each(|_| _ = running.tick(0.0, Fingers::Open).unwrap());
    let load =
        |running: &Running<Feetech>| running.bench.link.device().servo(N).memory.word(60) & 0x3FF;
    (0..20).for_each(|_| _ = running.tick(0.0, Fingers::Closed).unwrap());
    // It holds something thick.
    running.bench.link.device().plant().blocked[N] = true;
    let closing = (0..30).map(|_| running.tick(0.0, Fingers::Closed).map(|_| load(&running)));
    let most = closing.map(Result::unwrap).max().unwrap();
    let held = (0..200).map(|_| running.tick(0.0, Fingers::Closed).map(|_| load(&running)));
    let held = held.map(Result::unwrap).last().unwrap();
    assert_eq!((most, held), (500, 250), "per mille of the stall torque");
    assert_eq!(
        running.bench.link.device().servo(N).errors() & OVERLOADED,
        0
    );
    // Told something else it has its strength again.
    running.bench.link.device().plant().blocked[N] = false;
    let before = running.tick(0.0, Fingers::Open).unwrap().aperture_m;
    (0..100).for_each(|_| _ = running.tick(0.0, Fingers::Open).unwrap());
    let after = running.tick(0.0, Fingers::Open).unwrap().aperture_m;
    assert!(
        after > before + 0.01 && (after - 0.08).abs() < 1e-3,
        "{before} -> {after} m"
    );
}

#[test]
fn a_feetech_arm_whose_driver_is_killed_holds_and_must_be_released_by_name() {
    let mut running = Running::<Feetech>::new(7);
    (0..30).for_each(|_| _ = running.tick(0.3, Fingers::Open).unwrap());
    let Running { mut bench, arm, .. } = running;
    drop(arm);
    bench.advance(bench.now() + TICK);
    let goals = bench.goals();
    bench.advance(bench.now() + MS * 10_000);
    assert!(goals.iter().all(Option::is_some) && bench.goals() == goals);
    let refused = bench.driver().err().unwrap().to_string();
    assert!(
        refused.contains("has power already") && refused.contains("release_at_start"),
        "{refused}"
    );
    bench.config.release_at_start = true;
    bench.driver().unwrap();
    assert_eq!(bench.goals(), [None; N]);
}

#[test]
fn a_dynamixel_arm_that_heard_nothing_says_so_and_goes_on_after_a_stop() {
    let mut running = Running::<Dynamixel>::new(8);
    (0..10).for_each(|_| _ = running.tick(0.3, Fingers::Open).unwrap());
    running.bench.advance(running.bench.now() + MS * 150);
    let answer = running.tick(0.0, Fingers::Open);
    assert_eq!(answer, Err(Fault::Watchdog { id: 1 }.into()));
    running.arm.stop(StopCategory::Zero);
    running.bench.advance(running.bench.now() + TICK);
    let state = running.arm.read(running.bench.now()).unwrap();
    running.commands.start_at(&state).unwrap();
    let before = running.bench.truth(running.bench.now());
    (0..60).for_each(|_| _ = running.tick(0.3, Fingers::Open).unwrap());
    let after = running.bench.truth(running.bench.now());
    assert!(
        (0..N).all(|i| after[i] > before[i] + 0.05),
        "{before:?} -> {after:?}"
    );
}

/// With power it would go back by a whole turn, with everything that is in the way.
#[test]
fn a_joint_that_was_turned_by_hand_beyond_its_seam_gets_no_power() {
    let mut running = Running::<Dynamixel>::new(9);
    (0..3).for_each(|_| _ = running.tick(0.0, Fingers::Open).unwrap());
    running.arm.stop(StopCategory::Zero);
    running.bench.advance(running.bench.now() + MS * 300);
    running
        .bench
        .link
        .device()
        .plant()
        .turn(1, std::f64::consts::TAU);
    running.bench.advance(running.bench.now() + MS * 300);
    assert_eq!(
        running.tick(0.0, Fingers::Open),
        Err(Fault::BeyondSeam { id: 2 }.into())
    );
    running.bench.advance(running.bench.now() + TICK);
    assert_eq!(running.bench.goals(), [None; N]);
    let refused = running.bench.driver().err().unwrap().to_string();
    assert!(
        refused.contains("servo 2 (joint1) on bench: stands at tick"),
        "{refused}"
    );
    running
        .bench
        .link
        .device()
        .plant()
        .turn(1, -std::f64::consts::TAU);
    running.bench.advance(running.bench.now() + MS * 300);
    running.arm.read(running.bench.now()).unwrap();
    running.tick(0.0, Fingers::Open).unwrap();
}

/// What is changed before the driver comes, and a part of what it says.
type Refusal<K> = (fn(&mut ServoBench<K>), &'static str);

fn refused<K: Kind>(cases: &[Refusal<K>]) {
    for (seed, (change, says)) in cases.iter().enumerate() {
        let mut bench = ServoBench::<K>::new(seed as u64);
        change(&mut bench);
        let error = bench.driver().err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("accepted, instead of: {says}"));
        assert!(error.contains(says), "{error}, instead of: {says}");
        bench.advance(bench.now() + TICK);
        assert_eq!(bench.goals(), [None; N], "{says}");
    }
}

#[test]
fn bring_up_refuses_what_is_wrong_and_says_what_to_do() {
    refused::<Feetech>(&[
        (
            |bench| bench.calibration.joints[1].id = 77,
            "servo 77 (joint1) on bench: does not answer; check its cable",
        ),
        (
            |bench| bench.link.device().servo(2).memory.set_byte(3, 1),
            "servo 3 (joint2) on bench: says that it is model",
        ),
        (
            |bench| bench.link.device().servo(0).memory.set_byte(62, 43),
            "has 4.3 V",
        ),
        (
            |bench| bench.link.device().servo(4).memory.set_byte(31, 9),
            "has an offset of ",
        ),
        (
            |bench| bench.link.device().servo(1).overheat(),
            "complains: error byte 0x04",
        ),
        (
            |bench| bench.calibration.joints[3].range_ticks = [0, 100],
            "servo 4 (joint3) on bench: stands at tick",
        ),
        (
            |bench| bench.calibration.joints[3].range_ticks = [3000, 5000],
            "seam",
        ),
        (
            |bench| bench.calibration.joints.truncate(4),
            "the calibration has 4 joints, and the arm 5",
        ),
        (
            |bench| bench.config.watchdog_ms = Some(100),
            "Feetech servos have no watchdog",
        ),
        (|bench| bench.config.torque_limit = f64::NAN, "torque_limit"),
        (
            |bench| bench.config.gripper_hold = 0.6,
            "gripper_hold = 0.6 is above gripper_torque_limit = 0.5",
        ),
        (
            |bench| bench.config.protocol = Protocol::Dynamixel,
            "watchdog_ms is missing",
        ),
        (
            |bench| {
                bench.schedule(
                    START,
                    START + MS * 10_000,
                    LineFault::LoseAnswers { share: 1.0 },
                )
            },
            "servo 1 (joint0) on bench: does not answer",
        ),
        (
            |bench| bench.schedule(START, START + MS * 10_000, LineFault::Disconnect),
            "the device is gone; plug",
        ),
        (
            |bench| bench.schedule(START, START + MS * 90_000, LineFault::Babble),
            "does not answer",
        ),
    ]);
    refused::<Dynamixel>(&[
        (
            |bench| bench.link.device().servo(0).memory.set_byte(6, 12),
            "has firmware 12, and 38 is needed",
        ),
        (
            |bench| bench.link.device().servo(5).overheat(),
            "servo 6 (gripper) on bench: complains: error byte 0x80",
        ),
        (
            |bench| bench.config.watchdog_ms = Some(30),
            "multiple of 20",
        ),
    ]);
}

/// Whatever the line does while power comes on: all have it where they stand, or none.
#[test]
fn power_comes_on_everywhere_or_nowhere() {
    for seed in 0..60 {
        let mut bench = ServoBench::<Dynamixel>::new(seed);
        let connected = bench.connect().unwrap();
        let from = bench.now();
        let share = 0.1 + 0.015 * seed as f64;
        for fault in [
            LineFault::LoseRequests { share },
            LineFault::LoseAnswers { share },
        ] {
            bench.schedule(from, from + MS * 10_000, fault);
        }
        let enabled = connected.enable().is_ok();
        bench.advance(bench.now() + TICK);
        let (goals, truth) = (bench.goals(), bench.truth(bench.now()));
        // Four times the packet that takes the power away was sent: with all of them lost it stays.
        if enabled {
            let here =
                |(goal, q): (Option<f64>, f64)| goal.is_some_and(|goal| (goal - q).abs() < 0.01);
            assert!(
                goals.into_iter().zip(truth).all(here),
                "seed {seed}: {goals:?} at {truth:?}"
            );
        } else if share < 0.3 {
            assert_eq!(goals, [None; N], "seed {seed}");
        }
    }
}

/// The emulator answers as the manuals print it.
#[test]
fn emulated_servos_answer_as_the_manuals_say() {
    let hex = |text: &str| -> Vec<u8> {
        text.split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect()
    };
    let bench = ServoBench::<Feetech>::new(1);
    let ask = |port: &mut SerialLink<Hand>, request: &[u8]| {
        port.clear().unwrap();
        port.send(request).unwrap();
        let mut answer = [0; 64];
        let count = port.receive(&mut answer, port.now() + MS * 5).unwrap();
        answer[..count].to_vec()
    };
    let mut port = bench.link.clone();
    assert_eq!(
        ask(&mut port, &hex("FF FF 01 02 01 FB")),
        hex("FF FF 01 02 00 FC")
    );
    // The position register at 1304.
    bench.link.device().servo(0).memory.set_byte(56, 0x18);
    bench.link.device().servo(0).memory.set_byte(57, 0x05);
    assert_eq!(
        ask(&mut port, &hex("FF FF 01 04 02 38 02 BE"))[4..7],
        hex("00 18 05")
    );
    assert_eq!(
        ask(&mut port, &hex("FF FF 01 09 03 2A 00 08 00 00 E8 03 D5")),
        hex("FF FF 01 02 00 FC")
    );
    // Nobody has this identifier; the sum is wrong; too hot.
    assert!(ask(&mut port, &hex("FF FF 09 02 01 F3")).is_empty());
    assert!(ask(&mut port, &hex("FF FF 01 02 01 FA")).is_empty());
    bench.link.device().servo(0).overheat();
    assert_eq!(
        ask(&mut port, &hex("FF FF 01 02 01 FB")),
        hex("FF FF 01 02 04 F8")
    );

    let bench = ServoBench::<Dynamixel>::new(1);
    let mut port = bench.link.clone();
    let answer = ask(&mut port, &hex("FF FF FD 00 01 03 00 01 19 4E"));
    // Model 1060, firmware 47.
    assert_eq!(answer[..12], hex("FF FF FD 00 01 07 00 55 00 24 04 2F"));
    // A read-only register is refused: access error.
    let refused = ask(
        &mut port,
        Protocol::Dynamixel.write(1, 132, &[0; 4]).bytes(),
    );
    let mut parser = Parser::of_answers(Protocol::Dynamixel, 8);
    parser.feed(&refused);
    assert_eq!(parser.next_packet().unwrap().params(), [7]);
    let write = Protocol::Dynamixel.write(1, 116, &512_u32.to_le_bytes());
    assert_eq!(
        ask(&mut port, write.bytes()),
        hex("FF FF FD 00 01 04 00 55 00 A1 0C")
    );
}

/// A servo takes a speed of 0 for no limit.
#[test]
fn a_limit_below_a_servos_unit_is_its_smallest_and_not_none() {
    let mut bench = ServoBench::<Feetech>::new(5);
    bench.config.speed_max_rad_per_s = 1e-4;
    bench.config.gripper_speed_max_rad_per_s = 1e-4;
    let running = Running::on(bench);
    for i in 0..=N {
        let speed = running.bench.link.device().servo(i).memory.word(46);
        assert_eq!(speed, 1, "servo {i}");
    }
}

#[test]
fn a_launch_file_says_nothing_that_is_not_known() {
    let parse =
        |text: &str| toml::from_str::<ServoBusConfig>(text).map_err(|error| error.to_string());
    let text = "protocol = \"feetech\"\nport = \"/dev/ttyACM0\"\ncalibration = \"arm.toml\"\n";
    assert_eq!(
        parse(text).unwrap(),
        ServoBusConfig::new(Protocol::Feetech, "/dev/ttyACM0", "arm.toml")
    );
    assert!(
        parse(&format!("{text}speed = 1"))
            .unwrap_err()
            .contains("unknown field `speed`")
    );
    assert!(
        parse(&text.replace("feetech", "canopen"))
            .unwrap_err()
            .contains("canopen")
    );
}
