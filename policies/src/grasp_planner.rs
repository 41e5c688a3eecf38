//! Where to put the fingers around an object whose shape is known: one top-down grasp per object.
//!
//! Privileged: it reads [`SceneTruth`]. Not responsible for reaching the grasp, which is [`crate::scripted`]'s.

use crate::features::wrap_yaw;
use crate::task::{
    APERTURE_MAX_M, FINGER_THICKNESS_M, FINGER_WIDTH_M, PALM_HALF_M, PALM_HEIGHT_M, TRAY_HALF_M,
    TRAY_WALL_M, Workspace,
};
use nalgebra::{Vector2, Vector3};
use visuomotor_runtime::observation::{ObjectTruth, SceneTruth};

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

/// What of an object matters to a gripper that wants another one.
struct Obstacle {
    extents: [Extent; ANGLES],
    top_m: f64,
}

impl Obstacle {
    fn of(object: &ObjectTruth) -> Self {
        let along = |direction: Vector2<f64>| {
            Extent::of(object.points_m.iter().map(|p| p.xy().dot(&direction)))
        };
        Self {
            extents: std::array::from_fn(|k| along(closing_direction(k))),
            top_m: Extent::of(object.points_m.iter().map(|p| p.z)).max,
        }
    }
}

/// One grasp for each object of `truth`, in its order; `None` for an object without points. `yaw_now_rad` is the
/// gripper's angle: of two equal grasps the nearer angle wins.
pub fn plan(truth: &SceneTruth, yaw_now_rad: f64, workspace: &Workspace) -> Vec<Option<Grasp>> {
    let obstacles: Vec<Obstacle> = truth.objects.iter().map(Obstacle::of).collect();
    let best = |(i, object): (usize, &ObjectTruth)| {
        let others: Vec<&Obstacle> = obstacles
            .iter()
            .enumerate()
            .filter(|(j, _)| *j != i)
            .map(|(_, o)| o)
            .collect();
        (0..ANGLES)
            .filter_map(|k| {
                let turn_cost = 0.012 * wrap_yaw(yaw_rad(k) - yaw_now_rad).abs();
                let grasp = grasp_at(object, k, &others, workspace)?;
                Some(Grasp {
                    cost: grasp.cost + turn_cost,
                    ..grasp
                })
            })
            .min_by(|a, b| a.cost.total_cmp(&b.cost))
    };
    truth.objects.iter().enumerate().map(best).collect()
}

/// The grasp of `object` with the gripper at angle `k`, centred on what will be between the fingers.
fn grasp_at(
    object: &ObjectTruth,
    k: usize,
    others: &[&Obstacle],
    workspace: &Workspace,
) -> Option<Grasp> {
    let z = Extent::of(object.points_m.iter().map(|p| p.z));
    if !z.width().is_finite() {
        return None;
    }
    let tip_m = (z.max - DEPTH_M)
        .min(z.centre() - 0.005)
        .max(workspace.z_min_m);
    let u = closing_direction(k);
    let v = Vector2::new(u.y, -u.x);
    // Only what lies above the fingertips gets between them; of an object below the floor, take the upper half.
    let above_m = (tip_m - 0.005).min(z.centre());
    let held = |axis: Vector2<f64>| {
        let points = object.points_m.iter().filter(|p| p.z >= above_m);
        Extent::of(points.map(|p| p.xy().dot(&axis)))
    };
    let (along_u, along_v) = (held(u), held(v));
    let wanted = u * along_u.centre() + v * along_v.centre();
    let centre = wanted.map(|x| x.clamp(-workspace.xy_max_m, workspace.xy_max_m));
    let miss = centre - wanted;

    let mut cost = along_u.width() + 6.0 * miss.dot(&u).abs() + 3.0 * miss.dot(&v).abs();
    if along_u.width() > WIDTH_MAX_M {
        cost += 0.2;
    }
    // Out of the tray, or still in the air.
    if z.min < -0.02 || z.min > 0.06 {
        cost += 0.3;
    }
    Some(Grasp {
        position_m: Vector3::new(centre.x, centre.y, tip_m),
        yaw_rad: wrap_yaw(yaw_rad(k)),
        cost: cost + collision_cost(centre, u, tip_m, others),
        top_m: z.max,
    })
}

/// What open fingers and palm would hit on the way down to `tip_m`, as cost.
fn collision_cost(centre: Vector2<f64>, u: Vector2<f64>, tip_m: f64, others: &[&Obstacle]) -> f64 {
    let mut cost = 0.0;
    for side in [-1.0, 1.0] {
        let finger = Rectangle {
            centre: centre + u * side * 0.5 * (APERTURE_MAX_M + FINGER_THICKNESS_M),
            u,
            half_u: 0.5 * FINGER_THICKNESS_M,
            half_v: 0.5 * FINGER_WIDTH_M,
        };
        let mut overlap = others
            .iter()
            .filter(|other| other.top_m > tip_m)
            .map(|other| -finger.distance_to(&other.extents))
            .fold(f64::NEG_INFINITY, f64::max);
        if tip_m < TRAY_WALL_M + 0.002 {
            overlap = overlap.max(finger.beyond_walls());
        }
        if overlap > -CLEARANCE_M {
            cost += 0.06 + 2.0 * (overlap + CLEARANCE_M);
        }
    }
    let [half_u, half_v] = PALM_HALF_M;
    let palm = Rectangle {
        centre,
        u,
        half_u,
        half_v,
    };
    let hits_palm =
        |o: &&Obstacle| o.top_m > tip_m + PALM_HEIGHT_M && palm.distance_to(&o.extents) < 0.0;
    if others.iter().any(hits_palm) {
        cost + 0.2
    } else {
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    /// A box with these half sizes, standing on the floor.
    fn block(centre: [f64; 2], half: [f64; 3]) -> ObjectTruth {
        let sign = |corner: usize, bit: usize| if corner >> bit & 1 == 1 { 1.0 } else { -1.0 };
        let points_m = (0..8)
            .map(|c| {
                let [x, y] = [0, 1].map(|axis| centre[axis] + sign(c, axis) * half[axis]);
                Vector3::new(x, y, half[2] * (1.0 + sign(c, 2)))
            })
            .collect();
        ObjectTruth {
            points_m,
            bottom_m: 0.0,
            near_gripper: false,
        }
    }

    fn first(objects: Vec<ObjectTruth>) -> Grasp {
        plan(&SceneTruth { objects }, 0.0, &Workspace::default())[0].unwrap()
    }

    #[test]
    fn closes_across_the_narrow_side_in_the_middle() {
        for (half, yaw_rad) in [([0.03, 0.01, 0.02], 0.0), ([0.01, 0.03, 0.02], FRAC_PI_2)] {
            let grasp = first(vec![block([0.04, -0.02], half)]);
            assert!(wrap_yaw(grasp.yaw_rad - yaw_rad).abs() < 0.2, "{grasp:?}");
            assert!((grasp.position_m.xy() - Vector2::new(0.04, -0.02)).norm() < 1e-9);
            assert!(grasp.position_m.z > 0.0 && grasp.position_m.z < 0.02);
            assert!(grasp.cost < 0.05 && (grasp.top_m - 0.04).abs() < 1e-12);
        }
    }

    #[test]
    fn turns_away_from_a_neighbour() {
        let cube = || block([0.0, 0.0], [0.015; 3]);
        let alone = first(vec![cube()]);
        let beside = first(vec![cube(), block([0.0, 0.045], [0.015; 3])]);
        assert!(alone.yaw_rad.abs() < 0.2, "{alone:?}");
        // Fingers left and right now, not front and back.
        assert!((beside.yaw_rad.abs() - FRAC_PI_2).abs() < 0.4, "{beside:?}");
        assert!(beside.cost > alone.cost);
    }

    #[test]
    fn a_low_neighbour_matters_only_where_the_fingers_reach() {
        let tall = || block([0.0, 0.0], [0.015, 0.015, 0.04]);
        let low = block([0.0, 0.045], [0.015, 0.015, 0.01]);
        assert_eq!(first(vec![tall(), low]), first(vec![tall()]));
    }

    #[test]
    fn keeps_its_fingers_off_the_walls() {
        // At the wall y = 0.14, fingers in front and behind would need y = 0.16.
        let grasp = first(vec![block([0.0, 0.11], [0.02, 0.012, 0.015])]);
        assert!((grasp.yaw_rad.abs() - FRAC_PI_2).abs() < 0.4, "{grasp:?}");
        assert!(grasp.position_m.y <= Workspace::default().xy_max_m);
    }

    #[test]
    fn what_cannot_be_grasped_is_expensive_or_nothing() {
        assert!(first(vec![block([0.0, 0.0], [0.05, 0.05, 0.02])]).cost > 0.2);
        let mut lost = block([0.0, 0.0], [0.015; 3]);
        lost.points_m.iter_mut().for_each(|p| p.z -= 0.5);
        assert!(first(vec![lost]).cost > 0.2);
        let nothing = SceneTruth {
            objects: vec![ObjectTruth::default()],
        };
        assert_eq!(plan(&nothing, 0.0, &Workspace::default()), vec![None]);
    }
}
