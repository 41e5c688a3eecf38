//! Convex hulls of a few hundred points.
//!
//! Not responsible for meshes that have more: [`spread`] picks points that represent them.

use nalgebra::Vector3;
use std::collections::HashSet;

/// A hull has at most this many vertices: collisions and the text of the model stay cheap.
pub const VERTICES_MAX: usize = 128;
/// Points this close to the hull, as a share of its extent, lie in it: more than the rounding of usual files.
const COPLANAR: f64 = 1e-5;
/// A point sees a face from above when it is this far above, as a share of the extent: more than rounding here.
const SEEN: f64 = 1e-9;

/// A closed convex surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Hull {
    pub vertices: Vec<Vector3<f64>>,
    /// Counter-clockwise seen from outside.
    pub faces: Vec<[usize; 3]>,
}

/// The plane of a face: `normal · x = offset`, the normal has length 1 and points outwards.
struct Plane {
    normal: Vector3<f64>,
    offset: f64,
}

impl Plane {
    fn above(&self, point: &Vector3<f64>) -> f64 {
        self.normal.dot(point) - self.offset
    }
}

impl Hull {
    /// Point by point, the farthest outside first (as Quickhull: Barber, Dobkin, Huhdanpaa 1996): it replaces the faces
    /// that it sees by a cone to their rim. Points that lie in its faces are left out. `None` where the points are
    /// flatter than `flatness` of their extent.
    pub fn of(points: &[Vector3<f64>], flatness: f64) -> Option<Self> {
        let extent = extent(points);
        let simplex = simplex(points, flatness * extent)?;
        let [a, b, c, d] = simplex;
        let mut faces = vec![[a, b, c], [a, d, b], [b, d, c], [c, d, a]];
        if plane(points, &faces[0])?.above(&points[d]) > 0.0 {
            faces.iter_mut().for_each(|face| face.swap(1, 2));
        }
        let mut planes: Vec<Plane> = faces
            .iter()
            .map(|face| plane(points, face))
            .collect::<Option<_>>()?;
        for _ in points {
            let Some((i, outside)) = farthest_outside(points, &planes) else {
                break;
            };
            if outside <= COPLANAR * extent {
                break;
            }
            let sees = |plane: &Plane| plane.above(&points[i]) > SEEN * extent;
            let seen: Vec<bool> = planes.iter().map(sees).collect();
            let edges: HashSet<[usize; 2]> = (faces.iter().zip(&seen))
                .filter(|(_, seen)| **seen)
                .flat_map(|(face, _)| edges(face))
                .collect();
            let mut kept = seen.iter().map(|seen| !seen);
            faces.retain(|_| kept.next() == Some(true));
            let mut kept = seen.iter().map(|seen| !seen);
            planes.retain(|_| kept.next() == Some(true));
            let mut rim: Vec<_> = edges
                .iter()
                .filter(|[from, to]| !edges.contains(&[*to, *from]))
                .collect();
            // A set has no order of its own, and equal meshes must give equal hulls.
            rim.sort_unstable();
            for [from, to] in rim {
                let face = [*from, *to, i];
                planes.push(plane(points, &face)?);
                faces.push(face);
            }
        }
        Some(Self::compact(points, faces))
    }

    /// Keeps the vertices that faces use, in their old order.
    fn compact(points: &[Vector3<f64>], mut faces: Vec<[usize; 3]>) -> Self {
        let mut used: Vec<usize> = faces.iter().flatten().copied().collect();
        used.sort_unstable();
        used.dedup();
        for index in faces.iter_mut().flatten() {
            *index = used.partition_point(|i| i < index);
        }
        Self {
            vertices: used.iter().map(|&i| points[i]).collect(),
            faces,
        }
    }

    pub fn triangles(&self) -> impl Iterator<Item = [Vector3<f64>; 3]> + '_ {
        self.faces
            .iter()
            .map(|face| face.map(|index| self.vertices[index]))
    }

    /// Volume, and the centre of that volume.
    pub fn volume_and_centre(&self) -> (f64, Vector3<f64>) {
        let apex = self.vertices.iter().sum::<Vector3<f64>>() / self.vertices.len() as f64;
        let (volume, moment) = self
            .triangles()
            .fold((0.0, Vector3::zeros()), |sum, [a, b, c]| {
                let volume = (a - apex).dot(&(b - apex).cross(&(c - apex))) / 6.0;
                (sum.0 + volume, sum.1 + volume * (apex + a + b + c) / 4.0)
            });
        (volume, moment / volume)
    }

    pub fn area(&self) -> f64 {
        self.triangles().map(|triangle| area(&triangle)).sum()
    }

    /// How far below the surface the deepest of the points inside lies; negative when all are outside.
    pub fn deepest(&self, points: impl Iterator<Item = Vector3<f64>>) -> f64 {
        let face_plane = |face| plane(&self.vertices, face);
        let planes: Vec<_> = self.faces.iter().filter_map(face_plane).collect();
        let depth = |point: Vector3<f64>| {
            let above = planes.iter().map(|plane| plane.above(&point));
            -above.fold(f64::NEG_INFINITY, f64::max)
        };
        points.map(depth).fold(f64::NEG_INFINITY, f64::max)
    }
}

pub fn area([a, b, c]: &[Vector3<f64>; 3]) -> f64 {
    0.5 * (b - a).cross(&(c - a)).norm()
}

/// The longest edge of the axis-aligned bounding box.
pub fn extent(points: &[Vector3<f64>]) -> f64 {
    let Some(first) = points.first() else {
        return 0.0;
    };
    let low = points.iter().fold(*first, |low, point| low.inf(point));
    let high = points.iter().fold(*first, |high, point| high.sup(point));
    (high - low).max()
}

/// At most [`VERTICES_MAX`] of the points, without doubles: all of them if there are no more, else those that reach
/// farthest in as many directions, the axes among them.
pub fn spread(points: impl Iterator<Item = Vector3<f64>>) -> Vec<Vector3<f64>> {
    let mut seen = HashSet::new();
    let unique: Vec<_> = points
        .filter(|point| seen.insert([point.x, point.y, point.z].map(f64::to_bits)))
        .collect();
    if unique.len() <= VERTICES_MAX {
        return unique;
    }
    let axes = (0..6).map(|i| {
        let mut axis = Vector3::zeros();
        axis[i / 2] = if i % 2 == 0 { 1.0 } else { -1.0 };
        axis
    });
    let directions = axes.chain(crate::sim::object::sphere(VERTICES_MAX - 6));
    let farthest = |direction: Vector3<f64>| {
        (0..unique.len()).max_by(|&a, &b| {
            let reach = |i: usize| unique[i].dot(&direction);
            reach(a).total_cmp(&reach(b))
        })
    };
    let mut chosen: Vec<usize> = directions.filter_map(farthest).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(|i| unique[i]).collect()
}

/// Four points that span a volume at least `thickness` thick; `None` where there are none.
fn simplex(points: &[Vector3<f64>], thickness: f64) -> Option<[usize; 4]> {
    let farthest = |distance: &dyn Fn(&Vector3<f64>) -> f64| {
        let (i, reach) = points
            .iter()
            .map(distance)
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        (reach > thickness).then_some(i)
    };
    let first = points.first()?;
    let a = farthest(&|point| (point - first).norm())?;
    let b = farthest(&|point| (point - points[a]).norm())?;
    let along = (points[b] - points[a]).normalize();
    let c = farthest(&|point| (point - points[a]).cross(&along).norm())?;
    let across = along.cross(&(points[c] - points[a])).normalize();
    let d = farthest(&|point| (point - points[a]).dot(&across).abs())?;
    Some([a, b, c, d])
}

/// The point that is farthest above any of the planes, and how far.
fn farthest_outside(points: &[Vector3<f64>], planes: &[Plane]) -> Option<(usize, f64)> {
    let outside = |point: &Vector3<f64>| {
        let above = planes.iter().map(|plane| plane.above(point));
        above.fold(f64::NEG_INFINITY, f64::max)
    };
    let outside = points.iter().map(outside).enumerate();
    outside.max_by(|a, b| a.1.total_cmp(&b.1))
}

fn edges(&[a, b, c]: &[usize; 3]) -> [[usize; 2]; 3] {
    [[a, b], [b, c], [c, a]]
}

/// `None` for a triangle without area.
fn plane(points: &[Vector3<f64>], &[a, b, c]: &[usize; 3]) -> Option<Plane> {
    let normal = (points[b] - points[a])
        .cross(&(points[c] - points[a]))
        .try_normalize(f64::MIN_POSITIVE)?;
    Some(Plane {
        normal,
        offset: normal.dot(&points[a]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::object::sphere;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use std::f64::consts::PI;

    /// Grid points of a cube of edge 2, those inside and on its faces and edges too.
    fn grid() -> Vec<Vector3<f64>> {
        (0..125)
            .map(|i| Vector3::from_fn(|axis, _| f64::from(i / 5_i32.pow(axis as u32) % 5)) / 2.0)
            .collect()
    }

    #[test]
    fn a_grid_has_the_hull_of_its_corners() {
        let hull = Hull::of(&grid(), 0.01).unwrap();
        let (volume, centre) = hull.volume_and_centre();
        assert!((volume - 8.0).abs() < 1e-9 && (hull.area() - 24.0).abs() < 1e-9);
        assert!((centre - Vector3::repeat(1.0)).norm() < 1e-9);
        let depth = |x| hull.deepest([Vector3::new(x, 1.0, 1.0)].into_iter());
        assert!((depth(0.25) - 0.25).abs() < 1e-9 && (depth(2.5) + 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_hull_is_closed_and_holds_every_point() {
        for seed in 0..40 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let stretch = Vector3::from_fn(|_, _| rng.random_range(0.1..1.0));
            // Rounded as files round, and so coarsely that most points share faces with others.
            let step = [1e-9, 1e-6, 0.05][seed as usize % 3];
            let points: Vec<_> = (0..rng.random_range(12..200))
                .map(|_| Vector3::from_fn(|axis, _| stretch[axis] * rng.random_range(-1.0..1.0)))
                .map(|point| point.map(|x: f64| (x / step).round() * step))
                .collect();
            let Some(hull) = Hull::of(&points, 1e-6) else {
                panic!("seed {seed}: flat");
            };
            let depths = points
                .iter()
                .map(|point| hull.deepest([*point].into_iter()));
            let deepest = depths.fold(1.0, f64::min);
            assert!(
                deepest > -2.0 * COPLANAR * extent(&points),
                "seed {seed}: {deepest}"
            );
            let all: HashSet<_> = hull.faces.iter().flat_map(edges).collect();
            assert_eq!(all.len(), 3 * hull.faces.len(), "seed {seed}");
            assert!(
                all.iter().all(|[a, b]| all.contains(&[*b, *a])),
                "seed {seed}"
            );
            // Euler's formula for a sphere.
            assert_eq!(hull.faces.len(), 2 * hull.vertices.len() - 4, "seed {seed}");
        }
    }

    #[test]
    fn faces_full_of_rounded_points_stay_flat() {
        for seed in 0..40 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let turn = crate::sim::object::draw_rotation(&mut rng);
            let mut points: Vec<_> = (0..120)
                .map(|i| {
                    let mut point = Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0));
                    point[i % 3] = if i % 2 == 0 { 1.0 } else { -1.0 };
                    point
                })
                .collect();
            points.extend(grid().iter().map(|point| point - Vector3::repeat(1.0)));
            let rounded = |point: &Vector3<f64>| (turn * point).map(|x| (x * 1e6).round() * 1e-6);
            let points: Vec<_> = points.iter().map(rounded).collect();
            let hull = Hull::of(&points, 0.01).unwrap();
            assert!(
                hull.vertices.len() <= 16,
                "seed {seed}: {}",
                hull.vertices.len()
            );
            assert!(
                (hull.area() - 24.0).abs() < 1e-4,
                "seed {seed}: {}",
                hull.area()
            );
        }
    }

    #[test]
    fn many_points_are_thinned_out_without_losing_the_shape() {
        let points = spread(sphere(5000));
        assert!(points.len() <= VERTICES_MAX);
        let (volume, _) = Hull::of(&points, 0.01).unwrap().volume_and_centre();
        assert!(
            (0.93..1.0).contains(&(volume / (4.0 / 3.0 * PI))),
            "{volume}"
        );
    }

    #[test]
    fn flat_sets_have_no_hull() {
        let plane: Vec<_> = grid()
            .into_iter()
            .map(|p| Vector3::new(p.x, p.y, p.x))
            .collect();
        let line: Vec<_> = plane.iter().map(|p| Vector3::new(p.x, p.x, p.x)).collect();
        for points in [plane, line, vec![Vector3::zeros(); 9], vec![]] {
            assert_eq!(Hull::of(&points, 1e-3), None);
        }
    }
}
