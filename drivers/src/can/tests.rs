//! The driver against emulated drives on a bus in virtual time.

use crate::testkit::conformance::can::CanBench;
use crate::testkit::conformance::{arm, schedule};

#[test]
fn the_can_arm_conforms() {
    arm::run::<CanBench, 7>(0..4);
}

#[test]
fn the_can_arm_conforms_through_random_faults() {
    schedule::run::<CanBench, 7>(0..200);
}

#[test]
fn long_the_can_arm_conforms_through_ten_thousand_random_faults() {
    schedule::run::<CanBench, 7>(200..10_200);
}
