//! What the control thread calls of the CAN arm never allocates, on a sound line nor on bad ones.
//!
//! One test alone, because it replaces the allocator of its process.

#![cfg(feature = "can")]

mod allocations;

use allocations::allocator_calls;
use visuomotor_drivers::testkit::conformance::arm::no_call_allocates;
use visuomotor_drivers::testkit::conformance::can::CanBench;

#[test]
fn reads_writes_and_stops_of_the_can_arm_do_not_allocate() {
    no_call_allocates::<CanBench, 7>(1, allocator_calls);
}
