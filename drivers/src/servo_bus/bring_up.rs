//! From a port to an arm under power: finds the servos, compares them with the calibration, sets what must be set.
//!
//! Takes its time: a call here is no part of the loop. What is written is read back. Not responsible for the loop.

use super::SERVOS_MAX;
use super::arm::{DriveLimits, ServoBus};
use super::bus::Bus;
use super::calibration::Calibration;
use super::config::ServoBusConfig;
use super::tables::Register;
use super::wire::Protocol;
use crate::port::SerialPort;
use visuomotor_runtime::arm::{ArmError, BringUpError};

const ATTEMPTS: usize = 4;

/// What it is about, and the servo's place on the bus.
struct Step<'a, P> {
    bus: &'a mut Bus<P>,
    port_name: &'a str,
    i: usize,
}

fn refuse(device: &str, problem: impl Into<String>, remedy: &str) -> BringUpError {
    BringUpError {
        device: device.to_owned(),
        problem: problem.into(),
        remedy: remedy.to_owned(),
    }
}

impl<P: SerialPort> Step<'_, P> {
    fn refuse(&self, problem: impl Into<String>, remedy: &str) -> BringUpError {
        let servo = &self.bus.servos[self.i];
        let device = format!("servo {} ({}) on {}", servo.id, servo.name, self.port_name);
        refuse(&device, problem, remedy)
    }

    fn ask(
        &mut self,
        frame: &super::wire::Frame,
        data_len: usize,
    ) -> Result<(u8, Vec<u8>), BringUpError> {
        let id = self.bus.servos[self.i].id;
        for _ in 0..ATTEMPTS {
            let answer = self.bus.ask(id, frame, data_len).map_err(|error| {
                refuse(
                    self.port_name,
                    error.to_string(),
                    "plug the adapter in again",
                )
            })?;
            if let Some(answer) = answer.filter(|(_, data)| data.len() == data_len) {
                return Ok(answer);
            }
        }
        Err(self.refuse(
            "does not answer",
            "check its cable, the supply of the servos, its id, and that its baud rate is the launch file's",
        ))
    }

    fn get(&mut self, register: &Register) -> Result<i32, BringUpError> {
        let frame =
            self.bus
                .protocol
                .read(self.bus.servos[self.i].id, register.address, register.len);
        let (_, data) = self.ask(&frame, register.len.into())?;
        Ok(register.field().get(&data).unwrap_or(0))
    }

    /// Writes, and reads back: an answer to the write may get lost, and some servos are set to give none.
    fn set(&mut self, register: &Register, value: i32) -> Result<(), BringUpError> {
        let mut data = [0; 4];
        let data = &mut data[..register.len.into()];
        register.field().set(data, value);
        let id = self.bus.servos[self.i].id;
        let frame = self.bus.protocol.write(id, register.address, data);
        for _ in 0..ATTEMPTS {
            let sent = self.bus.ask(id, &frame, 0);
            sent.map_err(|error| {
                refuse(
                    self.port_name,
                    error.to_string(),
                    "plug the adapter in again",
                )
            })?;
            if self.get(register)? == value {
                return Ok(());
            }
        }
        Err(self.refuse(
            format!("register {} does not take the value {value}", register.address),
            "switch its supply off and on; if that does not help the servo is broken, or another model than its number says",
        ))
    }

    /// Of a register that lasts; only where it has another value, for it wears out.
    fn set_lasting(&mut self, register: &Register, value: i32) -> Result<(), BringUpError> {
        if self.get(register)? == value {
            return Ok(());
        }
        let lock = self.bus.servos[self.i].model.registers.lock;
        if let Some(lock) = lock {
            self.set(&lock, 0)?;
        }
        self.set(register, value)?;
        match lock {
            Some(lock) => self.set(&lock, 1),
            None => Ok(()),
        }
    }

    /// Whether the servo is what the calibration says, and sound.
    fn compare(&mut self) -> Result<(), BringUpError> {
        let servo = self.bus.servos[self.i].clone();
        let (model, registers) = (servo.model, servo.model.registers);
        let ping_len = if self.bus.protocol == Protocol::Dynamixel {
            3
        } else {
            0
        };
        let frame = self.bus.protocol.ping(servo.id);
        let (errors, _) = self.ask(&frame, ping_len)?;
        let number = self.get(&registers.model_number)?;
        if number != i32::from(model.number) {
            return Err(self.refuse(
                format!(
                    "says that it is model {number}, and {} is {}",
                    model.name, model.number
                ),
                "correct the model in the calibration file, or the id of the servo",
            ));
        }
        let firmware = self.get(&registers.firmware)?;
        if firmware < i32::from(model.firmware_min) {
            return Err(self.refuse(
                format!(
                    "has firmware {firmware}, and {} is needed",
                    model.firmware_min
                ),
                "update its firmware with the maker's program",
            ));
        }
        if errors != 0 {
            return Err(self.refuse(
                format!("complains: error byte {errors:#04x}"),
                "let it cool down, free what it pushes against, and switch its supply off and on",
            ));
        }
        let volts = f64::from(self.get(&registers.voltage)?) / 10.0;
        let [low, high] = model.voltage_v;
        if !(low..=high).contains(&volts) {
            return Err(self.refuse(
                format!(
                    "has {volts} V, and a {} needs {low} to {high} V",
                    model.name
                ),
                "read the servo's label: the calibration may name the wrong model. If it names the label's, check the supply, its \
                 cables and its current; never raise the voltage beyond the label",
            ));
        }
        let offset = self.get(&registers.homing_offset)?;
        if offset != servo.homing_offset_ticks() {
            return Err(self.refuse(
                format!("has an offset of {offset} ticks, and was calibrated with {}", servo.homing_offset_ticks()),
                "calibrate again, or write the calibrated offset into the servo: the angles would be wrong by the difference",
            ));
        }
        Ok(())
    }

    fn release(&mut self, may_release: bool) -> Result<(), BringUpError> {
        let enable = self.bus.servos[self.i].model.registers.torque_enable;
        if self.get(&enable)? == 0 {
            return Ok(());
        }
        if !may_release {
            return Err(self.refuse(
                "has power already: it still holds what it was last told, as servos do when their program has ended, well or not",
                "hold the arm, and switch the servos' supply off and on; or set release_at_start = true in the launch file: \
                 each start then takes the power for a moment, and the arm falls if nobody holds it",
            ));
        }
        self.set(&enable, 0)
    }

    /// What must be set before there is power.
    fn set_up(&mut self, limits: &DriveLimits) -> Result<(), BringUpError> {
        let model = self.bus.servos[self.i].model;
        let registers = model.registers;
        self.set_lasting(&registers.return_delay, 0)?;
        self.set_lasting(&registers.operating_mode, model.position_mode.into())?;
        if let Some(watchdog) = registers.bus_watchdog {
            self.set(&watchdog, 0)?;
        }
        if let Some(indirect) = registers.indirect {
            for (address, source) in (indirect.addresses..).step_by(2).zip(indirect.map) {
                let register = Register {
                    address,
                    len: 2,
                    coding: super::tables::Coding::Unsigned,
                };
                self.set(&register, source.into())?;
            }
        }
        self.set(&registers.speed_limit, limits.speed)
    }

    fn is_where_it_can_be(&mut self, ticks: i32) -> Result<(), BringUpError> {
        let servo = &self.bus.servos[self.i];
        if servo.contains(ticks) {
            return Ok(());
        }
        let [low, high] = servo.range_ticks();
        Err(self.refuse(
            format!("stands at tick {ticks}, and was calibrated from {low} to {high}"),
            "move the joint by hand into its range; if it is there the calibration is not this arm's: calibrate again",
        ))
    }
}

fn limits_of<P>(bus: &Bus<P>, config: &ServoBusConfig) -> [DriveLimits; SERVOS_MAX] {
    let mut limits = [DriveLimits::default(); SERVOS_MAX];
    for (servo, limits) in bus.servos.iter().zip(&mut limits) {
        let (share, speed) = match servo.is_gripper() {
            true => (
                config.gripper_torque_limit,
                config.gripper_speed_max_rad_per_s,
            ),
            false => (config.torque_limit, config.speed_max_rad_per_s),
        };
        let torque = share * servo.model.stall_torque_nm / servo.model.limit_unit_nm;
        *limits = DriveLimits {
            torque: (torque as i32).max(1),
            // A servo takes 0 for no limit.
            speed: ((speed / servo.model.speed_unit_rad_per_s) as i32).max(1),
        };
    }
    limits
}

fn fits<const N: usize>(
    config: &ServoBusConfig,
    calibration: &Calibration,
) -> Result<(), BringUpError> {
    let say = |problem: String, remedy: &str| Err(refuse(&config.port, problem, remedy));
    if let Some(problem) = config.problem() {
        return say(problem, "correct the launch file");
    }
    if let Err(error) = calibration.validate() {
        return say(error.0, "correct the calibration file");
    }
    let joints = calibration.joints.len();
    if joints != N || N + 1 > SERVOS_MAX {
        return say(
            format!("the calibration has {joints} joints, and the arm {N}"),
            "choose the calibration of this arm",
        );
    }
    match calibration.check_protocol(config.protocol) {
        Err(error) => say(
            error.0,
            "correct `protocol` in the launch file or `model` in the calibration",
        ),
        Ok(()) => Ok(()),
    }
}

pub(super) fn connect<P: SerialPort, const N: usize>(
    port: P,
    config: &ServoBusConfig,
    calibration: &Calibration,
) -> Result<ServoBus<P, N>, BringUpError> {
    fits::<N>(config, calibration)?;
    let bus = Bus::new(port, config, calibration);
    let limits = limits_of(&bus, config);
    let last = bus.servos[N].model;
    let mut connected = ServoBus {
        bus,
        port_name: config.port.clone(),
        limits,
        gripper_hold: ((config.gripper_hold * last.stall_torque_nm / last.limit_unit_nm) as i32)
            .max(1),
        watchdog_units: config.watchdog_units(),
        stall: config.stall,
    };
    let count = connected.bus.servos.len();
    // First what only reads, of all servos.
    for i in 0..count {
        connected.step(i).compare()?;
    }
    for (i, limits) in limits.iter().enumerate().take(count) {
        let mut step = connected.step(i);
        step.release(config.release_at_start)?;
        step.set_up(limits)?;
    }
    connected.sample()?;
    Ok(connected)
}

impl<P: SerialPort, const N: usize> ServoBus<P, N> {
    fn step(&mut self, i: usize) -> Step<'_, P> {
        Step {
            bus: &mut self.bus,
            port_name: &self.port_name,
            i,
        }
    }

    /// Where all servos stand, in ticks: each within its range.
    fn sample(&mut self) -> Result<[i32; SERVOS_MAX], BringUpError> {
        let count = self.bus.servos.len();
        for _ in 0..ATTEMPTS {
            if let Ok(samples) = self.bus.read()
                && samples[..count].iter().all(Option::is_some)
            {
                let ticks = samples.map(|sample| sample.map_or(0, |sample| sample.ticks));
                for (i, ticks) in ticks.into_iter().enumerate().take(count) {
                    self.step(i).is_where_it_can_be(ticks)?;
                }
                return Ok(ticks);
            }
        }
        let remedy = "use shorter cables or a lower baud rate, and set adapter_latency_ms to what the adapter takes";
        Err(refuse(
            &self.port_name,
            "the servos answer one by one, and not together",
            remedy,
        ))
    }
}

/// Gives power where each servo stands; what it was told to hold, in ticks.
pub(super) fn enable<P: SerialPort, const N: usize>(
    arm: &mut ServoBus<P, N>,
) -> Result<[i32; SERVOS_MAX], BringUpError> {
    let enabled = try_enable(arm);
    if enabled.is_err() {
        for _ in 0..ATTEMPTS {
            // Whatever went wrong may be wrong here too: more cannot be done.
            let _ = arm.bus.power_off();
        }
    }
    enabled
}

fn try_enable<P: SerialPort, const N: usize>(
    arm: &mut ServoBus<P, N>,
) -> Result<[i32; SERVOS_MAX], BringUpError> {
    let goals = arm.sample()?;
    let failed =
        |name: &str, error: ArmError| refuse(name, error.to_string(), "plug the adapter in again");
    for power in [false, true] {
        let name = arm.port_name.clone();
        if power {
            arm.arm_watchdogs().map_err(|error| failed(&name, error))?;
        }
        let limits = arm.limits;
        arm.command(&goals, &limits, power)
            .map_err(|error| failed(&name, error))?;
        for (i, goal) in goals.into_iter().enumerate().take(arm.bus.servos.len()) {
            let registers = arm.bus.servos[i].model.registers;
            let mut step = arm.step(i);
            let command = registers.command;
            let held = step.get(&command_register(command.address, command.goal))?;
            let has_power = step.get(&registers.torque_enable)? == 1;
            if (held, has_power) != (goal, power) {
                return Err(step.refuse(
                    format!("was told to hold tick {goal} with power: {power}, and has {held}, {has_power}"),
                    "switch its supply off and on; if that does not help the servo is broken",
                ));
            }
        }
    }
    Ok(goals)
}

fn command_register(block: u16, field: super::tables::Field) -> Register {
    Register {
        address: block + u16::from(field.at),
        len: field.len,
        coding: field.coding,
    }
}
