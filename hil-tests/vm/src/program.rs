//! The product as a process in the VM, and the CAN arm's launch file as it is there.
//!
//! Not responsible for what it is asked to do.

use crate::v4l::node;
use rustix::process::{Pid, kill_process};
use std::fs;
use std::process::Child;

pub use rustix::process::Signal;

pub const PROGRAM: &str = "target/debug/visuomotor";
const SHIPPED: &str = "launch/robots/can_arm.toml";

/// Writes the shipped launch file to `path`, a neighbour, for its paths are relative to it: on `vcan0`, with pictures of
/// 64 x 64 pixels from the loopback device, and with these changes.
pub fn write_launch_file(path: &str, changes: &[(&str, &str)]) -> String {
    let shipped = fs::read_to_string(SHIPPED).expect(SHIPPED);
    let device = format!("device = \"{}\"", node("loopback").display());
    let of_the_vm = [
        ("interface = \"can0\"", "interface = \"vcan0\""),
        ("device = \"/dev/video0\"", &device),
        (
            "size_px = [640, 480]\n",
            "size_px = [64, 64]\nformat = \"RGB3\"\n",
        ),
        ("crop_px = [80, 0, 480, 480]\noutput_px = [64, 64]\n", ""),
        (
            "exposure_us = 10000\ngain = 20\nwhite_balance_k = 4600\n",
            "",
        ),
    ];
    let all = of_the_vm.iter().chain(changes);
    let text = all.fold(shipped, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {SHIPPED}");
        text.replace(from, to)
    });
    fs::write(path, &text).expect(path);
    text
}

pub fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(id.expect("a process"), signal).expect("it runs");
}
