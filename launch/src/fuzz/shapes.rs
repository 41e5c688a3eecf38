//! How far apart what must not touch is, computed from the launch file alone and in another way than the filter does.

use nalgebra::{Point3, Rotation3, Vector3};
use visuomotor_runtime::kinematics::{Chain, Frames};
use visuomotor_runtime::safety::collision::{BoxConfig, CollisionConfig, PlaneConfig};
use visuomotor_runtime::units::{JointPositions, JointVelocities};

type Line = [Vector3<f64>; 2];

/// A piece of the arm.
struct Capsule {
    name: String,
    /// The frame that its line is fixed to.
    frame: usize,
    line: Line,
    radius_m: f64,
}

/// The arm's capsules, and which of them must keep away from what.
pub struct Shapes {
    capsules: Vec<Capsule>,
    pairs: Vec<[usize; 2]>,
    planes: Vec<(usize, PlaneConfig)>,
    boxes: Vec<(usize, BoxConfig)>,
}

/// Nearest distances at one posture, m; negative where things overlap.
pub struct Distances {
    pub to_itself_m: f64,
    pub to_others_m: f64,
}

impl Shapes {
    /// # Panics
    /// When the table names what is not there: a launch file that was read has none of that.
    pub fn new<const N: usize>(chain: &Chain<N>, config: &CollisionConfig) -> Self {
        let capsule = |c: &visuomotor_runtime::safety::collision::CapsuleConfig| {
            let mount = chain.mount(c.link.get_ref()).expect("a validated link");
            let end = |p: [f64; 3]| (mount.T_frame_link * Point3::from(p)).coords;
            Capsule {
                name: c.name.get_ref().clone(),
                frame: mount.joints,
                line: [end(c.from_m), end(c.to_m)],
                radius_m: c.radius_m,
            }
        };
        let capsules: Vec<_> = config.capsules.iter().map(capsule).collect();
        let find = |name: &String| {
            let place = capsules.iter().position(|c| c.name == *name);
            place.expect("a validated name")
        };
        let who = |names: &Option<Vec<toml::Spanned<String>>>| -> Vec<usize> {
            match names {
                Some(names) => names.iter().map(|name| find(name.get_ref())).collect(),
                None => (0..capsules.len())
                    .filter(|&c| capsules[c].frame > 0)
                    .collect(),
            }
        };
        let pairs = config
            .pairs
            .iter()
            .map(|pair| pair.get_ref().0.each_ref().map(find))
            .collect();
        let with = |names| who(names).into_iter();
        let planes = config
            .planes
            .iter()
            .flat_map(|plane| with(&plane.capsules).map(move |c| (c, plane.clone())))
            .collect();
        let boxes = config
            .boxes
            .iter()
            .flat_map(|cuboid| with(&cuboid.capsules).map(move |c| (c, cuboid.clone())))
            .collect();
        Self {
            pairs,
            planes,
            boxes,
            capsules,
        }
    }

    pub fn distances<const N: usize>(&self, frames: &Frames<N>) -> Distances {
        let line = |c: usize| {
            let capsule = &self.capsules[c];
            capsule.line.map(|end| frames.point(capsule.frame, &end))
        };
        let radius_m = |c: usize| self.capsules[c].radius_m;
        let nearest =
            |distances: &mut dyn Iterator<Item = f64>| distances.fold(f64::INFINITY, f64::min);
        let to_itself_m = nearest(
            &mut self
                .pairs
                .iter()
                .map(|&[a, b]| between_lines(&line(a), &line(b)) - radius_m(a) - radius_m(b)),
        );
        let to_planes_m = nearest(&mut self.planes.iter().map(|(c, plane)| {
            let normal = Vector3::from(plane.normal);
            let height = |end: &Vector3<f64>| normal.dot(end) / normal.norm() - plane.offset_m;
            let [a, b] = line(*c);
            height(&a).min(height(&b)) - radius_m(*c)
        }));
        let to_boxes_m = nearest(
            &mut self
                .boxes
                .iter()
                .map(|(c, cuboid)| to_box(&line(*c), cuboid) - radius_m(*c)),
        );
        Distances {
            to_itself_m,
            to_others_m: to_planes_m.min(to_boxes_m),
        }
    }
}

impl Shapes {
    /// How fast the surface of any capsule moves, m/s, where it was looked at: around the ends of each. Minus infinity where
    /// there is none.
    pub fn fastest<const N: usize>(
        &self,
        chain: &Chain<N>,
        q: &JointPositions<N>,
        dq: &JointVelocities<N>,
    ) -> f64 {
        const H_S: f64 = 1e-6;
        let at = |t: f64| chain.frames(&JointPositions(q.0 + dq.0 * t));
        let (before, after) = (at(-H_S), at(H_S));
        let mut fastest = f64::NEG_INFINITY;
        for capsule in self.capsules.iter().filter(|c| c.frame > 0) {
            for end in capsule.line {
                for axis in 0..3 {
                    for side in [-capsule.radius_m, capsule.radius_m] {
                        let p = end + Vector3::ith(axis, side);
                        let moved =
                            after.point(capsule.frame, &p) - before.point(capsule.frame, &p);
                        fastest = fastest.max(moved.norm() / (2.0 * H_S));
                    }
                }
            }
        }
        fastest
    }
}

/// Two lines are nearest at an end of one of them, or where both are crossed at right angles.
fn between_lines(a: &Line, b: &Line) -> f64 {
    let ends = [
        to_point(a, &b[0]),
        to_point(a, &b[1]),
        to_point(b, &a[0]),
        to_point(b, &a[1]),
    ];
    let nearest = ends.into_iter().fold(f64::INFINITY, f64::min);
    let (d, e) = (a[1] - a[0], b[1] - b[0]);
    let across = d.cross(&e);
    let size = across.norm_squared();
    if size < 1e-18 {
        return nearest;
    }
    let between = b[0] - a[0];
    let s = between.cross(&e).dot(&across) / size;
    let t = between.cross(&d).dot(&across) / size;
    if (0.0..=1.0).contains(&s) && (0.0..=1.0).contains(&t) {
        nearest.min(between.dot(&across).abs() / size.sqrt())
    } else {
        nearest
    }
}

fn to_point(line: &Line, p: &Vector3<f64>) -> f64 {
    let d = line[1] - line[0];
    let s = (p - line[0]).dot(&d) / d.norm_squared().max(f64::MIN_POSITIVE);
    (line[0] + d * s.clamp(0.0, 1.0) - p).norm()
}

/// The distance along a line is convex: its minimum is closed in on from both sides.
fn to_box(line: &Line, cuboid: &BoxConfig) -> f64 {
    let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), -cuboid.yaw_rad);
    let half_m = Vector3::from(cuboid.size_m) / 2.0;
    let at = |s: f64| {
        let p = line[0] + (line[1] - line[0]) * s;
        let local: Vector3<f64> = turn * (p - Vector3::from(cuboid.centre_m));
        (local.abs() - half_m).sup(&Vector3::zeros()).norm()
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..80 {
        let third = (high - low) / 3.0;
        if at(low + third) <= at(high - third) {
            high -= third;
        } else {
            low += third;
        }
    }
    at(low).min(at(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(a: [f64; 3], b: [f64; 3]) -> Line {
        [a.into(), b.into()]
    }

    #[test]
    fn distances_are_what_geometry_says() {
        let x = line([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]);
        for (other, expected) in [
            (line([0.5, 1.0, -1.0], [0.5, 1.0, 1.0]), 1.0),
            (line([0.2, 0.5, 0.0], [0.9, 0.5, 0.0]), 0.5),
            (line([4.0, 4.0, 0.0], [9.0, 9.0, 0.0]), 5.0),
            (line([0.5, -1.0, 0.0], [0.5, 1.0, 0.0]), 0.0),
            (line([0.5, 0.0, 3.0], [0.5, 0.0, 2.0]), 2.0),
        ] {
            assert!(
                (between_lines(&x, &other) - expected).abs() < 1e-12,
                "{other:?}"
            );
        }
        let cuboid: BoxConfig = toml::from_str(
            "name = \"post\"\ncentre_m = [0.5, 2.0, 0.0]\nsize_m = [1.0, 2.0, 1.0]\nyaw_rad = 1.5707963267948966",
        )
        .expect("a box");
        assert!((to_box(&x, &cuboid) - 1.5).abs() < 1e-12);
        let diagonal = line([3.5, 2.0, 0.0], [4.5, 4.0, 3.0]);
        assert!((to_box(&diagonal, &cuboid) - 2.0).abs() < 1e-9);
    }
}
