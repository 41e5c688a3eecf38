//! Objects from a directory of OBJ and STL meshes, read and checked once.
//!
//! Contacts are between convex bodies, so a mesh becomes one or more convex pieces: the objects and groups of its file,
//! where each of them encloses a volume, else the whole; whatever of these is not convex is replaced by its convex hull.
//! A hull has at most [`hull::VERTICES_MAX`] vertices, and the same ones make the physics, the image and the truth.
//!
//! Not responsible for textures, materials or units: meshes are scaled when an object is drawn.

mod hull;
mod obj;
mod stl;

use hull::Hull;
use mujoco_rs::prelude::*;
use nalgebra::{UnitQuaternion, Vector3};
use rand::{Rng, RngExt};
use std::f64::consts::PI;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const TRIANGLES_MAX: usize = 200_000;
const BYTES_MAX: u64 = 64 << 20;
const PIECES_MAX: usize = 32;
/// Objects thinner than this share of their longest edge cannot be picked up; pieces of them may be thinner.
const FLATNESS: f64 = 1e-2;
const PIECE_FLATNESS: f64 = 1e-3;
/// A mesh is convex when its faces are no deeper than this below its hull, as a share of the hull's extent, and cover
/// it but for this share.
const DENT_MAX: f64 = 0.02;
const UNCOVERED_MAX: f64 = 0.1;
/// However an object comes to rest, some side of it is at most this wide: the fingers open 84 mm.
const GRASP_WIDTH_MAX_M: f64 = 0.07;
/// Directions in which widths are measured, evenly spaced over half a turn.
const ANGLES: usize = 18;
/// The smallest and lightest object that a configuration allows; MuJoCo refuses what has less mass or volume.
pub(super) const SIZE_MIN_M: f64 = 0.01;
pub(super) const DENSITY_MIN_KG_M3: f64 = 10.0;

/// What is wrong with a mesh, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{place}: {reason}", path.display())]
pub struct MeshError {
    pub path: PathBuf,
    /// As it follows the path: empty, `:line` or `, byte offset`.
    pub place: String,
    pub reason: String,
}

/// A [`MeshError`] without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    place: String,
    reason: String,
}

impl Fault {
    fn file(reason: impl Into<String>) -> Self {
        Self {
            place: String::new(),
            reason: reason.into(),
        }
    }

    /// Lines count from 1.
    fn line(number: usize, reason: String) -> Self {
        Self {
            place: format!(":{number}"),
            reason,
        }
    }

    fn byte(offset: usize, reason: String) -> Self {
        Self {
            place: format!(", byte {offset}"),
            reason,
        }
    }

    fn of(self, path: &Path) -> MeshError {
        MeshError {
            path: path.to_owned(),
            place: self.place,
            reason: self.reason,
        }
    }
}

/// What a file says: triangles in groups. Indices are in range and coordinates finite.
#[derive(Clone, Debug, Default, PartialEq)]
struct Surface {
    vertices: Vec<Vector3<f64>>,
    groups: Vec<Vec<[usize; 3]>>,
    triangles: usize,
}

impl Surface {
    fn begin_group(&mut self) {
        self.groups.push(Vec::new());
    }

    fn add_vertex(&mut self, vertex: Vector3<f64>) -> usize {
        self.vertices.push(vertex);
        self.vertices.len() - 1
    }

    fn add_triangle(&mut self, corners: [usize; 3]) {
        if self.groups.is_empty() {
            self.begin_group();
        }
        if let Some(group) = self.groups.last_mut() {
            group.push(corners);
            self.triangles += 1;
        }
    }

    fn triangles(&self) -> usize {
        self.triangles
    }
}

/// The next three words as finite coordinates.
fn vertex<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Vector3<f64>, String> {
    let mut vertex = Vector3::zeros();
    for coordinate in vertex.iter_mut() {
        let word = words.next().ok_or("a vertex has three coordinates")?;
        let number: Result<f64, _> = word.parse();
        *coordinate = number.map_err(|_| format!("{word:.20?} is no coordinate"))?;
    }
    checked(vertex)
}

/// Differences, products and squares of such coordinates are finite.
fn checked(vertex: Vector3<f64>) -> Result<Vector3<f64>, String> {
    if vertex.iter().all(|coordinate| coordinate.abs() < 1e12) {
        Ok(vertex)
    } else {
        let [x, y, z]: [f64; 3] = vertex.into();
        Err(format!("a vertex at ({x}, {y}, {z})"))
    }
}

/// Every mesh of a directory, in the order of the files' names.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshLibrary {
    meshes: Vec<Mesh>,
}

/// A rigid body with its centre of mass at the origin; the longest edge of its bounding box is 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mesh {
    pub pieces: Vec<Piece>,
    /// The longest edge that keeps the body narrow enough for the fingers, m.
    pub edge_max_m: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    /// Of a convex body.
    pub vertices: Vec<Vector3<f64>>,
    /// The same as MJCF writes them.
    pub mjcf: String,
}

impl MeshLibrary {
    /// Reads every `.obj` and `.stl` file of the directory, not those of its subdirectories.
    ///
    /// # Errors
    /// On the first file that is broken or cannot be simulated; when there is none.
    pub fn load(directory: &Path) -> Result<Self, MeshError> {
        let unreadable = |error| Fault::file(format!("cannot be read: {error}")).of(directory);
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let is_mesh = Format::of(&path).is_some();
            if is_mesh && path.is_file() {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(Fault::file("has no .obj or .stl file").of(directory));
        }
        files.sort();
        let load = |path: &PathBuf| Mesh::load(path).map_err(|fault| fault.of(path));
        let meshes = files.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self { meshes })
    }

    pub(super) fn draw(&self, rng: &mut impl Rng) -> &Mesh {
        &self.meshes[rng.random_range(0..self.meshes.len())]
    }
}

#[derive(Clone, Copy)]
enum Format {
    Obj,
    Stl,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("obj") {
            Some(Self::Obj)
        } else if extension.eq_ignore_ascii_case("stl") {
            Some(Self::Stl)
        } else {
            None
        }
    }
}

impl Mesh {
    fn load(path: &Path) -> Result<Self, Fault> {
        let unreadable = |error| Fault::file(format!("cannot be read: {error}"));
        let length = fs::metadata(path).map_err(unreadable)?.len();
        if length > BYTES_MAX {
            return Err(Fault::file(format!(
                "{length} bytes are more than {BYTES_MAX}"
            )));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let surface = match Format::of(path) {
            Some(Format::Stl) => stl::parse(&bytes)?,
            _ => obj::parse(&bytes)?,
        };
        let mesh = Self::of(&surface, path)?;
        mesh.try_in_physics()?;
        Ok(mesh)
    }

    /// `path` is only for messages.
    fn of(surface: &Surface, path: &Path) -> Result<Self, Fault> {
        let whole: Vec<[usize; 3]> = surface.groups.concat();
        if whole.is_empty() {
            return Err(Fault::file("has no faces"));
        }
        let Some(outline) = hull_of(surface, &whole, FLATNESS) else {
            return Err(Fault::file(format!(
                "is flat: thinner than {FLATNESS} of its longest edge"
            )));
        };
        let groups: Vec<_> = surface
            .groups
            .iter()
            .filter(|group| !group.is_empty())
            .collect();
        if groups.len() > PIECES_MAX {
            return Err(Fault::file(format!(
                "has {} objects and groups, more than {PIECES_MAX}: join some",
                groups.len()
            )));
        }
        let pieces = groups
            .iter()
            .map(|group| Some((*group, hull_of(surface, group, PIECE_FLATNESS)?)))
            .collect::<Option<Vec<_>>>()
            .unwrap_or_else(|| vec![(&whole, outline.clone())]);
        for (faces, hull) in &pieces {
            if !is_convex(surface, faces, hull) {
                let path = path.display();
                tracing::info!(%path, "a part that is not convex is replaced by its convex hull");
            }
        }
        let parts = pieces.iter().map(|(_, hull)| hull.volume_and_centre());
        let (volume, moment) = parts.fold((0.0, Vector3::zeros()), |sum, (volume, centre)| {
            (sum.0 + volume, sum.1 + volume * centre)
        });
        let centre: Vector3<f64> = moment / volume;
        let scale = 1.0 / hull::extent(&outline.vertices);
        let normalise = |mut hull: Hull| {
            for vertex in &mut hull.vertices {
                *vertex = scale * (*vertex - centre);
            }
            hull
        };
        let pieces = pieces
            .into_iter()
            .map(|(_, hull)| Piece::of(normalise(hull)));
        Ok(Self {
            pieces: pieces.collect(),
            edge_max_m: GRASP_WIDTH_MAX_M / resting_width(&normalise(outline)),
        })
    }

    /// MJCF of the mesh assets and of the geoms of one object. `name` is unique among objects; `attributes` are those
    /// of every geom.
    pub fn mjcf(&self, name: &str, edge_m: f64, attributes: &str) -> (String, String) {
        let (mut assets, mut geoms) = (String::new(), String::new());
        for (i, piece) in self.pieces.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                assets,
                r#"<mesh name="{name}_{i}" inertia="convex" scale="{edge_m} {edge_m} {edge_m}" vertex="{}"/>"#,
                piece.mjcf
            );
            let _ = writeln!(
                geoms,
                r#"<geom type="mesh" mesh="{name}_{i}" {attributes}/>"#
            );
        }
        (assets, geoms)
    }

    /// MuJoCo has criteria of its own; what it refuses must show before the first scene.
    fn try_in_physics(&self) -> Result<(), Fault> {
        let density = format!(r#"density="{DENSITY_MIN_KG_M3}""#);
        let (assets, geoms) = self.mjcf("trial", SIZE_MIN_M.min(self.edge_max_m), &density);
        let model = format!(
            "<mujoco><asset>{assets}</asset><worldbody><body><freejoint/>{geoms}</body></worldbody></mujoco>"
        );
        MjModel::from_xml_string(&model)
            .map(|_| ())
            .map_err(|error| Fault::file(format!("MuJoCo cannot simulate it: {error}")))
    }
}

impl Piece {
    fn of(hull: Hull) -> Self {
        let mut mjcf = String::new();
        for vertex in &hull.vertices {
            // MuJoCo keeps vertices as f32. Writing to a String cannot fail.
            let [x, y, z]: [f32; 3] = vertex.map(|coordinate| coordinate as f32).into();
            let _ = write!(mjcf, "{x} {y} {z} ");
        }
        Self {
            vertices: hull.vertices,
            mjcf,
        }
    }
}

fn hull_of(surface: &Surface, faces: &[[usize; 3]], flatness: f64) -> Option<Hull> {
    let corners = faces.iter().flatten().map(|&index| surface.vertices[index]);
    Hull::of(&hull::spread(corners), flatness)
}

fn is_convex(surface: &Surface, faces: &[[usize; 3]], hull: &Hull) -> bool {
    let triangles = || {
        faces
            .iter()
            .map(|face| face.map(|index| surface.vertices[index]))
    };
    let area: f64 = triangles().map(|triangle| hull::area(&triangle)).sum();
    let covered = (area / hull.area() - 1.0).abs() < UNCOVERED_MAX;
    let centres = triangles().map(|[a, b, c]| (a + b + c) / 3.0);
    covered && hull.deepest(centres) < DENT_MAX * hull::extent(&hull.vertices)
}

/// The narrowest width between the fingers of a body that lies on a table, in the worst of the ways in which it can
/// come to rest. Its centre of mass is the origin.
fn resting_width(hull: &Hull) -> f64 {
    let width = |direction: &Vector3<f64>| {
        let along = hull.vertices.iter().map(|vertex| vertex.dot(direction));
        let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        high - low
    };
    let narrowest = |down: Vector3<f64>| {
        let turn = UnitQuaternion::rotation_between(&Vector3::z(), &down)
            .unwrap_or_else(|| UnitQuaternion::from_axis_angle(&Vector3::x_axis(), PI));
        (0..ANGLES)
            .map(|k| PI * k as f64 / ANGLES as f64)
            .map(|yaw| width(&(turn * Vector3::new(yaw.cos(), yaw.sin(), 0.0))))
            .fold(f64::INFINITY, f64::min)
    };
    hull.triangles()
        .filter_map(resting_on)
        .map(narrowest)
        .fold(0.0, f64::max)
}

/// The normal of a triangle on which a body with its centre of mass at the origin rests; `None` where it tips over.
fn resting_on([a, b, c]: [Vector3<f64>; 3]) -> Option<Vector3<f64>> {
    let normal = (b - a).cross(&(c - a)).try_normalize(0.0)?;
    let foot = normal * normal.dot(&a);
    let inside = |from: Vector3<f64>, to: Vector3<f64>| {
        (to - from).cross(&(foot - from)).dot(&normal) > -1e-6
    };
    (inside(a, b) && inside(b, c) && inside(c, a)).then_some(normal)
}

#[cfg(test)]
#[path = "mesh/tests.rs"]
mod tests;
