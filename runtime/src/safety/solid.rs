//! Convex shapes that must stay apart, and planes that stand between them.
//!
//! Two convex shapes are apart exactly when a plane fits between them, and along any normal they are at most as far apart
//! as they are. So a normal that is not quite the best one only makes them look nearer. Not responsible for motion
//! ([`super::collision`]).

use nalgebra::{Matrix3, Vector3};

/// All points within `radius_m` of the straight line between two ends, m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Capsule {
    pub ends: [Vector3<f64>; 2],
    pub radius_m: f64,
}

/// What a capsule must not touch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Solid {
    /// normal·x <= offset.
    HalfSpace {
        normal: Vector3<f64>,
        offset_m: f64,
    },
    /// Columns of `axes`: its edges' directions.
    Cuboid {
        centre: Vector3<f64>,
        axes: Matrix3<f64>,
        half_m: Vector3<f64>,
    },
    Capsule(Capsule),
}

impl Solid {
    /// The unit normal, away from the solid, along which `capsule` is furthest from it.
    pub fn normal_to(&self, capsule: &Capsule) -> Vector3<f64> {
        let [a, b] = capsule.ends;
        match self {
            Self::HalfSpace { normal, .. } => *normal,
            Self::Cuboid {
                centre,
                axes,
                half_m,
            } => {
                let local = capsule.ends.map(|end| axes.tr_mul(&(end - centre)));
                let way = cuboid_to_line(half_m, &local);
                let normal = way
                    .try_normalize(CROSSING_M)
                    .unwrap_or_else(|| face_to(half_m, &local));
                axes * normal
            }
            Self::Capsule(other) => between_lines(&other.ends, &capsule.ends)
                .try_normalize(CROSSING_M)
                .unwrap_or_else(|| {
                    let across = (other.ends[1] - other.ends[0]).cross(&(b - a));
                    across.try_normalize(CROSSING_M).unwrap_or(Vector3::z())
                }),
        }
    }

    /// How far a point is beyond the plane with this unit normal that touches the solid, m.
    #[inline]
    pub fn beyond_m(&self, normal: &Vector3<f64>, point: &Vector3<f64>) -> f64 {
        let furthest = match self {
            Self::HalfSpace { offset_m, .. } => *offset_m,
            Self::Cuboid {
                centre,
                axes,
                half_m,
            } => normal.dot(centre) + axes.tr_mul(normal).abs().dot(half_m),
            Self::Capsule(other) => {
                let [a, b] = other.ends.map(|end| normal.dot(&end));
                a.max(b) + other.radius_m
            }
        };
        normal.dot(point) - furthest
    }

    /// How far `capsule` is beyond the plane with this unit normal that touches the solid, m: never more than the distance
    /// between them.
    #[inline]
    pub fn gap_m(&self, normal: &Vector3<f64>, capsule: &Capsule) -> f64 {
        let [a, b] = capsule.ends.map(|end| self.beyond_m(normal, &end));
        a.min(b) - capsule.radius_m
    }
}

/// Lines nearer than this to what they must avoid have no direction away from it, m.
const CROSSING_M: f64 = 1e-9;

/// The shortest way from one line segment to another (Ericson, "Real-Time Collision Detection", 2005, 5.1.9).
fn between_lines(first: &[Vector3<f64>; 2], second: &[Vector3<f64>; 2]) -> Vector3<f64> {
    let (d1, d2) = (first[1] - first[0], second[1] - second[0]);
    let r = first[0] - second[0];
    let (a, e, f) = (d1.norm_squared(), d2.norm_squared(), d2.dot(&r));
    let (c, b) = (d1.dot(&r), d1.dot(&d2));
    let share = |numerator: f64, denominator: f64| match denominator > 0.0 {
        true => (numerator / denominator).clamp(0.0, 1.0),
        false => 0.0,
    };
    let parallel = a * e - b * b <= 1e-12 * a * e;
    let mut s = if parallel {
        0.0
    } else {
        share(b * f - c * e, a * e - b * b)
    };
    let t = share(b * s + f, e);
    // Where the second point was cut to its segment, the first one follows.
    s = share(b * t - c, a);
    second[0] + d2 * share(b * s + f, e) - (first[0] + d1 * s)
}

/// The shortest way from a cuboid about the origin to a line segment.
///
/// The squared distance is convex along the segment: its slope is bisected.
fn cuboid_to_line(half_m: &Vector3<f64>, line: &[Vector3<f64>; 2]) -> Vector3<f64> {
    const BISECTIONS: usize = 32;
    let along = line[1] - line[0];
    let way = |s: f64| {
        let point = line[0] + along * s;
        point - point.sup(&-half_m).inf(half_m)
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..BISECTIONS {
        let s = 0.5 * (low + high);
        if way(s).dot(&along) > 0.0 {
            high = s;
        } else {
            low = s;
        }
    }
    way(0.5 * (low + high))
}

/// Of the six sides of a cuboid about the origin, the one that a line segment is furthest out of.
fn face_to(half_m: &Vector3<f64>, line: &[Vector3<f64>; 2]) -> Vector3<f64> {
    let out_m = |normal: &Vector3<f64>| {
        normal.dot(&line[0]).min(normal.dot(&line[1])) - normal.abs().dot(half_m)
    };
    (0..3)
        .flat_map(|axis| [1.0, -1.0].map(|sign| Vector3::ith(axis, sign)))
        .max_by(|a, b| out_m(a).total_cmp(&out_m(b)))
        .unwrap_or_else(Vector3::z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Rotation3;
    use proptest::prelude::*;

    type Line = [[f64; 3]; 2];

    fn capsule(line: Line, radius_m: f64) -> Capsule {
        Capsule {
            ends: line.map(Vector3::from),
            radius_m,
        }
    }

    fn line() -> impl Strategy<Value = Line> {
        proptest::array::uniform2(proptest::array::uniform3(-1.0..1.0))
    }

    /// The least distance that sampling finds between two sets of points: never below the true one.
    fn sampled_m(capsule: &Capsule, distance_m: impl Fn(&Vector3<f64>) -> f64) -> f64 {
        let [a, b] = capsule.ends;
        (0..=2000)
            .map(|k| distance_m(&(a + (b - a) * (f64::from(k) / 2000.0))))
            .fold(f64::INFINITY, f64::min)
            - capsule.radius_m
    }

    fn to_line(line: &[Vector3<f64>; 2], p: &Vector3<f64>) -> f64 {
        let d = line[1] - line[0];
        let s = ((p - line[0]).dot(&d) / d.norm_squared().max(1e-300)).clamp(0.0, 1.0);
        (line[0] + d * s - p).norm()
    }

    fn agrees(solid: &Solid, capsule: &Capsule, sampled_m: f64) -> Result<(), TestCaseError> {
        let normal = solid.normal_to(capsule);
        let gap_m = solid.gap_m(&normal, capsule);
        prop_assert!((normal.norm() - 1.0).abs() < 1e-9);
        prop_assert!(gap_m <= sampled_m + 1e-9, "{gap_m} beyond {sampled_m}");
        // Apart by more than the sampling misses: then the normal is the best one.
        if sampled_m + capsule.radius_m > 2e-3 {
            prop_assert!(gap_m > sampled_m - 2e-3, "{gap_m} below {sampled_m}");
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn capsules(first in line(), second in line(), r in 0.0..0.2, squeeze in 0.0..1.0) {
            // Short and parallel ones too.
            let second = second.map(|end| std::array::from_fn(|i| end[i] * squeeze + first[0][i] * (1.0 - squeeze)));
            for second in [second, first.map(|[x, y, z]| [x + 0.3, y, z]), [first[1], first[1]]] {
                let (solid, capsule) = (capsule(first, r), capsule(second, 0.1));
                let sampled = sampled_m(&capsule, |p| to_line(&solid.ends, p) - r);
                agrees(&Solid::Capsule(solid), &capsule, sampled)?;
            }
        }

        #[test]
        fn cuboids(line in line(), half in proptest::array::uniform3(0.01..0.5), turn in proptest::array::uniform3(-2.0..2.0)) {
            let axes = Rotation3::from_scaled_axis(Vector3::from(turn)).into_inner();
            let (centre, half_m) = (Vector3::new(0.1, -0.2, 0.3), Vector3::from(half));
            let solid = Solid::Cuboid { centre, axes, half_m };
            let capsule = capsule(line, 0.05);
            let sampled = sampled_m(&capsule, |p| {
                let local = axes.transpose() * (p - centre);
                (local.abs() - half_m).sup(&Vector3::zeros()).norm()
            });
            agrees(&solid, &capsule, sampled)?;
        }

        #[test]
        fn half_spaces(line in line(), normal in proptest::array::uniform3(-1.0..1.0)) {
            let normal = Vector3::from(normal).try_normalize(1e-3).unwrap_or(Vector3::x());
            let solid = Solid::HalfSpace { normal, offset_m: -0.2 };
            let capsule = capsule(line, 0.05);
            let gap_m = solid.gap_m(&solid.normal_to(&capsule), &capsule);
            let expected = capsule.ends.iter().map(|end| normal.dot(end)).fold(f64::INFINITY, f64::min) - 0.05 + 0.2;
            prop_assert!((gap_m - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn what_overlaps_has_no_gap() {
        let cross = capsule([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 0.1);
        let solids = [
            Solid::Capsule(capsule([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]], 0.1)),
            Solid::Capsule(cross),
            Solid::Cuboid {
                centre: Vector3::zeros(),
                axes: Matrix3::identity(),
                half_m: Vector3::new(0.2, 0.3, 0.4),
            },
        ];
        for solid in solids {
            let normal = solid.normal_to(&cross);
            assert!(solid.gap_m(&normal, &cross) < -0.15, "{solid:?}");
        }
    }
}
