//! What the codes of [`ArmError::Drive`] mean that a servo bus gives: kind, flags and the servo's identifier in a byte each.

use super::wire::Protocol;
use visuomotor_runtime::arm::ArmError;

/// Why a servo does not do as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says so itself: the flags of its error byte (Feetech) or of its hardware error status (Dynamixel).
    Errors { flags: u8, id: u8 },
    /// It has pushed against something for too long.
    Stalled { id: u8 },
    /// It has stopped because it heard nothing for too long.
    Watchdog { id: u8 },
    /// Somebody has turned it beyond its encoder's seam, by hand: to any goal it would go the long way round.
    BeyondSeam { id: u8 },
}

impl Fault {
    pub fn code(self) -> u32 {
        let [kind, flags, id] = match self {
            Fault::Errors { flags, id } => [1, flags, id],
            Fault::Stalled { id } => [2, 0, id],
            Fault::Watchdog { id } => [3, 0, id],
            Fault::BeyondSeam { id } => [4, 0, id],
        };
        u32::from_be_bytes([0, kind, flags, id])
    }

    /// `None` when it is no code of this driver's.
    pub fn of_code(code: u32) -> Option<Self> {
        match code.to_be_bytes() {
            [0, 1, flags, id] => Some(Fault::Errors { flags, id }),
            [0, 2, 0, id] => Some(Fault::Stalled { id }),
            [0, 3, 0, id] => Some(Fault::Watchdog { id }),
            [0, 4, 0, id] => Some(Fault::BeyondSeam { id }),
            _ => None,
        }
    }

    /// For a person.
    pub fn describe(self, protocol: Protocol) -> String {
        let named = |flags: u8, names: &[(u8, &str)]| {
            let set = names.iter().filter(|(bit, _)| flags >> bit & 1 == 1);
            set.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
        };
        match self {
            Fault::Errors { flags, id } => {
                let names: &[(u8, &str)] = match protocol {
                    Protocol::Feetech => &[
                        (0, "voltage"),
                        (1, "encoder"),
                        (2, "too hot"),
                        (3, "too much current"),
                        (5, "overload"),
                    ],
                    Protocol::Dynamixel => &[
                        (0, "voltage"),
                        (2, "too hot"),
                        (3, "encoder"),
                        (4, "electrical shock"),
                        (5, "overload"),
                    ],
                };
                format!("servo {id}: {} (flags {flags:#04x})", named(flags, names))
            }
            Fault::Stalled { id } => {
                format!("servo {id} pushes against something and does not move")
            }
            Fault::Watchdog { id } => {
                format!("servo {id} heard nothing for too long and has stopped")
            }
            Fault::BeyondSeam { id } => {
                format!("servo {id} was turned beyond its encoder's seam: turn it back by hand")
            }
        }
    }
}

impl From<Fault> for ArmError {
    fn from(fault: Fault) -> Self {
        ArmError::Drive { code: fault.code() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back_and_are_told_to_a_person() {
        for fault in [
            Fault::Errors { flags: 0x24, id: 3 },
            Fault::Stalled { id: 6 },
            Fault::Watchdog { id: 252 },
            Fault::BeyondSeam { id: 1 },
        ] {
            assert_eq!(Fault::of_code(fault.code()), Some(fault));
        }
        assert_eq!(Fault::of_code(7), None);
        let hot = Fault::Errors { flags: 0x24, id: 3 }.describe(Protocol::Feetech);
        assert_eq!(hot, "servo 3: too hot, overload (flags 0x24)");
    }
}
