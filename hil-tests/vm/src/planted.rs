//! Tests that go wrong on purpose: the harness has to see each of them, in its own way.

use crate::case::{Case, Outcome};
use serde_json::Value;

pub const CASES: &[Case] = &[
    Case {
        name: "planted_failure",
        planted: Some("failed"),
        run: || panic!("planted"),
        ..Case::DEFAULT
    },
    Case {
        name: "planted_crash",
        planted: Some("crashed"),
        run: || std::process::abort(),
        ..Case::DEFAULT
    },
    // Each of these takes its VM with it.
    Case {
        name: "planted_kernel_panic",
        planted: Some("vm_ended"),
        run: kernel_panic,
        ..Case::DEFAULT
    },
    Case {
        name: "planted_hang",
        planted: Some("timed_out"),
        limit_s: 5,
        run: hang,
        ..Case::DEFAULT
    },
];

fn kernel_panic() -> Outcome {
    std::fs::write("/proc/sysrq-trigger", "c").expect("sysrq");
    Outcome::Passed(Value::Null)
}

fn hang() -> Outcome {
    loop {
        std::thread::park();
    }
}
