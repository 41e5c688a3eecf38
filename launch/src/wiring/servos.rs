//! Emulated servos for an arm that a launch file describes.

use visuomotor_drivers::servo_bus::{Calibration, ServoBusConfig};
use visuomotor_drivers::testkit::emulate::Plant;
use visuomotor_drivers::testkit::emulate::servo::{Mounting, ServoDevice, ServoSpec};
use visuomotor_runtime::clock::Instant;

/// Servos as a calibration says that they are mounted.
pub fn servos<P: Plant>(
    config: &ServoBusConfig,
    calibration: &Calibration,
    plant: P,
    now: Instant,
) -> ServoDevice<P> {
    let joints = calibration.joints.iter().map(|joint| ServoSpec {
        id: joint.id,
        model: joint.model,
        mounting: Mounting {
            zero_ticks: joint.zero_ticks,
            direction: joint.direction,
            ..Mounting::centred(joint.model)
        },
    });
    let grip = &calibration.gripper;
    let [closed, _] = grip.ends_ticks();
    let gripper = ServoSpec {
        id: grip.id,
        model: grip.model,
        // The plant's fingers are closed at 0.
        mounting: Mounting {
            zero_ticks: closed,
            ..Mounting::centred(grip.model)
        },
    };
    let specs: Vec<_> = joints.chain([gripper]).collect();
    ServoDevice::new(&specs, plant, config.baud, now)
}
