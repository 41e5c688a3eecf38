//! The arm as the runtime sees it: connected, and under power.
//!
//! Every write carries power, goal and torque limit in one packet a tick, so that a lost one is repaired by the next, and none
//! can leave a servo with power and a goal of long ago. Not responsible for bring-up ([`super::bring_up`]).

use super::bus::{Bus, Joint, Samples};
use super::calibration::Calibration;
use super::config::{ServoBusConfig, StallConfig};
use super::fault::Fault;
use super::stall::Stall;
use super::{SERVOS_MAX, bring_up};
use crate::port::SerialPort;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, BringUpError, Connected, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::safety::{SafeCommand, StopCategory};
use visuomotor_runtime::units::{JointPositions, JointTorques, JointVelocities};

/// Feetech's flag for a load that was too high for too long: what a gripper that holds something is bound to have.
const OVERLOAD: u8 = 1 << 5;
/// The longest block that is written to a servo in a tick.
const COMMAND_MAX: usize = 16;

/// Limits of one servo, in its own units.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DriveLimits {
    pub torque: i32,
    pub speed: i32,
}

/// An arm that answers. Its servos have no power from us.
pub struct ServoBus<P, const N: usize> {
    pub(super) bus: Bus<P>,
    pub(super) port_name: String,
    pub(super) limits: [DriveLimits; SERVOS_MAX],
    pub(super) gripper_hold: i32,
    pub(super) watchdog_units: Option<i32>,
    pub(super) stall: StallConfig,
}

/// An arm under power, until it is stopped.
pub struct ServoArm<P, const N: usize> {
    inner: ServoBus<P, N>,
    has_power: bool,
    /// Ticks; where each servo was told to go last.
    goals: [i32; SERVOS_MAX],
    stalls: [Stall; SERVOS_MAX],
    /// The gripper pushes no harder than it needs to hold.
    holds: bool,
    fault: Option<Fault>,
    /// Of the last reading.
    beyond_seam: Option<Fault>,
}

impl<P: SerialPort, const N: usize> ServoBus<P, N> {
    /// Finds the servos and compares them with the calibration; gives no power.
    ///
    /// # Errors
    /// With the servo it is about, and what a person should do.
    pub fn connect(
        port: P,
        config: &ServoBusConfig,
        calibration: &Calibration,
    ) -> Result<Self, BringUpError> {
        bring_up::connect(port, config, calibration)
    }

    fn state(&self, samples: &Samples) -> Result<ArmState<N>, ArmError> {
        let mut state = ArmState {
            sampled_at: self.bus.port.now(),
            q: JointPositions::zeros(),
            dq: JointVelocities::zeros(),
            tau: JointTorques::zeros(),
            aperture_m: 0.0,
        };
        for (i, servo) in self.bus.servos.iter().enumerate() {
            let sample = samples[i].ok_or(ArmError::NoAnswer)?;
            state.sampled_at = state.sampled_at.min(sample.sampled_at);
            match &servo.joint {
                Joint::Arm(joint) => {
                    let sign = joint.direction.sign();
                    state.q[i] = joint.q_rad(sample.ticks);
                    state.dq[i] = f64::from(sample.speed) * servo.model.speed_unit_rad_per_s * sign;
                    state.tau[i] = f64::from(sample.load) * servo.model.load_unit_nm * sign;
                }
                Joint::Gripper(gripper) => state.aperture_m = gripper.aperture_m(sample.ticks),
            }
        }
        Ok(state)
    }

    /// What the servos themselves complain of.
    fn complaint(&self, samples: &Samples) -> Option<Fault> {
        for (sample, servo) in samples.iter().zip(&self.bus.servos) {
            let Some(sample) = sample else { continue };
            // A gripper that holds something is overloaded by nature; it is made to push less.
            let expected = if servo.is_gripper() { OVERLOAD } else { 0 };
            let flags = match self.bus.protocol {
                super::wire::Protocol::Feetech => sample.errors & !expected,
                super::wire::Protocol::Dynamixel => sample.errors,
            };
            if flags != 0 {
                return Some(Fault::Errors {
                    flags,
                    id: servo.id,
                });
            }
        }
        None
    }

    /// Tells every servo its goal, in ticks, with power or without.
    pub(super) fn command(
        &mut self,
        goals: &[i32; SERVOS_MAX],
        limits: &[DriveLimits; SERVOS_MAX],
        power: bool,
    ) -> Result<(), ArmError> {
        let mut blocks = [[0; COMMAND_MAX]; SERVOS_MAX];
        let command_len = self.bus.servos[0].model.registers.command.len;
        for (i, servo) in self.bus.servos.iter().enumerate() {
            let (command, block) = (servo.model.registers.command, &mut blocks[i]);
            command.torque_enable.set(block, power.into());
            command.goal.set(block, goals[i]);
            command.torque_limit.set(block, limits[i].torque);
            if let Some(speed) = command.speed_limit {
                speed.set(block, limits[i].speed);
            }
        }
        let frame = {
            let servos = self.bus.servos.iter().zip(&blocks);
            let items = servos.map(|(servo, block)| {
                let address = servo.model.registers.command.address;
                (servo.id, address, &block[..command_len.into()])
            });
            self.bus.protocol.group_write(command_len, items)
        };
        Ok(self.bus.send(&frame)?)
    }

    /// Whatever stopped the servos' watchdogs is forgotten, and they watch again.
    pub(super) fn arm_watchdogs(&mut self) -> Result<(), ArmError> {
        let register = self.bus.servos[0].model.registers.bus_watchdog;
        let (Some(register), Some(units)) = (register, self.watchdog_units) else {
            return Ok(());
        };
        for value in [0, units as u8] {
            let ids = self.bus.servos.iter().map(|servo| servo.id);
            let frame = self.bus.protocol.group_write(
                1,
                ids.map(|id| (id, register.address, std::slice::from_ref(&value))),
            );
            self.bus.send(&frame)?;
        }
        Ok(())
    }
}

impl<P: SerialPort, const N: usize> Connected<N> for ServoBus<P, N> {
    type Enabled = ServoArm<P, N>;

    fn io_time_max(&self) -> Duration {
        self.bus.read_window()
    }

    fn read(&mut self, _now: Instant) -> Result<ArmState<N>, ArmError> {
        let samples = self.bus.read()?;
        match self.complaint(&samples) {
            Some(fault) => Err(fault.into()),
            None => self.state(&samples),
        }
    }

    fn enable(mut self) -> Result<ServoArm<P, N>, BringUpError> {
        let goals = bring_up::enable(&mut self)?;
        Ok(ServoArm {
            inner: self,
            has_power: true,
            goals,
            stalls: [Stall::default(); SERVOS_MAX],
            holds: false,
            fault: None,
            beyond_seam: None,
        })
    }
}

impl<P: SerialPort, const N: usize> ServoArm<P, N> {
    /// A servo that pushes and gets nowhere. A joint's is a fault: whoever acts upon it takes the power from all servos, for an arm
    /// of which one joint goes slack falls in ways that nobody foresees. The gripper's is how it holds something: it goes on with
    /// less torque until the fingers are told something else.
    fn notice_stalls(&mut self, samples: &Samples) {
        for (i, servo) in self.inner.bus.servos.iter().enumerate() {
            let Some(sample) = samples[i] else { continue };
            let torque = f64::from(sample.load) * servo.model.load_unit_nm;
            let most = f64::from(self.inner.limits[i].torque) * servo.model.limit_unit_nm;
            let error_rad = f64::from(self.goals[i] - sample.ticks) * servo.model.rad_per_tick();
            let seen = self.stalls[i].is_seen(
                sample.sampled_at,
                torque / most,
                error_rad,
                &self.inner.stall,
            );
            if !seen {
                continue;
            }
            if servo.is_gripper() {
                self.holds = true;
            } else {
                self.fault = self.fault.or(Some(Fault::Stalled { id: servo.id }));
            }
        }
    }

    fn notice_watchdogs(&mut self, samples: &Samples) {
        for (sample, servo) in samples.iter().zip(&self.inner.bus.servos) {
            if sample.is_some_and(|sample| sample.watchdog_has_stopped_it) {
                self.fault = self.fault.or(Some(Fault::Watchdog { id: servo.id }));
            }
        }
    }

    /// Where the servos shall go, in ticks.
    fn goals_of(&self, command: &SafeCommand<N>) -> [i32; SERVOS_MAX] {
        let mut goals = [0; SERVOS_MAX];
        for (i, servo) in self.inner.bus.servos.iter().enumerate() {
            goals[i] = match &servo.joint {
                Joint::Arm(joint) => joint.ticks(command.q()[i]),
                Joint::Gripper(gripper) => {
                    let [closed, open] = gripper.ends_ticks();
                    if command.fingers() == Fingers::Open {
                        open
                    } else {
                        closed
                    }
                }
            };
        }
        goals
    }
}

impl<P: SerialPort, const N: usize> Arm<N> for ServoArm<P, N> {
    fn read(&mut self, _now: Instant) -> Result<ArmState<N>, ArmError> {
        let samples = self.inner.bus.read()?;
        if let Some(fault) = self.inner.complaint(&samples) {
            return Err(fault.into());
        }
        let mut servos = samples.iter().zip(&self.inner.bus.servos);
        let turned = servos.find(|(sample, servo)| {
            sample.is_some_and(|sample| servo.is_beyond_seam(sample.ticks))
        });
        self.beyond_seam = turned.map(|(_, servo)| Fault::BeyondSeam { id: servo.id });
        if self.has_power {
            self.notice_watchdogs(&samples);
            self.notice_stalls(&samples);
        }
        match self.fault {
            Some(fault) => Err(fault.into()),
            None => self.inner.state(&samples),
        }
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        if let Some(fault) = self.fault.or(self.beyond_seam) {
            return Err(fault.into());
        }
        let goals = self.goals_of(command);
        let gripper = self.inner.bus.servos.len() - 1;
        if goals[gripper] != self.goals[gripper] {
            (self.holds, self.stalls[gripper]) = (false, Stall::default());
        }
        if !self.has_power {
            self.inner.arm_watchdogs()?;
        }
        let mut limits = self.inner.limits;
        if self.holds {
            limits[gripper].torque = self.inner.gripper_hold;
        }
        self.goals = goals;
        // Whatever the port says: it may have gone out.
        self.has_power = true;
        self.inner.command(&goals, &limits, true)
    }

    fn io_time_max(&self) -> Duration {
        self.inner.io_time_max()
    }

    /// 0 and 1: one packet that takes the power from all servos; the arm falls. 2: the servos hold the last goal that they were
    /// told, by themselves.
    fn stop(&mut self, category: StopCategory) {
        if category == StopCategory::Two {
            return;
        }
        // Asked for again in the next tick: an error changes nothing.
        let _ = self.inner.bus.power_off();
        self.has_power = false;
        self.holds = false;
        self.fault = None;
        self.stalls.iter_mut().for_each(Stall::forget);
    }
}
