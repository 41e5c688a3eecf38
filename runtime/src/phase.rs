//! What the controller is doing, and every way from there to something else.
//!
//! Responsible for which event is accepted when: arbitration between those who ask for motion, latched stops and the way
//! back from them. Not responsible for what an event does beyond that ([`crate::controller`]), nor for how an arm comes
//! to rest ([`crate::safety`]).
//!
//! A latched stop has a category of IEC 60204-1 and two phases: `Slow0` is `Stopping(Zero)`, `Rest0` is `Stopped(Zero)`,
//! and so on. In `Slow0`, `Rest0` and `Rest1` the drives are asked to have no power and nothing is commanded; in `Slow1`
//! and `Slow2` the arm decelerates under command; in `Rest2` it holds. In this table of all transitions, which a test
//! walks, `-` means that the event changes nothing (it cannot come then, or asks for what is so), and `no` that it is
//! refused and counted.
//!
//! | Event             | Idle   | Hold     | Approach | Policy   | Ending | Slow0 | Slow1 | Slow2 | Rest0 | Rest1 | Rest2 | Inward | Teleop |
//! |-------------------|--------|----------|----------|----------|--------|-------|-------|-------|-------|-------|-------|--------|--------|
//! | Armed             | Hold   | -        | -        | -        | -      | -     | -     | -     | -     | -     | -     | -      | -      |
//! | ArmedOutside      | Inward | -        | -        | -        | -      | -     | -     | -     | -     | -     | -     | -      | -      |
//! | Inside            | -      | -        | -        | -        | -      | -     | -     | -     | -     | -     | -     | Hold   | -      |
//! | Approach          | no     | Approach | Approach | Approach | no     | no    | no    | no    | no    | no    | no    | no     | no     |
//! | StartPolicy       | no     | Policy   | Policy   | -        | no     | no    | no    | no    | no    | no    | no    | no     | no     |
//! | Jog               | no     | Teleop   | Teleop   | Teleop   | no     | no    | no    | no    | no    | no    | no    | no     | Teleop |
//! | Hold              | -      | -        | Hold     | Hold     | -      | -     | -     | -     | -     | -     | -     | -      | Hold   |
//! | Terminate         | -      | -        | -        | Hold     | -      | -     | -     | -     | -     | -     | -     | -      | -      |
//! | Rearm at rest     | -      | Idle     | no       | no       | no     | no    | no    | no    | no    | no    | no    | no     | no     |
//! | Rearm in motion   | -      | no       | no       | no       | no     | no    | no    | no    | no    | no    | no    | no     | no     |
//! | SetMode at rest   | no     | Hold     | no       | no       | no     | no    | no    | no    | no    | no    | no    | no     | no     |
//! | SetMode in motion | no     | no       | no       | no       | no     | no    | no    | no    | no    | no    | no    | no     | no     |
//! | Stop 0            | Slow0  | Slow0    | Slow0    | Slow0    | Slow0  | -     | Slow0 | Slow0 | -     | Slow0 | Slow0 | Slow0  | Slow0  |
//! | Stop 1            | Slow1  | Slow1    | Slow1    | Slow1    | Slow1  | -     | -     | Slow1 | -     | -     | Slow1 | Slow1  | Slow1  |
//! | Stop 2            | Slow2  | Slow2    | Slow2    | Slow2    | Slow2  | -     | -     | -     | -     | -     | -     | Slow2  | Slow2  |
//! | Standstill        | -      | -        | -        | -        | -      | Rest0 | Rest1 | Rest2 | -     | -     | -     | -      | -      |
//! | Clear             | -      | -        | -        | -        | -      | no    | no    | no    | Idle  | Idle  | Idle  | -      | -      |
//! | End               | Ending | Ending   | Ending   | Ending   | -      | -     | -     | -     | -     | -     | -     | Ending | Ending |

use crate::safety::StopCategory::{self, One, Zero};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Not armed: the next command will be the measured pose, as soon as there is one.
    #[default]
    Idle,
    /// The pose is held, or the motion that leads there comes to its end.
    Hold,
    /// The tool moves to a pose that the operator or the session asked for.
    Approach,
    /// The policy's actions move the tool.
    Policy,
    /// The arm started outside its limits and comes inward.
    Inward,
    /// Somebody moves the tool by hand, and has it until they let go.
    Teleop,
    /// The arm comes to rest for good.
    Ending,
    /// A fault or a person stopped the arm, and it is not known to be at rest yet.
    Stopping(StopCategory),
    /// A fault or a person stopped the arm, and it stays at rest until a person clears that.
    Stopped(StopCategory),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The filter was armed at a measured pose.
    Armed,
    /// The filter was armed at a measured pose outside the limits.
    ArmedOutside,
    /// The limits hold again.
    Inside,
    Approach,
    StartPolicy,
    /// The stick is held.
    Jog,
    Hold,
    /// The policy ended its episode.
    Terminate,
    /// Start again from the measured pose.
    Rearm {
        resting: bool,
    },
    SetMode {
        resting: bool,
    },
    /// A fault, or a person's request.
    Stop(StopCategory),
    /// What was commanded has come to rest; where nothing is commanded, what is measured has.
    Standstill,
    /// A person has seen why the arm stopped and wants to go on.
    Clear,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The event is accepted, even where the phase stays the same.
    Next(Phase),
    Ignored,
    Refused,
}

impl Phase {
    /// The table above.
    pub fn on(self, event: Event) -> Answer {
        use Phase::{Approach, Ending, Hold, Idle, Inward, Policy, Stopped, Stopping, Teleop};
        match (event, self) {
            (Event::Stop(category), Stopping(latched) | Stopped(latched))
                if latched <= category =>
            {
                Answer::Ignored
            }
            (Event::Stop(category), _) => Answer::Next(Stopping(category)),
            (Event::Standstill, Stopping(category)) => Answer::Next(Stopped(category)),
            (Event::Clear, Stopped(_)) => Answer::Next(Idle),
            (Event::Clear, Stopping(_)) => Answer::Refused,
            (Event::Armed, Idle) | (Event::Inside, Inward) => Answer::Next(Hold),
            (Event::ArmedOutside, Idle) => Answer::Next(Inward),
            (Event::Approach, Hold | Approach | Policy) => Answer::Next(Approach),
            (Event::StartPolicy, Hold | Approach) => Answer::Next(Policy),
            (Event::StartPolicy, Policy) => Answer::Ignored,
            (Event::Jog, Hold | Approach | Policy | Teleop) => Answer::Next(Teleop),
            (Event::Hold, Approach | Policy | Teleop) => Answer::Next(Hold),
            (Event::Terminate, Policy) => Answer::Next(Hold),
            (Event::Rearm { resting: true }, Hold) => Answer::Next(Idle),
            (Event::Rearm { .. }, Idle) => Answer::Ignored,
            (Event::SetMode { resting: true }, Hold) => Answer::Next(Hold),
            (Event::End, Idle | Hold | Approach | Policy | Inward | Teleop) => Answer::Next(Ending),
            (
                Event::Approach
                | Event::StartPolicy
                | Event::Jog
                | Event::Rearm { .. }
                | Event::SetMode { .. },
                _,
            ) => Answer::Refused,
            (
                Event::Armed
                | Event::ArmedOutside
                | Event::Inside
                | Event::Hold
                | Event::Terminate
                | Event::Standstill
                | Event::Clear
                | Event::End,
                _,
            ) => Answer::Ignored,
        }
    }

    /// The category of the latched stop, if there is one.
    pub fn latched(self) -> Option<StopCategory> {
        match self {
            Self::Stopping(category) | Self::Stopped(category) => Some(category),
            _ => None,
        }
    }

    /// Whether the drives are asked to have no power.
    pub fn is_without_power(self) -> bool {
        matches!(
            self,
            Self::Stopping(Zero) | Self::Stopped(Zero) | Self::Stopped(One)
        )
    }

    /// Stable number for logs: never reused, never renumbered. The category of a stop is not in it.
    pub fn code(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Hold => 1,
            Self::Approach => 2,
            Self::Policy => 3,
            Self::Stopped(_) => 4,
            Self::Stopping(_) => 5,
            Self::Ending => 6,
            Self::Inward => 7,
            Self::Teleop => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safety::StopCategory::Two;
    use Phase::*;

    /// In the order of the table's columns.
    const PHASES: [(&str, Phase); 13] = [
        ("Idle", Idle),
        ("Hold", Hold),
        ("Approach", Approach),
        ("Policy", Policy),
        ("Ending", Ending),
        ("Slow0", Stopping(Zero)),
        ("Slow1", Stopping(One)),
        ("Slow2", Stopping(Two)),
        ("Rest0", Stopped(Zero)),
        ("Rest1", Stopped(One)),
        ("Rest2", Stopped(Two)),
        ("Inward", Inward),
        ("Teleop", Teleop),
    ];

    const EVENTS: [(&str, Event); 18] = [
        ("Armed", Event::Armed),
        ("ArmedOutside", Event::ArmedOutside),
        ("Inside", Event::Inside),
        ("Approach", Event::Approach),
        ("StartPolicy", Event::StartPolicy),
        ("Jog", Event::Jog),
        ("Hold", Event::Hold),
        ("Terminate", Event::Terminate),
        ("Rearm at rest", Event::Rearm { resting: true }),
        ("Rearm in motion", Event::Rearm { resting: false }),
        ("SetMode at rest", Event::SetMode { resting: true }),
        ("SetMode in motion", Event::SetMode { resting: false }),
        ("Stop 0", Event::Stop(Zero)),
        ("Stop 1", Event::Stop(One)),
        ("Stop 2", Event::Stop(Two)),
        ("Standstill", Event::Standstill),
        ("Clear", Event::Clear),
        ("End", Event::End),
    ];

    /// The cells of the table in this file's own documentation, row by row.
    fn table() -> Vec<Vec<&'static str>> {
        let rows = include_str!("phase.rs").lines();
        let rows = rows.filter_map(|line| line.strip_prefix("//! |")?.strip_suffix('|'));
        let rows = rows.filter(|row| !row.starts_with("--"));
        rows.map(|row| row.split('|').map(str::trim).collect())
            .collect()
    }

    #[test]
    fn every_edge_is_the_documented_one() {
        let table = table();
        let names: Vec<_> = PHASES.iter().map(|(name, _)| *name).collect();
        assert_eq!(table[0][1..], names);
        assert_eq!(table.len(), 1 + EVENTS.len());
        let mut walked = 0;
        for (row, (name, event)) in table[1..].iter().zip(EVENTS) {
            assert_eq!(row[0], name);
            assert_eq!(row.len(), 1 + PHASES.len(), "{name}");
            for (cell, (from, phase)) in row[1..].iter().zip(PHASES) {
                let documented = match *cell {
                    "-" => Answer::Ignored,
                    "no" => Answer::Refused,
                    to => {
                        let next = PHASES.iter().find(|(name, _)| *name == to);
                        Answer::Next(next.unwrap_or_else(|| panic!("{name} x {from}: `{to}`")).1)
                    }
                };
                assert_eq!(phase.on(event), documented, "{name} x {from}");
                walked += 1;
            }
        }
        assert_eq!(walked, 234);
    }

    #[test]
    fn only_a_person_leaves_a_latched_stop_and_only_at_standstill() {
        for (from, phase) in PHASES {
            let Some(latched) = phase.latched() else {
                continue;
            };
            for (name, event) in EVENTS {
                let Answer::Next(next) = phase.on(event) else {
                    continue;
                };
                match next.latched() {
                    Some(category) => assert!(category <= latched, "{name} x {from}"),
                    None => assert_eq!(
                        (event, phase, next),
                        (Event::Clear, Stopped(latched), Idle),
                        "{from}"
                    ),
                }
            }
        }
    }

    #[test]
    fn whoever_stops_gets_a_stop_that_is_at_least_as_strict() {
        for (from, phase) in PHASES {
            for category in [Zero, One, Two] {
                let after = match phase.on(Event::Stop(category)) {
                    Answer::Next(next) => next,
                    _ => phase,
                };
                assert!(after.latched() <= Some(category), "{from}: {after:?}");
                assert!(after.latched().is_some(), "{from}");
                let off = after.is_without_power();
                assert!(off || category != Zero, "{from}: power stays");
            }
        }
    }

    #[test]
    fn codes_are_stable() {
        let codes = PHASES.map(|(_, phase)| phase.code());
        assert_eq!(codes, [0, 1, 2, 3, 6, 5, 5, 5, 4, 4, 4, 7, 8]);
    }
}
