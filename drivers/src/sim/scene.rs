//! One scene: everything about it that does not move.
//!
//! Responsible for drawing a scene from its configuration and seed and for compiling it. Not responsible for its state:
//! that is a [`super::World`].

use super::config::{ObjectConfig, SceneConfig};
use super::error::SceneError;
use super::mjcf::{Camera, Drawn, PlacedObject};
use super::object::{Object, draw_rotation, uniform};
use super::robot::RobotModel;
use super::seed::Split;
use mujoco_rs::prelude::*;
use nalgebra::{UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Objects start this high above the floor, m.
const DROP_HEIGHT_M: f64 = 0.003;
/// Nobody looks for a free place in one layer for longer than this.
const PLACE_TRIES: usize = 30;
/// Objects for which there is no room beside the others fall on top of them, in layers.
const LAYER_M: f64 = 0.08;
/// Where the lamp hangs before it is jittered, m, task frame.
const LAMP_M: [f64; 3] = [-0.3, 0.4, 1.2];

/// A compiled scene, shared between the physics and everyone who looks at it.
pub struct Scene {
    /// Tells scenes of this process apart; means nothing elsewhere.
    pub(super) id: u64,
    /// Where the scene's random numbers start.
    pub(super) rng_seed: u64,
    pub(super) config: SceneConfig,
    pub(super) robot: &'static RobotModel,
    mjcf: String,
    pub(super) model: Arc<MjModel>,
    pub(super) objects: Vec<SceneObject>,
    pub(super) fingers: [usize; 2],
    pub(super) tcp_site: usize,
}

pub(super) struct SceneObject {
    pub body: usize,
    /// Where its position and quaternion start in `qpos`.
    pub qpos: usize,
    /// Where its twist starts in `qvel`.
    pub dof: usize,
    /// Body frame, m.
    pub points_m: Vec<Vector3<f64>>,
}

impl Scene {
    /// Draws and compiles the scene of this seed. The same arguments give the same scene, byte for byte.
    pub fn build(config: &SceneConfig, split: Split, seed: u64) -> Result<Self, SceneError> {
        config.validate()?;
        let rng_seed = split.mix(seed)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(rng_seed);
        let count = rng.random_range(config.objects.count[0]..=config.objects.count[1]);
        let objects: Vec<Object> = (0..count)
            .map(|i| Object::draw(&format!("object_{i}"), &config.objects, &mut rng))
            .collect();
        let mjcf = draw(config, &objects, &mut rng).text();
        let model = MjModel::from_xml_string(&mjcf)
            .map_err(|error| SceneError::Model(error.to_string()))?;
        let body = |name: &str| find(&model, MjtObjBase::mjOBJ_BODY, name);
        let robot = config.robot.model();
        let mut placed = Vec::with_capacity(objects.len());
        for (i, object) in objects.into_iter().enumerate() {
            let body = body(&format!("object_{i}"))?;
            let joint = model.body_jntadr()[body] as usize;
            placed.push(SceneObject {
                body,
                qpos: model.jnt_qposadr()[joint] as usize,
                dof: model.body_dofadr()[body] as usize,
                points_m: object.points_m,
            });
        }
        static SCENES: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            id: SCENES.fetch_add(1, Ordering::Relaxed),
            rng_seed,
            config: config.clone(),
            mjcf,
            objects: placed,
            fingers: [body(robot.fingers[0])?, body(robot.fingers[1])?],
            robot,
            tcp_site: find(&model, MjtObjBase::mjOBJ_SITE, "tcp")?,
            model: Arc::new(model),
        })
    }

    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The whole model as MuJoCo's XML.
    pub fn mjcf(&self) -> &str {
        &self.mjcf
    }

    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// A random sequence of this scene's own, one for each purpose.
    pub(super) fn rng(&self, purpose: u64) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(super::seed::bijection(
            self.rng_seed ^ purpose.rotate_left(32),
        ))
    }
}

fn find(model: &MjModel, kind: MjtObjBase, name: &str) -> Result<usize, SceneError> {
    model
        .name_to_id(kind, name)
        .ok_or_else(|| SceneError::Model(format!("{name} is missing")))
}

fn draw<'a>(config: &SceneConfig, objects: &'a [Object], rng: &mut impl Rng) -> Drawn<'a> {
    let camera = &config.camera;
    Drawn {
        robot: config.robot.model(),
        timestep_s: f64::from(config.timestep_us) * 1e-6,
        tray_in_base_m: config.tray_in_base_m,
        tray_half_m: config.tray_half_m,
        wall_height_m: config.wall_height_m,
        floor_rgb: tint(config.tray_grey, rng),
        wall_rgb: tint(config.wall_grey, rng),
        table_rgb: tint(config.table_grey, rng),
        lamp: uniform(config.lamp, rng),
        lamp_m: jittered(LAMP_M, config.lamp_jitter_m, rng),
        camera: Camera {
            position_m: jittered(camera.position_m, camera.jitter_m, rng),
            target_m: camera.target_m.into(),
            fovy_deg: camera.fovy_deg,
        },
        objects: place(config, objects, rng),
    }
}

/// Half of the objects lie as they were drawn, the others are turned anyhow; all are turned about the vertical.
fn place<'a>(
    config: &SceneConfig,
    objects: &'a [Object],
    rng: &mut impl Rng,
) -> Vec<PlacedObject<'a>> {
    let mut placed: Vec<PlacedObject<'a>> = Vec::with_capacity(objects.len());
    let mut layer = Layer::default();
    for object in objects {
        let tumble = if rng.random_bool(0.5) {
            draw_rotation(rng)
        } else {
            UnitQuaternion::identity()
        };
        let yaw = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), rng.random_range(0.0..TAU));
        let rotation = yaw * tumble;
        let mut position_m = layer.place(&config.objects, rng);
        position_m.z += DROP_HEIGHT_M - object.bottom_m(&rotation);
        placed.push(PlacedObject {
            assets: &object.assets,
            mjcf: &object.mjcf,
            position_m,
            rotation,
        });
    }
    placed
}

/// The layer that objects are being placed in.
#[derive(Default)]
struct Layer {
    bottom_m: f64,
    places_m: Vec<Vector3<f64>>,
}

impl Layer {
    /// A place apart from the others, in a new layer above where this one is full.
    fn place(&mut self, config: &ObjectConfig, rng: &mut impl Rng) -> Vector3<f64> {
        let half = config.spawn_half_width_m;
        let mut place_m = Vector3::zeros();
        for _ in 0..PLACE_TRIES {
            let [x, y] = [(); 2].map(|()| rng.random_range(-half..=half));
            place_m = Vector3::new(x, y, self.bottom_m);
            let apart = |other: &Vector3<f64>| (place_m - other).norm() > config.spacing_m;
            if self.places_m.iter().all(apart) {
                self.places_m.push(place_m);
                return place_m;
            }
        }
        self.bottom_m += LAYER_M;
        place_m.z = self.bottom_m;
        self.places_m = vec![place_m];
        place_m
    }
}

fn tint(grey: [f64; 2], rng: &mut impl Rng) -> [f64; 3] {
    let mean = uniform(grey, rng);
    std::array::from_fn(|_| (mean + uniform([-0.1, 0.1], rng)).clamp(0.0, 1.0))
}

fn jittered(mean: [f64; 3], jitter: f64, rng: &mut impl Rng) -> Vector3<f64> {
    Vector3::from(mean) + Vector3::from_fn(|_, _| uniform([-jitter, jitter], rng))
}
