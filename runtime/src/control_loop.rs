//! The loop: read, step, write, record; every failure is a value that flows into the next line.
//!
//! Responsible for the order of one tick and for nothing else. What a tick decides is in [`crate::controller`]; when it
//! runs is in [`crate::pace`]; what may be sent is in [`crate::safety`].

use crate::arm::Arm;
use crate::clock::Clock;
use crate::controller::{Controller, Inputs, Outputs, Request};
use crate::pace::Pace;
use crate::policy::Decision;
use crate::safety::{StopCategory, Verdict};

/// The control loop's side of every hand-over to another thread or task. No method may block.
pub trait Exchange<const N: usize> {
    /// The next decision of the policy, if one has come.
    fn decision(&mut self) -> Option<Decision>;
    /// What a person or the session asks for, if anything.
    fn request(&mut self) -> Option<Request>;
    /// Passes on what the tick saw and did.
    fn publish(&mut self, outputs: &Outputs<N>);
    /// Whether the loop should end: it does so when the arm has come to rest, with a stop of category 2 or that of the stop
    /// that is latched.
    fn ended(&self) -> bool;
}

/// An arm that is told to stop whichever way the loop ends: at rest, by a panic, or dropped in mid-motion.
struct Stopping<'a, A: Arm<N>, const N: usize> {
    arm: &'a mut A,
    category: StopCategory,
}

impl<A: Arm<N>, const N: usize> Drop for Stopping<'_, A, N> {
    fn drop(&mut self) {
        self.arm.stop(self.category);
    }
}

/// Runs until [`Exchange::ended`]. The same future runs on Linux and in simulated time.
pub async fn control<C: Clock, const N: usize>(
    mut pace: Pace<C>,
    arm: &mut impl Arm<N>,
    controller: &mut Controller<N>,
    exchange: &mut impl Exchange<N>,
) {
    let Stopping { arm, category } = &mut Stopping {
        arm,
        // A loop that ended in mid-motion supervises nothing any more: the arm is not to stay under power.
        category: StopCategory::One,
    };
    let mut write_error = None;
    loop {
        let tick = pace.tick(*arm).await;
        let ending = exchange.ended();
        let inputs = Inputs {
            arm: arm.read(tick.due + tick.jitter),
            write_error,
            decision: exchange.decision(),
            request: if ending {
                Some(Request::End)
            } else {
                exchange.request()
            },
        };
        let outputs = controller.step(tick, inputs);
        write_error = match outputs.verdict {
            Verdict::Move(command) => arm.write(&command).err(),
            Verdict::Stop(category) => {
                arm.stop(category);
                None
            }
        };
        exchange.publish(&outputs);
        if ending && outputs.step.is_stopped() {
            *category = outputs.step.phase.latched().unwrap_or(StopCategory::Two);
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::{ArmError, ArmState};
    use crate::clock::{Duration, Instant, SimMono, executor};
    use crate::controller::tests::{controller, home};
    use crate::fault::Fault;
    use crate::observation::TcpPose;
    use crate::pace::PaceMaker;
    use crate::pace::tests::hear_cycle;
    use crate::phase::Phase;
    use crate::safety::SafeCommand;
    use crate::units::{JointTorques, JointVelocities};
    use nalgebra::Vector3;
    use std::pin::pin;

    /// Follows perfectly and notes what it is told.
    struct FakeArm {
        state: ArmState<7>,
        fastest: f64,
        stops: Vec<StopCategory>,
    }

    impl Arm<7> for FakeArm {
        fn read(&mut self, now: Instant) -> Result<ArmState<7>, ArmError> {
            self.state.sampled_at = now;
            Ok(self.state)
        }

        fn write(&mut self, command: &SafeCommand<7>) -> Result<(), ArmError> {
            assert!(self.stops.is_empty(), "a command after the stop");
            (self.state.q, self.state.dq) = (*command.q(), *command.dq());
            self.fastest = self.fastest.max(command.dq().0.amax());
            Ok(())
        }

        fn stop(&mut self, category: StopCategory) {
            self.stops.push(category);
        }
    }

    /// Asks for a long way at first, and for the end after some ticks.
    struct Impatient {
        ticks: u64,
        ends_after: u64,
        last_phase: Phase,
        faulted: Option<(Instant, Fault)>,
    }

    impl Exchange<7> for Impatient {
        fn decision(&mut self) -> Option<Decision> {
            None
        }

        fn request(&mut self) -> Option<Request> {
            (self.ticks == 1).then_some(Request::Approach(TcpPose {
                position_m: Vector3::new(0.0, 0.0, 0.05),
                yaw_rad: 0.0,
            }))
        }

        fn publish(&mut self, outputs: &Outputs<7>) {
            assert_eq!(outputs.step.tick, self.ticks);
            self.ticks += 1;
            self.last_phase = outputs.step.phase;
            let fault = outputs.step.fault.map(|fault| (outputs.step.due, fault));
            self.faulted = self.faulted.or(fault);
        }

        fn ended(&self) -> bool {
            self.ticks >= self.ends_after
        }
    }

    fn at_home() -> FakeArm {
        FakeArm {
            state: ArmState {
                sampled_at: Instant::from_ticks(0),
                q: home(),
                dq: JointVelocities::zeros(),
                tau: JointTorques::zeros(),
                aperture_m: 0.084,
            },
            fastest: 0.0,
            stops: Vec::new(),
        }
    }

    fn run(maker: PaceMaker, arm: &mut impl Arm<7>, exchange: &mut Impatient) {
        SimMono::reset();
        let period = Duration::from_millis(1);
        let pace = Pace::<SimMono>::new(maker, SimMono::EPOCH, period);
        executor::run::<SimMono>(&mut [pin!(control(pace, arm, &mut controller(), exchange))]);
    }

    #[test]
    fn a_loop_that_panics_tells_the_arm_to_stop() {
        let mut arm = at_home();
        let mut exchange = Impatient {
            // The first tick is not the one that the exchange expects.
            ticks: 1,
            ends_after: 250,
            last_phase: Phase::Idle,
            faulted: None,
        };
        let run = std::panic::AssertUnwindSafe(|| run(PaceMaker::Timer, &mut arm, &mut exchange));
        assert!(std::panic::catch_unwind(run).is_err());
        assert_eq!(arm.stops, [StopCategory::One]);
    }

    #[test]
    fn the_loop_ends_when_the_arm_has_come_to_rest() {
        for (ends_after, moving) in [(0, false), (1, false), (250, true), (300, true)] {
            let mut arm = at_home();
            let mut exchange = Impatient {
                ticks: 0,
                ends_after,
                last_phase: Phase::Idle,
                faulted: None,
            };
            run(PaceMaker::Timer, &mut arm, &mut exchange);
            assert_eq!(arm.fastest > 0.1, moving, "{}", arm.fastest);
            assert_eq!(arm.state.dq, JointVelocities::zeros());
            assert_eq!(arm.stops, [StopCategory::Two]);
            assert_eq!(exchange.last_phase, Phase::Ending);
            let extra = exchange.ticks - ends_after;
            assert!((1..500).contains(&extra), "{extra} ticks to stop");
            assert_eq!(extra > 5, moving, "{extra} ticks to stop");
        }
    }

    /// Answers only in its own cycles.
    struct Cycling {
        arm: FakeArm,
        starts_us: Vec<u64>,
        heard: bool,
    }

    impl Arm<7> for Cycling {
        fn read(&mut self, now: Instant) -> Result<ArmState<7>, ArmError> {
            match self.heard {
                true => self.arm.read(now),
                false => Err(ArmError::NoAnswer),
            }
        }

        fn write(&mut self, command: &SafeCommand<7>) -> Result<(), ArmError> {
            self.arm.write(command)
        }

        fn stop(&mut self, category: StopCategory) {
            self.arm.stops.push(category);
        }

        fn owns_cycle(&self) -> bool {
            true
        }

        async fn wait_cycle(&mut self, until: Instant) -> Result<Instant, ArmError> {
            let heard = hear_cycle(&mut self.starts_us, until).await;
            self.heard = heard.is_ok();
            heard
        }
    }

    #[test]
    fn a_loop_slaved_to_a_robot_stops_the_arm_when_the_robot_stops_its_cycle() {
        // Cycles that drift, 0.3 s long while the arm moves, with two single ones and then all of them missing.
        let mut starts_us: Vec<u64> = (0..300).map(|k| k * 1_003).collect();
        let last_us = starts_us[299];
        for missing in [200, 250] {
            starts_us.remove(missing);
        }
        let mut arm = Cycling {
            arm: at_home(),
            starts_us,
            heard: false,
        };
        let mut exchange = Impatient {
            ticks: 0,
            ends_after: 500,
            last_phase: Phase::Idle,
            faulted: None,
        };
        run(PaceMaker::Robot, &mut arm, &mut exchange);
        let (at, fault) = exchange.faulted.expect("a lost link");
        assert!(matches!(fault, Fault::ArmLinkLost { .. }), "{fault}");
        let silent = at - (SimMono::EPOCH + Duration::from_micros(last_us));
        assert_eq!(
            silent,
            Duration::from_millis(21),
            "the watchdog's 20 and a tick"
        );
        assert!(arm.arm.fastest > 0.1, "{}", arm.arm.fastest);
        assert_eq!(arm.arm.state.dq, JointVelocities::zeros());
        assert_eq!(exchange.last_phase, Phase::Stopped(StopCategory::One));
    }
}
