//! One drive: its registers, its states and its control law.
//!
//! As the manual describes it: every frame to its identifier feeds its watchdog and is answered with feedback, register frames
//! do neither; a goal is kept without power and forgotten when power goes; a fault takes the power and stays until it is cleared.
//! Not responsible for what its shaft drives.

use crate::can::wire::{Access, Command, Feedback, Impedance, MIT_MODE, Ranges, Register, Status, TIMEOUT_UNIT_US};
use crate::port::CanFrame;
use visuomotor_runtime::clock::{Duration, Instant};

/// How a joint hangs on its drive, seen from the joint: joint angle = direction x drive angle + zero.
#[derive(Clone, Copy, Debug)]
pub struct Mounted {
    /// 1 or -1.
    pub direction: f64,
    pub zero_rad: f64,
}

#[derive(Clone, Debug)]
pub struct EmulatedDrive {
    pub id: u16,
    pub master_id: u16,
    /// Its own, whatever a launch file says.
    pub ranges: Ranges,
    pub mosfet_c: u8,
    pub coil_c: u8,
    mounted: Mounted,
    status: Status,
    goal: Impedance,
    /// What its shaft turns by less than its encoder, since zero was set, rad.
    zero_shift: f64,
    timeout: u32,
    control_mode: u32,
    heard_at: Instant,
    /// Of the last control step, drive's direction.
    tau: f64,
}

impl EmulatedDrive {
    /// As delivered: no watchdog, and another control mode than this arm wants.
    pub fn new(id: u16, master_id: u16, ranges: Ranges, mounted: Mounted) -> Self {
        Self {
            id,
            master_id,
            ranges,
            mosfet_c: 32,
            coil_c: 30,
            mounted,
            status: Status::DISABLED,
            goal: Impedance::default(),
            zero_shift: 0.0,
            timeout: 0,
            control_mode: 2,
            heard_at: Instant::from_ticks(0),
            tau: 0.0,
        }
    }

    pub fn status(&self) -> Status {
        self.status
    }

    /// It fails, or is well again with [`Status::DISABLED`]: without power in any case.
    pub fn fail(&mut self, status: Status) {
        self.status = status;
        self.goal = Impedance::default();
    }

    /// What it is told to go to, as the joint's angle, while it has power.
    pub fn goal(&self) -> Option<f64> {
        (self.status == Status::ENABLED).then_some(self.mounted.direction * (self.goal.q + self.zero_shift) + self.mounted.zero_rad)
    }

    fn shaft(&self, (q, dq): (f64, f64)) -> (f64, f64) {
        let Mounted { direction, zero_rad } = self.mounted;
        (direction * (q - zero_rad) - self.zero_shift, direction * dq)
    }

    /// The torque on the joint, N·m, for one step of time that ends at `now`.
    pub fn torque(&mut self, now: Instant, joint: (f64, f64)) -> f64 {
        let silent = now.checked_duration_since(self.heard_at);
        let timeout = Duration::from_micros(u64::from(self.timeout) * u64::from(TIMEOUT_UNIT_US));
        if self.status == Status::ENABLED && self.timeout != 0 && silent > Some(timeout) {
            self.fail(Status::SILENCE);
        }
        self.tau = 0.0;
        if self.status == Status::ENABLED && self.control_mode == MIT_MODE {
            let (q, dq) = self.shaft(joint);
            let goal = &self.goal;
            let tau = goal.kp * (goal.q - q) + goal.kd * (goal.dq - dq) + goal.tau;
            self.tau = tau.clamp(-self.ranges.t_max_nm, self.ranges.t_max_nm);
        }
        self.mounted.direction * self.tau
    }

    /// Its answer to a frame that comes at `now` while the joint is at this angle and speed.
    pub fn receive(&mut self, frame: &CanFrame, now: Instant, joint: (f64, f64)) -> Option<CanFrame> {
        if let Some((id, access)) = Access::decode(frame) {
            return if id == self.id { self.access(access, joint) } else { None };
        }
        if frame.id & 0xFF != self.id {
            return None;
        }
        self.heard_at = now;
        match Command::decode(frame) {
            Some(Command::Enable) if !self.status.is_fault() => self.status = Status::ENABLED,
            Some(Command::Enable) => {}
            Some(Command::Disable) if self.status.is_fault() => {}
            Some(Command::Disable | Command::ClearFault) => self.fail(Status::DISABLED),
            Some(Command::SetZero) => self.zero_shift += self.shaft(joint).0,
            None => {
                let goal = Impedance::decode(frame, &self.ranges);
                if let (Some(goal), MIT_MODE, true) = (goal, self.control_mode, frame.id == self.id) {
                    self.goal = goal;
                }
            }
        }
        Some(self.feedback(joint))
    }

    fn feedback(&self, joint: (f64, f64)) -> CanFrame {
        let (q, dq) = self.shaft(joint);
        let feedback = Feedback {
            status: self.status,
            q,
            dq,
            tau: self.tau,
            mosfet_c: self.mosfet_c,
            coil_c: self.coil_c,
        };
        feedback.encode(self.id, self.master_id, &self.ranges)
    }

    fn access(&mut self, access: Access, joint: (f64, f64)) -> Option<CanFrame> {
        const TIMEOUT: u8 = Register::Timeout as u8;
        const CONTROL_MODE: u8 = Register::ControlMode as u8;
        const POSITION_MAX: u8 = Register::PositionMax as u8;
        const VELOCITY_MAX: u8 = Register::VelocityMax as u8;
        const TORQUE_MAX: u8 = Register::TorqueMax as u8;
        const MASTER_ID: u8 = Register::MasterId as u8;
        let register = match access {
            Access::Status => return Some(self.feedback(joint)),
            Access::Read { register } => register,
            Access::Write { register, value } => {
                match register {
                    TIMEOUT => self.timeout = u32::from_le_bytes(value),
                    CONTROL_MODE => self.control_mode = u32::from_le_bytes(value),
                    _ => {}
                }
                register
            }
        };
        let float = |x: f64| (x as f32).to_le_bytes();
        let value = match register {
            MASTER_ID => u32::from(self.master_id).to_le_bytes(),
            TIMEOUT => self.timeout.to_le_bytes(),
            CONTROL_MODE => self.control_mode.to_le_bytes(),
            POSITION_MAX => float(self.ranges.p_max_rad),
            VELOCITY_MAX => float(self.ranges.v_max_rad_per_s),
            TORQUE_MAX => float(self.ranges.t_max_nm),
            _ => [0; 4],
        };
        access.answered(self.id, self.master_id, value)
    }
}
