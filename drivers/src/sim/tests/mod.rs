//! The simulator's parts together, where a test has to place things by hand.
//!
//! Not responsible for what the simulator's users can see without that: `drivers/tests` is.

mod brakes;
mod camera;
mod determinism;
mod judgement;
mod plant;
mod push;
mod swap;

use super::{ObjectConfig, ObjectKind, RenderError, START_Q, SceneConfig, World};
use nalgebra::{Isometry3, Vector3};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::kinematics::ik::solve_pose;
use visuomotor_runtime::kinematics::pose::tool_pose;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::units::JointPositions;

const URDF: &str = include_str!("../../../../launch/robots/iiwa14.urdf");
/// Upright, behind the policy's camera.
const ARM_AWAY: [f64; 7] = [0.0; 7];

/// Joint positions near the start pose with the tool straight down, its TCP here in the task frame of the default
/// configuration.
fn tool_at(position_m: Vector3<f64>, yaw_rad: f64) -> [f64; 7] {
    let chain = Chain::<7>::from_urdf(URDF, "base_link", "tcp").unwrap();
    let [x, y, z] = SceneConfig::default().tray_in_base_m;
    let tcp = TcpPose {
        position_m,
        yaw_rad,
    };
    let goal = tool_pose(&Isometry3::translation(x, y, z), &tcp);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let limits = chain.limits();
    solve_pose(&chain, &goal, &START_Q.into(), limits, &mut rng, 0)
        .unwrap()
        .q
        .0
        .into()
}

fn tcp_in_base_m(q: &JointPositions<7>) -> Vector3<f64> {
    let chain = Chain::<7>::from_urdf(URDF, "base_link", "tcp").unwrap();
    chain.tip_position(q)
}

/// Scenes with one black cube in them.
fn one_cube(edge_m: f64) -> SceneConfig {
    SceneConfig {
        objects: ObjectConfig {
            count: [1, 1],
            kinds: vec![ObjectKind::Box],
            size_m: [edge_m; 2],
            colour: [0.0; 2],
            ..ObjectConfig::default()
        },
        ..SceneConfig::default()
    }
}

fn ms(milliseconds: u64) -> Instant {
    Instant::from_ticks(milliseconds * 1_000_000)
}

fn pass(world: &mut World, milliseconds: u64) {
    let end = world.time() + Duration::from_ticks(milliseconds * 1_000_000);
    world.advance_to(end);
}

/// Tests that render fail where they cannot, and say what to install.
fn rendered<T>(result: Result<T, RenderError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
