//! The state of a scene and its physics.
//!
//! Responsible for stepping MuJoCo up to a given time and for reading and writing the arm. Not responsible for who calls
//! it when: see [`super::SimArm`].

use super::config::SceneConfig;
use super::error::SceneError;
use super::iiwa14::{FINGER_TRAVEL_M, SERVO_DAMPING_S};
use super::mjcf::{TABLE_CENTRE_M, TABLE_HALF_M};
use super::robot::{DOFS_MAX, Drive, RobotModel};
use super::scene::{Scene, SceneObject};
use super::seed::Split;
use super::snapshot::{Judgement, Snapshot};
use mujoco_rs::prelude::*;
use nalgebra::{SVector, Vector3};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use std::sync::Arc;
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::observation::SceneTruth;
use visuomotor_runtime::units::{JointPositions, JointTorques, JointVelocities};

/// Objects rest when every component of every twist is below this, m/s and rad/s.
const REST_SPEED: f64 = 0.02;
/// A braked joint that is slower than this does not slip, rad/s.
const BRAKE_SLIP_RAD_PER_S: f64 = 0.01;
/// Objects fall for at least and at most this long before anything else happens, s.
const SETTLE_S: [f64; 2] = [0.3, 1.5];
/// Fingers press towards a point this far beyond closed, m, so that they also hold thin objects.
const FINGER_CLOSED_M: f64 = -0.02;
/// A caller that comes later than this gets a world in which the missing time did not pass.
const CATCH_UP_S: f64 = 1.0;
/// A pushed object stays within this of the tray's centre, along both axes, and this clear of the other objects'
/// centres, m, if one of so many directions allows.
const PUSH_REACH_M: f64 = 0.11;
const PUSH_CLEAR_M: f64 = 0.06;
/// And so far from the tray's walls.
const PUSH_WALL_M: f64 = 0.03;
const PUSH_TRIES: usize = 20;
/// Objects that were taken away lie in rows along y at the table's far edge, this far apart and from the edge, m.
const STORE_PITCH_M: f64 = 0.13;
/// They fall from this height, m.
const STORE_DROP_M: f64 = 0.002;

pub struct World {
    scene: Arc<Scene>,
    data: MjData<Arc<MjModel>>,
    /// The time at which `steps` was 0.
    started_at: Instant,
    steps: u64,
    step: Duration,
    snapshot: Snapshot,
    /// Each joint's brake has closed, and holds where it stopped slipping.
    braked: bool,
}

impl World {
    /// Builds the scene of this seed and lets its objects come to rest, with the arm in its start pose.
    pub fn build(config: &SceneConfig, split: Split, seed: u64) -> Result<Self, SceneError> {
        let scene = Arc::new(Scene::build(config, split, seed)?);
        let data =
            MjData::try_new(Arc::clone(&scene.model)).map_err(|_| SceneError::OutOfMemory)?;
        let mut world = Self {
            snapshot: Snapshot::new(&scene),
            braked: false,
            data,
            started_at: Instant::from_ticks(0),
            steps: 0,
            step: Duration::from_ticks(u64::from(config.timestep_us) * 1000),
            scene,
        };
        world.settle();
        world.start(Instant::from_ticks(0));
        Ok(world)
    }

    pub fn scene(&self) -> &Arc<Scene> {
        &self.scene
    }

    /// The state after the last physics step.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    fn robot(&self) -> &'static RobotModel {
        self.scene.robot
    }

    /// Puts the arm at rest in this pose with the fingers open, without passing through what lies between. A robot that
    /// torques drive has none until the next ones come.
    ///
    /// # Panics
    /// When the robot has another number of joints.
    pub fn place_arm<const N: usize>(&mut self, q: [f64; N]) {
        self.place(&q);
    }

    fn place(&mut self, q: &[f64]) {
        self.set_arm(q);
        self.data.forward();
        self.take_snapshot();
    }

    fn set_arm(&mut self, q: &[f64]) {
        let robot = self.robot();
        let dofs = robot.dofs();
        let mut pose = [robot.gripper.open_qpos(); DOFS_MAX];
        pose[..robot.joints].copy_from_slice(q);
        self.data.qpos_mut()[..dofs].copy_from_slice(&pose[..dofs]);
        match robot.drive {
            Drive::Positions => self.data.ctrl_mut()[..dofs].copy_from_slice(&pose[..dofs]),
            Drive::Torques => self.data.ctrl_mut()[..dofs].fill(0.0),
        }
        self.data.qvel_mut()[..dofs].fill(0.0);
        self.braked = false;
    }

    /// Takes over pose, motion and targets of another world's arm, and its time: the arm does not notice that the
    /// objects changed.
    pub(super) fn continue_from(&mut self, other: &World) {
        assert!(std::ptr::eq(self.robot(), other.robot()), "another robot");
        let arm = ..self.robot().dofs();
        self.data.qpos_mut()[arm].copy_from_slice(&other.data.qpos()[arm]);
        self.data.qvel_mut()[arm].copy_from_slice(&other.data.qvel()[arm]);
        self.data.ctrl_mut()[arm].copy_from_slice(&other.data.ctrl()[arm]);
        self.braked = other.braked;
        // What is derived from the pose, the tool's place above all, must not be the old one's until the next step.
        self.data.forward();
        self.start(other.time());
    }

    /// Physics time counts from `now` on.
    pub fn start(&mut self, now: Instant) {
        self.started_at = now;
        self.steps = 0;
        self.take_snapshot();
    }

    /// The time of the last physics step.
    pub fn time(&self) -> Instant {
        self.started_at + Duration::from_ticks(self.steps * self.step.as_ticks())
    }

    /// Steps the physics as long as the next step ends at or before `now`; tells how many steps that took. Bounded: a
    /// call that comes more than a second late finds a world in which the missing time did not pass.
    pub fn advance_to(&mut self, now: Instant) -> u32 {
        let Some(behind) = now.checked_duration_since(self.time()) else {
            return 0;
        };
        let due = behind.as_ticks() / self.step.as_ticks();
        let steps = due.min((CATCH_UP_S * 1e9) as u64 / self.step.as_ticks());
        self.started_at += Duration::from_ticks((due - steps) * self.step.as_ticks());
        for _ in 0..steps {
            self.data.step();
        }
        self.steps += steps;
        if steps > 0 {
            self.take_snapshot();
        }
        steps as u32
    }

    /// One step of the physics.
    pub(super) fn step(&mut self) {
        self.data.step();
        self.steps += 1;
        self.take_snapshot();
    }

    /// One step in which the arm stays where it is, whatever pulls at it.
    pub(super) fn step_propped(&mut self) {
        let (arm, mut pose) = (..self.robot().dofs(), [0.0; DOFS_MAX]);
        pose[arm].copy_from_slice(&self.data.qpos()[arm]);
        self.data.step();
        self.data.qpos_mut()[arm].copy_from_slice(&pose[arm]);
        self.data.qvel_mut()[arm].fill(0.0);
        self.steps += 1;
        self.take_snapshot();
    }

    /// How long a step of the physics lasts, s.
    pub fn step_s(&self) -> f64 {
        self.step.as_ticks() as f64 * 1e-9
    }

    /// Targets of the servos until the next call.
    ///
    /// # Panics
    /// When the robot has another number of joints, or none with position servos.
    pub fn command<const N: usize>(
        &mut self,
        q: &JointPositions<N>,
        dq: &JointVelocities<N>,
        fingers: Fingers,
    ) {
        let robot = self.robot();
        assert_eq!((robot.joints, robot.drive), (N, Drive::Positions));
        self.braked = false;
        let ctrl = self.data.ctrl_mut();
        for joint in 0..N {
            // The servo pulls with kp (target - q) - kv dq; this target makes that kp (q_d - q) + kv (dq_d - dq).
            ctrl[joint] = q[joint] + SERVO_DAMPING_S * dq[joint];
        }
        ctrl[N..robot.dofs()].fill(match fingers {
            Fingers::Open => FINGER_TRAVEL_M,
            Fingers::Closed => FINGER_CLOSED_M,
        });
    }

    /// Torques in the joints and of the drive of the fingers, N·m, until the next call.
    ///
    /// # Panics
    /// When there is not one for each of them, or when position servos drive the robot.
    pub fn apply_torques(&mut self, tau_nm: &[f64]) {
        let robot = self.robot();
        assert_eq!(
            (robot.joints + 1, robot.drive),
            (tau_nm.len(), Drive::Torques)
        );
        let (joints, fingers) = tau_nm.split_at(robot.joints);
        let ctrl = self.data.ctrl_mut();
        ctrl[..robot.joints].copy_from_slice(joints);
        ctrl[robot.joints..robot.dofs()].fill(robot.gripper.push(fingers[0]));
    }

    /// Position and velocity of a joint, or of the drive of the fingers, which counts as the last one, rad and rad/s.
    pub fn joint_state(&self, joint: usize) -> (f64, f64) {
        let robot = self.robot();
        let [q, dq] = [self.data.qpos(), self.data.qvel()].map(|values| {
            if joint < robot.joints {
                return values[joint];
            }
            assert_eq!(joint, robot.joints, "there are no more joints");
            robot.gripper.drive_of(&values[robot.joints..robot.dofs()])
        });
        (q, dq)
    }

    /// Displaces the object that is nearest to the fingers by `distance_m` along the floor, at once, in a direction
    /// drawn from `seed` that keeps it within reach. Somebody's hand is faster than the arm.
    pub fn push_nearest(&mut self, distance_m: f64, seed: u64) {
        let tcp = self.snapshot.tcp_m;
        let place = |object: &SceneObject, qpos: &[f64]| {
            Vector3::new(qpos[object.qpos], qpos[object.qpos + 1], 0.0)
        };
        let far = |object: &SceneObject| (place(object, self.data.qpos()) - tcp).xy().norm();
        let nearest = self
            .scene
            .objects
            .iter()
            .min_by(|a, b| far(a).total_cmp(&far(b)));
        let Some(object) = nearest else { return };
        let from = place(object, self.data.qpos());
        let reach_m = PUSH_REACH_M.min(self.scene.config.tray_half_m - PUSH_WALL_M);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut to = from;
        for _ in 0..PUSH_TRIES {
            let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
            to = from + distance_m * Vector3::new(cos, sin, 0.0);
            let clear = |other: &SceneObject| {
                std::ptr::eq(other, object)
                    || (place(other, self.data.qpos()) - to).norm() > PUSH_CLEAR_M
            };
            if to.amax() < reach_m && self.scene.objects.iter().all(clear) {
                break;
            }
        }
        self.data.qpos_mut()[object.qpos..object.qpos + 2].copy_from_slice(&[to.x, to.y]);
        // MuJoCo wakes a sleeping body whose position changed.
        self.data.qvel_mut()[object.dof..object.dof + 6].fill(0.0);
        self.data.forward();
        self.take_snapshot();
    }

    /// Lays an object on the table behind the robot, where neither tool nor camera sees it again.
    pub fn take_away(&mut self, object: usize) {
        let per_row = (2.0 * TABLE_HALF_M[1] / STORE_PITCH_M) as usize - 1;
        let (row, column) = ((object / per_row) as f64, (object % per_row) as f64);
        let x = TABLE_CENTRE_M[0] - TABLE_HALF_M[0] + (row + 1.0) * STORE_PITCH_M;
        let y = TABLE_CENTRE_M[1] - TABLE_HALF_M[1] + (column + 1.0) * STORE_PITCH_M;
        let object = &self.scene.objects[object];
        let table_m = -self.scene.config.tray_in_base_m[2] - self.robot().stand_m;
        let fall_m = self.snapshot.bottom_m(object) - table_m - STORE_DROP_M;
        let z = self.data.qpos()[object.qpos + 2] - fall_m;
        self.data.qpos_mut()[object.qpos..object.qpos + 3].copy_from_slice(&[x, y, z]);
        self.data.qvel_mut()[object.dof..object.dof + 6].fill(0.0);
        self.data.forward();
        self.take_snapshot();
    }

    /// Brakes close and nothing drives the arm any more: a joint that slips is slowed down and not pulled back, one that
    /// has stopped is held there. The fingers keep their force.
    pub fn brake(&mut self) {
        assert_eq!(self.robot().drive, Drive::Positions);
        for joint in 0..self.robot().joints {
            let slips = self.data.qvel()[joint].abs() > BRAKE_SLIP_RAD_PER_S;
            if slips || !self.braked {
                self.data.ctrl_mut()[joint] = self.data.qpos()[joint];
            }
        }
        self.braked = true;
    }

    /// Makes the arm come to rest where it is, under power; the fingers keep their force.
    pub fn hold(&mut self) {
        let (robot, mut q) = (self.robot(), [0.0; DOFS_MAX]);
        assert_eq!(robot.drive, Drive::Positions);
        let (joints, q) = (..robot.joints, &mut q[..robot.joints]);
        q.copy_from_slice(&self.data.qpos()[joints]);
        self.data.ctrl_mut()[joints].copy_from_slice(q);
    }

    /// The arm after the last physics step, without noise. `tau` is what torque sensors in the joints would show:
    /// drive plus gravity compensation.
    ///
    /// # Panics
    /// When the robot has another number of joints.
    pub fn arm_state<const N: usize>(&self) -> ArmState<N> {
        assert_eq!(self.robot().joints, N);
        let joints = |values: &[f64]| SVector::<f64, N>::from_column_slice(&values[..N]);
        let fingers = &self.data.qpos()[N..self.robot().dofs()];
        ArmState {
            sampled_at: self.time(),
            q: JointPositions(joints(self.data.qpos())),
            dq: JointVelocities(joints(self.data.qvel())),
            tau: JointTorques(
                joints(self.data.qfrc_actuator()) + joints(self.data.qfrc_gravcomp()),
            ),
            aperture_m: self.robot().gripper.aperture_of(fingers),
        }
    }

    /// Writes what the simulator knows about every object; reuses the buffers of `truth`.
    pub fn truth(&self, truth: &mut SceneTruth) {
        self.snapshot.truth(&self.scene, truth);
    }

    pub fn judge(&self) -> Judgement {
        self.snapshot.judge(&self.scene)
    }

    pub fn success(&self) -> bool {
        self.judge().success
    }

    /// Lets the objects come to rest while the arm is out of their way; then the arm is in its start pose, fingers
    /// open.
    pub fn settle(&mut self) {
        let robot = self.robot();
        self.place(robot.aside_q);
        let [least, most] = SETTLE_S.map(|seconds| (seconds * 1e9) as u64 / self.step.as_ticks());
        for step in 0..most {
            if robot.drive == Drive::Torques {
                // Nothing else keeps it there.
                self.set_arm(robot.aside_q);
            }
            self.data.step();
            let resting = self.data.qvel()[robot.dofs()..]
                .iter()
                .all(|speed| speed.abs() < REST_SPEED);
            if step >= least && resting {
                break;
            }
        }
        self.place(robot.start_q);
    }

    fn take_snapshot(&mut self) {
        let tcp = self.data.site_xpos()[self.scene.tcp_site];
        self.snapshot.captured_at = self.time();
        self.snapshot.step = self.steps;
        self.snapshot.set_qpos(self.data.qpos());
        self.snapshot.tcp_m = tcp.into();
        self.snapshot.gripped = self.gripped();
    }

    /// The first object that both fingers touch.
    fn gripped(&self) -> Option<usize> {
        let bodies = self.scene.model.geom_bodyid();
        let mut touched = [0_u32; 2];
        for contact in self.data.contact() {
            let pair = contact.geom.map(|geom| bodies[geom as usize] as usize);
            for [one, other] in [pair, [pair[1], pair[0]]] {
                let Some(finger) = self.scene.fingers.iter().position(|&body| body == one) else {
                    continue;
                };
                let Some(object) = self
                    .scene
                    .objects
                    .iter()
                    .position(|object| object.body == other)
                else {
                    continue;
                };
                touched[finger] |= 1 << object;
            }
        }
        let both = touched[0] & touched[1];
        (both != 0).then(|| both.trailing_zeros() as usize)
    }
}

#[cfg(test)]
impl World {
    /// Puts an object's origin here, at rest and turned only about the vertical, without passing through what lies
    /// between. Task frame.
    pub(super) fn put(&mut self, object: usize, position_m: Vector3<f64>, yaw_rad: f64) {
        let SceneObject { qpos, dof, .. } = self.scene.objects[object];
        let (sin, cos) = (0.5 * yaw_rad).sin_cos();
        let [x, y, z] = position_m.into();
        self.data.qpos_mut()[qpos..qpos + 7].copy_from_slice(&[x, y, z, cos, 0.0, 0.0, sin]);
        self.data.qvel_mut()[dof..dof + 6].fill(0.0);
        self.data.forward();
        self.take_snapshot();
    }

    /// Whether the physics of this object are computed at all: resting objects sleep.
    pub(super) fn is_awake(&self, object: usize) -> bool {
        self.data.body_awake()[self.scene.objects[object].body] == MjtSleepState::mjS_AWAKE
    }
}
