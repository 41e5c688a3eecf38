//! Test objects that share nothing with the simulator's own shapes: profiles, bodies of revolution, tools, rocks.
//!
//! Responsible for writing them as OBJ and STL files, each convex piece an object of its own; the same seed writes the
//! same files. Not responsible for their size: the simulator scales what it loads.

use crate::Failure;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::{PI, TAU};
use std::fmt::Write;
use std::fs;
use std::path::Path;

type Point = [f64; 3];
type Draw = Xoshiro256PlusPlus;

/// A closed convex surface.
struct Piece {
    vertices: Vec<Point>,
    /// Polygons, counter-clockwise seen from outside.
    faces: Vec<Vec<usize>>,
}

/// One object: its convex pieces may touch and overlap.
type Body = Vec<Piece>;

/// A name, what draws a body, and the format of its files.
type Family = (&'static str, fn(&mut Draw) -> Body, Format);

const FAMILIES: [Family; 10] = [
    ("superquadric", superquadric, Format::BinaryStl),
    ("prism", prism, Format::Obj),
    ("bottle", bottle, Format::Obj),
    ("bowl", bowl, Format::Obj),
    ("profile", profile, Format::Obj),
    ("hammer", hammer, Format::Obj),
    ("mug", mug, Format::Obj),
    ("ring", ring, Format::Obj),
    ("star", star, Format::Obj),
    ("rock", rock, Format::TextStl),
];

#[derive(Clone, Copy)]
enum Format {
    Obj,
    TextStl,
    BinaryStl,
}

/// Writes `count` bodies, the families in turn.
pub fn write(directory: &Path, count: usize, seed: u64) -> Result<(), Failure> {
    let failed = |path: &Path, error| {
        Failure::Unready(format!("{} cannot be written: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for (name, bytes) in files(count, seed) {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
    }
    println!("{count} meshes in {}", directory.display());
    Ok(())
}

fn files(count: usize, seed: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut draw = Draw::seed_from_u64(seed);
    (0..count).map(move |i| {
        let (name, body, format) = FAMILIES[i % FAMILIES.len()];
        let body = body(&mut draw);
        let (extension, bytes) = match format {
            Format::Obj => ("obj", obj(&body).into_bytes()),
            Format::TextStl => ("stl", stl_text(&body).into_bytes()),
            Format::BinaryStl => ("stl", stl_binary(&body)),
        };
        (format!("{i:03}-{name}.{extension}"), bytes)
    })
}

/// |x/a|^(2/e) + |y/b|^(2/e), raised to e/n, + |z/c|^(2/n) = 1 (Barr 1981), with exponents from boxy to bulging.
fn superquadric(draw: &mut Draw) -> Body {
    const RINGS: usize = 12;
    const SIDES: usize = 20;
    let half: Point = std::array::from_fn(|_| draw.random_range(0.4..1.0));
    let [n, e] = [0, 1].map(|_| draw.random_range(0.25..1.8));
    let power = |x: f64, exponent: f64| x.abs().powf(exponent).copysign(x);
    let ring = |i: usize| {
        let (sin, cos) = (PI * (i as f64 / RINGS as f64 - 0.5)).sin_cos();
        circle(SIDES, 1.0, 0.0, 0.0)
            .iter()
            .map(|[x, y, _]| {
                [
                    half[0] * power(cos, n) * power(*x, e),
                    half[1] * power(cos, n) * power(*y, e),
                    half[2] * power(sin, n),
                ]
            })
            .collect()
    };
    vec![skin(&(1..RINGS).map(ring).collect::<Vec<_>>())]
}

/// A tapered prism, or an antiprism whose ends are turned against each other.
fn prism(draw: &mut Draw) -> Body {
    let sides = draw.random_range(3..9);
    let height = draw.random_range(0.7..2.2);
    let top = draw.random_range(0.5..1.1);
    let bottom = circle(sides, 0.6, 0.0, 0.0);
    if draw.random_bool(0.5) {
        return vec![loft(&bottom, &circle(sides, 0.6 * top, height, 0.0))];
    }
    let mut vertices = bottom;
    vertices.extend(circle(sides, 0.6 * top, height, PI / sides as f64));
    let mut faces = vec![(0..sides).rev().collect(), (sides..2 * sides).collect()];
    for i in 0..sides {
        let next = (i + 1) % sides;
        faces.push(vec![i, next, sides + i]);
        faces.push(vec![next, sides + next, sides + i]);
    }
    vec![Piece { vertices, faces }]
}

fn bottle(draw: &mut Draw) -> Body {
    let body = draw.random_range(0.28..0.42);
    let neck = draw.random_range(0.12..0.2);
    let shoulder = draw.random_range(0.5..0.9);
    let sides = draw.random_range(10..18);
    let profile = [
        (0.8 * body, 0.0),
        (body, 0.1),
        (body, shoulder),
        (neck, shoulder + draw.random_range(0.1..0.3)),
        (neck, 1.3),
        (1.2 * neck, 1.35),
        (1.2 * neck, 1.45),
    ];
    revolve(&profile, sides)
}

/// Sectors of a wall on a round floor.
fn bowl(draw: &mut Draw) -> Body {
    let [floor, rim] = [draw.random_range(0.3..0.5), draw.random_range(0.55..0.75)];
    let height = draw.random_range(0.3..0.7);
    cup(floor, rim, height, draw.random_range(0.06..0.12), 10)
}

/// Bars in the shape of a capital letter.
fn profile(draw: &mut Draw) -> Body {
    let [long, short] = [draw.random_range(0.8..1.2), draw.random_range(0.7..1.0)];
    let [thick, deep] = [draw.random_range(0.18..0.3), draw.random_range(0.2..0.5)];
    let bar = |x: [f64; 2], y: [f64; 2]| cuboid([x[0], y[0], 0.0], [x[1], y[1], deep]);
    let stem = bar([0.0, thick], [0.0, long]);
    let (middle, end) = (0.5 * (long - thick), short - thick);
    match draw.random_range(0..5) {
        0 => vec![stem, bar([thick, short], [0.0, thick])],
        1 => vec![stem, bar([thick, short], [middle, middle + thick])],
        2 => vec![
            stem,
            bar([thick, end], [0.0, thick]),
            bar([end, short], [0.0, long]),
        ],
        3 => vec![
            stem,
            bar([thick, end], [middle, middle + thick]),
            bar([end, short], [0.0, long]),
        ],
        _ => vec![
            stem,
            bar([thick, short], [0.0, thick]),
            bar([-end, 0.0], [long - thick, long]),
        ],
    }
}

fn hammer(draw: &mut Draw) -> Body {
    let (sides, radius) = (draw.random_range(6..12), draw.random_range(0.07..0.12));
    let [wide, tall] = [draw.random_range(0.14..0.25), draw.random_range(0.35..0.6)];
    let handle = loft(
        &circle(sides, radius, 0.0, 0.0),
        &circle(sides, 0.8 * radius, 1.2, 0.0),
    );
    let head = cuboid([-tall, -wide, 1.1], [0.4 * tall, wide, 1.1 + 2.0 * wide]);
    // The peen tapers to an edge.
    let rectangle = |x: f64, half: f64| {
        let z = 1.1 + wide;
        [[-wide, -half], [wide, -half], [wide, half], [-wide, half]].map(|[y, dz]| [x, y, z + dz])
    };
    let peen = loft(&rectangle(0.4 * tall, wide), &rectangle(tall, 0.3 * wide));
    vec![handle, head, peen]
}

fn mug(draw: &mut Draw) -> Body {
    let [radius, height] = [draw.random_range(0.38..0.5), draw.random_range(0.8..1.1)];
    let mut body = cup(radius, radius, height, draw.random_range(0.06..0.1), 12);
    let [out, thick] = [
        radius + draw.random_range(0.22..0.32),
        draw.random_range(0.05..0.08),
    ];
    let [low, high] = [0.2 * height, 0.75 * height];
    body.push(cuboid(
        [0.92 * radius, -thick, low],
        [out, thick, low + 2.0 * thick],
    ));
    body.push(cuboid(
        [0.92 * radius, -thick, high],
        [out, thick, high + 2.0 * thick],
    ));
    body.push(cuboid(
        [out - 2.0 * thick, -thick, low],
        [out, thick, high + 2.0 * thick],
    ));
    body
}

fn ring(draw: &mut Draw) -> Body {
    let [inner, deep] = [draw.random_range(0.25..0.45), draw.random_range(0.15..0.4)];
    wall(
        [inner, 0.65],
        [inner, 0.65],
        [0.0, deep],
        draw.random_range(6..14),
    )
}

/// Spikes around a hub.
fn star(draw: &mut Draw) -> Body {
    let spikes = draw.random_range(3..7);
    let [hub, deep] = [draw.random_range(0.22..0.4), draw.random_range(0.2..0.45)];
    let rim = circle(spikes, hub, 0.0, 0.0);
    let raise = |points: &[Point]| -> Vec<Point> {
        points.iter().map(|[x, y, _]| [*x, *y, deep]).collect()
    };
    let mut body = vec![loft(&rim, &raise(&rim))];
    for (i, tip) in circle(spikes, 0.8, 0.0, PI / spikes as f64)
        .into_iter()
        .enumerate()
    {
        let spike = [rim[i], tip, rim[(i + 1) % spikes]];
        body.push(loft(&spike, &raise(&spike)));
    }
    body
}

/// A block from which random planes cut pieces.
fn rock(draw: &mut Draw) -> Body {
    let half: Point = std::array::from_fn(|_| draw.random_range(0.5..1.0));
    let mut rock = cuboid(half.map(|x| -x), half);
    for _ in 0..draw.random_range(12..30) {
        let z: f64 = draw.random_range(-1.0..1.0);
        let (sin, cos) = draw.random_range(0.0..TAU).sin_cos();
        let radius = (1.0 - z * z).sqrt();
        let normal = [radius * cos, radius * sin, z];
        // Always outside the ellipsoid of 0.8 times the block, so something is left.
        let reach = dot(normal.map(|x| x * x), half.map(|x| x * x)).sqrt();
        rock = cut(&rock, normal, reach * draw.random_range(0.8..1.0));
    }
    vec![rock]
}

/// What of a convex piece lies below the plane `normal · x = offset`.
fn cut(piece: &Piece, normal: Point, offset: f64) -> Piece {
    let above = |point: &Point| dot(normal, *point) - offset;
    let mut kept = Piece {
        vertices: Vec::new(),
        faces: Vec::new(),
    };
    let mut rim: Vec<Point> = Vec::new();
    for face in &piece.faces {
        let mut polygon = Vec::new();
        for (i, &index) in face.iter().enumerate() {
            let (from, to) = (
                piece.vertices[index],
                piece.vertices[face[(i + 1) % face.len()]],
            );
            let (a, b) = (above(&from), above(&to));
            if a <= 0.0 {
                polygon.push(from);
            }
            if (a < 0.0 && b > 0.0) || (a > 0.0 && b < 0.0) {
                let share = a / (a - b);
                let crossing = std::array::from_fn(|k| from[k] + share * (to[k] - from[k]));
                polygon.push(crossing);
                rim.push(crossing);
            }
        }
        if polygon.len() >= 3 {
            kept.add_face(&polygon);
        }
    }
    if rim.len() >= 3 {
        let middle: Point =
            std::array::from_fn(|k| rim.iter().map(|p| p[k]).sum::<f64>() / rim.len() as f64);
        let u = normalised(sub(rim[0], middle));
        let v = cross(normal, u);
        let angle = |point: &Point| {
            let arm = sub(*point, middle);
            dot(arm, v).atan2(dot(arm, u))
        };
        rim.sort_by(|a, b| angle(a).total_cmp(&angle(b)));
        kept.add_face(&rim);
    }
    kept
}

impl Piece {
    fn add_face(&mut self, polygon: &[Point]) {
        let first = self.vertices.len();
        self.vertices.extend(polygon);
        self.faces.push((first..self.vertices.len()).collect());
    }

    fn triangles(&self) -> impl Iterator<Item = [Point; 3]> + '_ {
        let fan = |face: &'_ Vec<usize>| {
            let corners: Vec<Point> = face.iter().map(|&index| self.vertices[index]).collect();
            (1..corners.len() - 1).map(move |i| [corners[0], corners[i], corners[i + 1]])
        };
        self.faces.iter().flat_map(fan)
    }
}

/// A floor and the wall around it.
fn cup(floor: f64, rim: f64, height: f64, thick: f64, sectors: usize) -> Body {
    let mut body = wall(
        [floor - thick, floor],
        [rim - thick, rim],
        [0.0, height],
        sectors,
    );
    body.push(loft(
        &circle(sectors, floor, 0.0, 0.0),
        &circle(sectors, floor, thick, 0.0),
    ));
    body
}

/// Sectors of a ring with these inner and outer radii at its bottom and its top.
fn wall(bottom: [f64; 2], top: [f64; 2], z: [f64; 2], sectors: usize) -> Body {
    let edge = |[inner, outer]: [f64; 2], z: f64, i: usize| {
        let turn = |k: usize| (TAU * k as f64 / sectors as f64).sin_cos();
        let (from, to) = (turn(i), turn(i + 1));
        let at = |radius: f64, (sin, cos): (f64, f64)| [radius * cos, radius * sin, z];
        [
            at(inner, from),
            at(outer, from),
            at(outer, to),
            at(inner, to),
        ]
    };
    (0..sectors)
        .map(|i| loft(&edge(bottom, z[0], i), &edge(top, z[1], i)))
        .collect()
}

/// One frustum for each pair of neighbours (radius, height).
fn revolve(profile: &[(f64, f64)], sides: usize) -> Body {
    let ring = |&(radius, z): &(f64, f64)| circle(sides, radius, z, 0.0);
    profile
        .windows(2)
        .map(|ends| loft(&ring(&ends[0]), &ring(&ends[1])))
        .collect()
}

fn circle(sides: usize, radius: f64, z: f64, turn: f64) -> Vec<Point> {
    let point = |i| {
        let (sin, cos) = (turn + TAU * i as f64 / sides as f64).sin_cos();
        [radius * cos, radius * sin, z]
    };
    (0..sides).map(point).collect()
}

fn cuboid([x0, y0, z0]: Point, [x1, y1, z1]: Point) -> Piece {
    let rectangle = |z| [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]];
    loft(&rectangle(z0), &rectangle(z1))
}

/// The body between two polygons with equally many corners, both counter-clockwise seen from the second.
fn loft(bottom: &[Point], top: &[Point]) -> Piece {
    skin(&[bottom.to_vec(), top.to_vec()])
}

/// The body that rings with equally many corners bound, from the bottom up.
fn skin(rings: &[Vec<Point>]) -> Piece {
    let sides = rings[0].len();
    let top = (rings.len() - 1) * sides;
    let mut faces = vec![(0..sides).rev().collect(), (top..top + sides).collect()];
    for low in (0..top).step_by(sides) {
        for i in 0..sides {
            let next = (i + 1) % sides;
            faces.push(vec![
                low + i,
                low + next,
                low + sides + next,
                low + sides + i,
            ]);
        }
    }
    Piece {
        vertices: rings.concat(),
        faces,
    }
}

fn obj(body: &[Piece]) -> String {
    let mut text = String::new();
    let mut first = 1;
    // Writing to a String cannot fail.
    for (i, piece) in body.iter().enumerate() {
        let _ = writeln!(text, "o piece_{i}");
        for [x, y, z] in &piece.vertices {
            let _ = writeln!(text, "v {x:.6} {y:.6} {z:.6}");
        }
        for face in &piece.faces {
            let corners: Vec<String> = face.iter().map(|i| (first + i).to_string()).collect();
            let _ = writeln!(text, "f {}", corners.join(" "));
        }
        first += piece.vertices.len();
    }
    text
}

fn stl_text(body: &[Piece]) -> String {
    let mut text = String::from("solid body\n");
    // Writing to a String cannot fail.
    for triangle in body.iter().flat_map(Piece::triangles) {
        let _ = writeln!(text, "facet normal 0 0 0\nouter loop");
        for [x, y, z] in triangle {
            let _ = writeln!(text, "vertex {x:.6} {y:.6} {z:.6}");
        }
        let _ = writeln!(text, "endloop\nendfacet");
    }
    text + "endsolid body\n"
}

fn stl_binary(body: &[Piece]) -> Vec<u8> {
    let triangles: Vec<_> = body.iter().flat_map(Piece::triangles).collect();
    let mut bytes = vec![0; 80];
    bytes.extend((triangles.len() as u32).to_le_bytes());
    for triangle in triangles {
        bytes.extend([0; 12]);
        let numbers = triangle.as_flattened().iter();
        bytes.extend(numbers.flat_map(|&number| (number as f32).to_le_bytes()));
        bytes.extend([0; 2]);
    }
    bytes
}

fn sub(a: Point, b: Point) -> Point {
    std::array::from_fn(|k| a[k] - b[k])
}

fn dot(a: Point, b: Point) -> f64 {
    (0..3).map(|k| a[k] * b[k]).sum()
}

fn cross(a: Point, b: Point) -> Point {
    std::array::from_fn(|k| a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3])
}

fn normalised(a: Point) -> Point {
    a.map(|x| x / dot(a, a).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_write_equal_files() {
        assert!(files(50, 3).eq(files(50, 3)));
        assert!(
            files(50, 3)
                .zip(files(50, 4))
                .all(|(a, b)| a.0 == b.0 && a.1 != b.1)
        );
    }

    /// No vertex of a piece lies outside any of its faces, so the faces point outwards and the piece is convex.
    #[test]
    fn pieces_are_convex() {
        for seed in 0..20 {
            let mut draw = Draw::seed_from_u64(seed);
            // Superquadrics are convex up to the flatness of their quadrilaterals.
            for (name, family, _) in &FAMILIES[1..] {
                for piece in family(&mut draw) {
                    for [a, b, c] in piece.triangles() {
                        let normal = cross(sub(b, a), sub(c, a));
                        let area = dot(normal, normal).sqrt();
                        let outside = |v: &Point| dot(normal, sub(*v, a)) > 1e-9 + 1e-6 * area;
                        assert!(!piece.vertices.iter().any(outside), "{name}, seed {seed}");
                    }
                }
            }
        }
    }
}
