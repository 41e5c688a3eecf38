//! What the arm must not touch: itself, planes and boxes around it. The arm's shape is a set of capsules.
//!
//! Read once and validated before anything moves. Not responsible for the geometry of two shapes ([`super::solid`]), nor
//! for motion ([`super::certificate`]).

use super::limits::LimitsError;
use super::solid::{Capsule, Solid};
use crate::exactly::exactly;
use crate::kinematics::{Chain, Frames};
use crate::units::JointPositions;
use nalgebra::{Rotation3, SVector, Vector3};
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

/// The launch file's `[collision]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollisionConfig {
    #[serde(rename = "capsule")]
    pub capsules: Vec<CapsuleConfig>,
    /// Which capsules must not touch each other, by name.
    pub pairs: Vec<Spanned<Names>>,
    #[serde(rename = "plane")]
    pub planes: Vec<PlaneConfig>,
    #[serde(rename = "box")]
    pub boxes: Vec<BoxConfig>,
}

/// Two capsules.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Names(#[serde(deserialize_with = "exactly")] pub [String; 2]);

/// A piece of the arm: all points within a distance of a straight line that is fixed to a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapsuleConfig {
    pub name: Spanned<String>,
    pub link: Spanned<String>,
    /// Ends of the line, m, frame of the link.
    #[serde(deserialize_with = "exactly")]
    pub from_m: [f64; 3],
    #[serde(deserialize_with = "exactly")]
    pub to_m: [f64; 3],
    pub radius_m: f64,
}

/// The arm stays where normal·x >= offset, base frame.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaneConfig {
    pub name: Spanned<String>,
    /// Of any length above 0.
    #[serde(deserialize_with = "exactly")]
    pub normal: [f64; 3],
    /// Of the plane from the base frame's origin, along the normal.
    pub offset_m: f64,
    /// The capsules that keep away from it; every one that moves when absent.
    pub capsules: Option<Vec<Spanned<String>>>,
}

/// A box that the arm stays out of, base frame.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxConfig {
    pub name: Spanned<String>,
    #[serde(deserialize_with = "exactly")]
    pub centre_m: [f64; 3],
    /// Whole edges.
    #[serde(deserialize_with = "exactly")]
    pub size_m: [f64; 3],
    /// Turned about z.
    #[serde(default)]
    pub yaw_rad: f64,
    /// The capsules that keep away from it; every one that moves when absent.
    pub capsules: Option<Vec<Spanned<String>>>,
}

/// A capsule of the arm and what it must not touch.
#[derive(Clone, Debug)]
pub(super) struct Pair<const N: usize> {
    /// Of the capsule, then of what it keeps away from.
    names: [String; 2],
    /// They move one against the other: the solid is fixed to the frame before them, the capsule to the one after.
    pub joints: Range<usize>,
    pub capsule: Capsule,
    solid: Solid,
    /// How far the capsule moves at most per rad of each of these joints, m.
    pub reach_m: SVector<f64, N>,
    /// How deep the two may overlap, m: not at all, but while the arm comes out of an overlap.
    yields_m: f64,
}

impl<const N: usize> Pair<N> {
    /// The capsule in the solid's frame.
    #[inline]
    pub fn capsule_in(&self, frames: &Frames<N>) -> Capsule {
        let Range { start, end } = self.joints;
        let ends = self
            .capsule
            .ends
            .map(|p| frames.in_frame(start, &frames.point(end, &p)));
        Capsule {
            ends,
            ..self.capsule
        }
    }

    /// The normal, away from the solid and in its frame, along which the two are furthest apart.
    #[inline]
    pub fn normal_to(&self, capsule: &Capsule) -> Vector3<f64> {
        self.solid.normal_to(capsule)
    }

    /// How far each end of a capsule in the solid's frame may still get toward the plane with this normal that touches the
    /// solid, m.
    #[inline]
    pub fn rooms_m(&self, normal: &Vector3<f64>, capsule: &Capsule) -> [f64; 2] {
        let room_m = |end| self.solid.beyond_m(normal, &end) - capsule.radius_m + self.yields_m;
        capsule.ends.map(room_m)
    }

    /// How far a capsule in the solid's frame is beyond the plane with this normal that touches the solid, m.
    #[inline]
    pub fn gap_m(&self, normal: &Vector3<f64>, capsule: &Capsule) -> f64 {
        self.solid.gap_m(normal, capsule) + self.yields_m
    }
}

/// More of either are refused: a tick looks at all of them.
pub(super) const PAIRS_MAX: usize = 64;
pub(super) const PARTS_MAX: usize = 64;

/// How near everything is at one posture. By pair, in the frame of the solid.
pub(super) struct Around<const N: usize> {
    pub frames: Frames<N>,
    pub gaps_m: [f64; PAIRS_MAX],
    /// Away from the solid, where the two are nearest.
    pub normals: [Vector3<f64>; PAIRS_MAX],
}

/// A capsule by itself.
#[derive(Clone, Debug)]
pub(super) struct Part<const N: usize> {
    name: String,
    /// That move it.
    pub joints: usize,
    /// In the frame that these joints move.
    pub capsule: Capsule,
    /// How far it moves at most per rad of each joint, m.
    pub reach_m: SVector<f64, N>,
}

impl<const N: usize> Part<N> {
    /// Against a solid that is fixed to the frame after `joints` joints.
    fn against(&self, joints: usize, solid: Solid, name: &str) -> Pair<N> {
        Pair {
            names: [self.name.clone(), name.to_owned()],
            joints: joints..self.joints,
            capsule: self.capsule,
            solid,
            yields_m: 0.0,
            reach_m: SVector::from_fn(|i, _| if i < joints { 0.0 } else { self.reach_m[i] }),
        }
    }
}

/// The arm's shape and what must not touch. It exists only validated.
#[derive(Clone, Debug)]
pub struct Collision<const N: usize> {
    parts: Vec<Part<N>>,
    pairs: Vec<Pair<N>>,
}

impl<const N: usize> Collision<N> {
    /// An arm without a shape, to which nothing is near.
    pub fn none() -> Self {
        Self {
            parts: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// # Errors
    /// When a name is unknown or given twice, a number is not what a shape can have, or two things cannot move one against
    /// the other.
    pub fn new(chain: &Chain<N>, config: &CollisionConfig) -> Result<Self, LimitsError> {
        let names = (config.capsules.iter().map(|c| &c.name))
            .chain(config.planes.iter().map(|p| &p.name))
            .chain(config.boxes.iter().map(|b| &b.name));
        let mut known = Vec::new();
        for name in names {
            if known.contains(&name.get_ref()) {
                let message = format!("two shapes are named {:?}", name.get_ref());
                return Err(LimitsError::at(name, message));
            }
            known.push(name.get_ref());
        }
        let parts = config
            .capsules
            .iter()
            .map(|capsule| part(chain, capsule))
            .collect::<Result<Vec<_>, _>>()?;
        let mut collision = Self {
            parts,
            pairs: Vec::new(),
        };
        for names in &config.pairs {
            let pair = collision.pair_of_capsules(names)?;
            collision.pairs.push(pair);
        }
        for plane in &config.planes {
            let solid = half_space(plane)?;
            collision.keep_out(&plane.name, solid, plane.capsules.as_deref())?;
        }
        for cuboid in &config.boxes {
            let solid = self::cuboid(cuboid)?;
            collision.keep_out(&cuboid.name, solid, cuboid.capsules.as_deref())?;
        }
        if let Some(capsule) = config.capsules.get(PARTS_MAX) {
            let message = format!(
                "{} capsules, where {PARTS_MAX} can be watched",
                collision.parts.len()
            );
            return Err(LimitsError::at(&capsule.name, message));
        }
        if let Some(pair) = collision.pairs.get(PAIRS_MAX) {
            let message = format!(
                "{} pairs must not touch, where {PAIRS_MAX} can be watched: name the capsules that could come near",
                collision.pairs.len()
            );
            let of = (config.planes.iter().map(|p| &p.name))
                .chain(config.boxes.iter().map(|b| &b.name))
                .find(|name| *name.get_ref() == pair.names[1])
                .map(Spanned::span);
            let span = of.or(config.pairs.get(PAIRS_MAX).map(Spanned::span));
            return Err(LimitsError { message, span });
        }
        Ok(collision)
    }

    pub(super) fn parts(&self) -> &[Part<N>] {
        &self.parts
    }

    pub(super) fn pairs(&self) -> &[Pair<N>] {
        &self.pairs
    }

    #[inline]
    pub(super) fn around(&self, chain: &Chain<N>, q: &JointPositions<N>) -> Around<N> {
        let mut around = Around {
            frames: chain.frames(q),
            gaps_m: [f64::INFINITY; PAIRS_MAX],
            normals: [Vector3::zeros(); PAIRS_MAX],
        };
        for (k, pair) in self.pairs.iter().enumerate() {
            let capsule = pair.capsule_in(&around.frames);
            around.normals[k] = pair.normal_to(&capsule);
            around.gaps_m[k] = pair.gap_m(&around.normals[k], &capsule);
        }
        around
    }

    /// What overlaps may from now on.
    pub(super) fn yield_everything(&mut self) {
        for pair in &mut self.pairs {
            pair.yields_m = f64::INFINITY;
        }
    }

    pub(super) fn yield_nothing(&mut self) {
        for pair in &mut self.pairs {
            pair.yields_m = 0.0;
        }
    }

    /// What overlaps at `q`, or lies nearer than the room, may stay so, and come nearer by that room, but no nearer than it
    /// might before. Whether nothing does.
    pub(super) fn yield_at(
        &mut self,
        chain: &Chain<N>,
        q: &JointPositions<N>,
        room_m: f64,
    ) -> bool {
        let frames = chain.frames(q);
        let mut apart = true;
        for pair in self.pairs.iter_mut().filter(|pair| pair.yields_m > 0.0) {
            let capsule = pair.capsule_in(&frames);
            let gap_m = pair.solid.gap_m(&pair.normal_to(&capsule), &capsule);
            let needs_m = (room_m - gap_m).max(0.0);
            pair.yields_m = pair.yields_m.min(needs_m);
            apart &= pair.yields_m == 0.0;
        }
        apart
    }

    /// The pair that is nearest at `q`, and its distance in m, negative where the two overlap; `None` where there is nothing
    /// to touch.
    pub fn nearest(&self, chain: &Chain<N>, q: &JointPositions<N>) -> Option<(usize, f64)> {
        let gaps_m = self.around(chain, q).gaps_m;
        let pairs = gaps_m.into_iter().take(self.pairs.len()).enumerate();
        pairs.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The capsule of a pair, and what it must not touch.
    ///
    /// # Panics
    /// When there is no such pair.
    pub fn names(&self, pair: usize) -> [&str; 2] {
        let [capsule, other] = &self.pairs[pair].names;
        [capsule, other]
    }

    fn find<'a>(
        &'a self,
        name: &str,
        place: &Spanned<impl Sized>,
    ) -> Result<&'a Part<N>, LimitsError> {
        let part = self.parts.iter().find(|part| part.name == name);
        part.ok_or_else(|| {
            let names: Vec<_> = self.parts.iter().map(|part| part.name.as_str()).collect();
            let message = format!(
                "no capsule is named {name:?}; the capsules are {}",
                names.join(", ")
            );
            LimitsError::at(place, message)
        })
    }

    fn pair_of_capsules(&self, names: &Spanned<Names>) -> Result<Pair<N>, LimitsError> {
        let Names([first, second]) = names.get_ref();
        let (first, second) = (self.find(first, names)?, self.find(second, names)?);
        let (near, far) = if first.joints <= second.joints {
            (first, second)
        } else {
            (second, first)
        };
        if near.joints == far.joints {
            let message = format!("no joint moves {} against {}", first.name, second.name);
            return Err(LimitsError::at(names, message));
        }
        let solid = Solid::Capsule(near.capsule);
        Ok(far.against(near.joints, solid, &near.name))
    }

    fn keep_out(
        &mut self,
        name: &Spanned<String>,
        solid: Solid,
        capsules: Option<&[Spanned<String>]>,
    ) -> Result<(), LimitsError> {
        let away = name.get_ref();
        let Some(capsules) = capsules else {
            let moving = self.parts.iter().filter(|part| part.joints > 0);
            self.pairs
                .extend(moving.map(|part| part.against(0, solid, away)));
            return Ok(());
        };
        for capsule in capsules {
            let part = self.find(capsule.get_ref(), capsule)?;
            if part.joints == 0 {
                let message = format!(
                    "{} does not move: it cannot keep away from {away}",
                    part.name
                );
                return Err(LimitsError::at(capsule, message));
            }
            self.pairs.push(part.against(0, solid, away));
        }
        Ok(())
    }
}

fn part<const N: usize>(chain: &Chain<N>, config: &CapsuleConfig) -> Result<Part<N>, LimitsError> {
    let name = config.name.get_ref();
    let refuse = |message: String| Err(LimitsError::at(&config.name, message));
    let Some(mount) = chain.mount(config.link.get_ref()) else {
        let message = format!(
            "capsule {name}: no link {:?} belongs to the chain from base to tool; its links are {}",
            config.link.get_ref(),
            chain.link_names().collect::<Vec<_>>().join(", ")
        );
        return Err(LimitsError::at(&config.link, message));
    };
    let ends = [config.from_m, config.to_m].map(Vector3::from);
    if !ends.iter().flatten().all(|x| x.is_finite()) {
        return refuse(format!("capsule {name}: its ends are not finite"));
    }
    if !ends.iter().all(is_near) {
        return refuse(format!(
            "capsule {name}: its ends are more than {LENGTH_MAX_M} m away"
        ));
    }
    // Two lines that cross have no normal between them: a radius keeps them apart.
    if !(RADIUS_MIN_M..=LENGTH_MAX_M).contains(&config.radius_m) {
        return refuse(format!(
            "capsule {name}: radius_m = {} must be in [{RADIUS_MIN_M}, {LENGTH_MAX_M}]",
            config.radius_m
        ));
    }
    let ends = ends
        .map(|p| mount.T_frame_link * nalgebra::Point3::from(p))
        .map(|p| p.coords);
    Ok(Part {
        name: name.clone(),
        joints: mount.joints,
        capsule: Capsule {
            ends,
            radius_m: config.radius_m,
        },
        reach_m: reach(chain, mount.joints, &ends),
    })
}

const RADIUS_MIN_M: f64 = 1e-3;
/// Nothing that an arm could meet is further away or larger. Squares of much larger lengths overflow, and what is then no
/// number is no distance.
const LENGTH_MAX_M: f64 = 100.0;

fn is_near(lengths_m: &Vector3<f64>) -> bool {
    lengths_m.amax() <= LENGTH_MAX_M
}

fn reach<const N: usize>(
    chain: &Chain<N>,
    joints: usize,
    ends: &[Vector3<f64>; 2],
) -> SVector<f64, N> {
    let [a, b] = ends.map(|end| SVector::from(chain.reach_of(joints, &end)));
    a.sup(&b)
}

fn half_space(config: &PlaneConfig) -> Result<Solid, LimitsError> {
    // Its square must neither vanish nor overflow.
    let normal = Vector3::from(config.normal);
    match normal.try_normalize(1e-9) {
        Some(unit) if normal.amax() <= 1e9 && config.offset_m.abs() <= LENGTH_MAX_M => {
            Ok(Solid::HalfSpace {
                normal: unit,
                offset_m: config.offset_m,
            })
        }
        _ => {
            let message = format!(
                "plane {}: it needs a normal with a length in [1e-9, 1e9] and an offset within {LENGTH_MAX_M} m",
                config.name.get_ref()
            );
            Err(LimitsError::at(&config.name, message))
        }
    }
}

fn cuboid(config: &BoxConfig) -> Result<Solid, LimitsError> {
    let (centre, size) = (Vector3::from(config.centre_m), Vector3::from(config.size_m));
    let near = is_near(&centre) && is_near(&size) && config.yaw_rad.abs() <= 1e3;
    if !(near && size.min() > 0.0) {
        let message = format!(
            "box {}: it needs a centre and edges within {LENGTH_MAX_M} m, edges above 0, and a yaw within 1000 rad",
            config.name.get_ref()
        );
        return Err(LimitsError::at(&config.name, message));
    }
    Ok(Solid::Cuboid {
        centre,
        axes: Rotation3::from_axis_angle(&Vector3::z_axis(), config.yaw_rad).into_inner(),
        half_m: size / 2.0,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kinematics::chain::tests::iiwa14;
    use rand::RngExt;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    pub(crate) const IIWA14_COLLISION: &str = r#"
        pairs = [["column", "wrist"], ["column", "gripper"], ["upper arm", "wrist"],
            ["upper arm", "gripper"], ["elbow", "gripper"], ["forearm", "gripper"]]
        [[capsule]]
        name = "column"
        link = "base_link"
        from_m = [0.0, 0.0, 0.08]
        to_m = [0.0, 0.0, 0.36]
        radius_m = 0.10
        [[capsule]]
        name = "upper arm"
        link = "link_2"
        from_m = [0.0, 0.0, 0.0]
        to_m = [0.0, 0.30, 0.0]
        radius_m = 0.09
        [[capsule]]
        name = "elbow"
        link = "link_3"
        from_m = [0.0, 0.0, 0.1]
        to_m = [0.0, 0.0, 0.2155]
        radius_m = 0.09
        [[capsule]]
        name = "forearm"
        link = "link_4"
        from_m = [0.0, 0.0, 0.0]
        to_m = [0.0, 0.20, 0.0]
        radius_m = 0.085
        [[capsule]]
        name = "wrist"
        link = "link_6"
        from_m = [0.0, 0.0, 0.0]
        to_m = [0.0, 0.081, 0.06]
        radius_m = 0.085
        [[capsule]]
        name = "gripper"
        link = "tcp"
        from_m = [0.0, 0.0, -0.15]
        to_m = [0.0, 0.0, -0.03]
        radius_m = 0.055
        [[capsule]]
        name = "palm"
        link = "tcp"
        from_m = [0.0, -0.03, -0.09]
        to_m = [0.0, 0.03, -0.09]
        radius_m = 0.04
        [[plane]]
        name = "table"
        normal = [0.0, 0.0, 1.0]
        offset_m = 0.02
        capsules = ["forearm", "wrist", "palm"]
        [[plane]]
        name = "back wall"
        normal = [2.0, 0.0, 0.0]
        offset_m = -0.6
        capsules = ["forearm", "wrist", "palm"]
    "#;

    fn read(text: &str) -> Result<Collision<7>, LimitsError> {
        Collision::new(&iiwa14(), &toml::from_str(text).expect("a collision table"))
    }

    #[test]
    fn every_pair_knows_which_joints_move_it() {
        let collision = read(IIWA14_COLLISION).expect("valid");
        let joints: Vec<_> = collision.pairs().iter().map(|p| p.joints.clone()).collect();
        assert_eq!(joints[..6], [0..6, 0..7, 2..6, 2..7, 3..7, 4..7]);
        assert_eq!(joints[6..], [0..4, 0..6, 0..7, 0..4, 0..6, 0..7]);
        let reach = collision.pairs()[2].reach_m;
        assert!(
            reach[1] == 0.0 && reach[2] > 0.4 && reach[6] == 0.0,
            "{reach}"
        );
        let home = JointPositions::from([0.0, 0.55, 0.0, -1.33, 0.0, 1.26, 0.0]);
        let (pair, distance_m) = collision.nearest(&iiwa14(), &home).expect("pairs");
        assert_eq!(collision.names(pair), ["gripper", "forearm"]);
        assert!(distance_m > 0.05, "{distance_m}");
        // Anywhere else, everything meets something.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut touched = vec![0; collision.pairs().len()];
        for _ in 0..2000 {
            let q = iiwa14()
                .limits()
                .map(|l| rng.random_range(l.lower..l.upper));
            let gaps_m = collision.around(&iiwa14(), &q.into()).gaps_m;
            for (touched, gap_m) in touched.iter_mut().zip(gaps_m) {
                *touched += u32::from(gap_m < 0.0);
            }
        }
        // Only the column is easily met; the arm is built not to meet itself elsewhere.
        let met = |n: &u32| (1..1500).contains(n);
        assert!(
            touched[..2].iter().chain(&touched[6..]).all(met),
            "{touched:?}"
        );
    }

    #[test]
    fn two_moving_capsules_are_as_far_apart_as_they_are_in_the_base_frame() {
        let collision = read(IIWA14_COLLISION).expect("valid");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        for _ in 0..200 {
            let q = iiwa14()
                .limits()
                .map(|l| rng.random_range(l.lower..l.upper));
            let around = collision.around(&iiwa14(), &q.into());
            let in_base = |name: &str| {
                let part = collision.parts.iter().find(|part| part.name == name);
                let part = part.expect("a capsule");
                let ends = part.capsule.ends;
                Capsule {
                    ends: ends.map(|end| around.frames.point(part.joints, &end)),
                    ..part.capsule
                }
            };
            for k in 0..6 {
                let [capsule, other] = collision.names(k).map(in_base);
                let solid = Solid::Capsule(other);
                let expected_m = solid.gap_m(&solid.normal_to(&capsule), &capsule);
                assert!((around.gaps_m[k] - expected_m).abs() < 1e-12, "pair {k}");
            }
        }
    }

    #[test]
    fn refusals_name_shape_and_place() {
        for (from, to, expected) in [
            (
                r#"name = "elbow""#,
                r#"name = "wrist""#,
                r#"two shapes are named "wrist""#,
            ),
            (
                r#"link = "link_6""#,
                r#"link = "hand""#,
                r#"capsule wrist: no link "hand" belongs to the chain from base to tool; its links are "#,
            ),
            (
                "radius_m = 0.04",
                "radius_m = 0.0",
                "capsule palm: radius_m = 0",
            ),
            (
                "radius_m = 0.04",
                "radius_m = nan",
                "capsule palm: radius_m = NaN",
            ),
            (
                "radius_m = 0.04",
                "radius_m = 1e3",
                "capsule palm: radius_m = 1000 must be in [0.001, 100]",
            ),
            (
                "to_m = [0.0, 0.081, 0.06]",
                "to_m = [0.0, 0.0, 1e160]",
                "capsule wrist: its ends are more than 100 m away",
            ),
            (
                "normal = [2.0",
                "normal = [1e160",
                "plane back wall: it needs a normal",
            ),
            (
                "normal = [2.0",
                "normal = [5e-324",
                "plane back wall: it needs a normal",
            ),
            (
                "offset_m = -0.6",
                "offset_m = -1e300",
                "plane back wall: it needs a normal",
            ),
            (
                "to_m = [0.0, 0.081, 0.06]",
                "to_m = [0.0, 0.0, inf]",
                "capsule wrist: its ends are not finite",
            ),
            (
                r#"["column", "wrist"]"#,
                r#"["column", "hand"]"#,
                r#"no capsule is named "hand"; the capsules are column"#,
            ),
            (
                r#"["column", "wrist"]"#,
                r#"["wrist", "wrist"]"#,
                "no joint moves wrist against wrist",
            ),
            (
                r#"= ["forearm", "wrist""#,
                r#"= ["column", "wrist""#,
                "column does not move: it cannot keep away from table",
            ),
            (
                "normal = [2.0",
                "normal = [0.0",
                "plane back wall: it needs a normal",
            ),
        ] {
            let text = IIWA14_COLLISION.replacen(from, to, 1);
            assert_ne!(text, IIWA14_COLLISION, "{from}");
            let error = read(&text).expect_err(to);
            assert!(error.message.contains(expected), "{error}");
            assert!(error.span.is_some(), "{error}");
        }
        let flat = "[[box]]\nname = \"post\"\ncentre_m = [1.0, 0.0, 0.0]\nsize_m = [0.1, 0.0, 0.1]";
        let far = flat
            .replace("[0.1, 0.0, 0.1]", "[1.0, 1.0, 1.0]")
            .replace("= [1.0,", "= [1e308,");
        for bad in [flat, &far] {
            let error = read(bad).expect_err("a flat box, or a far one");
            assert!(error.message.contains("box post: it needs"), "{error}");
        }
    }

    #[test]
    fn more_than_can_be_watched_is_refused_where_it_is_too_much() {
        let posts = |n: usize| -> String {
            let post = |k| {
                format!(
                    "[[box]]\nname = \"post {k}\"\ncentre_m = [1.5, 0.0, 0.0]\nsize_m = [0.1, 0.1, 0.1]\ncapsules = [\"palm\"]\n"
                )
            };
            (0..n).map(post).collect()
        };
        let spots = |n: usize| -> String {
            let spot = |k| {
                format!(
                    "[[capsule]]\nname = \"spot {k}\"\nlink = \"tcp\"\nfrom_m = [0.0, 0.0, 0.0]\nto_m = [0.0, 0.0, 0.0]\nradius_m = 0.01\n"
                )
            };
            (0..n).map(spot).collect()
        };
        let text = |extra: String| format!("{IIWA14_COLLISION}{extra}");
        assert!(read(&text(posts(52))).is_ok() && read(&text(spots(57))).is_ok());
        for (text, place) in [
            (text(posts(53)), "\"post 52\""),
            (text(spots(58)), "\"spot 57\""),
        ] {
            let error = read(&text).expect_err(place);
            assert_eq!(
                &text[error.span.expect("a place")],
                place,
                "{}",
                error.message
            );
        }
    }
}
