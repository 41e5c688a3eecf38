//! From encoder ticks to radians and metres, and back: the only place that knows both.
//!
//! A file per arm, made once by a person; [`super::lerobot`] makes one of LeRobot's. Not responsible for what the servos' own
//! registers hold: the driver compares them with it.

use super::tables::Model;
use super::wire::Protocol;
use serde::Deserialize;

/// A calibration file.
///
/// ```toml
/// [[joint]]                    # base to tip
/// name = "shoulder_pan"
/// id = 1
/// model = "sts3215"
/// homing_offset_ticks = 0      # what the servo's own offset register holds
/// zero_ticks = 2048            # where the URDF's joint is at 0 rad
/// direction = 1                # -1 where more ticks are fewer radians
/// range_ticks = [760, 3330]    # between the mechanical stops
///
/// [gripper]
/// name = "gripper"
/// id = 6
/// model = "sts3215"
/// homing_offset_ticks = 0
/// aperture = [[2030, 0.0], [3500, 0.1]]   # ticks, m between the pads; two points or more
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    #[serde(rename = "joint")]
    pub joints: Vec<JointCalibration>,
    pub gripper: GripperCalibration,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointCalibration {
    pub name: String,
    pub id: u8,
    #[serde(deserialize_with = "model")]
    pub model: &'static Model,
    pub homing_offset_ticks: i32,
    pub zero_ticks: i32,
    pub direction: Direction,
    pub range_ticks: [i32; 2],
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GripperCalibration {
    pub name: String,
    pub id: u8,
    #[serde(deserialize_with = "model")]
    pub model: &'static Model,
    pub homing_offset_ticks: i32,
    /// Ticks, and the distance between the finger pads there, m; straight lines between the points.
    pub aperture: Vec<(i32, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i8")]
pub enum Direction {
    Forward,
    Reverse,
}

impl TryFrom<i8> for Direction {
    type Error = &'static str;
    fn try_from(value: i8) -> Result<Self, Self::Error> {
        match value {
            1 => Ok(Direction::Forward),
            -1 => Ok(Direction::Reverse),
            _ => Err("direction is 1 or -1"),
        }
    }
}

impl Direction {
    pub fn sign(self) -> f64 {
        match self {
            Direction::Forward => 1.0,
            Direction::Reverse => -1.0,
        }
    }
}

fn model<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<&'static Model, D::Error> {
    let name = String::deserialize(deserializer)?;
    Model::named(&name).ok_or_else(|| {
        let known: Vec<_> = super::tables::MODELS
            .iter()
            .map(|model| model.name)
            .collect();
        serde::de::Error::custom(format!(
            "no table of a model {name:?}; known are {}",
            known.join(", ")
        ))
    })
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct CalibrationError(pub String);

/// Above it both protocols have addresses of all servos together.
const ID_MAX: u8 = 252;

/// A joint, or a gripper, that says what is the matter with it.
fn ensure(name: &str, holds: bool, what: impl FnOnce() -> String) -> Result<(), CalibrationError> {
    if holds {
        Ok(())
    } else {
        Err(CalibrationError(format!("{name}: {}", what())))
    }
}

impl Calibration {
    /// # Errors
    /// When the file does not parse, or says what cannot be.
    pub fn parse(text: &str) -> Result<Self, CalibrationError> {
        let calibration: Self =
            toml::from_str(text).map_err(|error| CalibrationError(error.to_string()))?;
        calibration.validate()?;
        Ok(calibration)
    }

    /// The first servo that does not speak this protocol: one line has one.
    ///
    /// # Errors
    /// With its name.
    pub fn check_protocol(&self, protocol: Protocol) -> Result<(), CalibrationError> {
        let joints = self.joints.iter().map(|joint| (&joint.name, joint.model));
        let mut servos = joints.chain([(&self.gripper.name, self.gripper.model)]);
        match servos.find(|(_, model)| model.protocol != protocol) {
            Some((name, model)) => ensure(name, false, || {
                format!("a {} does not speak {protocol:?}", model.name)
            }),
            None => Ok(()),
        }
    }

    pub(super) fn validate(&self) -> Result<(), CalibrationError> {
        for joint in &self.joints {
            joint.validate()?;
        }
        self.gripper.validate()?;
        let ids = self
            .joints
            .iter()
            .map(|joint| joint.id)
            .chain([self.gripper.id]);
        let mut ids: Vec<u8> = ids.collect();
        ids.sort_unstable();
        let beyond = ids.iter().find(|&&id| id > ID_MAX);
        ensure("calibration", beyond.is_none(), || {
            format!(
                "the id {} is no servo's: they go to {ID_MAX}",
                beyond.unwrap_or(&0)
            )
        })?;
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
        ensure("calibration", twice.is_none(), || {
            format!("two servos have the id {twice:?}")
        })
    }
}

/// A range within one turn, where a servo can go everywhere without crossing its encoder's seam.
fn within_a_turn(name: &str, model: &Model, [low, high]: [i32; 2]) -> Result<(), CalibrationError> {
    ensure(name, low < high, || {
        format!("the range [{low}, {high}] is empty")
    })?;
    let last = model.ticks_per_turn - 1;
    ensure(name, low >= 0 && high <= last, || {
        format!(
            "the range [{low}, {high}] crosses the encoder's seam between {last} and 0, where the servo would turn the long \
             way round; move the seam out of it with the servo's offset register, and calibrate again"
        )
    })
}

impl JointCalibration {
    fn validate(&self) -> Result<(), CalibrationError> {
        within_a_turn(&self.name, self.model, self.range_ticks)?;
        // The URDF's zero may lie where the joint does not get to, and not further than a turn away.
        let (turn, zero) = (self.model.ticks_per_turn, self.zero_ticks);
        ensure(&self.name, (-turn..2 * turn).contains(&zero), || {
            format!("zero_ticks = {zero} is more than a turn away from every tick of the encoder")
        })
    }

    /// The ticks nearest to the range's middle that are the same place on the encoder.
    pub fn unwrapped(&self, ticks: i32) -> i32 {
        let [low, high] = self.range_ticks;
        unwrap_around(ticks, low.midpoint(high), self.model.ticks_per_turn)
    }

    /// A turn further is not within the range: from there a servo would go back by a turn.
    pub fn contains(&self, ticks: i32) -> bool {
        let [low, high] = self.range_ticks;
        (low..=high).contains(&ticks)
    }

    pub fn q_rad(&self, ticks: i32) -> f64 {
        f64::from(self.unwrapped(ticks) - self.zero_ticks)
            * self.direction.sign()
            * self.model.rad_per_tick()
    }

    /// Where the servo shall go; within the range, whatever is asked.
    pub fn ticks(&self, q_rad: f64) -> i32 {
        let [low, high] = self.range_ticks;
        let ticks = (q_rad * self.direction.sign() / self.model.rad_per_tick()).round() as i32;
        ticks.saturating_add(self.zero_ticks).clamp(low, high)
    }
}

fn unwrap_around(ticks: i32, middle: i32, turn: i32) -> i32 {
    (ticks - middle + turn / 2).rem_euclid(turn) - turn / 2 + middle
}

impl GripperCalibration {
    fn validate(&self) -> Result<(), CalibrationError> {
        let (points, name) = (&self.aperture, &self.name);
        ensure(name, points.len() >= 2, || {
            "aperture needs two points or more".to_owned()
        })?;
        let rising = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        ensure(name, rising, || {
            "the points of aperture must have rising ticks".to_owned()
        })?;
        let legal = points
            .iter()
            .all(|(_, m)| m.is_finite() && (0.0..1.0).contains(m));
        ensure(name, legal, || "an aperture is 0 to 1 m".to_owned())?;
        let slopes: Vec<f64> = points
            .windows(2)
            .map(|pair| pair[1].1 - pair[0].1)
            .collect();
        let monotone = slopes.iter().all(|m| *m > 0.0) || slopes.iter().all(|m| *m < 0.0);
        ensure(name, monotone, || {
            "the aperture must always grow or always shrink with the ticks".to_owned()
        })?;
        within_a_turn(name, self.model, self.range_ticks())
    }

    pub fn range_ticks(&self) -> [i32; 2] {
        let ends = (self.aperture.first(), self.aperture.last());
        [
            ends.0.map_or(0, |point| point.0),
            ends.1.map_or(0, |point| point.0),
        ]
    }

    pub fn contains(&self, ticks: i32) -> bool {
        let [low, high] = self.range_ticks();
        (low..=high).contains(&ticks)
    }

    pub fn unwrapped(&self, ticks: i32) -> i32 {
        let [low, high] = self.range_ticks();
        unwrap_around(ticks, low.midpoint(high), self.model.ticks_per_turn)
    }

    /// m; beyond the table's ends as at them.
    pub fn aperture_m(&self, ticks: i32) -> f64 {
        let [low, high] = self.range_ticks();
        let ticks = self.unwrapped(ticks).clamp(low, high);
        for pair in self.aperture.windows(2) {
            let [(t0, m0), (t1, m1)] = [pair[0], pair[1]];
            if ticks <= t1 {
                let share = f64::from(ticks - t0) / f64::from(t1 - t0);
                return m0 + share * (m1 - m0);
            }
        }
        0.0
    }

    /// Where the fingers are closed, and open.
    pub fn ends_ticks(&self) -> [i32; 2] {
        let [low, high] = self.range_ticks();
        if self.aperture_m(low) < self.aperture_m(high) {
            [low, high]
        } else {
            [high, low]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const FILE: &str = include_str!("../../../launch/robots/so101_calibration.toml");

    fn joint(zero: i32, direction: Direction, range: [i32; 2]) -> JointCalibration {
        JointCalibration {
            zero_ticks: zero,
            direction,
            range_ticks: range,
            ..Calibration::parse(FILE).unwrap().joints[0].clone()
        }
    }

    #[test]
    fn ticks_become_radians_and_back_also_beyond_the_seam() {
        let forward = joint(2048, Direction::Forward, [700, 3400]);
        let reverse = joint(1000, Direction::Reverse, [0, 2000]);
        assert_eq!(forward.q_rad(2048), 0.0);
        assert!((forward.q_rad(3072) - TAU / 4.0).abs() < 1e-12);
        assert!((reverse.q_rad(1512) + TAU / 8.0).abs() < 1e-12);
        for ticks in 0..=2000 {
            assert_eq!(reverse.ticks(reverse.q_rad(ticks)), ticks);
        }
        // Somebody turned the joint out of its range and over the seam: one tick further stays one tick further.
        let step = reverse.q_rad(4095) - reverse.q_rad(0);
        assert!(
            (step - reverse.model.rad_per_tick()).abs() < 1e-12,
            "{step}"
        );
        assert!(!reverse.contains(4095) && reverse.contains(0));
        assert_eq!(reverse.unwrapped(-1), reverse.unwrapped(4095));
        // Commands end at the range.
        assert_eq!((forward.ticks(9.0), forward.ticks(-9.0)), (3400, 700));
        assert_eq!(forward.ticks(f64::NAN), 2048);
    }

    #[test]
    fn a_jaws_aperture_goes_along_its_table() {
        let gripper = GripperCalibration {
            aperture: vec![(1000, 0.08), (2000, 0.02), (2500, 0.0)],
            ..Calibration::parse(FILE).unwrap().gripper
        };
        gripper.validate().unwrap();
        for (ticks, m) in [
            (900, 0.08),
            (1000, 0.08),
            (1500, 0.05),
            (2250, 0.01),
            (2500, 0.0),
            (2600, 0.0),
        ] {
            assert!((gripper.aperture_m(ticks) - m).abs() < 1e-12, "{ticks}");
        }
        assert_eq!(gripper.ends_ticks(), [2500, 1000]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_the_joint() {
        for (from, to, says) in [
            ("id = 2", "id = 1", "two servos"),
            ("id = 2", "id = 254", "id 254"),
            ("direction = 1", "direction = 2", "direction is 1 or -1"),
            (
                "zero_ticks = 2048",
                "zero_ticks = 8192",
                "zero_ticks = 8192",
            ),
            (
                "zero_ticks = 2048",
                "zero_ticks = -2147483648",
                "a turn away",
            ),
            ("\"sts3215\"", "\"sts9\"", "no table of a model"),
            ("range_ticks = [", "range_ticks = [-", "seam"),
            ("zero_ticks = ", "zero = ", "unknown field"),
        ] {
            let error = Calibration::parse(&FILE.replacen(from, to, 1)).unwrap_err();
            assert!(error.0.contains(says), "{from}: {error}");
        }
    }
}
