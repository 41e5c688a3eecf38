//! Input devices: a gamepad that we make with uinput and read with evdev.

use crate::case::{Case, Device, EVERY, Outcome};
use evdev::uinput::VirtualDevice;
use evdev::{
    AbsInfo, AbsoluteAxisCode, AttributeSet, EventSummary, EventType, InputEvent, KeyCode,
    UinputAbsSetup,
};
use serde_json::json;

pub const CASES: &[Case] = &[Case {
    name: "gamepad_events_arrive",
    kernels: EVERY,
    devices: &[Device::Uinput],
    run: events_arrive,
    ..Case::DEFAULT
}];

/// A stick's axis and a button; it exists until it is dropped.
fn gamepad() -> std::io::Result<VirtualDevice> {
    let axis = UinputAbsSetup::new(
        AbsoluteAxisCode::ABS_X,
        AbsInfo::new(0, -32_768, 32_767, 16, 128, 1),
    );
    let mut buttons = AttributeSet::<KeyCode>::new();
    buttons.insert(KeyCode::BTN_SOUTH);
    VirtualDevice::builder()?
        .name("test gamepad")
        .with_absolute_axis(&axis)?
        .with_keys(&buttons)?
        .build()
}

fn events_arrive() -> Outcome {
    let mut pad = gamepad().expect("uinput");
    let mut nodes = pad.enumerate_dev_nodes_blocking().expect("nodes");
    let node = nodes.find_map(Result::ok).expect("a node in /dev/input");
    let mut device = evdev::Device::open(&node).expect("evdev");
    assert_eq!(device.name(), Some("test gamepad"));
    pad.emit(&[
        InputEvent::new(EventType::ABSOLUTE.0, AbsoluteAxisCode::ABS_X.0, -1234),
        InputEvent::new(EventType::KEY.0, KeyCode::BTN_SOUTH.0, 1),
    ])
    .expect("emitted");
    let events: Vec<_> = device.fetch_events().expect("events").collect();
    let moved = |event: &InputEvent| {
        let wanted = AbsoluteAxisCode::ABS_X;
        matches!(event.destructure(), EventSummary::AbsoluteAxis(_, axis, -1234) if axis == wanted)
    };
    let pressed = |event: &InputEvent| {
        let wanted = KeyCode::BTN_SOUTH;
        matches!(event.destructure(), EventSummary::Key(_, key, 1) if key == wanted)
    };
    assert!(
        events.iter().any(moved) && events.iter().any(pressed),
        "{events:?}"
    );
    Outcome::Passed(json!({"events": events.len()}))
}
