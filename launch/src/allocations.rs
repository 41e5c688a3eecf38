//! Counts what a thread asks of the allocator while it is watched: the control loop must ask nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Calls since this thread was armed; `None` while it is not.
    static CALLS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What `act` gives, and how often this thread called the allocator meanwhile.
pub fn count<T>(act: impl FnOnce() -> T) -> (T, u64) {
    CALLS.set(Some(0));
    let result = act();
    (result, CALLS.replace(None).unwrap_or(0))
}

/// The same of a future; its thread must do nothing else between two polls but wait.
pub async fn count_in<T>(act: impl Future<Output = T>) -> (T, u64) {
    CALLS.set(Some(0));
    let result = act.await;
    (result, CALLS.replace(None).unwrap_or(0))
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note() {
    CALLS.set(CALLS.get().map(|calls| calls + 1));
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note();
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn what_is_allocated_is_counted_and_nothing_else() {
        let (block, calls) = count(|| vec![1_u8; 100]);
        assert!(calls >= 1);
        let (sum, calls) = count(|| block.iter().map(|&x| u32::from(x)).sum::<u32>());
        assert_eq!((sum, calls), (100, 0));
    }
}
