//! All drives of an arm, and the mechanics that they push.
//!
//! Sans I/O: frames come with their time of arrival. Not responsible for the bus.

use super::drive::{EmulatedDrive, Mounted};
use crate::can::CanConfig;
use crate::port::CanFrame;
use crate::testkit::emulate::Plant;
use std::collections::VecDeque;
use visuomotor_runtime::clock::{Duration, Instant};

/// How far back [`CanDrives::was`] knows.
const HISTORY: Duration = Duration::from_ticks(250_000_000);

pub struct CanDrives<L> {
    /// Joints base to tip, then the fingers.
    pub drives: Vec<EmulatedDrive>,
    pub plant: L,
    /// Time of the last step.
    at: Instant,
    step: Duration,
    tau: Vec<f64>,
    /// Position and velocity of each joint after each step, oldest first; the inner vectors go round.
    history: VecDeque<(Instant, Vec<(f64, f64)>)>,
}

impl<L: Plant> CanDrives<L> {
    /// The drives that the launch file describes, in front of a plant with as many joints and the fingers.
    ///
    /// # Panics
    /// When the numbers differ.
    pub fn new(config: &CanConfig, plant: L, at: Instant) -> Self {
        let joints = config.joint.iter().map(|joint| {
            let mounted = Mounted {
                direction: f64::from(joint.direction),
                zero_rad: joint.zero_offset_rad,
            };
            EmulatedDrive::new(joint.id, joint.master_id, joint.actuator.ranges(), mounted)
        });
        let grip = &config.gripper;
        let mounted = Mounted {
            direction: 1.0,
            zero_rad: 0.0,
        };
        let gripper = EmulatedDrive::new(grip.id, grip.master_id, grip.actuator.ranges(), mounted);
        let drives: Vec<_> = joints.chain([gripper]).collect();
        assert_eq!(
            drives.len(),
            plant.joints(),
            "drives and joints of the plant"
        );
        let step = Duration::from_ticks((plant.step_s() * 1e9).round() as u64);
        let room = (HISTORY.as_ticks() / step.as_ticks()) as usize + 2;
        let states: Vec<_> = (0..drives.len()).map(|i| plant.state(i)).collect();
        Self {
            tau: vec![0.0; drives.len()],
            history: vec![(at, states); room].into(),
            drives,
            plant,
            at,
            step,
        }
    }

    /// Lets the mechanics move on to `now`.
    pub fn advance(&mut self, now: Instant) {
        while now.checked_duration_since(self.at) >= Some(self.step) {
            let next = self.at + self.step;
            for (i, drive) in self.drives.iter_mut().enumerate() {
                self.tau[i] = drive.torque(next, self.plant.state(i));
            }
            self.plant.step(&self.tau);
            self.at = next;
            if let Some((_, mut states)) = self.history.pop_front() {
                for (i, state) in states.iter_mut().enumerate() {
                    *state = self.plant.state(i);
                }
                self.history.push_back((next, states));
            }
        }
    }

    /// Where a joint was at `at`, rad.
    pub fn was(&self, joint: usize, at: Instant) -> f64 {
        let newest = self
            .history
            .partition_point(|(time, _)| *time <= at)
            .saturating_sub(1);
        let (time, states) = &self.history[newest];
        let (q, dq) = states[joint];
        let since = at
            .checked_duration_since(*time)
            .unwrap_or(Duration::from_ticks(0));
        q + dq * since.as_ticks() as f64 * 1e-9
    }

    /// The answers to a frame that has come at `now`, in order of the drives.
    pub fn receive(
        &mut self,
        frame: &CanFrame,
        now: Instant,
        mut answer: impl FnMut(usize, CanFrame),
    ) {
        self.advance(now);
        for i in 0..self.drives.len() {
            let joint = (self.was(i, now), self.plant.state(i).1);
            if let Some(frame) = self.drives[i].receive(frame, now, joint) {
                answer(i, frame);
            }
        }
    }
}
