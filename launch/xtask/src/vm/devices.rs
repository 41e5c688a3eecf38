//! The devices that a test can ask for: modules of the guest's kernel, and what QEMU has to emulate for them.

use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A camera of the kernel's own, with faults on demand (vivid).
    Vivid,
    /// A camera that shows what another program writes into it (v4l2loopback).
    Loopback,
    /// A CAN bus without hardware.
    VirtualCan,
    /// Two PCI cards with an SJA1000 each, on one bus.
    CanCards,
    /// Gamepads that a test makes itself.
    Uinput,
    /// Two 16550 ports, crossed.
    SerialPair,
    /// Two USB adapters (FTDI), crossed.
    UsbSerialPair,
}

impl Device {
    /// Modules to load, each with its parameters.
    pub fn modules(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // One capture device with one webcam input.
            Self::Vivid => &[(
                "vivid",
                "n_devs=1 node_types=0x1 num_inputs=1 input_types=0",
            )],
            // It is a camera only while somebody writes, as browsers and we want it.
            Self::Loopback => &[(
                "v4l2loopback",
                "devices=1 exclusive_caps=1 card_label=loopback",
            )],
            Self::VirtualCan => &[("vcan", ""), ("can-raw", "")],
            Self::CanCards => &[("kvaser_pci", ""), ("can-raw", "")],
            Self::Uinput => &[("uinput", ""), ("evdev", ""), ("joydev", "")],
            // Built into the kernel.
            Self::SerialPair => &[],
            Self::UsbSerialPair => &[("xhci-pci", ""), ("ftdi_sio", "")],
        }
    }

    /// For QEMU, which runs in the folder of the boot: sockets are named relative to it.
    pub fn emulated(self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Vivid | Self::Loopback | Self::VirtualCan | Self::Uinput => &[],
            Self::CanCards => &[
                "-object",
                "can-bus,id=bus",
                "-device",
                "kvaser_pci,canbus=bus",
                "-device",
                "kvaser_pci,canbus=bus",
            ],
            Self::SerialPair => &["-device", "pci-serial-2x,chardev1=uart-a,chardev2=uart-b"],
            Self::UsbSerialPair => &[
                "-device",
                "qemu-xhci",
                "-device",
                "usb-serial,chardev=usb-a",
                "-device",
                "usb-serial,chardev=usb-b",
            ],
        };
        let cable = match self {
            Self::SerialPair => cable("uart"),
            Self::UsbSerialPair => cable("usb"),
            _ => Vec::new(),
        };
        let arguments = arguments.iter().map(|word| (*word).to_owned());
        cable.into_iter().chain(arguments).collect()
    }
}

/// Two character devices that are each other's far end.
fn cable(name: &str) -> Vec<String> {
    let end = |id: &str, role: &str| format!("socket,id={name}-{id},path={name}{role}");
    vec![
        "-chardev".to_owned(),
        end("a", ",server=on,wait=off"),
        "-chardev".to_owned(),
        end("b", ""),
    ]
}
