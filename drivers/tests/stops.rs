//! Controller and simulated arm together: an arm that something holds back stops pressing, and goes on when a person has
//! cleared that.

#![cfg(feature = "sim")]

use nalgebra::{Isometry3, SVector, Vector3};
use visuomotor_drivers::sim::{Rig, START_Q, SceneConfig, SimArm, Split, World};
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::arm::Arm;
use visuomotor_runtime::clock::{Duration, Instant, Tick};
use visuomotor_runtime::controller::{Controller, ControllerConfig, Inputs, Request};
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::goal::GoalLimits;
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{
    Collision, Limits, Safety, StopCategory, ToolLimits, Verdict, Workspace,
};
use visuomotor_runtime::setpoint::SetpointLimits;
use visuomotor_runtime::step::Step;
use visuomotor_runtime::watchdogs::Watchdogs;

const URDF: &str = include_str!("../../launch/robots/iiwa14.urdf");
const MS: Duration = Duration::from_ticks(1_000_000);

/// One whose workspace reaches below the tray's floor, and which soon notices that the arm does not.
fn controller() -> Controller<7> {
    let chain = Chain::from_urdf(URDF, "base_link", "tcp").unwrap();
    let limits = "acceleration = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]
        jerk = [900.0, 900.0, 900.0, 900.0, 900.0, 900.0, 900.0]";
    let limits = Limits::new(&chain, &toml::from_str(limits).unwrap()).unwrap();
    let workspace = Workspace {
        min_m: [-0.3, -0.3, -0.2],
        max_m: [0.3, 0.3, 0.5],
        table_height_m: -0.2,
    };
    let [x, y, z] = SceneConfig::default().tray_in_base_m;
    let task = Isometry3::translation(x, y, z);
    let tool = ToolLimits::anywhere_in(workspace);
    let safety = Safety::new(chain.clone(), limits, tool, Collision::none(), task, MS).unwrap();
    let config = ControllerConfig {
        T_base_task: task,
        period: MS,
        goal: GoalLimits {
            position_min_m: Vector3::new(-0.2, -0.2, -0.1),
            position_max_m: Vector3::new(0.2, 0.2, 0.3),
            yaw_max_rad: 2.6,
            scale: ActionScale {
                xy_m: 0.05,
                z_m: 0.05,
                yaw_rad: 0.5,
            },
        },
        setpoint: SetpointLimits::default(),
        watchdogs: Watchdogs {
            arm_silence_max: MS * 20,
            loop_gap_max: MS * 20,
            policy_silence_max: MS * 500,
            teleop_silence_max: MS * 100,
            frame_age_max: MS * 150,
            tracking_max_rad: 0.01,
        },
        posture: START_Q.into(),
        posture_gain_per_s: SVector::repeat(1.0),
        dq_max: limits.dq_max(),
    };
    Controller::new(config, chain, safety)
}

struct Bench {
    arm: SimArm,
    controller: Controller<7>,
    now: Instant,
}

impl Bench {
    fn tick(&mut self, request: Option<Request>) -> Step<7> {
        self.now += MS;
        let tick = Tick {
            due: self.now,
            jitter: Duration::ZERO,
            missed: 0,
        };
        let inputs = Inputs {
            arm: self.arm.read(self.now),
            write_error: None,
            decision: None,
            request,
        };
        let outputs = self.controller.step(tick, inputs);
        match outputs.verdict {
            Verdict::Move(command) => self.arm.write(&command).unwrap(),
            Verdict::Stop(category) => self.arm.stop(category),
        }
        outputs.step
    }

    /// Of the tool on the tray, as torque in the joints beyond that of `free`.
    fn pressing_nm(&self, free: &SVector<f64, 7>) -> f64 {
        (self.arm.world().arm_state().tau.0 - free).amax()
    }
}

fn at_height(z: f64) -> Request {
    Request::Approach(TcpPose {
        position_m: Vector3::new(0.0, 0.12, z),
        yaw_rad: 0.0,
    })
}

#[test]
fn an_arm_that_is_held_back_stops_pressing_and_goes_on_when_cleared() {
    let world = World::build(&SceneConfig::default(), Split::Test, 1).unwrap();
    let mut bench = Bench {
        arm: Rig::new(world).split().unwrap().0,
        controller: controller(),
        now: Instant::from_ticks(0),
    };
    bench.tick(None);
    let free = bench.arm.world().arm_state::<7>().tau.0;
    let mut step = bench.tick(Some(at_height(-0.1)));
    let mut most_nm = 0.0;
    while step.phase.latched().is_none() {
        assert!(step.tick < 5_000, "it never notices");
        step = bench.tick(None);
        most_nm = bench.pressing_nm(&free).max(most_nm);
    }
    let Some(Fault::Tracking { .. }) = step.fault else {
        panic!("{:?}", step.fault);
    };
    assert_eq!(step.phase, Phase::Stopping(StopCategory::One));
    assert!(most_nm > 50.0, "{most_nm} Nm");
    for _ in 0..1_000 {
        step = bench.tick(None);
    }
    assert_eq!(step.phase, Phase::Stopped(StopCategory::One));
    let after_nm = bench.pressing_nm(&free);
    assert!(after_nm < 0.1 * most_nm, "{after_nm} of {most_nm} Nm");

    let step = bench.tick(Some(Request::ClearFault));
    let (command, _, _) = step.command.expect("power is back");
    assert_eq!(command, step.measured().expect("read").q);
    bench.tick(Some(at_height(0.1)));
    for _ in 0..2_000 {
        let step = bench.tick(None);
        assert_eq!((step.phase, step.fault), (Phase::Approach, None));
    }
    let z = bench.arm.world().snapshot().tcp_m.z;
    assert!((z - 0.1).abs() < 2e-3, "{z} m");
}
