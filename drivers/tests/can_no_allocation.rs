//! What the control thread calls of the CAN arm never allocates, on a sound line nor on bad ones.
//!
//! One test alone, because it replaces the allocator of its process.

#![cfg(feature = "can")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use visuomotor_drivers::testkit::conformance::arm::no_call_allocates;
use visuomotor_drivers::testkit::conformance::can::CanBench;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn reads_writes_and_stops_of_the_can_arm_do_not_allocate() {
    no_call_allocates::<CanBench, 7>(1, |call| {
        let before = CALLS.get();
        call();
        CALLS.get() - before
    });
}
