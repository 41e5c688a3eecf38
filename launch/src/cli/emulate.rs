//! What may be asked of an emulated robot.
//!
//! Not responsible for emulating ([`crate::emulate`]).

use super::seed;
use clap::Args;
use std::path::PathBuf;

pub const EXAMPLES: &str = "\
Examples:
  visuomotor emulate so101 --pty /tmp/so101
      Six Feetech servos on a pseudo terminal; let [arm.servo_bus] port name it, and everything that speaks to a real
      SO-101 speaks to them.
  visuomotor emulate can_arm --can vcan0
      Eight drives on a CAN bus: `sudo ip link add dev vcan0 type vcan && sudo ip link set vcan0 up`.
  visuomotor emulate launch/robots/so101.toml --pty /tmp/so101 --video /dev/video9
      With the scene of a launch file behind the drives, and its camera's picture on a v4l2loopback device.

Drives as the manufacturers document them: registers, limits, error bytes, watchdogs, time on the wire. It serves until
Ctrl-C. Without a scene the joints are inertias with friction, start at 0 (an SO-101 outside its template's workspace: `run
--recover`), and gravity does not pull. With one it says at the end, as JSON,
what became of the objects: lifted (held above the height for 0.25 s), lifted_s, held_height_m_max.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EmulateArgs {
    /// `so101`, `can_arm`, or a launch file with [arm.servo_bus] or [arm.can] and a [scene].
    pub robot: PathBuf,
    /// Where to put a link to the pseudo terminal that a servo bus is served on; nothing may be there but a link to what is gone.
    #[arg(long, value_name = "PATH", conflicts_with = "can")]
    pub pty: Option<PathBuf>,
    /// CAN interface that drives are served on.
    #[arg(long, value_name = "INTERFACE")]
    pub can: Option<String>,
    /// v4l2loopback device that the scene's camera is shown on.
    #[arg(long, value_name = "DEVICE")]
    pub video: Option<PathBuf>,
    /// Frames a second of that picture.
    #[arg(long, value_name = "HZ", default_value_t = 30.0)]
    pub video_hz: f64,
    /// Seed of the scene.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
}
