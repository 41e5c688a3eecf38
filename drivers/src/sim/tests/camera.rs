//! Does the policy's picture show enough? Measured in pictures of the size that the policy gets.

use super::*;
use crate::sim::camera::SimCamera;
use crate::sim::mjcf::POLICY_CAMERA;
use crate::sim::{Rig, SimArm, Split, View};
use mujoco_rs::prelude::*;
use visuomotor_runtime::camera::Frame;

/// Of every picture's edges, pixels.
const SIZE: usize = 64;
const HALF: f64 = 0.5 * SIZE as f64;
/// Of the default configuration.
const TRAY_HALF_M: f64 = 0.14;
const CUBE_EDGE_M: f64 = 0.03;
/// Under the table, where no camera sees it.
const HIDDEN_M: Vector3<f64> = Vector3::new(0.0, 0.0, -1.0);

/// A world that stands still, and its camera.
struct Studio {
    arm: SimArm,
    camera: SimCamera,
    frame: Frame,
}

type Picture = Vec<[u8; 3]>;

impl Studio {
    /// Everything black but floor and arm, the arm away, the cube hidden, pixels without noise.
    fn new(seed: u64, jitter_m: f64) -> Self {
        let mut config = one_cube(CUBE_EDGE_M);
        config.tray_grey = [1.0; 2];
        (config.wall_grey, config.table_grey) = ([0.0; 2], [0.0; 2]);
        (config.camera.pixel_noise, config.camera.jitter_m) = (0.0, jitter_m);
        assert_eq!(config.camera.size_px, [SIZE as u32; 2]);
        let mut world = World::build(&config, Split::Train, seed).unwrap();
        world.place_arm(ARM_AWAY);
        world.put(0, HIDDEN_M, 0.0);
        let mut rig = Rig::new(world);
        let camera = rendered(rig.camera(View::Policy).open());
        Self {
            arm: rig.split().unwrap().0,
            camera,
            frame: Frame::default(),
        }
    }

    /// With the jitter of the default configuration.
    fn jittered(seed: u64) -> Self {
        Self::new(seed, SceneConfig::default().camera.jitter_m)
    }

    fn world(&mut self) -> &mut World {
        self.arm.world_mut()
    }

    fn look(&mut self) -> Picture {
        self.arm.publish();
        rendered(self.camera.render(&mut self.frame));
        self.frame.image.rgb.as_chunks().0.to_vec()
    }

    /// Where the cube is seen when it lies here.
    fn look_for_cube(&mut self, position_m: Vector3<f64>, yaw_rad: f64) -> Spot {
        let without = self.look();
        self.world().put(0, position_m, yaw_rad);
        let with = self.look();
        self.world().put(0, HIDDEN_M, 0.0);
        Spot::of(|pixel| with[pixel] != without[pixel])
    }

    /// Where the tray's floor is seen. The arm must be away.
    fn look_for_floor(&mut self) -> Spot {
        let (picture, camera_m) = (self.look(), self.camera_m());
        Spot::of(|pixel| {
            // Its bright sides are seen below the walls, too.
            let half = TRAY_HALF_M;
            let inside = floor_at(camera_m, pixel).xy().amax() <= half;
            inside && picture[pixel].iter().all(|&channel| channel > 128)
        })
    }

    fn camera_m(&mut self) -> Vector3<f64> {
        let model = &self.world().scene().model;
        let camera = model.name_to_id(MjtObjBase::mjOBJ_CAMERA, POLICY_CAMERA);
        model.cam_pos()[camera.unwrap()].into()
    }
}

/// Some pixels of a picture.
struct Spot(Vec<usize>);

impl Spot {
    fn of(is_in: impl Fn(usize) -> bool) -> Self {
        Self((0..SIZE * SIZE).filter(|&pixel| is_in(pixel)).collect())
    }

    fn area(&self) -> usize {
        self.0.len()
    }

    /// The first and the last column, then the first and the last row.
    fn bounds(&self) -> [[usize; 2]; 2] {
        [|pixel| pixel % SIZE, |pixel| pixel / SIZE].map(|place: fn(usize) -> usize| {
            let places = self.0.iter().map(|&pixel| place(pixel));
            [places.clone().min().unwrap(), places.max().unwrap()]
        })
    }

    fn size(&self) -> [usize; 2] {
        self.bounds().map(|[first, last]| last - first + 1)
    }

    /// Column and row, where whole numbers are borders between pixels.
    fn centroid(&self) -> [f64; 2] {
        [|pixel| pixel % SIZE, |pixel| pixel / SIZE].map(|place: fn(usize) -> usize| {
            let sum: f64 = self.0.iter().map(|&pixel| place(pixel) as f64 + 0.5).sum();
            sum / self.area() as f64
        })
    }
}

/// Right, down and forward of an ideal camera at this place, scaled so that a pixel is 1 wide at forward 1.
fn axes(camera_m: Vector3<f64>) -> [Vector3<f64>; 3] {
    let config = SceneConfig::default().camera;
    let forward = (Vector3::from(config.target_m) - camera_m).normalize();
    let right = forward.cross(&Vector3::z()).normalize();
    let focal = HALF / (0.5 * config.fovy_deg.to_radians()).tan();
    [focal * right, focal * forward.cross(&right), forward]
}

/// Column and row of a point in the image of an ideal camera, whole numbers being borders between pixels.
fn project(camera_m: Vector3<f64>, point_m: Vector3<f64>) -> [f64; 2] {
    let [right, down, forward] = axes(camera_m);
    let ray = point_m - camera_m;
    [right, down].map(|axis| HALF + ray.dot(&axis) / ray.dot(&forward))
}

/// The inverse of [`project`] for the plane of the tray's floor.
fn floor_at(camera_m: Vector3<f64>, pixel: usize) -> Vector3<f64> {
    let [right, down, forward] = axes(camera_m);
    let [column, row] = [pixel % SIZE, pixel / SIZE].map(|place| place as f64 + 0.5 - HALF);
    let ray = forward + column * right / right.norm_squared() + row * down / down.norm_squared();
    camera_m - ray * camera_m.z / ray.z
}

fn grid(half_width_m: f64, places: i32) -> impl Iterator<Item = [f64; 2]> {
    let at = move |i: i32| half_width_m * (2.0 * f64::from(i) / f64::from(places - 1) - 1.0);
    (0..places * places).map(move |i| [at(i % places), at(i / places)])
}

/// Smallest seen: 27 pixels of area, 5 columns.
#[test]
fn a_cube_of_3_cm_is_seen_everywhere_that_objects_are_put() {
    let half = SceneConfig::default().objects.spawn_half_width_m;
    let (mut area, mut width) = (usize::MAX, usize::MAX);
    for seed in 0..3 {
        let mut studio = Studio::jittered(seed);
        for [x, y] in grid(half, 5) {
            for yaw_rad in [0.0, 0.8] {
                let position_m = Vector3::new(x, y, 0.5 * CUBE_EDGE_M);
                let spot = studio.look_for_cube(position_m, yaw_rad);
                assert!(spot.area() >= 6, "at {x} {y}: {} pixels", spot.area());
                area = area.min(spot.area());
                width = width.min(spot.size()[0]);
            }
        }
    }
    println!("at least {area} pixels of area and {width} of width");
}

/// The critics project the gripper's pose into the image with this model. Largest distance seen: 0.20 pixels.
#[test]
fn the_picture_is_that_of_the_pinhole_camera_in_the_configuration() {
    let mut studio = Studio::new(0, 0.0);
    let camera_m = Vector3::from(SceneConfig::default().camera.position_m);
    let mut worst: f64 = 0.0;
    for [x, y] in grid(0.1, 4) {
        let centre_m = Vector3::new(x, y, 0.5 * CUBE_EDGE_M);
        let seen = studio.look_for_cube(centre_m, 0.0).centroid();
        let expected = project(camera_m, centre_m);
        let distance = (seen[0] - expected[0]).hypot(seen[1] - expected[1]);
        assert!(distance < 0.6, "{seen:?} instead of {expected:?}");
        worst = worst.max(distance);
    }
    println!("at most {worst:.2} pixels off");
}

/// The floor spans 53 to 54 columns and 40 to 41 rows.
#[test]
fn the_tray_fills_the_picture_and_no_corner_is_cut_off() {
    for seed in 0..6 {
        let floor = Studio::jittered(seed).look_for_floor();
        let [columns, rows] = floor.bounds();
        for [first, last] in [columns, rows] {
            assert!(
                first > 0 && last < SIZE - 1,
                "the floor reaches the border: {columns:?} {rows:?}"
            );
        }
        let longer = floor.size().into_iter().max().unwrap();
        assert!(longer * 10 >= SIZE * 8, "the floor spans {longer} pixels");
        println!("{:?} pixels of {SIZE}", floor.size());
    }
    // The near wall hides the floor's near corners from the picture, not from this.
    let config = SceneConfig::default().camera;
    for [jitter_x, jitter_y] in grid(config.jitter_m, 2) {
        for jitter_z in [-config.jitter_m, config.jitter_m] {
            let camera_m =
                Vector3::from(config.position_m) + Vector3::new(jitter_x, jitter_y, jitter_z);
            for [x, y] in grid(TRAY_HALF_M, 2) {
                let place = project(camera_m, Vector3::new(x, y, 0.0));
                let inside = place.iter().all(|at| (1.0..SIZE as f64 - 1.0).contains(at));
                assert!(inside, "the corner {x} {y} is at {place:?}");
            }
        }
    }
}

/// Share of the floor's pixels that the arm hides with the tool 0.12 m above nine places: at most 21 %, on average 5 %.
#[test]
fn the_hovering_arm_hides_little_of_the_tray() {
    let mut studio = Studio::new(0, 0.0);
    let floor = studio.look_for_floor();
    let empty = studio.look();
    let mut hidden = Vec::new();
    for [x, y] in grid(0.09, 3) {
        for yaw_rad in [0.0, 1.5] {
            let q = tool_at(Vector3::new(x, y, 0.12), yaw_rad);
            studio.world().place_arm(q);
            let picture = studio.look();
            let changed = |&&pixel: &&usize| picture[pixel] != empty[pixel];
            let share = floor.0.iter().filter(changed).count() as f64 / floor.area() as f64;
            assert!(
                share <= 0.35,
                "over {x} {y} at {yaw_rad} rad the arm hides {share:.3} of the floor"
            );
            hidden.push(share);
        }
    }
    let most = hidden.iter().copied().fold(0.0, f64::max);
    let mean = hidden.iter().sum::<f64>() / hidden.len() as f64;
    assert!(most > 0.05, "no arm is in the picture");
    println!("hides at most {most:.3}, on average {mean:.3}");
}
