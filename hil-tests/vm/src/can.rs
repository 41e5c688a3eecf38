//! CAN buses through SocketCAN: one without hardware, and two cards on a bus.

use crate::case::{Case, Device, EVERY, Outcome};
use serde_json::json;
use socketcan::{CanFrame, CanSocket, EmbeddedFrame, Socket, StandardId};
use std::process::Command;
use std::time::Duration;

pub const CASES: &[Case] = &[
    Case {
        name: "virtual_can_passes_frames",
        kernels: EVERY,
        devices: &[Device::VirtualCan],
        run: virtual_can,
        ..Case::DEFAULT
    },
    Case {
        name: "can_cards_pass_frames",
        kernels: EVERY,
        devices: &[Device::CanCards],
        run: can_cards,
        ..Case::DEFAULT
    },
];

const FRAMES: u16 = 100;

fn virtual_can() -> Outcome {
    ip("link add dev vcan0 type vcan");
    ip("link set vcan0 up");
    exchange("vcan0", "vcan0");
    ip("link del vcan0");
    Outcome::Passed(json!({"frames": FRAMES}))
}

fn can_cards() -> Outcome {
    for bus in ["can0", "can1"] {
        bring_up(bus, 1_000_000);
    }
    exchange("can0", "can1");
    exchange("can1", "can0");
    for bus in ["can0", "can1"] {
        ip(&format!("link set {bus} down"));
    }
    Outcome::Passed(json!({"frames": 2 * FRAMES}))
}

/// Sets the bit rate of a card and opens it.
fn bring_up(bus: &str, bitrate_hz: u32) {
    ip(&format!("link set {bus} type can bitrate {bitrate_hz}"));
    ip(&format!("link set {bus} up"));
}

pub fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split(' ')).output();
    let ran = ran.expect("ip starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "ip {arguments}: {said}");
}

/// Frames go from one end to the other, in order and whole.
fn exchange(from: &str, to: &str) {
    let sender = CanSocket::open(from).expect("sender");
    let receiver = CanSocket::open(to).expect("receiver");
    receiver
        .set_read_timeout(Duration::from_secs(10))
        .expect("time-out");
    for i in 0..FRAMES {
        let [high, low] = i.to_be_bytes();
        let id = StandardId::new(i + 1).expect("identifier");
        let frame = CanFrame::new(id, &[high, low, 3, 4, 5, 6, 7, 8]).expect("frame");
        sender.write_frame(&frame).expect("sent");
        let came = receiver.read_frame().expect("received");
        assert_eq!(
            (came.id(), came.data()),
            (frame.id(), frame.data()),
            "frame {i}"
        );
    }
}
