//! The kinds of findings: their names, how bad each is, and what it says.
//!
//! Not responsible for finding any.

use serde::Serialize;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

macro_rules! kinds {
    ($( $kind:ident $name:literal $severity:ident $says:literal, )*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $( #[doc = $says] $kind, )*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$( Kind::$kind, )*];

            pub fn name(self) -> &'static str {
                match self { $( Kind::$kind => $name, )* }
            }

            pub fn severity(self) -> Severity {
                match self { $( Kind::$kind => Severity::$severity, )* }
            }

            /// What a finding of this kind says.
            pub fn says(self) -> &'static str {
                match self { $( Kind::$kind => $says, )* }
            }
        }

        /// What every kind says, a line each, for the command's help.
        pub const KINDS: &str = concat!($( "  ", $name, ": ", $says, "\n", )*);
    };
}

kinds! {
    Unreadable "unreadable" Error "the file is no episode",
    BeingWritten "being_written" Info "somebody is recording it at this moment; it was not looked at",
    Damaged "damaged" Error "the file is damaged or ends early",
    Incomplete "incomplete" Error "the file is sound but has no outcome",
    LostRecords "lost_records" Warning "the outcome says that records were lost",
    NoLabel "no_label" Warning "no outcome.success, and nobody annotated anything",
    TooShort "too_short" Warning "less than 1 s of ticks",
    Idle "idle" Warning "neither joints nor fingers move for 2.5 s or more",
    ClockBackwards "clock_backwards" Error "a tick or a frame is stamped before the one before it",
    MissingTicks "missing_ticks" Warning "ticks that the loop did not skip are not recorded",
    MissedDeadlines "missed_deadlines" Info "the loop skipped deadlines",
    LoopStall "loop_stall" Warning "the loop stood still longer than the launch file's watchdog allows",
    TickRate "tick_rate" Warning "ticks come at another rate than the launch file's, by more than 2 %",
    FrameRate "frame_rate" Warning "frames come more slowly than the policy decides, by more than 10 %",
    DecisionRate "decision_rate" Warning "decisions come at another rate than the launch file's, by more than 10 %",
    NotFinite "not_finite" Error "a measured or commanded number is NaN or infinite",
    JointJump "joint_jump" Error "a measured joint moves faster than 6 rad/s and 0.01 rad",
    StaleSamples "stale_samples" Warning "the joints' sample is older than the launch file's watchdog allows",
    FailedReads "failed_reads" Warning "the arm is not read for longer than the launch file's watchdog allows",
    FollowerLag "follower_lag" Warning "the measured joints come more than 20 ms after, or before, the commanded",
    FollowerOffset "follower_offset" Warning "a measured joint is more than 0.01 rad beside the commanded, in step with it",
    ClippedActions "clipped_actions" Warning "more than 70 % of the actions were cut to scale or workspace",
    LimitedCommands "limited_commands" Warning "safety changed more than half of the commands of the policy or the person",
    DuplicatedFrame "duplicated_frame" Warning "two frames have one stamp, or one content although the arm moved",
    FrozenCamera "frozen_camera" Error "three frames or more have one content although the arm moved",
    MissingFrames "missing_frames" Warning "frames are missing, by their numbers or by 1.9 periods between two; or none for 1 s at an end",
    BadFrame "bad_frame" Error "a frame cannot be decoded, or has another size than the first one",
    OldFrames "old_frames" Warning "the policy looked at frames older than the launch file's watchdog allows",
    DarkFrames "dark_frames" Warning "frames are black: mean level below 12 of 255",
    BrightFrames "bright_frames" Warning "more than half of a frame is saturated",
    ClockSkew "clock_skew" Error "the camera's stamps are beside the joints' clock: by 45 ms, seen in motion at 15 frames a second, or by their age, or that drifts by 30 ms",
    SkewUnchecked "skew_unchecked" Info "too few frames, or too little motion, to compare camera and joints by what they show",
    CameraMoved "camera_moved" Warning "the background lies elsewhere than in the episodes before, by 1.5 px of a picture of at most 96 px",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_and_the_help_has_it() {
        for &kind in Kind::ALL {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.name()));
            assert!(KINDS.contains(&format!("  {kind}: ")), "{kind}");
        }
    }
}
