//! One emulated servo: position control with limits of speed, acceleration and torque, and what protects it.
//!
//! Not responsible for packets ([`super::bus`]) nor for where its torque leads (the [`super::super::Plant`]).

use super::registers::{Memory, Refusal};
use crate::servo_bus::calibration::Direction;
use crate::servo_bus::tables::{Field, Model, Register, Registers};
use crate::servo_bus::wire::Protocol;
use visuomotor_runtime::clock::{Duration, Instant};

const AMBIENT_C: f64 = 25.0;
/// Of the housing, at the torque of a stall.
const HEATING_C_PER_S: f64 = 1.5;
const COOLING_S: f64 = 90.0;
const WATCHDOG_UNIT: Duration = Duration::from_ticks(20_000_000);
/// Bits of the error byte, and of the hardware error status, that both protocols have in the same place.
pub const OVERHEATED: u8 = 1 << 2;
pub const OVERLOADED: u8 = 1 << 5;

/// How a servo sits on its joint.
#[derive(Clone, Copy, Debug)]
pub struct Mounting {
    /// What the encoder shows when the joint is at 0, before any offset.
    pub zero_ticks: i32,
    pub direction: Direction,
    /// N·m/rad and N·m·s/rad, of the position control.
    pub stiffness: f64,
    pub damping: f64,
}

impl Mounting {
    /// In its middle, and as stiff as a servo of this model is.
    pub fn centred(model: &Model) -> Self {
        Self {
            zero_ticks: model.ticks_per_turn / 2,
            direction: Direction::Forward,
            stiffness: 10.0 * model.stall_torque_nm,
            damping: 0.4 * model.stall_torque_nm,
        }
    }
}

pub struct Servo {
    pub memory: Memory,
    mounting: Mounting,
    /// Of the joint, rad and rad/s.
    q: f64,
    dq: f64,
    /// N·m.
    torque: f64,
    /// Where the profile is on its way to the goal.
    setpoint: (f64, f64),
    temperature_c: f64,
    /// For how long the load has been too high, s.
    overload_s: f64,
    /// Bits of the error byte.
    errors: u8,
    /// Kept until an action is asked for.
    pub registered: Option<(u16, [u8; 32], usize)>,
}

impl Servo {
    pub fn new(model: &'static Model, id: u8, mounting: Mounting, (q, dq): (f64, f64)) -> Self {
        let mut servo = Self {
            memory: Memory::of(model, id),
            mounting,
            q,
            dq,
            torque: 0.0,
            setpoint: (q, 0.0),
            temperature_c: AMBIENT_C,
            overload_s: 0.0,
            errors: 0,
            registered: None,
        };
        servo.measure();
        servo
    }

    fn registers(&self) -> &'static Registers {
        self.memory.model.registers
    }

    /// The register behind a field of the block that is read, or written, in every tick.
    fn behind(&self, block: u16, field: Field) -> Register {
        let shown = block + u16::from(field.at);
        let address = match self.registers().indirect {
            Some(indirect) => indirect.map[usize::from(shown - indirect.data)],
            None => shown,
        };
        Register {
            address,
            len: field.len,
            coding: field.coding,
        }
    }

    fn commanded(&self, field: Field) -> Register {
        self.behind(self.registers().command.address, field)
    }

    pub fn has_power(&self) -> bool {
        self.memory.get(&self.registers().torque_enable) == 1
    }

    fn cut_power(&mut self) {
        self.memory.set(&self.registers().torque_enable, 0);
    }

    /// What the position register shows.
    fn shown_ticks(&self) -> i32 {
        let model = self.memory.model;
        let turned = self.q * self.mounting.direction.sign() / model.rad_per_tick();
        let encoder = self.mounting.zero_ticks + turned.round() as i32;
        let offset = self.memory.get(&self.registers().homing_offset);
        match model.protocol {
            Protocol::Feetech => (encoder - offset).rem_euclid(model.ticks_per_turn),
            Protocol::Dynamixel => encoder + offset,
        }
    }

    fn goal_register(&self) -> Register {
        self.commanded(self.registers().command.goal)
    }

    /// Where the servo is told to go, rad; `None` without power.
    pub fn goal(&self) -> Option<f64> {
        self.has_power().then(|| self.q_goal())
    }

    fn q_goal(&self) -> f64 {
        // A goal on the other side of the seam is reached the long way round.
        let ahead = self.memory.get(&self.goal_register()) - self.shown_ticks();
        let model = self.memory.model;
        let exact = self.q * self.mounting.direction.sign() / model.rad_per_tick();
        (exact.round() + f64::from(ahead)) * model.rad_per_tick() * self.mounting.direction.sign()
    }

    /// An answer's error byte but for a refusal.
    pub fn errors(&self) -> u8 {
        match self.memory.model.protocol {
            Protocol::Feetech => self.errors,
            Protocol::Dynamixel if self.errors != 0 => 0x80,
            Protocol::Dynamixel => 0,
        }
    }

    pub fn write(&mut self, address: u16, data: &[u8]) -> Result<(), Refusal> {
        let (had_power, goal) = (self.has_power(), self.memory.get(&self.goal_register()));
        let watchdog_before = self.watchdog();
        self.memory.write(address, data)?;
        if let (Some(register), Some(-1)) = (self.registers().bus_watchdog, watchdog_before) {
            // Goals are locked until a 0 clears it.
            match self.memory.get(&register) {
                0 => {}
                _ => self.memory.set(&register, -1),
            }
            if self.watchdog() == Some(-1) && self.memory.get(&self.goal_register()) != goal {
                self.memory.set(&self.goal_register(), goal);
                return Err(Refusal::Access);
            }
        }
        if self.has_power() && !had_power {
            self.power_comes_on();
        }
        Ok(())
    }

    fn power_comes_on(&mut self) {
        if self.memory.model.protocol == Protocol::Dynamixel && self.errors != 0 {
            // Only a reboot clears a shutdown.
            return self.cut_power();
        }
        self.errors &= !OVERLOADED;
        self.overload_s = 0.0;
        self.setpoint = (self.q, 0.0);
    }

    fn watchdog(&self) -> Option<i32> {
        let register = self.registers().bus_watchdog?;
        Some(self.memory.get(&register))
    }

    /// Stops when nothing was heard for too long.
    pub fn watch(&mut self, now: Instant, heard: Instant) {
        let Some(register) = self.registers().bus_watchdog else {
            return;
        };
        let units = self.memory.get(&register);
        let silence = now.checked_duration_since(heard).unwrap_or(Duration::ZERO);
        if self.has_power() && units > 0 && silence > WATCHDOG_UNIT * units as u32 {
            self.memory.set(&register, -1);
            let here = self.shown_ticks();
            self.memory.set(&self.goal_register(), here);
            self.setpoint = (self.q, 0.0);
        }
    }

    /// What it pushes with for the next `dt` seconds, N·m.
    pub fn torque(&mut self, dt: f64) -> f64 {
        let torque = if self.has_power() {
            self.controlled(dt)
        } else {
            0.0
        };
        self.protect(torque, dt);
        self.torque = torque;
        torque
    }

    fn controlled(&mut self, dt: f64) -> f64 {
        self.follow_profile(dt);
        let Mounting {
            stiffness, damping, ..
        } = self.mounting;
        let torque = stiffness * (self.setpoint.0 - self.q) + damping * (self.setpoint.1 - self.dq);
        let model = self.memory.model;
        let register = self.commanded(self.registers().command.torque_limit);
        let mut most = f64::from(self.memory.get(&register)) * model.limit_unit_nm;
        if self.errors & OVERLOADED != 0 {
            most = most.min(f64::from(self.memory.byte(34)) / 100.0 * model.stall_torque_nm);
        }
        torque.clamp(
            -most.min(model.stall_torque_nm),
            most.min(model.stall_torque_nm),
        )
    }

    fn follow_profile(&mut self, dt: f64) {
        let model = self.memory.model;
        let ahead = self.q_goal() - self.setpoint.0;
        let limit = f64::from(self.memory.get(&self.registers().speed_limit));
        let mut dq = ahead / dt;
        if limit > 0.0 {
            let most = limit * model.speed_unit_rad_per_s;
            dq = dq.clamp(-most, most);
        }
        let acceleration = f64::from(self.memory.get(&self.registers().acceleration));
        if acceleration > 0.0 && model.protocol == Protocol::Feetech {
            // In 100 ticks/s².
            let most = acceleration * 100.0 * model.rad_per_tick();
            let stoppable = (2.0 * most * ahead.abs()).sqrt();
            dq = dq.clamp(-stoppable, stoppable);
            dq = dq.clamp(self.setpoint.1 - most * dt, self.setpoint.1 + most * dt);
        }
        self.setpoint = (self.setpoint.0 + dq * dt, dq);
    }

    fn protect(&mut self, torque: f64, dt: f64) {
        let model = self.memory.model;
        let share = torque.abs() / model.stall_torque_nm;
        let cooling = (self.temperature_c - AMBIENT_C) / COOLING_S;
        self.temperature_c += dt * (HEATING_C_PER_S * share * share - cooling);
        let (hot_c, overload, time_s) = match model.protocol {
            Protocol::Feetech => {
                let [overload, time] = [36, 35].map(|address| f64::from(self.memory.byte(address)));
                (self.memory.byte(13), overload / 100.0, time * 0.01)
            }
            Protocol::Dynamixel => (self.memory.byte(31), 0.9, 1.0),
        };
        self.overload_s = if share >= overload {
            self.overload_s + dt
        } else {
            0.0
        };
        if self.overload_s > time_s {
            self.fail(OVERLOADED);
        }
        if self.temperature_c > f64::from(hot_c) {
            self.fail(OVERHEATED);
        }
    }

    fn fail(&mut self, error: u8) {
        self.errors |= error;
        // Which errors cost the power: "unloading condition", "shutdown". A Feetech servo overloaded goes on, weakly.
        let (cut_by, mirror) = match self.memory.model.protocol {
            Protocol::Feetech => (self.memory.byte(19) & !OVERLOADED, 65),
            Protocol::Dynamixel => (self.memory.byte(63), 70),
        };
        self.memory.set_byte(mirror, self.errors);
        if cut_by & error != 0 {
            self.cut_power();
        }
    }

    /// It has become too hot.
    pub fn overheat(&mut self) {
        self.temperature_c = 99.0;
        self.fail(OVERHEATED);
    }

    /// The supply was off and is on again.
    pub fn lose_power(&mut self) {
        self.memory.lose_power();
        (self.errors, self.overload_s) = (0, 0.0);
        self.measure();
    }

    /// The joint is here now.
    pub fn moved_to(&mut self, (q, dq): (f64, f64)) {
        (self.q, self.dq) = (q, dq);
        self.measure();
    }

    /// Its registers show how things are.
    pub fn measure(&mut self) {
        let (model, sign) = (self.memory.model, self.mounting.direction.sign());
        let feedback = self.registers().feedback;
        let show = |value: f64| value.round() as i32;
        for (field, value) in [
            (feedback.position, self.shown_ticks()),
            (
                feedback.speed,
                show(self.dq * sign / model.speed_unit_rad_per_s),
            ),
            (feedback.load, show(self.torque * sign / model.load_unit_nm)),
        ] {
            let register = self.behind(feedback.address, field);
            self.memory.set(&register, value);
        }
        let temperature = match model.protocol {
            Protocol::Feetech => 63,
            Protocol::Dynamixel => 146,
        };
        self.memory.set_byte(temperature, self.temperature_c as u8);
    }
}
