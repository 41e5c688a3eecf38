//! What the runtime's values are called in reports, tables and JSON: one word each, the same everywhere.
//!
//! Not responsible for where they stand.

use std::fmt::Write;
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::episode::{Ending, Sha256, TextMap};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{Intervention, LimitSet, StopCategory};

pub fn phase(phase: Phase) -> &'static str {
    use StopCategory::{One, Two, Zero};
    match phase {
        Phase::Idle => "idle",
        Phase::Hold => "hold",
        Phase::Approach => "approach",
        Phase::Policy => "policy",
        Phase::Inward => "inward",
        Phase::Teleop => "teleop",
        Phase::Ending => "ending",
        Phase::Stopping(Zero) => "stopping_0",
        Phase::Stopping(One) => "stopping_1",
        Phase::Stopping(Two) => "stopping_2",
        Phase::Stopped(Zero) => "stopped_0",
        Phase::Stopped(One) => "stopped_1",
        Phase::Stopped(Two) => "stopped_2",
    }
}

pub fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Terminated => "terminated",
        Ending::StepLimit => "step_limit",
        Ending::Fault => "fault",
        Ending::Stopped => "stopped",
    }
}

pub fn intervention(intervention: Intervention) -> &'static str {
    match intervention {
        Intervention::Nothing => "nothing",
        Intervention::Limited => "limited",
        Intervention::Shrunk => "shrunk",
        Intervention::Stopping => "stopping",
        Intervention::Stopped => "stopped",
    }
}

pub fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Move => "move",
        Verb::Close => "close",
        Verb::Open => "open",
        Verb::Terminate => "terminate",
    }
}

/// `None` for those that come every few ticks while somebody holds a stick.
pub fn request(request: Request) -> Option<&'static str> {
    Some(match request {
        Request::Hold => "hold",
        Request::Approach(_) => "approach",
        Request::StartPolicy => "start policy",
        Request::Jog(_) => return None,
        Request::Rearm => "re-arm",
        Request::SetMode(_) => "set mode",
        Request::Stop(_) => "stop",
        Request::ClearFault => "clear fault",
        Request::Recover => "recover",
        Request::End => "end",
    })
}

/// The limits of the set, one by one.
pub fn limits(limits: LimitSet) -> Vec<String> {
    let names = limits.to_string();
    names.split_whitespace().map(str::to_owned).collect()
}

/// The first digits of a hash: enough to tell those that one person has apart.
pub fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

/// One number for all model files of a policy together: SHA-256 over `NAME HASH` lines, in the order of the names. `None`
/// without model files.
pub fn checkpoint(files: &TextMap) -> Option<Sha256> {
    let mut lines = String::new();
    for (name, hash) in files {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{name} {hash}");
    }
    (!files.is_empty()).then(|| Sha256::of(lines.as_bytes()))
}

/// A file's size for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 * 1e-3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 * 1e-6),
        _ => format!("{:.1} GB", bytes as f64 * 1e-9),
    }
}

/// With so many decimals; a dash for what is no number.
pub fn decimals(value: f64, decimals: usize) -> String {
    match value.is_finite() {
        true => format!("{value:.decimals$}"),
        false => "–".to_owned(),
    }
}

/// Without what would move a terminal's cursor, ring its bell or colour its text.
pub fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_known_by_names_and_hashes_of_its_files() {
        let files = |pairs: &[(&str, &str)]| -> TextMap {
            let own = |(name, hash): &(&str, &str)| ((*name).to_owned(), (*hash).to_owned());
            pairs.iter().map(own).collect()
        };
        let two = checkpoint(&files(&[("b", "2"), ("a", "1")]));
        assert_eq!(two, Some(Sha256::of(b"a 1\nb 2\n")));
        assert_ne!(two, checkpoint(&files(&[("a", "2"), ("b", "1")])));
        assert_eq!(checkpoint(&TextMap::new()), None);
    }

    #[test]
    fn sizes_hashes_and_hostile_text() {
        let sizes = [0, 999, 1_000, 584_303, 2_119_701, 3_500_000_000].map(size);
        let expected = ["0 B", "999 B", "1 kB", "584 kB", "2.1 MB", "3.5 GB"];
        assert_eq!(sizes, expected);
        assert_eq!(short("0123456789"), "01234567");
        assert_eq!(short("é"), "é");
        assert_eq!(printable("a\x1b[31m\n"), "a\u{fffd}[31m\u{fffd}");
    }
}
