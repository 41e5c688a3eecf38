//! The CAN bus that an arm's drives hang on.

use std::fs;
use std::path::Path;
use std::process::Command;
use visuomotor_runtime::realtime::Check;

/// ARPHRD_CAN (linux/if_arp.h).
const CAN: &str = "280";
/// IFF_UP (linux/if.h).
const UP: u32 = 1;
/// Frames that wait in the kernel; a tick sends one a drive at once.
const QUEUE_MIN: u32 = 32;

/// `root` is `/` but in tests.
pub fn checks(root: &Path, interface: &str) -> Vec<Check> {
    let mut checks = vec![link(root, interface)];
    if checks[0].ok {
        checks.push(queue(root, interface));
        checks.extend(details(interface).as_deref().map(bit_rate));
    }
    checks
}

fn text(root: &Path, interface: &str, file: &str) -> Option<String> {
    let path = root.join("sys/class/net").join(interface).join(file);
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn link(root: &Path, interface: &str) -> Check {
    const NAME: &str = "can_interface";
    let up = format!(
        "`sudo ip link set {interface} up type can bitrate 1000000 restart-ms 100`, or install launch/systemd/80-can.network"
    );
    let Some(kind) = text(root, interface, "type") else {
        let remedy = "plug the adapter in; `ip link` lists the interfaces";
        return Check::failed(NAME, format!("there is no interface {interface}"), remedy);
    };
    if kind != CAN {
        let remedy = "let [arm.can] name a CAN interface: `ip link show type can`";
        return Check::failed(NAME, format!("{interface} is no CAN bus"), remedy);
    }
    let flags = text(root, interface, "flags").unwrap_or_default();
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
    match flags & UP {
        0 => Check::failed(NAME, format!("{interface} is down"), up),
        _ => Check::good(NAME, format!("{interface} is up")),
    }
}

fn queue(root: &Path, interface: &str) -> Check {
    const NAME: &str = "can_queue";
    let frames = text(root, interface, "tx_queue_len").and_then(|text| text.parse().ok());
    let frames: u32 = frames.unwrap_or(0);
    match frames >= QUEUE_MIN {
        true => Check::good(NAME, format!("{frames} frames may wait to be sent")),
        false => Check::failed(
            NAME,
            format!("only {frames} frames may wait to be sent"),
            format!("`sudo ip link set {interface} txqueuelen 128`"),
        ),
    }
    .into_advice()
}

/// What only netlink tells; `None` without iproute2, and for a virtual bus.
fn details(interface: &str) -> Option<String> {
    let arguments = ["-json", "-details", "link", "show", interface];
    let output = Command::new("ip").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn bit_rate(details: &str) -> Check {
    const NAME: &str = "can_bus";
    let links: serde_json::Value = serde_json::from_str(details).unwrap_or_default();
    let data = &links[0]["linkinfo"]["info_data"];
    let state = data["state"].as_str().unwrap_or("unknown");
    let Some(rate) = data["bittiming"]["bitrate"].as_u64() else {
        return Check::good(NAME, "a virtual bus: it has no bit rate");
    };
    let detail = format!("{rate} bit/s, {state}");
    match state {
        "BUS-OFF" | "ERROR-PASSIVE" => Check::failed(
            NAME,
            detail,
            "check the wires, the two 120 Ω terminators, the drives' power and that all have the same bit rate",
        ),
        _ => Check::good(NAME, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_is_missing_down_or_broken_is_named() {
        let root = std::env::temp_dir().join(format!("visuomotor-can-{}", std::process::id()));
        let folder = root.join("sys/class/net/can0");
        fs::create_dir_all(&folder).unwrap();
        assert!(checks(&root, "can7")[0].detail.contains("no interface"));
        let with = |kind: &str, flags: &str, frames: &str| {
            for (file, text) in [("type", kind), ("flags", flags), ("tx_queue_len", frames)] {
                fs::write(folder.join(file), text).unwrap();
            }
            (link(&root, "can0"), queue(&root, "can0"))
        };
        assert!(
            with("1\n", "0x1003\n", "10\n")
                .0
                .detail
                .contains("no CAN bus")
        );
        let (down, few) = with("280\n", "0x40080\n", "10\n");
        assert!(!down.ok && down.remedy.contains("bitrate"), "{down}");
        assert!(!few.ok && !few.required);
        let (up, many) = with("280\n", "0x400c1\n", "128\n");
        assert!(up.ok && many.ok);
        fs::remove_dir_all(&root).unwrap();

        let real = |state: &str| {
            format!(
                r#"[{{"ifname":"can0","linkinfo":{{"info_kind":"can","info_data":{{"state":"{state}",
                "bittiming":{{"bitrate":1000000,"sample_point":"0.750"}}}}}}}}]"#
            )
        };
        assert!(bit_rate(&real("ERROR-ACTIVE")).ok);
        assert!(bit_rate(&real("ERROR-ACTIVE")).detail.contains("1000000"));
        assert!(!bit_rate(&real("BUS-OFF")).ok);
        assert!(bit_rate(r#"[{"ifname":"vcan0","linkinfo":{"info_kind":"vcan"}}]"#).ok);
        assert!(bit_rate("").ok);
    }
}
