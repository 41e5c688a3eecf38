//! Counts the calls of the allocator by one thread: for tests of what must not allocate. Replaces the allocator of its program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Calls of the allocator since this thread was armed; `None` while it is not.
    static CALLS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Calls of the allocator by this thread during `act`.
pub fn allocator_calls(act: &mut dyn FnMut()) -> u64 {
    CALLS.set(Some(0));
    act();
    CALLS.replace(None).unwrap_or(0)
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    CALLS.set(CALLS.get().map(|calls| calls + 1));
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }
}
