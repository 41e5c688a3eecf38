//! The way inward of the SO-101, whose launch file is read: slow ticks, five joints, and servos that give way. Not
//! responsible for the filter's part alone ([`crate::safety`]).

use super::*;
use crate::safety::{CollisionConfig, Limits, LimitsConfig};
use crate::units::JointTorques;
use serde::de::DeserializeOwned;

const URDF: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../launch/robots/so101.urdf"
));
const LAUNCH: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../launch/robots/so101.toml"
));
const PERIOD: Duration = Duration::from_ticks(10 * MS);
const HOME: [f64; 5] = [0.0, 0.106926, 0.227666, 1.236204, 0.0];
/// The posture in which its emulator and, roughly, a folded arm start.
const STRETCHED: [f64; 5] = [0.0; 5];

fn table<T: DeserializeOwned>(name: &str) -> T {
    let launch: toml::Table = toml::from_str(LAUNCH).expect("the shipped launch file");
    // As text again, because some values want to know where they stand.
    let text = toml::to_string(&launch[name]).expect("a table");
    toml::from_str(&text).expect("a valid table")
}

fn chain() -> Chain<5> {
    Chain::from_urdf(URDF, "base_link", "tcp").expect("the shipped URDF")
}

/// What the arm measures lies this far from what was commanded, rad.
struct Arm {
    controller: Controller<5>,
    q: JointPositions<5>,
    sag: JointPositions<5>,
    now: Instant,
}

impl Arm {
    fn at(q: JointPositions<5>) -> Self {
        let limits: LimitsConfig = table("limits");
        let shapes: CollisionConfig = table("collision");
        let workspace: Workspace = table("workspace");
        let bounds = Limits::new(&chain(), &limits).expect("valid");
        let base = config();
        let config = ControllerConfig {
            T_base_task: Translation3::new(0.17, 0.0, -0.07).into(),
            period: PERIOD,
            goal: GoalLimits {
                position_min_m: Vector3::new(-0.06, -0.06, 0.007),
                position_max_m: Vector3::new(0.06, 0.06, 0.12),
                yaw_max_rad: 2.1,
                scale: base.goal.scale,
            },
            setpoint: table("setpoint"),
            watchdogs: Watchdogs {
                arm_silence_max: ms(60),
                loop_gap_max: ms(200),
                tracking_max_rad: 0.3,
                ..base.watchdogs
            },
            posture: HOME.into(),
            posture_gain_per_s: SVector::zeros(),
            dq_max: bounds.dq_max(),
        };
        let safety = Safety::new(
            chain(),
            bounds,
            ToolLimits::new(workspace, &limits).expect("valid"),
            Collision::new(&chain(), &shapes).expect("valid"),
            config.T_base_task,
            PERIOD,
        );
        Self {
            controller: Controller::new(config, chain(), safety.expect("valid limits")),
            q,
            sag: JointPositions::zeros(),
            now: Instant::from_ticks(1_000 * MS),
        }
    }

    fn tick(&mut self, request: Option<Request>) -> Step<5> {
        let tick = Tick {
            due: self.now,
            jitter: Duration::ZERO,
            missed: 0,
        };
        let state = ArmState {
            sampled_at: self.now,
            q: JointPositions(self.q.0 + self.sag.0),
            dq: JointVelocities::zeros(),
            tau: JointTorques::zeros(),
            aperture_m: 0.0,
        };
        let inputs = Inputs {
            arm: Ok(state),
            write_error: None,
            decision: None,
            request,
        };
        let outputs = self.controller.step(tick, inputs);
        if let Verdict::Move(command) = outputs.verdict {
            self.q = *command.q();
        }
        self.now += PERIOD;
        outputs.step
    }

    fn recover(&mut self) -> Step<5> {
        self.tick(None);
        let mut step = self.tick(Some(Request::Recover));
        for _ in 0..3_000 {
            if step.phase != Phase::Inward {
                break;
            }
            step = self.tick(None);
        }
        step
    }

    fn tool(&self) -> Vector3<f64> {
        self.controller.follower.tool(&self.q).position_m
    }
}

#[test]
fn an_so101_that_starts_stretched_out_comes_inside_and_goes_on_from_there() {
    let mut arm = Arm::at(STRETCHED.into());
    let step = arm.recover();
    assert_eq!(
        (step.phase, step.fault),
        (Phase::Hold, None),
        "{:?} {:?}",
        arm.tool(),
        step.report
    );
    arm.tick(Some(Request::Rearm));
    let start = pose(0.01, 0.02, 0.1, 0.2);
    arm.tick(Some(Request::Approach(start)));
    for _ in 0..400 {
        arm.tick(None);
    }
    let off_m = (arm.tool() - start.position_m).norm();
    assert!(off_m < 1e-3, "{off_m} m: {:?}", arm.tool());
}

/// The servos of an arm that hangs forward give way downward and outward.
#[test]
fn an_arm_that_lags_its_command_comes_in_as_a_whole() {
    let mut arm = Arm::at(STRETCHED.into());
    arm.sag = [0.0, -0.02, -0.02, 0.0, 0.0].into();
    let step = arm.recover();
    assert_eq!((step.phase, step.fault), (Phase::Hold, None));
    for _ in 0..100 {
        arm.tick(None);
    }
    let step = arm.tick(Some(Request::Rearm));
    assert_eq!((step.phase, step.fault), (Phase::Hold, None));
}

/// Less room than recovery leaves (twice `room_to_move_m`), and more than the dead zone at the border.
#[test]
fn an_arm_with_a_little_room_at_the_border_goes_on() {
    let mut border = Arm::at(HOME.into());
    let (mut outside, mut inside) = (0.0, 1.0);
    let at = |share: f64| JointPositions(SVector::from(HOME) * share);
    let mut room_m = |share: f64| {
        border.q = at(share);
        0.08 - border.tool().x
    };
    for _ in 0..50 {
        let middle = 0.5 * (outside + inside);
        if room_m(middle) < 2.2e-3 {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    for k in 0..20 {
        let share = inside + f64::from(k) * 5e-4;
        let mut arm = Arm::at(at(share));
        assert_eq!(arm.tick(None).fault, None);
        let start = pose(0.0, 0.0, 0.1, 0.0);
        arm.tick(Some(Request::Approach(start)));
        for _ in 0..400 {
            arm.tick(None);
        }
        let off_m = (arm.tool() - start.position_m).norm();
        assert!(off_m < 1e-3, "{off_m} m from {} m of room", room_m(share));
    }
}
