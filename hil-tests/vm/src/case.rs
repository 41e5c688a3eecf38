//! What a test in the VM is: a name, what it needs, a function.

use serde::Serialize;
use serde_json::Value;

/// One test. `cargo xtask vm` reads everything but the function and builds the VM for it.
#[derive(Debug, Serialize)]
pub struct Case {
    pub name: &'static str,
    pub mode: Mode,
    pub kernels: &'static [Kernel],
    pub devices: &'static [Device],
    /// Beside what the files take.
    pub memory_mb: u32,
    /// Of the host's time, which may be many times the VM's: what takes longer, hangs.
    pub limit_s: u64,
    /// Files and folders from the workspace's root (or absolute): they lie at the same path in the VM, with the
    /// libraries that they are linked to.
    pub files: &'static [&'static str],
    /// Only for tests of the harness: how this one has to go wrong.
    pub planted: Option<&'static str>,
    #[serde(skip)]
    pub run: fn() -> Outcome,
}

impl Case {
    /// What most tests want.
    pub const DEFAULT: Self = Self {
        name: "",
        mode: Mode::Tcg,
        kernels: &[Kernel::Standard],
        devices: &[],
        memory_mb: 512,
        limit_s: 120,
        files: &[],
        planted: None,
        run: || Outcome::Skipped("does nothing".to_owned()),
    };
}

/// A test that fails panics, as everywhere in Rust.
#[derive(Debug)]
pub enum Outcome {
    /// With figures for the report, or `Value::Null`.
    Passed(Value),
    /// Why it could not be run.
    Skipped(String),
}

/// How the processor is emulated.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Two processors, as fast as they go: for what happens.
    Tcg,
    /// One processor whose clock counts instructions, 4 ns each: for when it happens, whatever else the host does.
    Icount,
    /// The same with 1 ns each: for programs that need a processor as fast as a small board's.
    IcountFast,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    Standard,
    /// PREEMPT_RT.
    Realtime,
}

/// Both kernels.
pub const EVERY: &[Kernel] = &[Kernel::Standard, Kernel::Realtime];

/// What QEMU and the kernel provide; `launch/xtask/src/vm/devices.rs` says how.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A camera with faults on demand.
    Vivid,
    /// A camera that shows what another program writes into it.
    Loopback,
    /// A CAN bus without hardware.
    VirtualCan,
    /// `can0` and `can1`: two cards with an SJA1000 each, on one bus.
    CanCards,
    /// Gamepads that a test makes itself.
    Uinput,
    /// Two 16550 ports, crossed.
    SerialPair,
    /// Two USB adapters (FTDI), crossed.
    UsbSerialPair,
}
