//! The arm under power.
//!
//! One tick is one round on the bus: [`Arm::write`] sends a frame to every drive, each answers at once with what it measures
//! then, and the next [`Arm::read`] finds the answers waiting. So a reading is one control period old at most and says so, and a
//! bus of 1 Mbit/s carries eight drives at 400 Hz; asking again in the read would halve that. A read that follows no write
//! asks by itself: with the command to hold where a hold is asked for, which also feeds the drives' watchdogs, else without one.
//!
//! A drive is a spring and a damper around its goal; what gravity and the arm's inertia take is sent along, so that the
//! spring stays short while the arm accelerates.
//!
//! Not responsible for the wire format ([`super::wire`]) nor for accounts ([`super::bus`]).

use super::bus::Bus;
use super::config::GripperDrive;
use super::wire::{Access, Command, Impedance, Status};
use crate::port::CanPort;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::Dynamics;
use visuomotor_runtime::safety::{SafeCommand, StopCategory};
use visuomotor_runtime::units::{
    JointAccelerations, JointPositions, JointTorques, JointVelocities,
};

/// Answers to a write that lie longer than this are asked for anew: no control loop of an arm is slower than 100 Hz and in
/// time.
const LYING_MAX: Duration = Duration::from_micros(10_000);
/// As long drives may take to follow a command that gives power back.
const RISE_MAX: Duration = Duration::from_micros(30_000);

/// How a joint hangs on its drive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joint {
    pub kp: f64,
    pub kd: f64,
    /// 1 or -1.
    pub direction: f64,
    pub zero_rad: f64,
    pub torque_max: f64,
    /// Of the drive's own rotor, seen from the joint, kg·m².
    pub rotor_inertia: f64,
}

/// What the arm's drives are, and where they were when last seen.
pub(super) struct Body<P, const N: usize> {
    pub bus: Bus<P>,
    pub joints: [Joint; N],
    pub gripper: GripperDrive,
    pub dynamics: Dynamics<N>,
    pub q: JointPositions<N>,
    pub finger_rad: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Power {
    Off,
    /// Asked for by a command.
    Rising {
        since: Instant,
    },
    On,
}

/// One drive as it last answered.
#[derive(Clone, Debug, PartialEq)]
pub struct DriveState {
    pub name: String,
    pub status: Status,
    pub mosfet_c: u8,
    pub coil_c: u8,
}

/// The code of [`ArmError::Drive`]: 16 times the number of the joint, from 1, the fingers being the one after the last; plus
/// what the drive says ([`Status`]). 0x3D: joint 3 has lost communication; 0x40: joint 4 is without power and should not be.
pub fn fault_code(drive: usize, status: Status) -> u32 {
    16 * (drive as u32 + 1) + u32::from(status.0)
}

impl<P: CanPort, const N: usize> Body<P, N> {
    /// Where the drives would be told to go: never further from where they are than their torque limit allows.
    fn impedance(&self, i: usize, q: f64, dq: f64, tau: f64) -> Impedance {
        let joint = &self.joints[i];
        let tau = tau.clamp(-joint.torque_max, joint.torque_max);
        let stretch = (joint.torque_max - tau.abs()) / joint.kp;
        // Not `clamp`, which panics where the torque is no number; such a goal is not sent.
        let q = self.q[i] + (q - self.q[i]).max(-stretch).min(stretch);
        Impedance {
            q: joint.direction * (q - joint.zero_rad),
            dq: joint.direction * dq,
            kp: joint.kp,
            kd: joint.kd,
            tau: joint.direction * tau,
        }
    }

    /// The fingers' command; without one they stay where they are.
    fn grip(&self, fingers: Option<Fingers>) -> Impedance {
        let gripper = &self.gripper;
        let stretch = gripper.torque_nm() / gripper.kp;
        let goal = match fingers {
            Some(Fingers::Open) => gripper.angle_rad(gripper.open_m),
            // Never at the goal, so that they press on thin objects as well, and on each other with nothing between them.
            Some(Fingers::Closed) => {
                let goal = self.finger_rad - stretch.copysign(gripper.m_per_rad);
                let last = gripper.last_rad();
                // Further than that a pinion has slipped.
                if gripper.m_per_rad > 0.0 {
                    goal.max(last)
                } else {
                    goal.min(last)
                }
            }
            None => self.finger_rad,
        };
        Impedance {
            q: self.finger_rad + (goal - self.finger_rad).clamp(-stretch, stretch),
            kp: gripper.kp,
            kd: gripper.kd,
            ..Impedance::default()
        }
    }

    /// What moves the arm so, without its springs: from the masses of the robot description and the drives' own rotors.
    pub fn torques(
        &self,
        q: &JointPositions<N>,
        dq: &JointVelocities<N>,
        ddq: &JointAccelerations<N>,
    ) -> JointTorques<N> {
        let mut tau = self.dynamics.torques(q, dq, ddq);
        for (i, joint) in self.joints.iter().enumerate() {
            tau[i] += joint.rotor_inertia * ddq[i];
        }
        tau
    }

    /// The frames of drive `i` for this goal.
    pub fn goal(
        &self,
        i: usize,
        q: &JointPositions<N>,
        dq: &JointVelocities<N>,
        tau: &JointTorques<N>,
        fingers: Option<Fingers>,
    ) -> Impedance {
        match i {
            i if i < N => self.impedance(i, q[i], dq[i], tau[i]),
            _ => self.grip(fingers),
        }
    }

    /// Looks for the answers of all drives; `may_be` says which statuses are in order.
    pub fn read(&mut self, may_be: impl Fn(Status) -> bool) -> Result<ArmState<N>, ArmError> {
        for drive in &mut self.bus.drives {
            drive.malformed = false;
        }
        let collected = self.bus.collect();
        let sampled = |i: usize| {
            self.bus.drives[i]
                .sample
                .map(|sample| sample.feedback.status)
        };
        let fault = (0..=N).find_map(|i| {
            sampled(i)
                .filter(|status| !may_be(*status))
                .map(|status| (i, status))
        });
        if let Some((i, status)) = fault {
            self.bus.consume();
            return Err(ArmError::Drive {
                code: fault_code(i, status),
            });
        }
        collected?;
        let mut state = ArmState {
            sampled_at: Instant::from_ticks(u64::MAX),
            q: JointPositions::zeros(),
            dq: JointVelocities::zeros(),
            tau: JointTorques::zeros(),
            aperture_m: 0.0,
        };
        for (i, drive) in self.bus.drives.iter().enumerate() {
            let sample = drive.sample.ok_or(ArmError::NoAnswer)?;
            let feedback = sample.feedback;
            state.sampled_at = state.sampled_at.min(sample.asked_at);
            match self.joints.get(i) {
                Some(joint) => {
                    state.q[i] = joint.direction * feedback.q + joint.zero_rad;
                    state.dq[i] = joint.direction * feedback.dq;
                    state.tau[i] = joint.direction * feedback.tau;
                }
                None => {
                    self.finger_rad = feedback.q;
                    state.aperture_m = self.gripper.aperture_m(feedback.q);
                }
            }
        }
        self.q = state.q;
        self.bus.consume();
        Ok(state)
    }

    /// Asks all drives how they are; nothing of it moves or holds anything.
    pub fn poll(&mut self, now: Instant) -> Result<(), ArmError> {
        self.bus.drain()?;
        let stamp = now.min(self.bus.port.now());
        for i in 0..=N {
            let frame = Access::Status.encode(self.bus.drives[i].id);
            self.bus.ask(i, &frame, stamp)?;
        }
        Ok(self.bus.asked(stamp)?)
    }

    /// Takes the power of all drives, and the mark of silence from those that have it.
    pub fn disable(&mut self, stamp: Instant) -> Result<(), ArmError> {
        let mut sent = Ok(());
        for i in 0..=N {
            let drive = &self.bus.drives[i];
            let command = match drive.status {
                Status::SILENCE => Command::ClearFault,
                _ => Command::Disable,
            };
            let frame = command.encode(drive.id);
            sent = sent.and(self.bus.ask(i, &frame, stamp));
        }
        Ok(sent?)
    }

    pub fn drives(&self) -> impl Iterator<Item = DriveState> {
        self.bus.drives.iter().map(|drive| DriveState {
            name: drive.name.clone(),
            status: drive.status,
            mosfet_c: drive.warmth.0,
            coil_c: drive.warmth.1,
        })
    }
}

/// An arm of CAN drives under power. `N` joints and the fingers.
pub struct CanArm<P, const N: usize> {
    body: Body<P, N>,
    power: Power,
    /// Where to stay while nobody commands; reads go on commanding it.
    hold: Option<JointPositions<N>>,
    /// What the fingers were told last.
    fingers: Option<Fingers>,
}

impl<P: CanPort, const N: usize> CanArm<P, N> {
    /// All drives are under power and have been told to stay where they are.
    pub(super) fn holding(body: Body<P, N>) -> Self {
        Self {
            hold: Some(body.q),
            body,
            power: Power::On,
            fingers: None,
        }
    }

    /// The drives as they last answered, with their temperatures; for a person to look at, not in the loop: it allocates.
    pub fn drives(&self) -> impl Iterator<Item = DriveState> {
        self.body.drives()
    }

    pub fn port(&mut self) -> &mut P {
        &mut self.body.bus.port
    }

    /// One frame to every drive: the goal, or what brings a drive without power there. It gets a goal before it gets power, and
    /// again after that, in case it has forgotten.
    fn command(
        &mut self,
        q: &JointPositions<N>,
        dq: &JointVelocities<N>,
        ddq: &JointAccelerations<N>,
        now: Instant,
    ) -> Result<(), ArmError> {
        self.body.bus.drain()?;
        let stamp = now.min(self.body.bus.port.now());
        let tau = self.body.torques(q, dq, ddq);
        for i in 0..=N {
            let goal = self.body.goal(i, q, dq, &tau, self.fingers);
            let bus = &mut self.body.bus;
            let drive = &bus.drives[i];
            let goal = goal
                .encode(drive.id, &drive.ranges)
                .ok_or(ArmError::Malformed)?;
            let frame = match self.power {
                Power::Rising { since }
                    if drive.status != Status::ENABLED && drive.heard >= since =>
                {
                    Command::Enable.encode(drive.id)
                }
                _ => goal,
            };
            bus.ask(i, &frame, stamp)?;
        }
        Ok(self.body.bus.asked(stamp)?)
    }

    /// Asks all drives in a read that follows no write.
    fn round(&mut self, now: Instant) -> Result<(), ArmError> {
        match (self.power, self.hold) {
            (Power::Off, _) => {
                self.body.bus.drain()?;
                let stamp = now.min(self.body.bus.port.now());
                self.body.disable(stamp)?;
                Ok(self.body.bus.asked(stamp)?)
            }
            (_, Some(q)) => {
                let (dq, ddq) = (JointVelocities::zeros(), JointAccelerations::zeros());
                self.command(&q, &dq, &ddq, now)
            }
            (_, None) => self.body.poll(now),
        }
    }
}

impl<P: CanPort, const N: usize> Arm<N> for CanArm<P, N> {
    /// Joints are measured one after the other, within the time of a round; the stamp is that of the first.
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        self.body.bus.forget_old(now);
        let lies = |at: Instant| now.checked_duration_since(at) > Some(LYING_MAX);
        if self.body.bus.asked_at.is_none_or(lies) {
            self.round(now)?;
        }
        let power = self.power;
        let may_be = |status: Status| match power {
            // Silence is how drives end that nobody talked to, and a stop has been asked for.
            Power::Off => !status.is_fault() || status == Status::SILENCE,
            Power::Rising { .. } => !status.is_fault(),
            Power::On => status == Status::ENABLED,
        };
        let state = self.body.read(may_be);
        if let Power::Rising { since } = self.power {
            let has_risen = self
                .body
                .bus
                .drives
                .iter()
                .all(|drive| drive.status == Status::ENABLED);
            if has_risen || now.checked_duration_since(since) > Some(RISE_MAX) {
                self.power = Power::On;
            }
        }
        state
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        let now = self.body.bus.port.now();
        if self.power == Power::Off {
            self.power = Power::Rising { since: now };
        }
        self.hold = None;
        self.fingers = Some(command.fingers());
        self.command(command.q(), command.dq(), command.ddq(), now)
    }

    fn io_time_max(&self) -> Duration {
        self.body.bus.collect_max()
    }

    /// 0 and 1 take the power of all drives: an arm without brakes falls. 2 holds the last measured posture for as long as reads
    /// or commands go on; then the drives' watchdogs take the power.
    fn stop(&mut self, category: StopCategory) {
        let now = self.body.bus.port.now();
        match (category, self.power) {
            (StopCategory::Two, Power::On) => {
                if self.hold.is_none() {
                    self.hold = Some(self.body.q);
                    let _ = self.round(now);
                }
            }
            (StopCategory::Two, Power::Off) => {}
            // Half an arm under power holds nothing.
            (StopCategory::Zero | StopCategory::One, _) | (_, Power::Rising { .. }) => {
                self.power = Power::Off;
                self.hold = None;
                // What cannot be sent now is said again in every read, and silence has the same end.
                let _ = self.body.disable(now);
                self.body.bus.asked_at = None;
            }
        }
    }
}
