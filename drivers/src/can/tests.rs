//! The driver against emulated drives on a bus in virtual time.

use super::wire::Status;
use super::{CanArm, CanConfig, ConnectedCanArm, fault_code};
use crate::port::{CanFrame, CanPort};
use crate::testkit::conformance::can::{CanBench, example_config};
use crate::testkit::conformance::{Commands, arm, schedule};
use crate::testkit::emulate::Plant;
use crate::testkit::emulate::can::{CanDrives, CanLink};
use crate::testkit::figures;
use nalgebra::{SMatrix, SVector};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, BringUpError, Connected, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::dynamics::UPRIGHT_M_PER_S2;
use visuomotor_runtime::kinematics::{Chain, Dynamics};
use visuomotor_runtime::safety::StopCategory;
use visuomotor_runtime::units::{JointAccelerations, JointPositions, JointVelocities};

const URDF: &str = include_str!("../../../launch/robots/can_arm.urdf");
const PERIOD: Duration = Duration::from_ticks(4_000_000);
const GRAVITY: [f64; 3] = UPRIGHT_M_PER_S2;
/// Of the drives' rotors, seen from the joints, kg·m².
const ROTORS: [f64; 7] = [0.06, 0.06, 0.04, 0.04, 0.015, 0.015, 0.008];
const ELBOW_UP: [f64; 8] = [0.2, 0.7, 0.1, -1.2, 0.3, 1.0, -0.4, 1.5];

#[test]
fn the_can_arm_conforms() {
    arm::run::<CanBench, 7>(0..4);
}

#[test]
fn the_can_arm_conforms_through_random_faults() {
    schedule::run::<CanBench, 7>(0..200);
}

#[test]
fn long_the_can_arm_conforms_through_ten_thousand_random_faults() {
    schedule::run::<CanBench, 7>(200..10_200);
}

/// An arm that gravity pulls at, with fingers that close on something.
struct Heavy {
    dynamics: Dynamics<7>,
    state: [(f64, f64); 8],
    /// The fingers' drive does not get below this, rad.
    object_rad: f64,
}

impl Plant for Heavy {
    fn joints(&self) -> usize {
        8
    }

    fn step_s(&self) -> f64 {
        5e-4
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.state[joint]
    }

    fn step(&mut self, tau_nm: &[f64]) {
        // It lies on something until all of it has power.
        let lies = [tau_nm[..7].contains(&0.0), tau_nm[7] == 0.0];
        let ddq = self.accelerations(tau_nm);
        for (i, (q, dq)) in self.state.iter_mut().enumerate() {
            *dq = if lies[i / 7] {
                0.0
            } else {
                *dq + 5e-4 * ddq[i]
            };
            *q += 5e-4 * *dq;
        }
        if self.state[7].0 < self.object_rad {
            self.state[7] = (self.object_rad, 0.0);
        }
    }
}

impl Heavy {
    /// Forward dynamics from the inverse one, whose answers to unit accelerations are the columns of the inertia matrix.
    fn accelerations(&self, tau_nm: &[f64]) -> [f64; 8] {
        const FINGERS: f64 = 0.002;
        let q = JointPositions::from(std::array::from_fn(|i| self.state[i].0));
        let dq = JointVelocities::from(std::array::from_fn(|i| self.state[i].1));
        let none = JointAccelerations::zeros();
        let bias = self.dynamics.torques(&q, &dq, &none).0;
        let mut inertia = SMatrix::<f64, 7, 7>::zeros();
        for i in 0..7 {
            let mut unit = none;
            unit[i] = 1.0;
            let column = self.dynamics.torques(&q, &dq, &unit).0 - bias;
            inertia.set_column(i, &column);
            inertia[(i, i)] += ROTORS[i];
        }
        let tau = SVector::<f64, 7>::from_column_slice(&tau_nm[..7]);
        let ddq = inertia
            .cholesky()
            .unwrap()
            .solve(&(tau - bias - dq.0 * 0.02));
        let (_, fingers) = self.state[7];
        std::array::from_fn(|i| match i {
            7 => (tau_nm[7] - 0.02 * fingers) / FINGERS,
            i => ddq[i],
        })
    }
}

fn dynamics() -> Dynamics<7> {
    let chain = Chain::from_urdf(URDF, "base_link", "tcp").unwrap();
    Dynamics::new(&chain, URDF, GRAVITY).unwrap()
}

type Link = CanLink<Heavy>;

fn link() -> (Link, CanConfig) {
    let mut config = example_config();
    for (joint, rotor) in config.joint.iter_mut().zip(ROTORS) {
        joint.zero_offset_rad = 0.0;
        joint.rotor_inertia_kg_m2 = rotor;
    }
    let plant = Heavy {
        dynamics: dynamics(),
        state: ELBOW_UP.map(|q| (q, 0.0)),
        object_rad: 0.8,
    };
    let start = Instant::from_ticks(1_000_000_000);
    let link = CanLink::new(CanDrives::new(&config, plant, start), start);
    (link, config)
}

fn connect(link: &Link, config: &CanConfig) -> Result<ConnectedCanArm<Link, 7>, BringUpError> {
    CanArm::connect(link.clone(), config, dynamics())
}

fn enabled() -> (Link, CanArm<Link, 7>) {
    let (link, config) = link();
    let arm = connect(&link, &config).unwrap().enable().unwrap();
    (link, arm)
}

/// The next tick's time, and its reading.
fn tick(link: &Link, arm: &mut impl Arm<7>) -> Result<ArmState<7>, ArmError> {
    link.advance(link.now() + PERIOD);
    arm.read(link.now())
}

fn furthest(state: &ArmState<7>, from: &JointPositions<7>) -> f64 {
    (state.q.0 - from.0).amax()
}

fn statuses(link: &Link) -> Vec<u8> {
    link.drives()
        .drives
        .iter()
        .map(|drive| drive.status().0)
        .collect()
}

#[test]
fn an_arm_that_is_only_read_holds_itself_against_gravity_and_sags_where_it_knows_of_none() {
    let sag = |believed: [f64; 3]| {
        let (link, config) = link();
        let dynamics = Dynamics::new(dynamics().chain(), URDF, believed).unwrap();
        let mut arm = CanArm::connect(link.clone(), &config, dynamics)
            .unwrap()
            .enable()
            .unwrap();
        let start = tick(&link, &mut arm).unwrap().q;
        let mut worst = 0.0_f64;
        for _ in 0..250 {
            worst = worst.max(furthest(&tick(&link, &mut arm).unwrap(), &start));
        }
        worst
    };
    let compensated = sag(GRAVITY);
    assert!(compensated < 2e-3, "{compensated} rad");
    let bare = sag([0.0; 3]);
    assert!(
        bare > 0.02,
        "{bare} rad: this test would not see gravity uncompensated"
    );
}

#[test]
fn the_arm_follows_a_smooth_motion_under_gravity() {
    let (link, mut arm) = enabled();
    let mut commands = Commands::<7>::new(PERIOD).unwrap();
    let start = tick(&link, &mut arm).unwrap();
    commands.start_at(&start).unwrap();
    let (mut worst, mut last) = (0.0_f64, start.q);
    for k in 0..500 {
        let dq = if k < 200 { 0.4 } else { 0.0 };
        let command = commands.next(dq, Fingers::Open).unwrap();
        arm.write(&command).unwrap();
        last = *command.q();
        let state = tick(&link, &mut arm).unwrap();
        worst = worst.max(furthest(&state, &last));
        assert!(link.now() - state.sampled_at <= PERIOD, "tick {k}");
    }
    let state = tick(&link, &mut arm).unwrap();
    assert!(furthest(&state, &start.q) > 0.25, "it moved");
    // The springs alone would be behind by inertia x acceleration / stiffness: 1 x 5 / 120.
    assert!(worst < 0.01, "{worst} rad behind the command at worst");
    assert!(
        furthest(&state, &last) < 2e-3,
        "{} rad off at rest",
        furthest(&state, &last)
    );
    assert!(
        (state.aperture_m - 0.08).abs() < 1e-3,
        "fingers {} m open",
        state.aperture_m
    );
}

#[test]
fn fingers_press_with_their_force_and_no_more_on_whatever_is_between_them() {
    // Objects 31.5 mm and 0.9 mm thick, at 0.045 m/rad from 0.1 rad on, and none.
    for (object_rad, thick_m) in [(0.8, 0.0315), (0.12, 0.0009), (0.1, 0.0)] {
        let (link, mut arm) = enabled();
        link.drives().plant.object_rad = object_rad;
        let mut commands = Commands::<7>::new(PERIOD).unwrap();
        commands.start_at(&tick(&link, &mut arm).unwrap()).unwrap();
        let mut state = None;
        for _ in 0..500 {
            arm.write(&commands.next(0.0, Fingers::Closed).unwrap())
                .unwrap();
            state = Some(tick(&link, &mut arm).unwrap());
        }
        let aperture_m = state.unwrap().aperture_m;
        assert!((aperture_m - thick_m).abs() < 1e-4, "{state:?}");
        let now = link.now();
        let pressed = link.drives().drives[7].torque(now, (object_rad, 0.0));
        let expected = example_config().gripper.torque_nm();
        assert!(
            (pressed + expected).abs() < 0.03,
            "{pressed} N·m for {expected} at {object_rad} rad"
        );
    }
}

#[test]
fn fingers_that_slip_are_not_followed() {
    let (link, mut arm) = enabled();
    link.drives().plant.object_rad = -3.0;
    let mut commands = Commands::<7>::new(PERIOD).unwrap();
    commands.start_at(&tick(&link, &mut arm).unwrap()).unwrap();
    let last_rad = example_config().gripper.last_rad();
    for _ in 0..500 {
        arm.write(&commands.next(0.0, Fingers::Closed).unwrap())
            .unwrap();
        tick(&link, &mut arm).unwrap();
        let goal_rad = link.drives().drives[7].goal().unwrap();
        assert!(goal_rad >= last_rad - 0.01, "{goal_rad} rad");
    }
}

#[test]
fn killed_in_mid_motion_the_drives_give_up_within_their_watchdog_and_can_be_taken_up_again() {
    let (link, mut arm) = enabled();
    let mut commands = Commands::<7>::new(PERIOD).unwrap();
    commands.start_at(&tick(&link, &mut arm).unwrap()).unwrap();
    for _ in 0..50 {
        arm.write(&commands.next(0.4, Fingers::Open).unwrap())
            .unwrap();
        tick(&link, &mut arm).unwrap();
    }
    arm.write(&commands.next(0.4, Fingers::Open).unwrap())
        .unwrap();
    let killed = link.now();
    std::mem::forget(arm);
    link.advance(killed + Duration::from_millis(45));
    assert_eq!(statuses(&link), [1; 8], "before their time");
    link.advance(killed + Duration::from_millis(52));
    assert_eq!(statuses(&link), [0xD; 8], "after it");
    assert!(
        link.drives()
            .drives
            .iter()
            .all(|drive| drive.goal().is_none())
    );
    let mut again = connect(&link, &example_with_zeros())
        .unwrap()
        .enable()
        .unwrap();
    assert!(tick(&link, &mut again).is_ok());
}

fn example_with_zeros() -> CanConfig {
    link().1
}

#[test]
fn a_hold_lasts_while_it_is_read_and_ends_with_the_watchdog() {
    let (link, mut arm) = enabled();
    arm.stop(StopCategory::Two);
    for k in 0..100 {
        assert!(tick(&link, &mut arm).is_ok(), "tick {k}");
    }
    link.advance(link.now() + Duration::from_millis(60));
    assert_eq!(statuses(&link), [0xD; 8]);
    let lost = arm.read(link.now());
    let code = fault_code(0, Status::SILENCE);
    assert_eq!((lost, code), (Err(ArmError::Drive { code }), 0x1D));
    assert!(
        arm.drives()
            .all(|drive| drive.status == Status::SILENCE && drive.mosfet_c == 32)
    );
}

#[test]
fn eight_drives_take_half_the_bus_and_a_lost_answer_costs_a_reading() {
    let figures = figures::arm::<CanBench, 7>(5).unwrap();
    println!("{figures:#?}");
    assert_eq!(figures.shortfalls(), Vec::<String>::new());
    // Sixteen frames, README's table.
    let bits = figures.bits_per_tick;
    assert!((1850.0..=16.0 * 135.0).contains(&bits), "{bits}");
    // Until a fence has settled which answer belongs to which request.
    assert!(
        figures.lost_answer.settled_after_ticks_max <= 8,
        "{figures:?}"
    );
}

#[test]
fn a_node_that_shouts_everybody_down_costs_readings_and_no_time() {
    let (link, mut arm) = enabled();
    assert!(tick(&link, &mut arm).is_ok());
    let most = arm.io_time_max();
    for k in 0..800 {
        let frame = CanFrame {
            id: 0,
            data: [k as u8; 8],
            len: 8,
        };
        link.foreign(link.now(), frame);
    }
    let mut answers = Vec::new();
    for _ in 0..40 {
        link.advance(link.now() + PERIOD);
        let start = link.now();
        answers.push(arm.read(start));
        assert!(link.now() - start <= most);
    }
    assert_eq!(answers[1], Err(ArmError::NoAnswer));
    // 50 ms without a command: the drives have given up, and say so when they can.
    assert!(
        matches!(answers[39], Err(ArmError::Drive { .. })),
        "{:?}",
        answers[39]
    );
}

#[test]
fn an_arm_that_is_not_what_the_launch_file_says_is_refused_with_a_remedy() {
    let refusal = |change: &dyn Fn(&mut CanDrives<Heavy>, &mut CanConfig)| {
        let (link, mut config) = link();
        change(&mut link.drives(), &mut config);
        let refused = connect(&link, &config)
            .err()
            .expect("must be refused")
            .to_string();
        assert!(
            !statuses(&link).contains(&1) || refused.contains("under power"),
            "{refused}"
        );
        refused
    };
    let has = |text: String, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    };
    has(
        refusal(&|drives, _| drives.drives[2].id = 9),
        &[
            "can0 drive 3 (joint_3)",
            "does not answer",
            "termination",
            "0x13",
        ],
    );
    has(
        refusal(&|drives, _| drives.drives[7].master_id = 0x30),
        &["drive 8 (gripper)", "does not answer"],
    );
    has(
        refusal(&|drives, _| drives.drives[0].ranges.t_max_nm = 120.0),
        &["TMAX is 120", "says 200", "t_max_nm = 120"],
    );
    has(
        refusal(&|drives, _| drives.drives[4].ranges.v_max_rad_per_s = 10.0),
        &["VMAX is 10", "v_max_rad_per_s = 10"],
    );
    has(
        refusal(&|drives, _| drives.drives[1].fail(Status(0xA))),
        &["over-current", "find the cause"],
    );
    has(
        refusal(&|drives, _| drives.drives[1].fail(Status::ENABLED)),
        &["drive 2", "under power already"],
    );
    has(
        refusal(&|drives, _| (drives.drives[4].id, drives.drives[4].master_id) = (2, 0x12)),
        &["drive 2", "answers twice", "its own CAN id"],
    );
    has(
        refusal(&|_, config| config.watchdog_ms = 5),
        &["watchdog_ms = 5", "launch file"],
    );
    has(
        refusal(&|_, config| config.joint[3].id = 2),
        &["drive 2", "another drive's too"],
    );
    has(
        refusal(&|_, config| config.joint[3].master_id = 0x102),
        &["heard as a command"],
    );
    has(
        refusal(&|_, config| config.joint[3].kd = 0.0),
        &["drive 4", "kd = 0"],
    );
    has(
        refusal(&|_, config| config.joint[3].direction = 0),
        &["drive 4", "direction = 0"],
    );
    has(
        refusal(&|_, config| config.joint[3].zero_offset_rad = 12.0),
        &["drive 4", "beyond"],
    );
    has(
        refusal(&|_, config| config.joint[3].torque_limit_nm = 55.0),
        &["drive 4", "torque_limit_nm"],
    );
    has(
        refusal(&|_, config| config.gripper.force_n = f64::NAN),
        &["force_n"],
    );
    has(
        refusal(&|_, config| config.gripper.m_per_rad = 0.0),
        &["gripper"],
    );
    has(
        refusal(&|_, config| config.joint.truncate(6)),
        &["6 joints for an arm of 7"],
    );
}

#[test]
fn torques_beyond_all_numbers_are_no_command_and_no_panic() {
    let (link, config) = link();
    let chain = Chain::<7>::from_urdf(URDF, "base_link", "tcp").unwrap();
    let dynamics = Dynamics::new(&chain, URDF, [0.0, 0.0, -1e308]).unwrap();
    let connected = CanArm::connect(link.clone(), &config, dynamics).unwrap();
    assert!(connected.enable().is_err());
    assert!(!statuses(&link).contains(&1), "{:?}", statuses(&link));
}

#[test]
fn where_one_drive_gets_no_power_none_keeps_it() {
    for broken in 0..8 {
        let (link, config) = link();
        let connected = connect(&link, &config).unwrap();
        link.drives().drives[broken].fail(Status(9));
        let refused = connected
            .enable()
            .err()
            .expect("must be refused")
            .to_string();
        assert!(
            refused.contains("under-voltage") || refused.contains("drive fault"),
            "{refused}"
        );
        link.advance(link.now() + PERIOD);
        assert!(!statuses(&link).contains(&1), "{:?}", statuses(&link));
    }
}

/// What `[arm.can]` of a launch file says.
fn arm_in(text: &str) -> Result<CanConfig, toml::de::Error> {
    #[derive(serde::Deserialize)]
    struct Launch {
        arm: Arm,
    }
    #[derive(serde::Deserialize)]
    struct Arm {
        can: CanConfig,
    }
    toml::from_str(text).map(|launch: Launch| launch.arm.can)
}

#[test]
fn the_launch_file_of_the_readme_is_one_and_unknown_keys_are_named() {
    let readme = include_str!("README.md");
    let text = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let config = arm_in(text).unwrap();
    assert_eq!(
        (
            config.joint.len(),
            config.gripper.id,
            config.joint[0].master_id
        ),
        (1, 8, 0x11)
    );
    let round: CanConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(round, config);
    let cases = [
        ("watchdog_ms", "wachdog_ms", "wachdog_ms"),
        ("open_m", "open_cm", "open_cm"),
        (
            "\"DM-J10010L\"",
            "\"DM-J4711\"",
            "an actuator is the name of a model",
        ),
        (
            "\"DM-J10010L\"",
            "{ p_max_rad = 1.0 }",
            "an actuator is the name of a model",
        ),
    ];
    for (from, to, expected) in cases {
        let error = arm_in(&text.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let numbers = "{ p_max_rad = 6.0, v_max_rad_per_s = 50.0, t_max_nm = 9.0, kd_max = 8.0 }";
    let config = arm_in(&text.replace("\"DM-J10010L\"", numbers)).unwrap();
    let ranges = config.joint[0].actuator.ranges();
    assert_eq!(
        (ranges.p_max_rad, ranges.kp_max, ranges.kd_max),
        (6.0, 500.0, 8.0)
    );
}
