//! Objects grown from simple shapes or taken from meshes, drawn at random.
//!
//! Not responsible for where they lie: [`super::scene`] drops them into the tray.

use super::config::{ObjectConfig, ObjectKind};
use super::mesh::MeshLibrary;
use nalgebra::{Quaternion, UnitQuaternion, Vector3};
use rand::{Rng, RngExt};
use std::f64::consts::{PI, TAU};
use std::fmt::Write;

/// Most unions have two parts.
const THREE_PARTS: f64 = 0.4;
/// Parts of a union lie at most this far from the first part's centre in each direction, m.
const PART_OFFSET_M: f64 = 0.02;
/// A cylinder that is wider than the fingers open could never be held; other shapes have a narrow side.
const CAPSULE_RADIUS_MAX_M: f64 = 0.02;
const SPHERE_POINTS: usize = 96;
const CIRCLE_POINTS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Half edge lengths, m.
    Box(Vector3<f64>),
    /// Half axes, m.
    Ellipsoid(Vector3<f64>),
    /// Along z.
    Cylinder { radius_m: f64, half_height_m: f64 },
    /// Along z; the half height is that of the cylindrical part.
    Capsule { radius_m: f64, half_height_m: f64 },
}

/// One rigid body made of one or more shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// MJCF elements of the meshes that the geoms use.
    pub assets: String,
    /// MJCF elements of the body's geoms.
    pub mjcf: String,
    /// Points on the surface whose convex hull is close to the object's, m, body frame.
    pub points_m: Vec<Vector3<f64>>,
}

impl Object {
    /// `name` is unique in the scene.
    pub fn draw(name: &str, config: &ObjectConfig, rng: &mut impl Rng) -> Self {
        match &config.library {
            Some(library) => Self::from_mesh(name, library, config, rng),
            None => Self::from_shapes(config, rng),
        }
    }

    fn from_mesh(
        name: &str,
        library: &MeshLibrary,
        config: &ObjectConfig,
        rng: &mut impl Rng,
    ) -> Self {
        let mesh = library.draw(rng);
        let edge_m = uniform(config.mesh_size_m, rng).min(mesh.edge_max_m);
        let density = uniform(config.density_kg_m3, rng);
        let friction = uniform(config.friction, rng);
        let surface = surface(draw_colour(config.colour, rng), density, friction);
        let (assets, mjcf) = mesh.mjcf(name, edge_m, &surface);
        let vertices = mesh.pieces.iter().flat_map(|piece| &piece.vertices);
        Self {
            assets,
            mjcf,
            points_m: vertices.map(|vertex| edge_m * vertex).collect(),
        }
    }

    fn from_shapes(config: &ObjectConfig, rng: &mut impl Rng) -> Self {
        let kind = config.kinds[rng.random_range(0..config.kinds.len())];
        let density = uniform(config.density_kg_m3, rng);
        let friction = uniform(config.friction, rng);
        let colour = draw_colour(config.colour, rng);
        let mut object = Self {
            assets: String::new(),
            mjcf: String::new(),
            points_m: Vec::new(),
        };
        if kind != ObjectKind::Union {
            let shape = Shape::draw(kind, config.size_m, rng);
            object.grow(
                shape,
                Vector3::zeros(),
                UnitQuaternion::identity(),
                colour,
                density,
                friction,
            );
            return object;
        }
        const PART_KINDS: [ObjectKind; 4] = [
            ObjectKind::Box,
            ObjectKind::Cylinder,
            ObjectKind::Capsule,
            ObjectKind::Ellipsoid,
        ];
        let parts = if rng.random_bool(THREE_PARTS) { 3 } else { 2 };
        for part in 0..parts {
            let kind = PART_KINDS[rng.random_range(0..PART_KINDS.len())];
            let shape = Shape::draw(kind, config.part_size_m, rng);
            let (position, rotation) = match part {
                0 => (Vector3::zeros(), UnitQuaternion::identity()),
                _ => (
                    Vector3::from_fn(|_, _| rng.random_range(-PART_OFFSET_M..=PART_OFFSET_M)),
                    draw_rotation(rng),
                ),
            };
            let colour = if rng.random_bool(0.6) {
                colour
            } else {
                draw_colour(config.colour, rng)
            };
            object.grow(shape, position, rotation, colour, density, friction);
        }
        object
    }

    /// The lowest point of the object in this orientation, below its origin (negative), m.
    pub fn bottom_m(&self, rotation: &UnitQuaternion<f64>) -> f64 {
        self.points_m
            .iter()
            .map(|point| (rotation * point).z)
            .fold(f64::INFINITY, f64::min)
    }

    fn grow(
        &mut self,
        shape: Shape,
        position: Vector3<f64>,
        rotation: UnitQuaternion<f64>,
        colour: [f64; 3],
        density: f64,
        friction: f64,
    ) {
        let (kind, size) = shape.mjcf();
        let q = rotation.quaternion();
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.mjcf,
            r#"<geom type="{kind}" size="{size}" pos="{} {} {}" quat="{} {} {} {}" {}/>"#,
            position.x,
            position.y,
            position.z,
            q.w,
            q.i,
            q.j,
            q.k,
            surface(colour, density, friction)
        );
        self.points_m.extend(
            shape
                .points()
                .into_iter()
                .map(|point| rotation * point + position),
        );
    }
}

impl Shape {
    fn draw(kind: ObjectKind, [low, high]: [f64; 2], rng: &mut impl Rng) -> Self {
        let mut half = || 0.5 * uniform([low, high], rng);
        match kind {
            ObjectKind::Box | ObjectKind::Union => Shape::Box(Vector3::from_fn(|_, _| half())),
            ObjectKind::Ellipsoid => Shape::Ellipsoid(Vector3::from_fn(|_, _| half())),
            ObjectKind::Cylinder => Shape::Cylinder {
                radius_m: half(),
                half_height_m: half(),
            },
            ObjectKind::Capsule => Shape::Capsule {
                radius_m: half().min(CAPSULE_RADIUS_MAX_M),
                half_height_m: half(),
            },
        }
    }

    /// MuJoCo's name and sizes.
    fn mjcf(&self) -> (&'static str, String) {
        match self {
            Shape::Box(half) => ("box", format!("{} {} {}", half.x, half.y, half.z)),
            Shape::Ellipsoid(half) => ("ellipsoid", format!("{} {} {}", half.x, half.y, half.z)),
            Shape::Cylinder {
                radius_m,
                half_height_m,
            } => ("cylinder", format!("{radius_m} {half_height_m}")),
            Shape::Capsule {
                radius_m,
                half_height_m,
            } => ("capsule", format!("{radius_m} {half_height_m}")),
        }
    }

    fn points(&self) -> Vec<Vector3<f64>> {
        match *self {
            Shape::Box(half) => {
                let corner = |i: usize| {
                    Vector3::from_fn(|axis, _| if i >> axis & 1 == 0 { -1.0 } else { 1.0 })
                };
                (0..8).map(|i| half.component_mul(&corner(i))).collect()
            }
            Shape::Ellipsoid(half) => sphere(SPHERE_POINTS)
                .map(|point| half.component_mul(&point))
                .collect(),
            Shape::Cylinder {
                radius_m,
                half_height_m,
            } => (0..CIRCLE_POINTS)
                .flat_map(|i| {
                    let (sin, cos) = (TAU * i as f64 / CIRCLE_POINTS as f64).sin_cos();
                    [-half_height_m, half_height_m]
                        .map(|z| Vector3::new(radius_m * cos, radius_m * sin, z))
                })
                .collect(),
            Shape::Capsule {
                radius_m,
                half_height_m,
            } => sphere(SPHERE_POINTS)
                .map(|point| {
                    radius_m * point + Vector3::new(0.0, 0.0, half_height_m.copysign(point.z))
                })
                .collect(),
        }
    }
}

/// MJCF attributes of a geom that is part of an object.
fn surface([red, green, blue]: [f64; 3], density: f64, friction: f64) -> String {
    format!(
        r#"class="object" rgba="{red} {green} {blue} 1" density="{density}" friction="{friction} 0.02 0.001""#
    )
}

/// Nearly even points on the unit sphere (Fibonacci lattice), poles included.
pub fn sphere(count: usize) -> impl Iterator<Item = Vector3<f64>> {
    let golden_angle = PI * (3.0 - 5.0_f64.sqrt());
    (0..count).map(move |i| {
        let z = 1.0 - 2.0 * i as f64 / (count - 1) as f64;
        let radius = (1.0 - z * z).max(0.0).sqrt();
        let (sin, cos) = (golden_angle * i as f64).sin_cos();
        Vector3::new(radius * cos, radius * sin, z)
    })
}

pub fn uniform([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    rng.random_range(low..=high)
}

/// Uniform over all rotations (Shoemake 1992).
pub fn draw_rotation(rng: &mut impl Rng) -> UnitQuaternion<f64> {
    let [u, a, b] = [
        rng.random_range(0.0..1.0),
        rng.random_range(0.0..TAU),
        rng.random_range(0.0..TAU),
    ];
    let (inner, outer) = ((1.0_f64 - u).sqrt(), f64::sqrt(u));
    UnitQuaternion::from_quaternion(Quaternion::new(
        outer * f64::cos(b),
        inner * f64::sin(a),
        inner * f64::cos(a),
        outer * f64::sin(b),
    ))
}

fn draw_colour(range: [f64; 2], rng: &mut impl Rng) -> [f64; 3] {
    std::array::from_fn(|_| uniform(range, rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_span_the_shape() {
        let half = Vector3::new(0.01, 0.02, 0.03);
        let cases = [
            (Shape::Box(half), half),
            (Shape::Ellipsoid(half), half),
            (
                Shape::Cylinder {
                    radius_m: 0.02,
                    half_height_m: 0.03,
                },
                Vector3::new(0.02, 0.02, 0.03),
            ),
            (
                Shape::Capsule {
                    radius_m: 0.02,
                    half_height_m: 0.03,
                },
                Vector3::new(0.02, 0.02, 0.05),
            ),
        ];
        for (shape, extent) in cases {
            for axis in 0..3 {
                let reach = shape
                    .points()
                    .iter()
                    .map(|point| point[axis])
                    .fold(0.0, f64::max);
                let short = extent[axis] - reach;
                assert!(
                    (-1e-12..0.02 * extent[axis]).contains(&short),
                    "{shape:?} axis {axis}: {reach}"
                );
            }
        }
    }
}
