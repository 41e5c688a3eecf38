//! Whether the machine's UTC is good enough to put the episodes of several machines in order.

use visuomotor_runtime::realtime::{Check, utc_is_synchronised};

pub fn check() -> Check {
    utc(utc_is_synchronised())
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
    fn a_free_running_clock_is_advice() {
        assert!(utc(true).ok && !utc(false).ok && !utc(false).required);
    }
}
