//! Where to put the fingers around an object whose shape is known: one top-down grasp per object.
//!
//! Privileged: it reads [`SceneTruth`]. Not responsible for reaching the grasp, which is [`crate::scripted`]'s.

use crate::features::wrap_yaw;
use crate::task::{
    APERTURE_MAX_M, FINGER_THICKNESS_M, FINGER_WIDTH_M, PALM_HALF_M, PALM_HEIGHT_M, TRAY_HALF_M,
    TRAY_WALL_M, Workspace,
};
use nalgebra::{Vector2, Vector3};
use visuomotor_runtime::observation::SceneTruth;

/// Gripper angles that are tried, evenly spaced over half a turn.
const ANGLES: usize = 18;
/// How deep below an object's top the fingertips go at most, m.
const DEPTH_M: f64 = 0.035;
/// Free distance that a finger keeps from other objects and the walls, m.
const CLEARANCE_M: f64 = 0.003;
/// An object wider than this does not fit safely between the fingers, m.
const WIDTH_MAX_M: f64 = APERTURE_MAX_M - 0.010;

/// A pose to close at, task frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grasp {
    pub position_m: Vector3<f64>,
    /// In (-π/2, π/2].
    pub yaw_rad: f64,
    /// Lower is better; in m of object width, plus penalties. Above 0.2 the grasp is likely to fail.
    pub cost: f64,
    /// The object's highest point, m.
    pub top_m: f64,
}

/// An interval of an object's extent along one direction, m.
#[derive(Clone, Copy)]
struct Extent {
    min: f64,
    max: f64,
}

impl Extent {
    fn of(points: impl Iterator<Item = f64>) -> Self {
        points.fold(
            Self {
                min: f64::INFINITY,
                max: f64::NEG_INFINITY,
            },
            |e, x| Self {
                min: e.min.min(x),
                max: e.max.max(x),
            },
        )
    }

    fn width(self) -> f64 {
        self.max - self.min
    }

    fn centre(self) -> f64 {
        0.5 * (self.min + self.max)
    }
}

/// Direction `k`: the one in which fingers at yaw = `k` π / [`ANGLES`] close.
fn closing_direction(k: usize) -> Vector2<f64> {
    let yaw = yaw_rad(k);
    Vector2::new(-yaw.sin(), yaw.cos())
}

fn yaw_rad(k: usize) -> f64 {
    k as f64 * std::f64::consts::PI / ANGLES as f64
}

/// A rectangle in the plane, sides along `u` and the perpendicular of `u`.
struct Rectangle {
    centre: Vector2<f64>,
    u: Vector2<f64>,
    half_u: f64,
    half_v: f64,
}

impl Rectangle {
    fn half_along(&self, direction: &Vector2<f64>) -> f64 {
        let v = Vector2::new(self.u.y, -self.u.x);
        self.half_u * self.u.dot(direction).abs() + self.half_v * v.dot(direction).abs()
    }

    /// Distance to a convex shape given by its extents along all directions; negative where they overlap. A lower
    /// bound: only the sampled directions separate.
    fn distance_to(&self, shape: &[Extent; ANGLES]) -> f64 {
        (0..ANGLES).fold(f64::NEG_INFINITY, |best, k| {
            let direction = closing_direction(k);
            let (centre, half) = (self.centre.dot(&direction), self.half_along(&direction));
            best.max(shape[k].min - (centre + half))
                .max(centre - half - shape[k].max)
        })
    }

    /// How far it reaches beyond the tray's inner walls, m; negative inside.
    fn beyond_walls(&self) -> f64 {
        let x = self.centre.x.abs() + self.half_along(&Vector2::x());
        let y = self.centre.y.abs() + self.half_along(&Vector2::y());
        x.max(y) - TRAY_HALF_M
    }
}

struct Shape {
    extents: [Extent; ANGLES],
    top_m: f64,
}

/// One grasp for each object of `truth`, in its order; `None` for an object without points. `yaw_now_rad` is the
/// gripper's angle: of two equal grasps the nearer angle wins.
pub fn plan(truth: &SceneTruth, yaw_now_rad: f64, workspace: &Workspace) -> Vec<Option<Grasp>> {
    let shapes: Vec<Shape> = truth
        .objects
        .iter()
        .map(|object| Shape {
            extents: std::array::from_fn(|k| {
                let direction = closing_direction(k);
                Extent::of(object.points_m.iter().map(|p| p.xy().dot(&direction)))
            }),
            top_m: Extent::of(object.points_m.iter().map(|p| p.z)).max,
        })
        .collect();
    let grasp = |(i, object): (usize, &visuomotor_runtime::observation::ObjectTruth)| {
        let z = Extent::of(object.points_m.iter().map(|p| p.z));
        if !z.width().is_finite() {
            return None;
        }
        let tip_m = (z.max - DEPTH_M)
            .min(z.centre() - 0.005)
            .max(workspace.z_min_m);
        let others = || {
            shapes
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, shape)| shape)
        };
        let mut best: Option<Grasp> = None;
        for k in 0..ANGLES {
            let u = closing_direction(k);
            let v = Vector2::new(u.y, -u.x);
            // Only what lies above the fingertips gets between them.
            let held = || {
                object
                    .points_m
                    .iter()
                    .filter(|p| p.z > tip_m - 0.005)
                    .map(|p| p.xy())
            };
            let (along_u, along_v) = (
                Extent::of(held().map(|p| p.dot(&u))),
                Extent::of(held().map(|p| p.dot(&v))),
            );
            let wanted = u * along_u.centre() + v * along_v.centre();
            let centre = wanted.map(|x| x.clamp(-workspace.xy_max_m, workspace.xy_max_m));
            let miss = centre - wanted;
            let mut cost = along_u.width() + 0.012 * wrap_yaw(yaw_rad(k) - yaw_now_rad).abs();
            cost += if along_u.width() > WIDTH_MAX_M {
                0.2
            } else {
                0.0
            };
            cost += 6.0 * miss.dot(&u).abs() + 3.0 * miss.dot(&v).abs();
            let fingers = [-1.0, 1.0].map(|side| Rectangle {
                centre: centre + u * side * 0.5 * (APERTURE_MAX_M + FINGER_THICKNESS_M),
                u,
                half_u: 0.5 * FINGER_THICKNESS_M,
                half_v: 0.5 * FINGER_WIDTH_M,
            });
            for finger in &fingers {
                let mut overlap = others()
                    .filter(|other| other.top_m > tip_m)
                    .map(|other| -finger.distance_to(&other.extents))
                    .fold(f64::NEG_INFINITY, f64::max);
                if tip_m < TRAY_WALL_M + 0.002 {
                    overlap = overlap.max(finger.beyond_walls());
                }
                cost += if overlap > -CLEARANCE_M {
                    0.06 + 2.0 * (overlap + CLEARANCE_M)
                } else {
                    0.0
                };
            }
            let palm = Rectangle {
                centre,
                u,
                half_u: PALM_HALF_M[0],
                half_v: PALM_HALF_M[1],
            };
            let blocked = others()
                .any(|o| o.top_m > tip_m + PALM_HEIGHT_M && palm.distance_to(&o.extents) < 0.0);
            cost += if blocked { 0.2 } else { 0.0 };
            if best.is_none_or(|b| cost < b.cost) {
                best = Some(Grasp {
                    position_m: Vector3::new(centre.x, centre.y, tip_m),
                    yaw_rad: wrap_yaw(yaw_rad(k)),
                    cost,
                    top_m: z.max,
                });
            }
        }
        // Out of the tray, or still in the air.
        let lost = z.min < -0.02 || z.min > 0.06;
        best.map(|b| Grasp {
            cost: b.cost + if lost { 0.3 } else { 0.0 },
            ..b
        })
    };
    truth.objects.iter().enumerate().map(grasp).collect()
}
