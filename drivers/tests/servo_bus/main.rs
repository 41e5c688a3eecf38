//! The driver of servo buses against emulated servos: the conformance suite of all arms, and what is its own.

#![cfg(feature = "servo-bus")]

#[path = "../allocations/mod.rs"]
mod allocations;
mod bench;
mod own;
mod pty;

use bench::{Dynamixel, Feetech, N, ServoBench};
use visuomotor_drivers::testkit::conformance::{arm, schedule};

#[test]
fn a_feetech_arm_conforms() {
    arm::run::<ServoBench<Feetech>, N>(0..4);
}

#[test]
fn a_dynamixel_arm_conforms() {
    arm::run::<ServoBench<Dynamixel>, N>(0..4);
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
