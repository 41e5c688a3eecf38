//! Real-time rights of a whole process, so in a process of its own: with the rights that the machine grants, the tasks
//! run, and no other thread can get in the control thread's way.

use rtic_monotonics::Timebase;
use std::pin::pin;
use visuomotor_runtime::clock::{Duration, LinuxMono, ThreadMono, block_on, executor};
use visuomotor_runtime::realtime::{Preference, Process, Thread, ThreadPlan, ThreadUsage};

#[test]
fn the_control_thread_runs_with_what_is_granted() {
    let plan = ThreadPlan {
        fifo_priority: Some(80),
        cpu: Some(0),
    };
    let process =
        Process::prepare(Preference::Preferred, &plan).expect("preferred rights are never fatal");
    let control = std::thread::spawn(move || {
        let thread = Thread::enter(Preference::Preferred, plan).expect("preferred again");
        let granted = process.granted(&thread);
        for check in process.missing.iter().chain(&thread.missing) {
            println!("NOT TESTED HERE: {check}");
        }
        let counts = [
            granted.memory_locked,
            granted.cpu_latency,
            granted.fifo,
            granted.affinity,
        ];
        let lacking = counts.iter().filter(|&&granted| !granted).count();
        assert!(granted.missing.len() >= lacking && (lacking > 0 || granted.missing.is_empty()));

        let wait_20_ms = || {
            let start = LinuxMono::now();
            executor::run::<LinuxMono>(&mut [pin!(async {
                for k in 1..=20 {
                    LinuxMono::delay_until(start + Duration::from_millis(k)).await;
                }
                let other = std::thread::spawn(|| critical_section::with(|_| ()));
                let alone = std::thread::spawn(|| {
                    block_on(ThreadMono::delay(Duration::from_millis(1)));
                });
                assert!(
                    alone.join().is_ok(),
                    "who sleeps alone needs no critical section"
                );
                assert_eq!(
                    other.join().is_err(),
                    granted.fifo,
                    "reserved only in real time"
                );
            })]);
        };
        wait_20_ms();
        let before = ThreadUsage::of_this_thread();
        wait_20_ms();
        let used = ThreadUsage::of_this_thread().since(&before);
        assert!(used.switches.voluntary_switches >= 1, "{used:?}");
        println!("{granted:?} {used:?}");
        critical_section::with(|_| ());
    });
    control.join().expect("the control thread ends well");
    critical_section::with(|_| ());
}
