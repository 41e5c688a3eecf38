//! The serial line that an arm's servos hang on.

use super::usb::UsbDevice;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use visuomotor_runtime::realtime::Check;

/// `port` is the launch file's; `root` is `/` but in tests.
pub fn checks(root: &Path, port: &Path) -> Vec<Check> {
    let mut checks = vec![node(port)];
    let name = fs::canonicalize(port).ok();
    let name = name.as_deref().and_then(Path::file_name);
    let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) else {
        return checks;
    };
    if let Some(usb) = UsbDevice::behind(root, "tty", &name) {
        checks.push(asleep("arm_usb", &usb, &name));
    }
    checks.extend(latency_timer(root, &name));
    checks
}

fn node(port: &Path) -> Check {
    const NAME: &str = "arm_port";
    let shown = port.display();
    let opened = fs::metadata(port).and_then(|node| match node.file_type().is_char_device() {
        true => OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(port)
            .map(drop),
        false => Err(io::Error::other("it is no serial line")),
    });
    let Err(error) = opened else {
        return Check::good(NAME, format!("{shown} can be opened"));
    };
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "plug the adapter in; `ls /dev/serial/by-id` lists those that are there".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "`sudo usermod -aG dialout $USER`, then log in again; or install launch/systemd/99-visuomotor.rules".to_owned()
        }
        io::ErrorKind::ResourceBusy => format!("end the program that holds it: `fuser {shown}`"),
        _ => "let the launch file name the adapter's device node".to_owned(),
    };
    Check::failed(NAME, format!("{shown} cannot be opened ({error})"), remedy)
}

/// A device that the kernel may put to sleep answers its first request late.
pub fn asleep(name: &'static str, usb: &UsbDevice, node: &str) -> Check {
    let detail = format!("{node} is {} at {} Mbit/s", usb.id, usb.speed_mbit);
    let check = match usb.sleeps() {
        false => Check::good(name, detail),
        true => Check::failed(
            name,
            format!("{detail}, and the kernel may put it to sleep"),
            "install launch/systemd/99-visuomotor.rules, or write `on` into its power/control",
        ),
    };
    check.into_advice()
}

/// FTDI's driver holds answers back.
fn latency_timer(root: &Path, name: &str) -> Option<Check> {
    const NAME: &str = "arm_latency";
    let file = format!("sys/class/tty/{name}/device/latency_timer");
    let ms: u32 = fs::read_to_string(root.join(&file))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let check = match ms {
        0 | 1 => Check::good(
            NAME,
            format!("the adapter passes answers on within {ms} ms"),
        ),
        _ => Check::failed(
            NAME,
            format!("the adapter holds answers back for up to {ms} ms"),
            format!("`echo 1 | sudo tee /{file}`, or install launch/systemd/99-visuomotor.rules"),
        ),
    };
    Some(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_serial_line_and_what_is_late_are_named() {
        let missing = node(Path::new("/dev/ttyACM-none"));
        assert!(!missing.ok && missing.remedy.contains("by-id"), "{missing}");
        let file = node(Path::new(file!().rsplit('/').next().unwrap()));
        assert!(!file.ok);
        let folder = node(Path::new("/tmp"));
        assert!(folder.detail.contains("no serial line"), "{folder}");
        assert!(node(Path::new("/dev/null")).ok);

        let root = std::env::temp_dir().join(format!("visuomotor-tty-{}", std::process::id()));
        let folder = root.join("sys/class/tty/ttyUSB0/device");
        fs::create_dir_all(&folder).unwrap();
        for (ms, ok) in [("16\n", false), ("1\n", true)] {
            fs::write(folder.join("latency_timer"), ms).unwrap();
            let check = latency_timer(&root, "ttyUSB0").unwrap();
            assert_eq!((check.ok, check.required), (ok, true), "{ms}");
        }
        assert_eq!(latency_timer(&root, "ttyACM0"), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
