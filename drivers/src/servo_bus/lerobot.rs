//! Import of LeRobot's calibration files: `{"shoulder_pan": {"id": 1, "drive_mode": 0, "homing_offset": .., "range_min": ..,
//! "range_max": ..}, ..}`.
//!
//! What LeRobot (0.4, `MotorsBus`) means by it: `homing_offset` is written into the servo's own offset register, so that tick
//! 2047 is where the person held the joint in the middle; `range_min` and `range_max` are in ticks after that offset; 0 degrees
//! is their middle, and `drive_mode` 1 turns the direction of ranges in per cent, not that of degrees. Which models the servos
//! are, and what the fingers' ends are in metres, the file does not say: [`Unsaid`].

use super::calibration::{
    Calibration, CalibrationError, Direction, GripperCalibration, JointCalibration,
};
use super::tables::Model;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What LeRobot's file does not say.
#[derive(Clone, Debug)]
pub struct Unsaid<'a> {
    /// Each joint's name, base to tip, and its servo's model: JSON has no order.
    pub joints: &'a [(&'a str, &'static Model)],
    pub gripper: (&'a str, &'static Model),
    /// Between the pads at `range_min`, and at `range_max`.
    pub aperture_m: [f64; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Motor {
    id: u8,
    drive_mode: u8,
    homing_offset: i32,
    range_min: i32,
    range_max: i32,
}

/// # Errors
/// When it is no such file, lacks a servo or has one more, or says what cannot be.
pub fn import_lerobot(text: &str, unsaid: &Unsaid) -> Result<Calibration, CalibrationError> {
    let motors: Result<BTreeMap<String, Motor>, _> = serde_json::from_str(text);
    let mut motors = motors
        .map_err(|error| CalibrationError(format!("not a calibration of LeRobot's: {error}")))?;
    let known = motors.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut take = |name: &str| {
        let missing = || {
            CalibrationError(format!(
                "the file has no servo {name:?}, or it is named twice; its servos are {known}"
            ))
        };
        motors.remove(name).ok_or_else(missing)
    };
    let mut joints = Vec::new();
    for &(name, model) in unsaid.joints {
        joints.push(joint(name, &take(name)?, model)?);
    }
    let gripper = gripper(&take(unsaid.gripper.0)?, unsaid);
    if let Some(name) = motors.keys().next() {
        return Err(CalibrationError(format!(
            "servo {name:?} is in the file and not among the joints"
        )));
    }
    let calibration = Calibration { joints, gripper };
    calibration.validate()?;
    Ok(calibration)
}

fn joint(
    name: &str,
    motor: &Motor,
    model: &'static Model,
) -> Result<JointCalibration, CalibrationError> {
    let direction = match motor.drive_mode {
        0 => Direction::Forward,
        1 => Direction::Reverse,
        other => {
            return Err(CalibrationError(format!(
                "{name}: a drive_mode {other}; known are 0 and 1"
            )));
        }
    };
    Ok(JointCalibration {
        name: name.to_owned(),
        id: motor.id,
        model,
        homing_offset_ticks: motor.homing_offset,
        zero_ticks: motor.range_min.midpoint(motor.range_max),
        direction,
        range_ticks: [motor.range_min, motor.range_max],
    })
}

fn gripper(motor: &Motor, unsaid: &Unsaid) -> GripperCalibration {
    let [low, high] = unsaid.aperture_m;
    GripperCalibration {
        name: unsaid.gripper.0.to_owned(),
        id: motor.id,
        model: unsaid.gripper.1,
        homing_offset_ticks: motor.homing_offset,
        aperture: vec![(motor.range_min, low), (motor.range_max, high)],
    }
}

impl Calibration {
    /// As a file that [`Calibration::parse`] reads.
    pub fn to_toml(&self) -> String {
        let joint = |joint: &JointCalibration| {
            let [low, high] = joint.range_ticks;
            format!(
                "[[joint]]\nname = {:?}\nid = {}\nmodel = {:?}\nhoming_offset_ticks = {}\nzero_ticks = {}\n\
                 direction = {}\nrange_ticks = [{low}, {high}]\n\n",
                joint.name,
                joint.id,
                joint.model.name,
                joint.homing_offset_ticks,
                joint.zero_ticks,
                joint.direction.sign(),
            )
        };
        let gripper = &self.gripper;
        let points: Vec<String> = gripper
            .aperture
            .iter()
            .map(|(ticks, m)| format!("[{ticks}, {m:?}]"))
            .collect();
        let last = format!(
            "[gripper]\nname = {:?}\nid = {}\nmodel = {:?}\nhoming_offset_ticks = {}\naperture = [{}]\n",
            gripper.name,
            gripper.id,
            gripper.model.name,
            gripper.homing_offset_ticks,
            points.join(", "),
        );
        self.joints.iter().map(joint).collect::<String>() + &last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "shoulder_pan": {"id": 1, "drive_mode": 0, "homing_offset": -1470, "range_min": 758, "range_max": 3292},
        "wrist_roll": {"id": 5, "drive_mode": 1, "homing_offset": 12, "range_min": 0, "range_max": 4095},
        "gripper": {"id": 6, "drive_mode": 0, "homing_offset": 1407, "range_min": 2031, "range_max": 3476}
    }"#;

    fn import(text: &str) -> Result<Calibration, CalibrationError> {
        let [pan_and_jaw, roll] = ["sts3215", "sts3250"].map(|name| Model::named(name).unwrap());
        let unsaid = Unsaid {
            joints: &[("shoulder_pan", pan_and_jaw), ("wrist_roll", roll)],
            gripper: ("gripper", pan_and_jaw),
            aperture_m: [0.0, 0.1],
        };
        import_lerobot(text, &unsaid)
    }

    #[test]
    fn degrees_are_lerobots_and_the_file_comes_back() {
        let calibration = import(FILE).unwrap();
        let pan = &calibration.joints[0];
        // LeRobot: (val - mid) * 360 / 4095; its turn has a tick less than the encoder.
        for ticks in [758, 2025, 3292] {
            let lerobot_deg = (f64::from(ticks) - 2025.0) * 360.0 / 4095.0;
            assert!(
                (pan.q_rad(ticks).to_degrees() - lerobot_deg).abs() < 0.03,
                "{ticks}"
            );
        }
        assert_eq!(pan.homing_offset_ticks, -1470);
        assert_eq!(calibration.joints[1].direction, Direction::Reverse);
        assert_eq!(calibration.joints[1].model.name, "sts3250");
        assert_eq!(calibration.gripper.aperture_m(3476), 0.1);
        assert_eq!(
            Calibration::parse(&calibration.to_toml()).unwrap(),
            calibration
        );
    }

    #[test]
    fn what_the_file_lacks_or_has_too_much_is_named() {
        for (from, to, says) in [
            ("wrist_roll", "wrist", "no servo \"wrist_roll\""),
            (
                "\"gripper\"",
                "\"camera\": {\"id\": 9, \"drive_mode\": 0, \"homing_offset\": 0, \"range_min\": 0,\
              \"range_max\": 9}, \"gripper\"",
                "\"camera\"",
            ),
            ("\"drive_mode\": 1", "\"drive_mode\": 4", "drive_mode 4"),
            ("range_min\": 0", "range_min\": 4095", "empty"),
            ("\"id\"", "\"name\"", "unknown field"),
            ("\"id\": 5", "\"id\": 254", "id 254"),
            ("\"id\": 5", "\"id\": 6", "two servos"),
        ] {
            let error = import(&FILE.replacen(from, to, 1)).unwrap_err();
            assert!(error.0.contains(says), "{from}: {error}");
        }
    }
}
