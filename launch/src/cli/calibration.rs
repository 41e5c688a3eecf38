//! What may be asked of a calibration that others made.
//!
//! Not responsible for importing it ([`crate::import_calibration`]).

use clap::Args;
use std::path::PathBuf;

pub const EXAMPLES: &str = "\
Examples:
  visuomotor import calibration ~/.cache/huggingface/lerobot/calibration/robots/so101_follower/my_arm.json \\
      --launch launch/robots/so101.toml --aperture-m 0,0.1 --out launch/robots/my_arm_calibration.toml
      The launch file's present calibration says in which order the joints are, and which servos.
  visuomotor import calibration my_koch.json --joints shoulder_pan,shoulder_lift,elbow_flex,wrist_flex,wrist_roll \\
      --gripper gripper --models xl430-w250,xl430-w250,xl330-m288,xl330-m288,xl330-m288,xl330-m077 --aperture-m 0,0.08 \\
      --out my_koch_calibration.toml
      Without a launch file everything is said here.

Then let [arm.servo_bus] calibration name the new file. What LeRobot's file does not say is asked for: order and models of
the servos, and how far the finger pads are apart at the gripper's range_min and range_max. Measure that: it depends on how
far the jaw was opened when the arm was calibrated.

LeRobot's 0 is the middle of a joint's range, which is not the URDF's 0 on every joint: before the arm gets power, compare
each joint at the URDF's 0, and its direction, and correct zero_ticks and direction. Nothing is overwritten.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportCalibrationArgs {
    /// The calibration that LeRobot keeps of this arm: JSON with id, drive_mode, homing_offset, range_min, range_max a motor.
    #[arg(value_name = "FILE")]
    pub calibration: PathBuf,
    /// The calibration to write; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Launch file of such an arm, whose calibration says what the flags below do not.
    #[arg(long, value_name = "LAUNCH")]
    pub launch: Option<PathBuf>,
    /// Names of the joints, base to tip, as LeRobot's file has them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub joints: Option<Vec<String>>,
    /// Name of the gripper.
    #[arg(long, value_name = "NAME")]
    pub gripper: Option<String>,
    /// Model of all servos, as sts3215; or of each, base to tip, the gripper's last.
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    pub models: Option<Vec<String>>,
    /// Between the finger pads at the gripper's range_min, and at its range_max, m.
    #[arg(
        long,
        value_name = "MIN,MAX",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    pub aperture_m: Vec<f64>,
}
