//! What the control thread asks of the kernel in a tick: the calls on its list, and no other.
//!
//! The thread is the real one ([`crate::threads::control`]), in a session that records everything; only the arm stands in.

use crate::config::{JOINTS, Launch};
use crate::dry_run::{Directory, DryRun, FollowingArm, PatternCamera};
use crate::system_calls;
use crate::threads;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

/// The system calls of a tick. An arm adds those of its own reading and writing; this one has none.
const ALLOWED: [libc::c_long; 5] = [
    // The sleep until the next deadline.
    libc::SYS_clock_nanosleep,
    // The time where the page that the kernel shares cannot tell it.
    libc::SYS_clock_gettime,
    // The health of the tick: switches and faults; run delay, from a file that was opened before the first tick.
    libc::SYS_getrusage,
    libc::SYS_pread64,
    // The return from the handler that notes a refusal.
    libc::SYS_rt_sigreturn,
];
const FIRST_WATCHED_TICK: u64 = 10;
const WATCHED_TICKS: u64 = 2_000;

static DONE: AtomicBool = AtomicBool::new(false);

/// An arm that puts the thread that moves it under the filter, and may do in a tick what no tick may do.
struct WatchingArm<'a> {
    arm: &'a mut FollowingArm,
    ticks: u64,
    misdeeds: &'a [fn()],
}

impl Arm<JOINTS> for WatchingArm<'_> {
    fn read(&mut self, now: Instant) -> Result<ArmState<JOINTS>, ArmError> {
        self.ticks += 1;
        let watched = self.ticks.checked_sub(FIRST_WATCHED_TICK);
        match watched {
            Some(0) => system_calls::allow_only(&ALLOWED),
            Some(WATCHED_TICKS) => {
                system_calls::stop_noting();
                DONE.store(true, Ordering::SeqCst);
            }
            Some(tick) if tick.is_multiple_of(100) => {
                if let Some(misdeed) = self.misdeeds.get(tick as usize / 100 - 1) {
                    misdeed();
                }
            }
            _ => {}
        }
        self.arm.read(now)
    }

    fn write(&mut self, command: &SafeCommand<JOINTS>) -> Result<(), ArmError> {
        self.arm.write(command)
    }

    fn stop(&mut self, category: StopCategory) {
        self.arm.stop(category);
    }
}

/// Runs a session until its control thread has had all the watched ticks; `meanwhile` is called every few of them. Neither
/// the session nor, under its filter, the thread ends before the process does.
fn watch(misdeeds: &'static [fn()], mut meanwhile: impl FnMut()) {
    // Gone when the watched ticks are over; what is open of it ends with the process.
    let directory = Directory::new("watched").unwrap();
    let episodes = directory.path().to_owned();
    std::thread::spawn(move || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("robots/sim_iiwa14.toml");
        let launch = Launch::read(&path).unwrap();
        let run = DryRun::new(&launch, &episodes, 1, PatternCamera::of(&launch)).unwrap();
        let control = |arm: &mut FollowingArm, controller: &mut _, link, ready: &_| {
            let mut arm = WatchingArm {
                arm,
                ticks: 0,
                misdeeds,
            };
            threads::control(&launch, &mut arm, controller, link, ready);
        };
        let _ = run.run(Duration::from_ticks(3_600_000_000_000), control);
    });
    while !DONE.load(Ordering::SeqCst) {
        meanwhile();
        LinuxMono::sleep_until(LinuxMono::now() + Duration::from_millis(5));
    }
}

/// Runs the test of this name in a process of its own, and `test` in that one: a thread of real-time priority keeps others
/// from the critical section, and a filter lasts as long as its thread.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "VISUOMOTOR_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let name = format!("control_thread_tests::{name}");
    let mut itself = Command::new(std::env::current_exe().unwrap());
    let output = itself.args([&name, "--exact"]).env(ALONE, "1").output();
    let output = output.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
}

#[test]
fn a_tick_makes_only_the_system_calls_of_its_list() {
    alone("a_tick_makes_only_the_system_calls_of_its_list", || {
        watch(&[], || {});
        assert_eq!(system_calls::refused(), []);
    });
}

static LOCK: Mutex<()> = Mutex::new(());

#[test]
fn printing_waiting_opening_and_allocating_are_noticed() {
    alone(
        "printing_waiting_opening_and_allocating_are_noticed",
        || {
            let misdeeds: &[fn()] = &[
                || drop(std::io::stdout().write_all(b"a line\n")),
                || drop(LOCK.lock().unwrap_or_else(PoisonError::into_inner)),
                || drop(File::open("/dev/null")),
                || drop(Vec::<u8>::new().try_reserve_exact(64 << 20)),
            ];
            let was_refused = |call: libc::c_long| {
                let refused = system_calls::refused();
                refused.iter().any(|&(number, _)| number as i64 == call)
            };
            let mut held = Some(LOCK.lock().unwrap_or_else(PoisonError::into_inner));
            watch(misdeeds, || {
                if was_refused(libc::SYS_futex) {
                    held = None;
                }
            });
            for call in [
                libc::SYS_write,
                libc::SYS_futex,
                libc::SYS_openat,
                libc::SYS_mmap,
            ] {
                assert!(was_refused(call), "call {call} was not noticed");
            }
        },
    );
}
