//! Capturing raw frames that are not resized allocates nothing; resized ones only the resizer's tables of weights.
//!
//! One test alone, because it replaces the allocator of its process.

#![cfg(feature = "v4l")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use visuomotor_drivers::picture::PixelFormat;
use visuomotor_drivers::testkit::emulate::camera::{EmulatedCamera, Plan};
use visuomotor_drivers::v4l::{V4lCamera, V4lConfig};
use visuomotor_runtime::camera::{Camera, Frame};

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.set(BYTES.get() + size);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Bytes that 100 captures allocate, once everything has its size. The emulated device allocates nothing then.
fn allocated(format: PixelFormat, output_px: Option<[u32; 2]>) -> usize {
    let plan = Plan {
        size_px: [320, 240],
        ..Plan::well(1, format)
    };
    let config = V4lConfig {
        output_px,
        ..V4lConfig::new("/dev/video0", plan.size_px, 30.0)
    };
    let device = EmulatedCamera::new(plan);
    let (port, stream) = device.plug_in();
    let mut camera = V4lCamera::over(port, stream, &config).unwrap();
    let mut frame = Frame::default();
    let mut captures = |count| {
        for _ in 0..count {
            camera.capture(device.now(), &mut frame).unwrap();
        }
    };
    captures(20);
    let before = BYTES.get();
    captures(100);
    BYTES.get() - before
}

#[test]
fn raw_frames_are_captured_without_allocation() {
    for format in [
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Rgb24,
        PixelFormat::Grey,
    ] {
        assert_eq!(allocated(format, None), 0, "{format:?}");
    }
    for format in [PixelFormat::Yuyv, PixelFormat::Rgb24] {
        let a_frame = allocated(format, Some([64, 48])) / 100;
        println!("{format:?} resized: {a_frame} bytes a frame");
        assert!(
            (1..32_768).contains(&a_frame),
            "{format:?}: {a_frame} bytes a frame"
        );
    }
}
