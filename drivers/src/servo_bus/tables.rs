//! Which register of which servo says what: another model is another table.
//!
//! Sources: Feetech, memory tables of the STS and SMS series; ROBOTIS e-Manual, control tables of the X series. Torques at the
//! stall are those of the data sheets. Not responsible for packets ([`super::wire`]) nor for joints ([`super::calibration`]).
//!
//! SCS servos have no sync read, so a bus of six of them takes a millisecond and a half of waiting more in each tick: not here.

use super::wire::Protocol;
use std::f64::consts::TAU;

/// How a number is written into its bytes, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Unsigned,
    TwosComplement,
    /// The magnitude, and this bit for the sign.
    SignMagnitude {
        bit: u8,
    },
}

/// A number in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    pub address: u16,
    pub len: u8,
    pub coding: Coding,
}

/// A number in a block of registers that is read or written as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub at: u8,
    pub len: u8,
    pub coding: Coding,
}

const fn register(address: u16, len: u8, coding: Coding) -> Register {
    Register {
        address,
        len,
        coding,
    }
}

const fn field(at: u8, len: u8, coding: Coding) -> Field {
    Field { at, len, coding }
}

use Coding::{SignMagnitude, TwosComplement, Unsigned};

fn decode(bytes: &[u8], coding: Coding) -> i32 {
    let raw = bytes
        .iter()
        .rev()
        .fold(0_u32, |raw, byte| raw << 8 | u32::from(*byte));
    match coding {
        Unsigned => raw as i32,
        TwosComplement => {
            let unused = 32 - 8 * bytes.len().clamp(1, 4) as u32;
            (raw << unused) as i32 >> unused
        }
        SignMagnitude { bit } => {
            let magnitude = (raw & ((1 << bit) - 1)) as i32;
            if raw >> bit & 1 == 1 {
                -magnitude
            } else {
                magnitude
            }
        }
    }
}

fn encode(value: i32, coding: Coding, bytes: &mut [u8]) {
    let raw = match coding {
        Unsigned | TwosComplement => value as u32,
        SignMagnitude { bit } => {
            let magnitude = value.unsigned_abs().min((1 << bit) - 1);
            magnitude | u32::from(value < 0) << bit
        }
    };
    bytes.copy_from_slice(&raw.to_le_bytes()[..bytes.len()]);
}

impl Field {
    /// `None` when the block is too short.
    pub fn get(&self, block: &[u8]) -> Option<i32> {
        let bytes = block.get(usize::from(self.at)..usize::from(self.at + self.len))?;
        Some(decode(bytes, self.coding))
    }

    pub fn set(&self, block: &mut [u8], value: i32) {
        let bytes = &mut block[usize::from(self.at)..usize::from(self.at + self.len)];
        encode(value, self.coding, bytes);
    }
}

impl Register {
    /// As the only one of its block.
    pub fn field(&self) -> Field {
        field(0, self.len, self.coding)
    }
}

/// What is read in every tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    pub address: u16,
    pub len: u8,
    pub position: Field,
    pub speed: Field,
    pub load: Field,
    /// Flags beside those of the answer's error byte.
    pub errors: Option<Field>,
    /// Negative once it has stopped the servo.
    pub watchdog: Option<Field>,
}

/// What is written in every tick: with the power, so that no packet that gets lost leaves a servo with power and another goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    pub address: u16,
    pub len: u8,
    pub torque_enable: Field,
    pub goal: Field,
    pub torque_limit: Field,
    pub speed_limit: Option<Field>,
}

/// Registers that stand for others: what lies apart is read and written as one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indirect {
    /// Of the first address, two bytes each.
    pub addresses: u16,
    /// Of the first byte that stands for another.
    pub data: u16,
    /// What each byte stands for.
    pub map: [u16; INDIRECT],
}

pub const INDIRECT: usize = 19;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    pub model_number: Register,
    pub firmware: Register,
    /// In units of 2 µs.
    pub return_delay: Register,
    pub operating_mode: Register,
    pub homing_offset: Register,
    /// Register minus offset is the position with Feetech, register plus offset with Dynamixel.
    pub torque_enable: Register,
    /// 0.1 V.
    pub voltage: Register,
    /// While it is 0 what is written to lasting registers lasts.
    pub lock: Option<Register>,
    /// 20 ms.
    pub bus_watchdog: Option<Register>,
    pub speed_limit: Register,
    pub acceleration: Register,
    pub feedback: Feedback,
    pub command: Command,
    pub indirect: Option<Indirect>,
}

/// A servo that can be bought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    pub name: &'static str,
    pub protocol: Protocol,
    pub number: u16,
    pub firmware_min: u8,
    pub registers: &'static Registers,
    /// What the operating mode must be.
    pub position_mode: u8,
    pub ticks_per_turn: i32,
    pub speed_unit_rad_per_s: f64,
    /// Of the output, N·m a unit of the load register.
    pub load_unit_nm: f64,
    /// N·m a unit of the torque limit's register.
    pub limit_unit_nm: f64,
    pub stall_torque_nm: f64,
    pub voltage_v: [f64; 2],
}

impl Model {
    pub fn named(name: &str) -> Option<&'static Model> {
        MODELS.iter().find(|model| model.name == name)
    }

    pub fn rad_per_tick(&self) -> f64 {
        TAU / f64::from(self.ticks_per_turn)
    }
}

/// Feetech STS and SMS. Addresses from 40 on are volatile.
pub static STS: Registers = Registers {
    model_number: register(3, 2, Unsigned),
    // The major version; the minor one follows.
    firmware: register(0, 1, Unsigned),
    return_delay: register(7, 1, Unsigned),
    operating_mode: register(33, 1, Unsigned),
    homing_offset: register(31, 2, SignMagnitude { bit: 11 }),
    torque_enable: register(40, 1, Unsigned),
    voltage: register(62, 1, Unsigned),
    lock: Some(register(55, 1, Unsigned)),
    bus_watchdog: None,
    speed_limit: register(46, 2, Unsigned),
    acceleration: register(41, 1, Unsigned),
    // Position, speed, load, voltage, temperature.
    feedback: Feedback {
        address: 56,
        len: 8,
        position: field(0, 2, SignMagnitude { bit: 15 }),
        speed: field(2, 2, SignMagnitude { bit: 15 }),
        load: field(4, 2, SignMagnitude { bit: 10 }),
        errors: None,
        watchdog: None,
    },
    // Power, acceleration, goal, time, speed, torque limit.
    command: Command {
        address: 40,
        len: 10,
        torque_enable: field(0, 1, Unsigned),
        goal: field(2, 2, SignMagnitude { bit: 15 }),
        speed_limit: Some(field(6, 2, Unsigned)),
        torque_limit: field(8, 2, Unsigned),
    },
    indirect: None,
};

/// Dynamixel X, whose indirect data begin at `data` and whose torque is limited at `limit`.
const fn x_series(data: u16, limit: u16) -> Registers {
    let map = [
        98,
        70,
        126,
        127,
        128,
        129,
        130,
        131,
        132,
        133,
        134,
        135, // what is read
        116,
        117,
        118,
        119,
        limit,
        limit + 1,
        64, // what is written
    ];
    Registers {
        model_number: register(0, 2, Unsigned),
        firmware: register(6, 1, Unsigned),
        return_delay: register(9, 1, Unsigned),
        operating_mode: register(11, 1, Unsigned),
        homing_offset: register(20, 4, TwosComplement),
        torque_enable: register(64, 1, Unsigned),
        voltage: register(144, 2, Unsigned),
        lock: None,
        bus_watchdog: Some(register(98, 1, TwosComplement)),
        speed_limit: register(112, 4, Unsigned),
        acceleration: register(108, 4, Unsigned),
        feedback: Feedback {
            address: data,
            len: 12,
            watchdog: Some(field(0, 1, TwosComplement)),
            errors: Some(field(1, 1, Unsigned)),
            load: field(2, 2, TwosComplement),
            speed: field(4, 4, TwosComplement),
            position: field(8, 4, TwosComplement),
        },
        command: Command {
            address: data + 12,
            len: 7,
            goal: field(0, 4, TwosComplement),
            torque_limit: field(4, 2, Unsigned),
            torque_enable: field(6, 1, Unsigned),
            speed_limit: None,
        },
        indirect: Some(Indirect {
            addresses: 168,
            data,
            map,
        }),
    }
}

/// Torque is limited by the current.
pub static XL330: Registers = x_series(208, 102);
pub static XM: Registers = x_series(224, 102);
/// Without current sensor: torque is limited by the PWM.
pub static XL430: Registers = x_series(224, 100);

const X_SPEED: f64 = 0.229 * TAU / 60.0;

const fn sts(name: &'static str, number: u16, stall_torque_nm: f64, voltage_v: [f64; 2]) -> Model {
    Model {
        name,
        protocol: Protocol::Feetech,
        number,
        firmware_min: 1,
        registers: &STS,
        position_mode: 0,
        ticks_per_turn: 4096,
        speed_unit_rad_per_s: TAU / 4096.0,
        load_unit_nm: stall_torque_nm / 1000.0,
        limit_unit_nm: stall_torque_nm / 1000.0,
        stall_torque_nm,
        voltage_v,
    }
}

/// One with a current sensor, in current-based position mode.
const fn with_current(
    (name, number): (&'static str, u16),
    registers: &'static Registers,
    unit_a: f64,
    (stall_torque_nm, stall_a): (f64, f64),
    voltage_v: [f64; 2],
) -> Model {
    Model {
        name,
        protocol: Protocol::Dynamixel,
        number,
        firmware_min: 38,
        registers,
        position_mode: 5,
        ticks_per_turn: 4096,
        speed_unit_rad_per_s: X_SPEED,
        load_unit_nm: stall_torque_nm / stall_a * unit_a,
        limit_unit_nm: stall_torque_nm / stall_a * unit_a,
        stall_torque_nm,
        voltage_v,
    }
}

const fn with_pwm(
    name: &'static str,
    number: u16,
    stall_torque_nm: f64,
    voltage_v: [f64; 2],
) -> Model {
    Model {
        name,
        protocol: Protocol::Dynamixel,
        number,
        firmware_min: 38,
        registers: &XL430,
        position_mode: 3,
        ticks_per_turn: 4096,
        speed_unit_rad_per_s: X_SPEED,
        load_unit_nm: stall_torque_nm / 1000.0,
        limit_unit_nm: stall_torque_nm / 885.0,
        stall_torque_nm,
        voltage_v,
    }
}

pub static MODELS: [Model; 9] = [
    sts("sts3215", 777, 1.9, [5.0, 8.5]),
    sts("sts3215-12v", 777, 2.9, [9.0, 13.5]),
    sts("sts3250", 2825, 4.9, [9.0, 13.5]),
    with_current(
        ("xl330-m077", 1190),
        &XL330,
        0.001,
        (0.215, 1.47),
        [3.7, 6.5],
    ),
    with_current(
        ("xl330-m288", 1200),
        &XL330,
        0.001,
        (0.52, 1.47),
        [3.7, 6.5],
    ),
    with_current(("xm430-w350", 1020), &XM, 0.00269, (4.1, 2.3), [9.5, 15.5]),
    with_current(("xm540-w270", 1120), &XM, 0.00269, (10.6, 4.4), [9.5, 15.5]),
    with_pwm("xl430-w250", 1060, 1.4, [6.0, 13.0]),
    with_pwm("xc430-w150", 1070, 1.6, [6.0, 15.5]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_are_written_as_the_manuals_say() {
        for (coding, len, value, bytes) in [
            (Unsigned, 2, 0x0309, &[0x09, 0x03][..]),
            (SignMagnitude { bit: 15 }, 2, -5, &[0x05, 0x80]),
            (SignMagnitude { bit: 11 }, 2, -2047, &[0xFF, 0x0F]),
            (SignMagnitude { bit: 10 }, 2, -300, &[0x2C, 0x05]),
            (TwosComplement, 1, -1, &[0xFF]),
            (TwosComplement, 2, -2, &[0xFE, 0xFF]),
            (TwosComplement, 4, -166, &[0x5A, 0xFF, 0xFF, 0xFF]),
        ] {
            let field = field(1, len, coding);
            let mut block = vec![0; 1 + usize::from(len)];
            field.set(&mut block, value);
            assert_eq!((&block[1..], field.get(&block)), (bytes, Some(value)));
            assert_eq!(field.get(bytes), None);
        }
    }

    #[test]
    fn fields_lie_in_their_blocks_and_indirect_ones_stand_for_the_right_registers() {
        for model in &MODELS {
            let Registers {
                feedback,
                command,
                indirect,
                ..
            } = *model.registers;
            let read = [feedback.position, feedback.speed, feedback.load];
            assert!(
                read.iter()
                    .all(|field| field.at + field.len <= feedback.len)
            );
            let written = [command.goal, command.torque_limit, command.torque_enable];
            assert!(
                written
                    .iter()
                    .all(|field| field.at + field.len <= command.len)
            );
            let stands_for = |address: u16, field: Field| match indirect {
                None => address + u16::from(field.at),
                Some(Indirect { data, map, .. }) => {
                    map[usize::from(address - data) + usize::from(field.at)]
                }
            };
            let [position, enable] = if indirect.is_some() {
                [132, 64]
            } else {
                [56, 40]
            };
            assert_eq!(stands_for(feedback.address, feedback.position), position);
            assert_eq!(stands_for(command.address, command.torque_enable), enable);
            assert_eq!(Model::named(model.name), Some(model));
        }
    }
}
