//! One drive: its registers, its states and its control law.
//!
//! As the manual describes it: every frame to its identifier feeds its watchdog and is answered with feedback, register frames
//! do neither; a goal is kept without power and forgotten when power goes; a fault takes the power and stays until it is cleared.
//! Not responsible for what its shaft drives.

use crate::can::wire::{
    Access, Command, Feedback, Impedance, MIT_MODE, Ranges, Register, Status, TIMEOUT_UNIT_US,
};
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

    /// When the last frame came that feeds its watchdog.
    pub fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// It fails, or is well again with [`Status::DISABLED`]: without power in any case.
    pub fn fail(&mut self, status: Status) {
        self.status = status;
        self.goal = Impedance::default();
    }

    /// What it is told to go to, as the joint's angle, while it has power.
    pub fn goal(&self) -> Option<f64> {
        (self.status == Status::ENABLED).then_some(
            self.mounted.direction * (self.goal.q + self.zero_shift) + self.mounted.zero_rad,
        )
    }

    fn shaft(&self, (q, dq): (f64, f64)) -> (f64, f64) {
        let Mounted {
            direction,
            zero_rad,
        } = self.mounted;
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
    pub fn receive(
        &mut self,
        frame: &CanFrame,
        now: Instant,
        joint: (f64, f64),
    ) -> Option<CanFrame> {
        if let Some((id, access)) = Access::decode(frame) {
            return if id == self.id {
                self.access(access, joint)
            } else {
                None
            };
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
                if let (Some(goal), MIT_MODE, true) = (goal, self.control_mode, frame.id == self.id)
                {
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

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant::from_ticks(1_000_000_000);

    fn drive() -> EmulatedDrive {
        let mounted = Mounted {
            direction: -1.0,
            zero_rad: 0.5,
        };
        EmulatedDrive::new(3, 0x13, Ranges::new(12.5, 30.0, 10.0), mounted)
    }

    fn feedback(drive: &mut EmulatedDrive, frame: CanFrame, at: Instant, q: f64) -> Feedback {
        let answer = drive.receive(&frame, at, (q, 0.0)).expect("an answer");
        Feedback::decode(&answer, 3, &drive.ranges).expect("feedback")
    }

    #[test]
    fn a_drive_goes_through_its_states_as_the_manual_says() {
        let mut drive = drive();
        let command = |command: Command| command.encode(3);
        let mode = Access::Write {
            register: Register::ControlMode as u8,
            value: MIT_MODE.to_le_bytes(),
        };
        assert!(drive.receive(&mode.encode(3), AT, (0.0, 0.0)).is_some());
        assert_eq!(drive.receive(&mode.encode(4), AT, (0.0, 0.0)), None);
        // Joint at 1 rad: the drive, mounted the other way round, at -0.5.
        let off = feedback(&mut drive, Access::Status.encode(3), AT, 1.0);
        assert!(
            (off.q + 0.5).abs() < 1e-3 && off.status == Status::DISABLED,
            "{off:?}"
        );
        let goal = Impedance {
            q: -0.4,
            kp: 10.0,
            ..Impedance::default()
        };
        let goal = goal.encode(3, &drive.ranges).expect("finite");
        feedback(&mut drive, goal, AT, 1.0);
        assert_eq!((drive.torque(AT, (1.0, 0.0)), drive.goal()), (0.0, None));
        let on = feedback(&mut drive, command(Command::Enable), AT, 1.0);
        assert_eq!(on.status, Status::ENABLED);
        // 10 N·m/rad x 0.1 rad, seen from the joint.
        let torque = drive.torque(AT, (1.0, 0.0));
        assert!((torque + 1.0).abs() < 0.01, "{torque}");
        assert!(drive.torque(AT, (9.0, 0.0)).abs() <= 10.0);
        drive.fail(Status(0xB));
        let hot = feedback(&mut drive, command(Command::Enable), AT, 1.0);
        let still = feedback(&mut drive, command(Command::Disable), AT, 1.0);
        assert_eq!((hot.status, still.status), (Status(0xB), Status(0xB)));
        let clear = feedback(&mut drive, command(Command::ClearFault), AT, 1.0);
        assert_eq!(
            (clear.status, drive.torque(AT, (1.0, 0.0))),
            (Status::DISABLED, 0.0)
        );
        let zero = feedback(&mut drive, command(Command::SetZero), AT, 1.0);
        assert!(zero.q.abs() < 1e-3, "{zero:?}");
    }

    #[test]
    fn what_is_no_command_does_not_feed_the_watchdog() {
        let mut drive = drive();
        let timeout = Access::Write {
            register: Register::Timeout as u8,
            value: 200_u32.to_le_bytes(),
        };
        let _ = drive.receive(&timeout.encode(3), AT, (0.0, 0.0));
        feedback(&mut drive, Command::Enable.encode(3), AT, 0.0);
        let at = |ms: u64| AT + Duration::from_millis(ms);
        feedback(&mut drive, Access::Status.encode(3), at(8), 0.0);
        drive.torque(at(10), (0.0, 0.0));
        assert_eq!(drive.status(), Status::ENABLED);
        drive.torque(at(11), (0.0, 0.0));
        assert_eq!(drive.status(), Status::SILENCE);
    }
}
