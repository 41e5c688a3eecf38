//! What the control thread asks of the kernel and of the allocator in a tick: its list of system calls, and nothing.
//!
//! The thread is the real one ([`crate::threads::control`]) in a session that records everything; only the arm stands in.

use crate::allocations;
use crate::config::{JOINTS, Launch};
use crate::dry_run::{DryRun, FollowingArm};
use crate::system_calls;
use crate::threads;
use crossbeam::channel;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::realtime::Preference;
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

/// The system calls of a tick.
const ALLOWED: [libc::c_long; 5] = [
    // The sleep until the next deadline.
    libc::SYS_clock_nanosleep,
    // The time, where the kernel's shared page cannot tell it; CPU time, which it never can.
    libc::SYS_clock_gettime,
    // The tick's health: switches and faults, and run delay from a file that was opened before.
    libc::SYS_getrusage,
    libc::SYS_pread64,
    // The return from the handler that notes a refusal.
    libc::SYS_rt_sigreturn,
];
const TICKS_MIN: u64 = 2_000;
/// What the simulated session does before it moves, and after.
const FIRST_WATCHED_TICK: u64 = 10;

/// An arm whose thread is watched from an early tick to the stop that ends the loop; and something may be done in a tick
/// that should not be.
struct Watched<'a> {
    arm: FollowingArm,
    ticks: u64,
    begin: &'a mut dyn FnMut(),
    misdeed: &'a mut dyn FnMut(),
    end: &'a mut dyn FnMut(),
}

impl Arm<JOINTS> for Watched<'_> {
    fn read(&mut self, now: Instant) -> Result<ArmState<JOINTS>, ArmError> {
        self.ticks += 1;
        if self.ticks == FIRST_WATCHED_TICK {
            (self.begin)();
        }
        if self.ticks == 10 * FIRST_WATCHED_TICK {
            (self.misdeed)();
        }
        self.arm.read(now)
    }

    fn write(&mut self, command: &SafeCommand<JOINTS>) -> Result<(), ArmError> {
        self.arm.write(command)
    }

    fn stop(&mut self, category: StopCategory) {
        self.arm.stop(category);
        if self.ticks > TICKS_MIN {
            (self.end)();
        }
    }
}
