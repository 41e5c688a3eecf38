//! An arm with faults.

use super::Scheduled;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

/// What can be wrong with an arm, its encoders or the link to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArmFault {
    /// No read is answered.
    Dropout,
    /// Answers do not decode.
    Corrupt,
    /// The last sample comes again and again, with its own stamp.
    Freeze,
    /// One encoder stands still while its samples are stamped anew.
    Stuck {
        joint: usize,
    },
    /// One read in ten is off by so much.
    Spike {
        joint: usize,
        rad: f64,
    },
    /// An encoder has lost a turn.
    Wrap {
        joint: usize,
    },
    /// An encoder has slipped.
    Offset {
        joint: usize,
        rad: f64,
    },
    NotFinite {
        joint: usize,
    },
    /// Samples arrive this much later, honestly stamped.
    Delay {
        by: Duration,
    },
    /// This share of the reads and of the commands gets no answer.
    Loss {
        share: f64,
    },
    /// Every sample comes twice.
    Duplicate,
    /// Stamps lie this far in the future.
    Future {
        by: Duration,
    },
    /// Commands cannot be sent.
    WriteFails,
    /// Commands are lost, and nobody says so.
    CommandLost,
    /// The drives have given up, and say so.
    DriveFault {
        code: u32,
    },
    /// Somebody has pushed the button: the drives are without power, the encoders go on.
    EmergencyStop,
}

/// How many samples can be on their way.
const HISTORY: usize = 64;

/// The arm `A`, with what is scheduled wrong about it. Reads and writes allocate nothing.
pub struct FaultyArm<A, const N: usize> {
    arm: A,
    faults: Vec<Scheduled<ArmFault>>,
    rng: Xoshiro256PlusPlus,
    /// The device's own samples of the last ticks, the newest first.
    history: [Option<ArmState<N>>; HISTORY],
    /// What was answered last.
    answered: Option<ArmState<N>>,
    ticks: u64,
    now: Instant,
}

impl<A: Arm<N>, const N: usize> FaultyArm<A, N> {
    pub fn new(arm: A, faults: Vec<Scheduled<ArmFault>>, seed: u64) -> Self {
        Self {
            arm,
            faults,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            history: [None; HISTORY],
            answered: None,
            ticks: 0,
            now: Instant::from_ticks(0),
        }
    }

    pub fn arm(&mut self) -> &mut A {
        &mut self.arm
    }

    pub fn faults(&self) -> &[Scheduled<ArmFault>] {
        &self.faults
    }

    /// The device's own newest sample, whatever was answered; `None` before the first read.
    pub fn truth(&self) -> Option<ArmState<N>> {
        self.history[0]
    }

    fn answer(&mut self, fault: ArmFault, state: ArmState<N>) -> Result<ArmState<N>, ArmError> {
        let mut wrong = state;
        match fault {
            ArmFault::Dropout => return Err(ArmError::NoAnswer),
            ArmFault::Corrupt => return Err(ArmError::Malformed),
            ArmFault::DriveFault { code } => return Err(ArmError::Drive { code }),
            ArmFault::Freeze => return self.answered.ok_or(ArmError::NoAnswer),
            ArmFault::Stuck { joint } => {
                if let Some(last) = self.answered {
                    wrong.q[joint] = last.q[joint];
                    wrong.dq[joint] = 0.0;
                }
            }
            ArmFault::Spike { joint, rad } => {
                if self.rng.random_bool(0.1) {
                    wrong.q[joint] += rad;
                }
            }
            ArmFault::Wrap { joint } => wrong.q[joint] += TAU,
            ArmFault::Offset { joint, rad } => wrong.q[joint] += rad,
            ArmFault::NotFinite { joint } => wrong.q[joint] = f64::NAN,
            ArmFault::Delay { by } => {
                let sent_before = |sample: &&ArmState<N>| {
                    self.now
                        .checked_duration_since(sample.sampled_at)
                        .is_some_and(|age| age >= by)
                };
                let newest = self.history.iter().flatten().find(sent_before);
                wrong = *newest
                    .or(self.answered.as_ref())
                    .ok_or(ArmError::NoAnswer)?;
            }
            ArmFault::Loss { share } => {
                if self.rng.random_bool(share) {
                    return Err(ArmError::NoAnswer);
                }
            }
            ArmFault::Duplicate => {
                if self.ticks % 2 == 1 {
                    return self.answered.ok_or(ArmError::NoAnswer);
                }
            }
            ArmFault::Future { by } => wrong.sampled_at += by,
            ArmFault::WriteFails | ArmFault::CommandLost | ArmFault::EmergencyStop => {}
        }
        Ok(wrong)
    }
}

impl<A: Arm<N>, const N: usize> Arm<N> for FaultyArm<A, N> {
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        self.now = now;
        self.ticks += 1;
        let mut answer = self.arm.read(now);
        if let Ok(state) = answer {
            self.history.rotate_right(1);
            self.history[0] = Some(state);
        }
        for i in 0..self.faults.len() {
            let Scheduled { window, fault, .. } = self.faults[i];
            if !window.contains(now) {
                continue;
            }
            if let (ArmFault::EmergencyStop | ArmFault::DriveFault { .. }, true) =
                (fault, self.faults[i].injected == 0)
            {
                self.arm.stop(StopCategory::Zero);
                self.faults[i].injected += 1;
            }
            if let Ok(state) = answer {
                answer = self.answer(fault, state);
                self.faults[i].injected += u64::from(answer != Ok(state));
            }
        }
        if let Ok(state) = answer {
            self.answered = Some(state);
        }
        answer
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        let now = self.now;
        for scheduled in &mut self.faults {
            if !scheduled.window.contains(now) {
                continue;
            }
            let failure = match scheduled.fault {
                ArmFault::WriteFails | ArmFault::Dropout => Err(ArmError::NoAnswer),
                ArmFault::Loss { share } if self.rng.random_bool(share) => Err(ArmError::NoAnswer),
                ArmFault::CommandLost => Ok(()),
                ArmFault::DriveFault { code } => Err(ArmError::Drive { code }),
                ArmFault::EmergencyStop => Err(ArmError::Drive { code: 0 }),
                _ => continue,
            };
            scheduled.injected += 1;
            return failure;
        }
        self.arm.write(command)
    }

    fn stop(&mut self, category: StopCategory) {
        self.arm.stop(category);
    }

    fn owns_cycle(&self) -> bool {
        self.arm.owns_cycle()
    }

    fn wait_cycle(&mut self, until: Instant) -> impl Future<Output = Result<Instant, ArmError>> {
        self.arm.wait_cycle(until)
    }
}
