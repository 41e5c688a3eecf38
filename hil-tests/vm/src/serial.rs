//! Serial ports: two 16550 on PCI, crossed, and two USB adapters, crossed.

use crate::case::{Case, Device, EVERY, Outcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

pub const CASES: &[Case] = &[
    Case {
        name: "serial_ports_pass_bytes",
        kernels: EVERY,
        devices: &[Device::SerialPair],
        run: || exchange(&on_pci()),
        ..Case::DEFAULT
    },
    Case {
        name: "usb_serial_passes_bytes",
        kernels: EVERY,
        devices: &[Device::UsbSerialPair],
        run: || exchange(&["/dev/ttyUSB0".into(), "/dev/ttyUSB1".into()]),
        ..Case::DEFAULT
    },
];

/// In bit/s.
const SPEED: u32 = 1_000_000;

/// The ports of the card, told from those of the board (console and results) by where they hang.
pub fn on_pci() -> Vec<PathBuf> {
    let mut ports = Vec::new();
    for i in 0..32 {
        let device = format!("/sys/class/tty/ttyS{i}/device");
        if fs::canonicalize(device).is_ok_and(|place| place.to_string_lossy().contains("/pci0000"))
        {
            ports.push(Path::new("/dev").join(format!("ttyS{i}")));
        }
    }
    ports
}

/// Opens a port as it is: raw, at [`SPEED`]; with the speed that is in force then.
fn open(port: &Path) -> (File, u32) {
    let file = OpenOptions::new().read(true).write(true).open(port);
    let file = file.unwrap_or_else(|e| panic!("{}: {e}", port.display()));
    let mut settings = tcgetattr(&file).expect("settings");
    settings.make_raw();
    settings.set_speed(SPEED).expect("speed");
    tcsetattr(&file, OptionalActions::Flush, &settings).expect("settings");
    let speed = tcgetattr(&file).expect("settings").output_speed();
    (file, speed)
}

/// All byte values in both directions.
fn exchange(ports: &[PathBuf]) -> Outcome {
    let [a, b] = ports else {
        panic!("two ports, not {ports:?}");
    };
    let ((mut a, speed), (mut b, _)) = (open(a), open(b));
    // The kernel takes a speed that a port cannot have, and sets another.
    assert_eq!(speed, SPEED);
    let sent: Vec<u8> = (0..=255).collect();
    for _ in 0..4 {
        a.write_all(&sent).expect("sent");
        assert_eq!(received(&mut b, sent.len()), sent);
        b.write_all(&sent).expect("sent");
        assert_eq!(received(&mut a, sent.len()), sent);
    }
    Outcome::Passed(json!({"bytes": 8 * sent.len()}))
}

fn received(port: &mut File, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    while bytes.len() < length {
        let mut ready = [PollFd::new(&*port, PollFlags::IN)];
        let count = poll(&mut ready, Some(&limit)).expect("poll");
        assert!(count > 0, "{} of {length} bytes came", bytes.len());
        let mut part = vec![0; length - bytes.len()];
        let count = port.read(&mut part).expect("read");
        bytes.extend_from_slice(&part[..count]);
    }
    bytes
}
