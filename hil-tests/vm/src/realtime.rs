//! What the kernel grants to a controller, and which kernel it is. Never how punctual it is: the processor is emulated.

use crate::case::{Case, EVERY, Kernel, Mode, Outcome};
use serde_json::{Value, json};
use std::fs;
use visuomotor_runtime::realtime::{Preference, Process, Thread, ThreadPlan};

pub const CASES: &[Case] = &[
    Case {
        name: "realtime_rights_are_granted",
        kernels: EVERY,
        run: rights,
        ..Case::DEFAULT
    },
    Case {
        name: "realtime_kernel_says_so",
        kernels: &[Kernel::Realtime],
        run: says_so,
        ..Case::DEFAULT
    },
    Case {
        name: "time_counts_instructions",
        mode: Mode::Icount,
        kernels: EVERY,
        run: counts_instructions,
        ..Case::DEFAULT
    },
];

fn rights() -> Outcome {
    let plan = ThreadPlan::control(Some(1));
    let process = Process::prepare(Preference::Required, &plan).expect("process");
    let thread = std::thread::spawn(move || Thread::enter(Preference::Required, plan));
    let thread = thread.join().expect("no panic").expect("thread");
    let granted = process.granted(&thread);
    assert!(granted.memory_locked && granted.fifo && granted.affinity && granted.cpu_latency);
    Outcome::Passed(Value::Null)
}

fn says_so() -> Outcome {
    let said = fs::read_to_string("/sys/kernel/realtime").expect("/sys/kernel/realtime");
    assert_eq!(said.trim(), "1");
    Outcome::Passed(Value::Null)
}

/// The same work takes the same time, to a percent or so, whatever the host does meanwhile.
fn counts_instructions() -> Outcome {
    let work = || {
        let begun = std::time::Instant::now();
        let mut sum = 0_u64;
        for i in 0..2_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        begun.elapsed().as_secs_f64() * 1e3
    };
    let times_ms: Vec<f64> = (0..10).map(|_| work()).collect();
    let fastest = times_ms.iter().copied().fold(f64::INFINITY, f64::min);
    let slowest = times_ms.iter().copied().fold(0.0, f64::max);
    assert!(slowest < 1.1 * fastest, "{times_ms:?}");
    Outcome::Passed(json!({"fastest_ms": fastest, "slowest_ms": slowest}))
}
