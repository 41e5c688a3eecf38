//! Whether the machine's clocks are good enough for stamps.

use std::fs;
use std::path::Path;
use visuomotor_runtime::realtime::{Check, utc_is_synchronised};

/// Clock sources that are read without leaving the processor.
const FAST: [&str; 4] = [
    "tsc",
    "arch_sys_counter",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
];

pub fn checks(root: &Path) -> Vec<Check> {
    vec![source(root), utc(utc_is_synchronised())]
}

fn source(root: &Path) -> Check {
    const NAME: &str = "clock_source";
    let file = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(root.join(file)).unwrap_or_default();
    let source = source.trim();
    match FAST.contains(&source) {
        true => Check::good(NAME, format!("time is read from {source}")),
        false => Check::failed(
            NAME,
            format!("time is read from `{source}`: every stamp costs a microsecond or more"),
            format!(
                "boot with `clocksource={}` where the processor's own counter is sound",
                FAST[0]
            ),
        ),
    }
    .into_advice()
}

fn utc(synchronised: bool) -> Check {
    const NAME: &str = "clock_utc";
    match synchronised {
        true => Check::good(NAME, "UTC is synchronised"),
        false => Check::failed(
            NAME,
            "UTC is not synchronised: episodes of several machines cannot be put in order"
                .to_owned(),
            "install chrony or systemd-timesyncd",
        ),
    }
    .into_advice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_clock_and_a_free_running_one_are_named() {
        let root = std::env::temp_dir().join(format!("visuomotor-clock-{}", std::process::id()));
        let folder = root.join("sys/devices/system/clocksource/clocksource0");
        fs::create_dir_all(&folder).unwrap();
        for (name, ok) in [("tsc\n", true), ("hpet\n", false)] {
            fs::write(folder.join("current_clocksource"), name).unwrap();
            assert_eq!(source(&root).ok, ok, "{name}");
        }
        fs::remove_dir_all(&root).unwrap();
        assert!(utc(true).ok && !utc(false).ok && !utc(false).required);
    }
}
