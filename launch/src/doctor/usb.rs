//! On which USB bus a device hangs, and what else hangs there.
//!
//! Read from sysfs under `root`, which is `/` but in tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A USB device that has been found behind a device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbDevice {
    /// Its folder in sysfs.
    path: PathBuf,
    /// Mbit/s of its link.
    pub speed_mbit: u64,
    /// "1a86:55d3".
    pub id: String,
    pub bus: u64,
}

impl UsbDevice {
    /// The device behind `/sys/class/CLASS/NAME`; `None` where it is no USB device.
    pub fn behind(root: &Path, class: &str, name: &str) -> Option<Self> {
        let link = root.join("sys/class").join(class).join(name).join("device");
        let folder = fs::canonicalize(link).ok()?;
        folder.ancestors().find_map(Self::at)
    }

    fn at(folder: &Path) -> Option<Self> {
        let text = |name: &str| {
            Some(
                fs::read_to_string(folder.join(name))
                    .ok()?
                    .trim()
                    .to_owned(),
            )
        };
        Some(Self {
            speed_mbit: text("speed")?.parse::<f64>().ok()? as u64,
            id: format!("{}:{}", text("idVendor")?, text("idProduct")?),
            bus: text("busnum")?.parse().ok()?,
            path: folder.to_owned(),
        })
    }

    /// Cameras and sound on the same bus, which share its time for pictures; this one is not among them.
    pub fn neighbours(&self, root: &Path) -> Vec<String> {
        let Ok(devices) = fs::read_dir(root.join("sys/class/video4linux")) else {
            return Vec::new();
        };
        let names = devices.flatten().map(|it| it.file_name());
        let mut others: Vec<_> = names
            .filter_map(|name| {
                let name = name.to_string_lossy().into_owned();
                let other = Self::behind(root, "video4linux", &name)?;
                (other.bus == self.bus && other.path != self.path).then_some(name)
            })
            .collect();
        others.sort();
        others
    }

    /// Whether the kernel may put it to sleep.
    pub fn sleeps(&self) -> bool {
        let control = fs::read_to_string(self.path.join("power/control"));
        control.is_ok_and(|text| text.trim() == "auto")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A tree with two cameras on bus 1 and a serial adapter on bus 2.
    fn tree(name: &str) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("visuomotor-usb-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (port, bus, speed, class, node) in [
            ("1-1", "1", "480", "video4linux", "video0"),
            ("1-2", "1", "480", "video4linux", "video2"),
            ("2-1", "2", "12", "tty", "ttyACM0"),
        ] {
            let device = root.join("sys/devices/usb").join(port);
            let interface = device.join(format!("{port}:1.0"));
            fs::create_dir_all(&interface).unwrap();
            fs::create_dir_all(device.join("power")).unwrap();
            for (file, text) in [
                ("speed", speed),
                ("busnum", bus),
                ("idVendor", "1a86"),
                ("idProduct", "55d3"),
                ("power/control", if bus == "2" { "auto" } else { "on" }),
            ] {
                fs::write(device.join(file), format!("{text}\n")).unwrap();
            }
            let entry = root.join("sys/class").join(class).join(node);
            fs::create_dir_all(&entry).unwrap();
            symlink(&interface, entry.join("device")).unwrap();
        }
        let platform = root.join("sys/class/tty/ttyS0");
        fs::create_dir_all(&platform).unwrap();
        root
    }

    #[test]
    fn a_device_is_found_with_its_bus_and_who_shares_it() {
        let root = tree("found");
        let camera = UsbDevice::behind(&root, "video4linux", "video0").unwrap();
        assert_eq!((camera.speed_mbit, camera.bus), (480, 1));
        assert_eq!(camera.neighbours(&root), ["video2"]);
        assert!(!camera.sleeps());
        let adapter = UsbDevice::behind(&root, "tty", "ttyACM0").unwrap();
        assert_eq!((adapter.speed_mbit, adapter.id.as_str()), (12, "1a86:55d3"));
        assert_eq!(adapter.neighbours(&root), [""; 0]);
        assert!(adapter.sleeps());
        assert_eq!(UsbDevice::behind(&root, "tty", "ttyS0"), None);
        assert_eq!(UsbDevice::behind(&root, "tty", "ttyUSB7"), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
