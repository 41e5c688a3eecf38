//! From a bus to an arm under power, with errors that say what to do.
//!
//! Here every question is asked until it is answered, so a line that loses frames now and then is no obstacle. Not responsible
//! for ticks.

use super::arm::{Body, CanArm, Joint};
use super::bus::{Bus, Drive};
use super::config::CanConfig;
use super::wire::{Access, Command, MIT_MODE, Register, Status, TIMEOUT_UNIT_US};
use crate::port::{CanFrame, CanPort, PortError};
use std::array;
use visuomotor_runtime::arm::{ArmError, ArmState, BringUpError, Connected};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::Dynamics;
use visuomotor_runtime::units::{JointAccelerations, JointPositions, JointVelocities};

/// How long one question waits, and how often it is asked.
const WAIT: Duration = Duration::from_micros(5_000);
const TRIES: usize = 8;
/// A drive keeps its ranges as 32-bit floats.
const SAME: f64 = 1e-4;

/// An arm of CAN drives that answers and has no power.
pub struct ConnectedCanArm<P, const N: usize> {
    body: Body<P, N>,
    interface: String,
    watchdog_ms: u32,
}

impl<P: CanPort, const N: usize> CanArm<P, N> {
    /// Finds every drive and compares what it says of itself with the launch file. Nothing gets power, and nothing that a drive
    /// keeps is changed; only the mark of an earlier loss of communication is cleared.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or a drive does not answer, is faulty, is under power, or counts in other
    /// units than the launch file says.
    pub fn connect(
        port: P,
        config: &CanConfig,
        dynamics: Dynamics<N>,
    ) -> Result<ConnectedCanArm<P, N>, BringUpError> {
        let interface = config.interface.clone();
        config
            .check(dynamics.chain().limits())
            .map_err(|problem| BringUpError {
                device: interface.clone(),
                problem,
                remedy: "correct [arm.can] in the launch file".into(),
            })?;
        let names = dynamics.chain().joint_names().iter().map(String::as_str);
        let joints = config
            .joint
            .iter()
            .map(|joint| (joint.id, joint.master_id, joint.actuator));
        let grip = &config.gripper;
        let all = joints
            .zip(names)
            .chain([((grip.id, grip.master_id, grip.actuator), "gripper")]);
        let drives = all.map(|((id, master_id, actuator), name)| {
            Drive::new(
                id,
                master_id,
                format!("drive {id} ({name})"),
                actuator.ranges(),
            )
        });
        let mut connected = ConnectedCanArm {
            body: Body {
                bus: Bus::new(port, drives.collect()),
                joints: array::from_fn(|i| {
                    let joint = &config.joint[i];
                    Joint {
                        kp: joint.kp,
                        kd: joint.kd,
                        direction: f64::from(joint.direction),
                        zero_rad: joint.zero_offset_rad,
                        torque_max: joint.torque_limit_nm,
                        rotor_inertia: joint.rotor_inertia_kg_m2,
                    }
                }),
                gripper: grip.clone(),
                dynamics,
                q: JointPositions::zeros(),
                finger_rad: 0.0,
            },
            interface,
            watchdog_ms: config.watchdog_ms,
        };
        // What is still on its way belongs to somebody before us.
        let quiet = connected.body.bus.port.now() + WAIT;
        let _ = connected.body.bus.wait(quiet, |_| false);
        for drive in &mut connected.body.bus.drives {
            drive.unasked = 0;
        }
        for i in 0..=N {
            connected.check_drive(i)?;
        }
        Ok(connected)
    }
}

impl<P: CanPort, const N: usize> ConnectedCanArm<P, N> {
    fn error(
        &self,
        i: usize,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> BringUpError {
        BringUpError {
            device: format!("{} {}", self.interface, self.body.bus.drives[i].name),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    fn silent(&self, i: usize) -> BringUpError {
        let drive = &self.body.bus.drives[i];
        let remedy = format!(
            "check its power and plug, the termination of the bus, that the drive's CAN id is {:#x} and its master id {:#x}, and \
             that `ip -details link show {}` says bitrate 1000000 and ERROR-ACTIVE",
            drive.id, drive.master_id, self.interface
        );
        self.error(i, "does not answer", remedy)
    }

    /// Asks for a register until it is answered.
    fn register(&mut self, i: usize, access: Access) -> Result<[u8; 4], BringUpError> {
        self.named(i, |bus| bus.access(i, access))
    }

    /// Sends until an answer comes that says to what.
    fn named(
        &mut self,
        i: usize,
        send: impl Fn(&mut Bus<P>) -> Result<(), PortError>,
    ) -> Result<[u8; 4], BringUpError> {
        for _ in 0..TRIES {
            let until = self.body.bus.port.now() + WAIT;
            if send(&mut self.body.bus).is_ok() {
                let _ = self.body.bus.wait(until, |bus| bus.drives[i].has_value());
            }
            if let Some(value) = self.body.bus.take_value(i) {
                return Ok(value);
            }
            let _ = self.body.bus.wait(until, |_| false);
        }
        Err(self.silent(i))
    }

    /// Sends a frame until an answer says what a drive measured after it.
    fn ask(&mut self, i: usize, frame: &CanFrame) -> Result<Status, BringUpError> {
        for _ in 0..TRIES {
            // Settles what was asked before, so that the next answer is the one to this.
            self.named(i, |bus| bus.fence(i))?;
            let now = self.body.bus.port.now();
            self.body.bus.drives[i].sample = None;
            if self.body.bus.ask(i, frame, now).is_ok() {
                let _ = self
                    .body
                    .bus
                    .wait(now + WAIT, |bus| bus.drives[i].sample.is_some());
            }
            if let Some(sample) = self.body.bus.drives[i]
                .sample
                .take_if(|sample| sample.asked_at >= now)
            {
                return Ok(sample.feedback.status);
            }
        }
        Err(self.silent(i))
    }

    fn check_drive(&mut self, i: usize) -> Result<(), BringUpError> {
        let id = self.body.bus.drives[i].id;
        let mut status = self.ask(i, &Access::Status.encode(id))?;
        if status == Status::SILENCE {
            status = self.ask(i, &Command::ClearFault.encode(id))?;
        }
        if status == Status::ENABLED {
            return Err(self.error(
                i,
                "is under power already",
                "end the other program that commands this arm, or take the arm's power away and give it back",
            ));
        }
        if status.is_fault() {
            return Err(self.error(
                i,
                status.to_string(),
                "find the cause, then take the arm's power away and give it back",
            ));
        }
        let until = self.body.bus.port.now() + WAIT;
        let _ = self.body.bus.wait(until, |_| false);
        if self.body.bus.drives[i].unasked > 0 {
            return Err(self.error(
                i,
                "answers twice: another node uses the same identifiers, and would obey the same commands",
                "connect the drives one by one and give each its own CAN id and master id",
            ));
        }
        let ranges = self.body.bus.drives[i].ranges;
        let limits = [
            (Register::PositionMax, "PMAX", "p_max_rad", ranges.p_max_rad),
            (
                Register::VelocityMax,
                "VMAX",
                "v_max_rad_per_s",
                ranges.v_max_rad_per_s,
            ),
            (Register::TorqueMax, "TMAX", "t_max_nm", ranges.t_max_nm),
        ];
        for (register, name, key, expected) in limits {
            let value = self.register(
                i,
                Access::Read {
                    register: register as u8,
                },
            )?;
            let value = f64::from(f32::from_le_bytes(value));
            let is_same = (value - expected).abs() <= SAME * expected;
            if !is_same {
                return Err(self.error(
                    i,
                    format!("its {name} is {value}, and the launch file says {expected}: every number would be scaled wrongly"),
                    format!("write {key} = {value} into the launch file's actuator, or {name} = {expected} into the drive"),
                ));
            }
        }
        Ok(())
    }

    /// Writes a register and reads it back.
    fn set(
        &mut self,
        i: usize,
        register: Register,
        value: u32,
        meaning: &str,
    ) -> Result<(), BringUpError> {
        let register = register as u8;
        let bytes = value.to_le_bytes();
        self.register(
            i,
            Access::Write {
                register,
                value: bytes,
            },
        )?;
        let kept = u32::from_le_bytes(self.register(i, Access::Read { register })?);
        if kept != value {
            return Err(self.error(
                i,
                format!("does not take {meaning}: register {register} is {kept} after {value} was written"),
                "update the drive's firmware; without this it must not be used",
            ));
        }
        Ok(())
    }

    fn measured(&mut self) -> Result<ArmState<N>, BringUpError> {
        let mut last = ArmError::NoAnswer;
        for _ in 0..TRIES {
            let now = self.body.bus.port.now();
            match self.read(now) {
                Ok(state) => return Ok(state),
                Err(error) => last = error,
            }
        }
        let error = BringUpError {
            device: self.interface.clone(),
            problem: format!("the arm cannot be read: {last}"),
            remedy: "check the plugs and the termination of the bus".into(),
        };
        Err(error)
    }

    /// Drives that have power and hear nothing give up: all of them are told again where to stay.
    fn feed(&mut self, until: usize, frames: &[CanFrame], now: Instant) {
        for (i, frame) in frames.iter().enumerate().take(until) {
            let _ = self.body.bus.ask(i, frame, now);
        }
    }

    fn bring_up(&mut self) -> Result<(), BringUpError> {
        for i in 0..=N {
            let timeout = self.watchdog_ms * 1_000 / TIMEOUT_UNIT_US;
            self.set(i, Register::Timeout, timeout, "a watchdog")?;
            self.set(i, Register::ControlMode, MIT_MODE, "the MIT mode")?;
        }
        let state = self.measured()?;
        let (dq, ddq) = (JointVelocities::zeros(), JointAccelerations::zeros());
        let tau = self.body.torques(&state.q, &dq, &ddq);
        let mut frames = Vec::new();
        for i in 0..=N {
            let goal = self.body.goal(i, &state.q, &dq, &tau, None);
            let drive = &self.body.bus.drives[i];
            let frame = goal.encode(drive.id, &drive.ranges);
            frames.push(frame.ok_or_else(|| {
                self.error(i, "its measurement is not finite", "update its firmware")
            })?);
        }
        for (i, frame) in frames.iter().enumerate() {
            let id = frame.id;
            self.ask(i, frame)?;
            let status = self.ask(i, &Command::Enable.encode(id))?;
            if status != Status::ENABLED {
                return Err(self.error(
                    i,
                    format!("got no power: {status}"),
                    "check its supply, then start again",
                ));
            }
            if i < N {
                let now = self.body.bus.port.now();
                self.feed(i + 1, &frames, now);
            }
        }
        for _ in 0..TRIES {
            let now = self.body.bus.port.now();
            self.feed(N + 1, &frames, now);
            let _ = self.body.bus.asked(now);
            if self.body.read(|status| status == Status::ENABLED).is_ok() {
                return Ok(());
            }
        }
        let weak = (0..N)
            .find(|&i| self.body.bus.drives[i].status != Status::ENABLED)
            .unwrap_or(N);
        let problem = format!(
            "lost its power at once: {}",
            self.body.bus.drives[weak].status
        );
        Err(self.error(
            weak,
            problem,
            "check the supply and the plugs, then start again",
        ))
    }
}

impl<P: CanPort, const N: usize> Connected<N> for ConnectedCanArm<P, N> {
    type Enabled = CanArm<P, N>;

    fn io_time_max(&self) -> Duration {
        self.body.bus.collect_max()
    }

    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        self.body.bus.forget_old(now);
        self.body.poll(now)?;
        self.body.read(|status| !status.is_fault())
    }

    fn enable(mut self) -> Result<CanArm<P, N>, BringUpError> {
        match self.bring_up() {
            Ok(()) => Ok(CanArm::holding(self.body)),
            Err(error) => {
                for i in 0..=N {
                    let disable = Command::Disable.encode(self.body.bus.drives[i].id);
                    // Who does not hear it is ended by the watchdog, which was set before there was any power.
                    let _ = self.ask(i, &disable);
                }
                Err(error)
            }
        }
    }
}
