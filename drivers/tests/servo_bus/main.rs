//! The driver of servo buses against emulated servos: the conformance suite of all arms, and what is its own.

#![cfg(feature = "servo-bus")]

#[path = "../allocations/mod.rs"]
mod allocations;
mod own;
mod pty;

use visuomotor_drivers::testkit::conformance::servo::{Dynamixel, Feetech, N, ServoBench};
use visuomotor_drivers::testkit::conformance::{arm, schedule};
use visuomotor_drivers::testkit::figures;

#[test]
fn a_feetech_arm_conforms() {
    arm::run::<ServoBench<Feetech>, N>(0..4);
}

#[test]
fn a_dynamixel_arm_conforms() {
    arm::run::<ServoBench<Dynamixel>, N>(0..4);
}

#[test]
fn six_servos_are_as_fast_and_lose_as_little_as_they_must() {
    let so101 = figures::arm::<ServoBench<Feetech>, N>(1).unwrap();
    let koch = figures::arm::<ServoBench<Dynamixel>, N>(1).unwrap();
    println!("{so101:#?}\n{koch:#?}");
    assert_eq!((so101.shortfalls(), koch.shortfalls()), (vec![], vec![]));
    // Nothing on a serial line looks older after a loss: an answer's length says what it belongs to. The number of registers
    // that are asked for varies by seven, at 1 Mbit/s 0.42 ms for six servos.
    for lost in [so101.lost_answer, koch.lost_answer] {
        assert!(lost.age_steps_max < 0.1, "{lost:?}");
    }
    assert!(so101.silence.is_none() && koch.silence.is_some());
}

#[test]
fn reading_and_writing_do_not_allocate() {
    arm::no_call_allocates::<ServoBench<Feetech>, N>(1, allocations::allocator_calls);
    arm::no_call_allocates::<ServoBench<Dynamixel>, N>(2, allocations::allocator_calls);
}

#[test]
fn fault_schedules() {
    schedule::run::<ServoBench<Feetech>, N>(0..200);
    schedule::run::<ServoBench<Dynamixel>, N>(0..200);
}

#[test]
fn long_fault_schedules_of_a_feetech_arm() {
    schedule::run::<ServoBench<Feetech>, N>(1_000..11_000);
}

#[test]
fn long_fault_schedules_of_a_dynamixel_arm() {
    schedule::run::<ServoBench<Dynamixel>, N>(1_000..11_000);
}
