//! The memory of an emulated servo: what may be written when, what lasts, and what stands for what.
//!
//! Not responsible for what a servo does with it ([`super::drive`]).

use crate::servo_bus::tables::{Model, Register};
use crate::servo_bus::wire::Protocol;

const SIZE: usize = 256;

/// Why an instruction is refused, as numbers of Dynamixel protocol 2.0; a Feetech servo does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    Instruction = 2,
    Range = 4,
    Length = 5,
    Limit = 6,
    Access = 7,
}

#[derive(Clone)]
pub struct Memory {
    pub model: &'static Model,
    bytes: [u8; SIZE],
    /// What is left after its power was off.
    lasting: [u8; SIZE],
}

impl Memory {
    /// As from the factory, with this identifier.
    pub fn of(model: &'static Model, id: u8) -> Self {
        let mut memory = Self {
            model,
            bytes: [0; SIZE],
            lasting: [0; SIZE],
        };
        let registers = model.registers;
        memory.set(&registers.model_number, model.number.into());
        memory.set(&registers.return_delay, 250);
        let factory: &[(usize, u16, usize)] = match model.protocol {
            // Firmware 3.10; limits of angle, temperature, voltage and torque; protection.
            Protocol::Feetech => &[
                (0, 3, 1),
                (1, 10, 1),
                (8, 1, 1),
                (9, 0, 2),
                (11, 4095, 2),
                (13, 70, 1),
                (14, 140, 1),
                (15, 40, 1),
                (16, 1000, 2),
                (19, 44, 1),
                (34, 20, 1),
                (35, 200, 1),
                (36, 80, 1),
                (48, 1000, 2),
                (55, 1, 1),
            ],
            Protocol::Dynamixel => &[
                (6, 47, 1),
                (11, 3, 1),
                (31, 70, 1),
                (38, 1750, 2),
                (48, 4095, 2),
                (63, 53, 1),
                (68, 2, 1),
                (100, 885, 2),
                (102, 1750, 2),
            ],
        };
        for &(address, value, len) in factory {
            memory.bytes[address..address + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        memory.bytes[memory.id_address()] = id;
        // Half way between the limits.
        let [low, high] = model.voltage_v;
        memory.set(&registers.voltage, ((low + high) * 5.0) as i32);
        memory.lasting = memory.bytes;
        memory
    }

    fn id_address(&self) -> usize {
        match self.model.protocol {
            Protocol::Feetech => 5,
            Protocol::Dynamixel => 7,
        }
    }

    pub fn id(&self) -> u8 {
        self.bytes[self.id_address()]
    }

    pub fn get(&self, register: &Register) -> i32 {
        let address = usize::from(register.address);
        register.field().get(&self.bytes[address..]).unwrap_or(0)
    }

    pub fn set(&mut self, register: &Register, value: i32) {
        let address = usize::from(register.address);
        register.field().set(&mut self.bytes[address..], value);
    }

    /// Also after the supply was off.
    pub fn set_lasting(&mut self, register: &Register, value: i32) {
        self.set(register, value);
        register
            .field()
            .set(&mut self.lasting[usize::from(register.address)..], value);
    }

    pub fn byte(&self, address: u16) -> u8 {
        self.bytes[usize::from(address)]
    }

    pub fn set_byte(&mut self, address: u16, byte: u8) {
        self.bytes[usize::from(address)] = byte;
    }

    pub fn word(&self, address: u16) -> u16 {
        u16::from_le_bytes([self.byte(address), self.byte(address + 1)])
    }

    fn first_volatile(&self) -> u16 {
        match self.model.protocol {
            Protocol::Feetech => 40,
            Protocol::Dynamixel => 64,
        }
    }

    fn is_read_only(&self, address: u16) -> bool {
        match self.model.protocol {
            Protocol::Feetech => matches!(address, 0..=4 | 56..=70),
            Protocol::Dynamixel => matches!(address, 0..=6 | 69 | 70 | 120..=146),
        }
    }

    /// What this address stands for.
    fn resolved(&self, address: u16) -> Option<u16> {
        if usize::from(address) >= SIZE {
            return None;
        }
        let Some(indirect) = self.model.registers.indirect else {
            return Some(address);
        };
        let count = (indirect.data - indirect.addresses) / 2;
        if !(indirect.data..indirect.data + count).contains(&address) {
            return Some(address);
        }
        let source = self.word(indirect.addresses + 2 * (address - indirect.data));
        (usize::from(source) < SIZE).then_some(source)
    }

    pub fn read(&self, address: u16, out: &mut [u8]) -> Result<(), Refusal> {
        for (place, address) in out.iter_mut().zip(address..) {
            *place = self.byte(self.resolved(address).ok_or(Refusal::Access)?);
        }
        Ok(())
    }

    /// All of it, or nothing.
    pub fn write(&mut self, address: u16, data: &[u8]) -> Result<(), Refusal> {
        let before = self.bytes;
        let written = self.try_write(address, data);
        if written.is_err() {
            self.bytes = before;
        }
        written
    }

    fn try_write(&mut self, address: u16, data: &[u8]) -> Result<(), Refusal> {
        let has_power = self.get(&self.model.registers.torque_enable) != 0;
        let is_unlocked = match self.model.registers.lock {
            Some(lock) => self.get(&lock) == 0,
            None => true,
        };
        for (&byte, address) in data.iter().zip(address..) {
            let address = self.resolved(address).ok_or(Refusal::Access)?;
            let lasts = address < self.first_volatile();
            let is_held = lasts && has_power && self.model.protocol == Protocol::Dynamixel;
            if self.is_read_only(address) || is_held {
                return Err(Refusal::Access);
            }
            self.set_byte(address, byte);
            if lasts && is_unlocked {
                self.lasting[usize::from(address)] = byte;
            }
        }
        self.within_limits()
    }

    fn within_limits(&mut self) -> Result<(), Refusal> {
        let power = self.get(&self.model.registers.torque_enable);
        if !(0..=1).contains(&power) {
            return Err(Refusal::Range);
        }
        match self.model.protocol {
            Protocol::Feetech => {
                let limit = self.word(16).min(1000);
                if self.word(48) > limit {
                    self.bytes[48..50].copy_from_slice(&limit.to_le_bytes());
                }
                Ok(())
            }
            Protocol::Dynamixel if self.word(100) > 885 || self.word(102) > 2047 => {
                Err(Refusal::Limit)
            }
            Protocol::Dynamixel => Ok(()),
        }
    }

    /// The supply was off and is on again.
    pub fn lose_power(&mut self) {
        let volatile = usize::from(self.first_volatile());
        let fresh = Self::of(self.model, self.id());
        self.bytes = fresh.bytes;
        self.bytes[..volatile].copy_from_slice(&self.lasting[..volatile]);
    }
}
