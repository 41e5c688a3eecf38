//! Opens the kernel's device, and reopens it on a thread of its own: closing and opening a USB camera can take seconds.

use super::config::V4lConfig;
use super::device::{DeviceError, Port};
use super::error::{OpenError, Warning};
use super::kernel::KernelDevice;
use crossbeam::channel::{Receiver, Sender, bounded};
use visuomotor_runtime::clock::{Instant, LinuxMono};

/// The thread ends with this port, after what it is doing.
pub struct KernelPort {
    orders: Sender<Order>,
    opened: Receiver<Result<KernelDevice, DeviceError>>,
}

struct Order {
    close: Option<KernelDevice>,
    not_before: Instant,
}

impl KernelPort {
    pub fn open(config: &V4lConfig) -> Result<(Self, KernelDevice, Vec<Warning>), OpenError> {
        config.validate()?;
        let (device, warnings) = KernelDevice::open(config)?;
        // There is never more than one order, nor more than one answer.
        let (orders, ordered) = bounded::<Order>(1);
        let (answers, opened) = bounded(1);
        let (config, path) = (config.clone(), config.device.clone());
        let at_first = warnings.clone();
        let reopens = move || {
            for order in ordered {
                drop(order.close);
                while LinuxMono::now() < order.not_before {
                    LinuxMono::sleep_until(order.not_before);
                }
                let answer = match KernelDevice::open(&config) {
                    Ok((device, warnings)) => {
                        let is_new = |warning: &&Warning| !at_first.contains(warning);
                        for warning in warnings.iter().filter(is_new) {
                            tracing::warn!("the camera came back otherwise than it was: {warning}");
                        }
                        Ok(device)
                    }
                    Err(error) => {
                        tracing::debug!("{error}");
                        Err(judged(&error))
                    }
                };
                if answers.send(answer).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("camera-reopen".into());
        thread.spawn(reopens).map_err(|source| OpenError::Device {
            device: path,
            doing: "starting the thread that reopens it",
            source,
        })?;
        Ok((Self { orders, opened }, device, warnings))
    }
}

fn judged(error: &OpenError) -> DeviceError {
    let (OpenError::Open { source, .. } | OpenError::Device { source, .. }) = error else {
        // Another device in its place.
        return DeviceError::Gone;
    };
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => DeviceError::Gone,
        _ => DeviceError::Failed,
    }
}

impl Port for KernelPort {
    type Device = KernelDevice;

    fn now(&self) -> Instant {
        LinuxMono::now()
    }

    fn reopen(&mut self, old: Option<KernelDevice>, not_before: Instant) {
        let close = old;
        // The thread takes every order before it answers, and only after its answer comes another: there is room.
        let _ = self.orders.try_send(Order { close, not_before });
    }

    fn opened(&mut self, until: Instant) -> Option<Result<KernelDevice, DeviceError>> {
        let left = until.checked_duration_since(LinuxMono::now());
        let left_ns = left.map_or(0, |left| left.as_nanos());
        let answer = self
            .opened
            .recv_timeout(std::time::Duration::from_nanos(left_ns));
        answer.ok()
    }
}
