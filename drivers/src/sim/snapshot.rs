//! The moving part of a scene as plain numbers, for everyone who looks at it from another thread; and the judgement of
//! whether the gripper holds something.
//!
//! Not responsible for the bodies' shapes: those are in the [`Scene`] whose id the snapshot carries.

use super::config::OBJECTS_MAX;
use super::robot::DOFS_MAX;
use super::scene::{Scene, SceneObject};
use nalgebra::{Quaternion, UnitQuaternion, Vector3};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::observation::{ObjectTruth, SceneTruth};

/// An object counts as lifted when its lowest point is higher than this above the tray's floor.
pub const SUCCESS_HEIGHT_M: f64 = 0.07;
/// An object is near the gripper when its origin is within this distance of a point just above the fingertips.
const NEAR_M: f64 = 0.08;
const NEAR_ABOVE_TCP_M: f64 = 0.02;
const QPOS_MAX: usize = DOFS_MAX + 7 * OBJECTS_MAX;

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) scene: u64,
    /// When the physics were in this state.
    pub captured_at: Instant,
    /// Physics steps since the scene started.
    pub(super) step: u64,
    /// Always of full length, so that a copy never allocates; the first `nq` numbers are in use.
    qpos: Box<[f64]>,
    nq: usize,
    /// Between the fingertips, m, task frame.
    pub tcp_m: Vector3<f64>,
    /// The object that both fingers touch, if there is one.
    pub gripped: Option<usize>,
}

/// What the physics say about the gripper's success, whatever the policy believes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The object that both fingers touch, if there is one.
    pub gripped: Option<usize>,
    /// How high the gripped object's lowest point is above the tray's floor, m; 0 without one.
    pub held_height_m: f64,
    /// The gripped object is near the gripper and held above [`SUCCESS_HEIGHT_M`].
    pub success: bool,
    /// Objects that are in the tray or in the gripper.
    pub in_tray: usize,
}

impl Snapshot {
    pub(super) fn new(scene: &Scene) -> Self {
        Self {
            scene: scene.id,
            captured_at: Instant::from_ticks(0),
            step: 0,
            qpos: vec![0.0; QPOS_MAX].into_boxed_slice(),
            nq: scene.model.qpos0().len(),
            tcp_m: Vector3::zeros(),
            gripped: None,
        }
    }

    pub(super) fn qpos(&self) -> &[f64] {
        &self.qpos[..self.nq]
    }

    pub(super) fn set_qpos(&mut self, qpos: &[f64]) {
        self.nq = qpos.len();
        self.qpos[..self.nq].copy_from_slice(qpos);
    }

    /// Takes every value of `other` without allocating.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.scene = other.scene;
        self.captured_at = other.captured_at;
        self.step = other.step;
        self.set_qpos(other.qpos());
        self.tcp_m = other.tcp_m;
        self.gripped = other.gripped;
    }

    /// Writes what the simulator knows about every object; reuses the buffers of `truth`.
    pub fn truth(&self, scene: &Scene, truth: &mut SceneTruth) {
        assert_eq!(self.scene, scene.id, "a snapshot of another scene");
        truth
            .objects
            .resize_with(scene.objects.len(), ObjectTruth::default);
        for (object, truth) in scene.objects.iter().zip(&mut truth.objects) {
            let (position, rotation) = self.pose(object);
            truth.points_m.clear();
            truth.points_m.extend(
                object
                    .points_m
                    .iter()
                    .map(|point| rotation * point + position),
            );
            truth.bottom_m = truth
                .points_m
                .iter()
                .map(|point| point.z)
                .fold(f64::INFINITY, f64::min);
            truth.near_gripper = self.is_near(&position);
        }
    }

    pub fn judge(&self, scene: &Scene) -> Judgement {
        assert_eq!(self.scene, scene.id, "a snapshot of another scene");
        let gripped = self.gripped.map(|i| &scene.objects[i]);
        let held_height_m = gripped.map_or(0.0, |object| self.bottom_m(object));
        let near = gripped.is_some_and(|object| self.is_near(&self.pose(object).0));
        let outside = |&(i, object): &(usize, &SceneObject)| {
            let (position, _) = self.pose(object);
            let outer_m = scene.config.tray_half_m + 0.01;
            let beyond = position.x.abs().max(position.y.abs()) > outer_m || position.z < -0.01;
            beyond && self.gripped != Some(i)
        };
        Judgement {
            gripped: self.gripped,
            held_height_m,
            success: near && held_height_m > SUCCESS_HEIGHT_M,
            in_tray: scene.objects.len() - scene.objects.iter().enumerate().filter(outside).count(),
        }
    }

    /// The object's lowest point above the tray's floor, m.
    pub(super) fn bottom_m(&self, object: &SceneObject) -> f64 {
        let (position, rotation) = self.pose(object);
        object
            .points_m
            .iter()
            .map(|point| (rotation * point + position).z)
            .fold(f64::INFINITY, f64::min)
    }

    fn is_near(&self, position: &Vector3<f64>) -> bool {
        (position - self.tcp_m - Vector3::new(0.0, 0.0, NEAR_ABOVE_TCP_M)).norm() < NEAR_M
    }

    /// Position and orientation of the object's body frame in the task frame.
    fn pose(&self, object: &SceneObject) -> (Vector3<f64>, UnitQuaternion<f64>) {
        let q = &self.qpos[object.qpos..object.qpos + 7];
        (
            Vector3::new(q[0], q[1], q[2]),
            UnitQuaternion::from_quaternion(Quaternion::new(q[3], q[4], q[5], q[6])),
        )
    }
}
