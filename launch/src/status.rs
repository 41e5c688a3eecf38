//! The live status line of `visuomotor run`, and the line that each finished episode leaves behind.
//!
//! On a terminal the line is rewritten in place; elsewhere only finished episodes are printed.

use crate::report::EpisodeResult;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use visuomotor_runtime::camera_loop::CameraCounters;
use visuomotor_runtime::episode::Losses;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::OperatingMode;
use visuomotor_runtime::step::Counters;

/// What the operator sees of the running system.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Seed of the running episode.
    pub seed: u64,
    pub phase: Phase,
    pub mode: OperatingMode,
    /// Control ticks per second, measured.
    pub rate_hz: f64,
    /// Age of the newest frame that the policy looked at, ms; NaN before the first.
    pub frame_age_ms: f64,
    /// The policy's estimate of success; NaN where it has none.
    pub q_value: f64,
    /// Actions taken in this episode.
    pub step: u32,
    pub episodes: u32,
    pub successes: u32,
    pub counters: Counters,
    pub camera: CameraCounters,
    /// Records that are in no episode, since start.
    pub lost: Losses,
    /// What the disk says while it takes nothing.
    pub trouble: Option<String>,
    pub fault: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Idle => "idle",
            Phase::Hold => "hold",
            Phase::Approach => "approach",
            Phase::Policy => "policy",
            Phase::Teleop => "teleop",
            Phase::Inward => "inward",
            Phase::Ending => "ending",
            Phase::Stopping(_) => "STOPPING",
            Phase::Stopped(_) => "STOPPED",
        };
        write!(f, "{phase:8} ")?;
        if self.mode == OperatingMode::Manual {
            write!(f, "manual ")?;
        }
        write!(f, "{:6.1} Hz  frame ", self.rate_hz)?;
        number(f, self.frame_age_ms, 0, " ms")?;
        write!(f, "  Q ")?;
        number(f, self.q_value, 2, "")?;
        write!(
            f,
            "  step {:2}  episode {}  grasped {} of {}",
            self.step, self.seed, self.successes, self.episodes
        )?;
        let Counters {
            missed_ticks,
            late_decisions,
            refused_requests,
            ..
        } = self.counters;
        for (name, count) in [
            ("missed", missed_ticks),
            ("late", late_decisions),
            ("refused", refused_requests),
            ("no frame", self.camera.failed()),
            ("bad frames", self.camera.refused()),
            ("lost steps", self.lost.steps),
            ("lost frames", self.lost.frames),
            ("lost events", self.lost.events),
        ] {
            if count > 0 {
                write!(f, "  {name} {count}")?;
            }
        }
        if let Some(trouble) = &self.trouble {
            write!(f, "  DISK: {trouble}")?;
        }
        let Some(category) = self.phase.latched() else {
            return Ok(());
        };
        write!(f, "  stop category {}: ", category as u8)?;
        match &self.fault {
            Some(fault) => write!(f, "{fault}"),
            None => write!(f, "a person asked for it"),
        }
    }
}

fn number(f: &mut fmt::Formatter<'_>, value: f64, digits: usize, unit: &str) -> fmt::Result {
    if value.is_finite() {
        write!(f, "{value:4.digits$}{unit}")
    } else {
        write!(f, "   -{unit}")
    }
}

pub struct StatusLine {
    terminal: bool,
    quiet: bool,
}

impl StatusLine {
    /// A quiet one leaves standard output alone.
    pub fn new(quiet: bool) -> Self {
        Self {
            terminal: !quiet && io::stdout().is_terminal(),
            quiet,
        }
    }

    pub fn show(&self, status: &Status) {
        if self.terminal {
            print(&format!("\r\x1b[2K{status}"));
        }
    }

    /// `episode` is what to say about where it was recorded.
    pub fn finish_episode(&self, result: &EpisodeResult, episode: &str) {
        self.leave(result, result.class.name(), episode);
    }

    /// A person ended it: that says nothing about the policy.
    pub fn stop_episode(&self, result: &EpisodeResult, episode: &str) {
        self.leave(result, "stopped by a person", episode);
    }

    fn leave(&self, result: &EpisodeResult, class: &str, episode: &str) {
        if self.quiet {
            return;
        }
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        let EpisodeResult {
            seed,
            steps,
            closes,
            ..
        } = result;
        print(&format!(
            "{clear}episode {seed:6}  {class:20} {steps:2} steps  {closes} closes  {episode}\n"
        ));
    }
}

/// A closed standard output is no reason to stop an arm in mid-motion.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use visuomotor_runtime::safety::StopCategory;

    const STATUS: Status = Status {
        seed: 7,
        phase: Phase::Policy,
        mode: OperatingMode::Automatic,
        rate_hz: 1000.0,
        frame_age_ms: 31.4,
        q_value: 0.876,
        step: 3,
        episodes: 5,
        successes: 4,
        counters: Counters {
            missed_ticks: 0,
            failed_reads: 0,
            reused_samples: 0,
            late_decisions: 0,
            clamped_actions: 0,
            dropped_steps: 0,
            dropped_frames: 0,
            refused_requests: 0,
        },
        camera: CameraCounters {
            frames: 99,
            no_frame: 0,
            disconnected: 0,
            wrong_size: 0,
            repeated: 0,
            out_of_order: 0,
            from_future: 0,
            missed: 0,
        },
        lost: Losses {
            steps: 0,
            frames: 0,
            events: 0,
        },
        trouble: None,
        fault: None,
    };

    #[test]
    fn status_names_what_an_operator_needs() {
        let line = STATUS.to_string();
        for part in [
            "policy",
            "1000.0 Hz",
            "31 ms",
            "Q 0.88",
            "step  3",
            "grasped 4 of 5",
        ] {
            assert!(line.contains(part), "{part:?} in {line:?}");
        }
        assert!(!line.contains("missed") && !line.contains("lost"));
        assert!(!line.contains("no frame") && !line.contains("bad"));
    }

    #[test]
    fn trouble_is_shown() {
        let counters = Counters {
            missed_ticks: 2,
            late_decisions: 1,
            ..STATUS.counters
        };
        let camera = CameraCounters {
            no_frame: 1,
            disconnected: 6,
            repeated: 8,
            ..STATUS.camera
        };
        let lost = Losses {
            steps: 3,
            frames: 4,
            events: 5,
        };
        let fault = Some("the policy is silent".to_owned());
        let status = Status {
            q_value: f64::NAN,
            fault,
            phase: Phase::Stopping(StopCategory::Two),
            mode: OperatingMode::Manual,
            counters,
            camera,
            lost,
            ..STATUS
        };
        let line = status.to_string();
        for part in [
            "STOPPING manual",
            "Q    -",
            "missed 2",
            "late 1",
            "no frame 7",
            "bad frames 8",
            "lost steps 3",
            "lost frames 4",
            "lost events 5",
            "stop category 2: the policy",
        ] {
            assert!(line.contains(part), "{part:?} in {line:?}");
        }
        let line = Status {
            fault: None,
            ..status
        }
        .to_string();
        assert!(line.contains("a person"), "{line}");
    }
}
