//! What the control thread calls of the simulated arm or plant never allocates nor frees: neither in Rust nor in MuJoCo.
//!
//! One test alone, because it replaces the allocators of its process.

#![cfg(feature = "sim")]

use mujoco_rs::mujoco_c::{mju_user_free, mju_user_malloc};
use nalgebra::Isometry3;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use visuomotor_drivers::sim::{Rig, Robot, SceneConfig, Split, View, World};
use visuomotor_drivers::testkit::emulate::Plant;
use visuomotor_runtime::arm::{Arm, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::safety::{
    Collision, Limits, Request, Safety, ToolLimits, Verdict, Workspace,
};
use visuomotor_runtime::units::{JointAccelerations, JointVelocities};

const URDF: &str = include_str!("../../launch/robots/iiwa14.urdf");
/// MuJoCo asks for no stricter alignment. The first bytes of a block hold its size.
const ALIGN: usize = 64;

thread_local! {
    /// Calls of an allocator since this thread was armed; `None` while it is not.
    static CALLS: Cell<Option<u64>> = const { Cell::new(None) };
}

fn count() {
    CALLS.set(CALLS.get().map(|calls| calls + 1));
}

/// Calls of an allocator by this thread during `act`.
fn allocator_calls<T>(act: impl FnOnce() -> T) -> (T, u64) {
    CALLS.set(Some(0));
    let result = act();
    (result, CALLS.replace(None).unwrap())
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

fn block(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(ALIGN)?, ALIGN).ok()
}

unsafe extern "C" fn mujoco_alloc(size: usize) -> *mut c_void {
    let Some(layout) = block(size) else {
        return std::ptr::null_mut();
    };
    // SAFETY: the layout is not empty; the block is large and aligned enough for its size and what follows.
    unsafe {
        let start = std::alloc::alloc(layout);
        if start.is_null() {
            return start.cast();
        }
        start.cast::<usize>().write(size);
        start.add(ALIGN).cast()
    }
}

unsafe extern "C" fn mujoco_free(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: MuJoCo frees what `mujoco_alloc` made: its size stands before it.
    unsafe {
        let start = memory.cast::<u8>().sub(ALIGN);
        let layout = block(start.cast::<usize>().read());
        std::alloc::dealloc(start, layout.unwrap_unchecked());
    }
}

fn safety() -> Safety<7> {
    let chain = Chain::from_urdf(URDF, "base_link", "tcp").unwrap();
    let limits = "acceleration = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]
        jerk = [900.0, 900.0, 900.0, 900.0, 900.0, 900.0, 900.0]";
    let limits = Limits::new(&chain, &toml::from_str(limits).unwrap());
    let workspace = Workspace {
        min_m: [-0.3, -0.3, 0.001],
        max_m: [0.3, 0.3, 0.5],
        table_height_m: 0.001,
    };
    let [x, y, z] = SceneConfig::default().tray_in_base_m;
    let task = Isometry3::translation(x, y, z);
    let tick = Duration::from_ticks(1_000_000);
    Safety::new(
        chain,
        limits.unwrap(),
        ToolLimits::anywhere_in(workspace),
        Collision::none(),
        task,
        tick,
    )
    .unwrap()
}

#[test]
fn reading_and_writing_do_not_allocate() {
    // SAFETY: nothing of MuJoCo has run yet, and no other thread of this process uses it.
    unsafe {
        mju_user_malloc = Some(mujoco_alloc);
        mju_user_free = Some(mujoco_free);
    }
    let config = SceneConfig {
        encoder_noise_rad: 1e-5,
        ..SceneConfig::default()
    };
    let build = |seed| Box::new(World::build(&config, Split::Test, seed).unwrap());
    let (first, counted) = allocator_calls(|| build(1));
    assert!(counted > 100, "the allocators are not counted");
    let mut rig = Rig::new(*first);
    let _watchers = (rig.camera(View::Policy), rig.observer());
    let (mut arm, feeder) = rig.split().unwrap();
    let mut safety = safety();
    let ms = |tick: u64| Instant::from_ticks(tick * 1_000_000);
    safety.arm(&arm.read(ms(0)).unwrap()).unwrap();
    let mut calls = 0;
    for tick in 1..=2000 {
        if tick == 1000 {
            assert!(feeder.offer(build(2)).is_ok());
        }
        let request = Request::Motion {
            dq: JointVelocities::from(
                [0.1, 0.2, 0.0, 0.0, 0.1, 0.0, 0.3]
                    .map(|dq| if tick % 1000 < 500 { dq } else { -dq }),
            ),
            ddq: JointAccelerations::zeros(),
        };
        let fingers = if tick % 400 < 200 {
            Fingers::Open
        } else {
            Fingers::Closed
        };
        let (Verdict::Move(command), _) = safety.filter(request, fingers) else {
            panic!("a stop in tick {tick}");
        };
        let (result, counted) = allocator_calls(|| {
            let state = arm.read(ms(tick))?;
            arm.write(&command)?;
            Ok::<_, visuomotor_runtime::arm::ArmError>(state)
        });
        result.unwrap();
        calls += counted;
    }
    let ((), stopping) =
        allocator_calls(|| arm.stop(visuomotor_runtime::safety::StopCategory::Two));
    assert_eq!((calls, stopping), (0, 0));
    assert_eq!(of_a_plant(), 0);
}

/// Calls of an allocator by two simulated seconds of an arm that falls among the objects, with another scene between.
fn of_a_plant() -> u64 {
    let config = SceneConfig {
        robot: Robot::CanArm,
        timestep_us: 1000,
        ..SceneConfig::default()
    };
    let build = |seed| World::build(&config, Split::Test, seed).unwrap();
    let mut rig = Rig::new(build(1));
    let _watchers = (rig.camera(View::Policy), rig.observer());
    let (mut plant, feeder) = rig.split_plant().unwrap();
    let mut calls = 0;
    for tick in 1..=2000 {
        if tick == 1000 {
            assert!(feeder.offer(Box::new(build(2))).is_ok());
        }
        let ((), counted) = allocator_calls(|| plant.step(&[0.1; 8]));
        calls += counted;
    }
    calls
}
