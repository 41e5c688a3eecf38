//! The person of a simulation: brings the arm to a start, lets the policy play, takes the stick, looks after faults.
//!
//! Looks at the newest step every 20 ms and asks for one thing at most, as a person with a console does. Not responsible
//! for what the controller makes of it.

use super::plan::{Kind, Planned};
use crate::config::{JOINTS, Launch};
use crate::wiring;
use nalgebra::Vector3;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::observation::TcpVelocity;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{OperatingMode, StopCategory};
use visuomotor_runtime::step::Step;

/// How often a person looks, and how often a stick speaks.
pub const LOOK: Duration = Duration::from_millis(20);
/// How often, of all that a person asks, it is just anything.
const RUDE: f64 = 0.1;
/// Before the stick falls silent somebody has held it for this long.
const HELD: Duration = Duration::from_millis(300);

pub struct Operator<'a> {
    launch: &'a Launch,
    rng: Xoshiro256PlusPlus,
    faults: Vec<Planned>,
    /// Of each fault, how often it was played.
    injected: Vec<u64>,
    /// Until when the person waits before asking for the next thing.
    patient_until: Instant,
    /// Until when the stick is held, and where to.
    stick: Option<(Instant, TcpVelocity)>,
    was_latched: bool,
}

impl<'a> Operator<'a> {
    pub fn new(launch: &'a Launch, plan: &[Planned], rng: Xoshiro256PlusPlus) -> Self {
        let concerns =
            |planned: &&Planned| matches!(planned.kind, Kind::StopRequest | Kind::OperatorVanishes);
        let faults: Vec<Planned> = plan.iter().filter(concerns).copied().collect();
        Self {
            launch,
            rng,
            injected: vec![0; faults.len()],
            faults,
            patient_until: Instant::from_ticks(0),
            stick: None,
            was_latched: false,
        }
    }

    pub fn faults(&self) -> impl Iterator<Item = (Kind, u64)> {
        let kinds = self.faults.iter().map(|planned| planned.kind);
        kinds.zip(self.injected.iter().copied())
    }

    /// What is asked at `now`, one look after the other.
    pub fn look(&mut self, now: Instant, step: &Step<JOINTS>) -> Option<Request> {
        for (planned, injected) in self.faults.iter().zip(&mut self.injected) {
            let window = planned.window();
            match planned.kind {
                Kind::OperatorVanishes if window.contains(now) => {
                    *injected += 1;
                    return None;
                }
                Kind::OperatorVanishes if now < window.from && now + HELD >= window.from => {
                    self.stick
                        .get_or_insert((window.until, velocity(&mut self.rng)));
                }
                Kind::StopRequest if window.from <= now && *injected == 0 => {
                    *injected = 1;
                    return Some(Request::Stop(category(planned.number)));
                }
                _ => {}
            }
        }
        let latched = step.phase.latched().is_some();
        if latched && !self.was_latched {
            self.patient_until = now + self.while_ms(20, 300);
            self.stick = None;
        }
        self.was_latched = latched;
        if let Some((until, velocity)) = self.stick {
            if now >= until {
                self.stick = None;
                return Some(Request::Hold);
            }
            if matches!(
                step.phase,
                Phase::Hold | Phase::Approach | Phase::Policy | Phase::Teleop
            ) {
                return Some(Request::Jog(velocity));
            }
        }
        if now < self.patient_until {
            return None;
        }
        self.ask(now, step)
    }

    fn ask(&mut self, now: Instant, step: &Step<JOINTS>) -> Option<Request> {
        let chance = self.rng.random_range(0..100);
        if self.rng.random_bool(RUDE) {
            self.patient_until = now + self.while_ms(20, 40);
            return Some(self.anything(now, step.mode));
        }
        let (request, patience) = match step.phase {
            Phase::Stopped(_) if chance < 40 => (Request::ClearFault, self.while_ms(50, 200)),
            // Also while it still moves: that must be refused.
            Phase::Stopped(_) => (Request::Recover, self.while_ms(50, 200)),
            Phase::Stopping(_) if chance < 20 => (Request::ClearFault, self.while_ms(20, 40)),
            Phase::Hold if chance < 15 && step.is_stopped() => {
                (Request::Rearm, self.while_ms(20, 40))
            }
            Phase::Hold if chance < 25 && step.is_stopped() => {
                (Request::SetMode(other(step.mode)), self.while_ms(20, 40))
            }
            Phase::Hold => {
                let start = wiring::draw_start(self.launch, &mut self.rng);
                (Request::Approach(start), self.while_ms(200, 900))
            }
            Phase::Approach if chance < 70 => (Request::StartPolicy, self.while_ms(600, 2_000)),
            Phase::Approach | Phase::Policy if chance < 85 => {
                let until = now + self.while_ms(200, 800);
                self.stick = Some((until, velocity(&mut self.rng)));
                return None;
            }
            Phase::Approach | Phase::Policy => (Request::Hold, self.while_ms(100, 400)),
            _ => return None,
        };
        self.patient_until = now + patience;
        Some(request)
    }

    /// Whatever button is under the finger, whether it makes sense now or not.
    fn anything(&mut self, now: Instant, mode: OperatingMode) -> Request {
        match self.rng.random_range(0..7) {
            0 => Request::Rearm,
            1 => Request::SetMode(other(mode)),
            2 => {
                let velocity = velocity(&mut self.rng);
                self.stick = Some((now + LOOK * 5, velocity));
                Request::Jog(velocity)
            }
            3 => Request::StartPolicy,
            4 => Request::Approach(wiring::draw_start(self.launch, &mut self.rng)),
            5 => Request::Hold,
            _ => Request::ClearFault,
        }
    }

    fn while_ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(least..=most))
    }
}

fn other(mode: OperatingMode) -> OperatingMode {
    match mode {
        OperatingMode::Automatic => OperatingMode::Manual,
        OperatingMode::Manual => OperatingMode::Automatic,
    }
}

fn category(number: u32) -> StopCategory {
    [StopCategory::Zero, StopCategory::One, StopCategory::Two][number as usize % 3]
}

fn velocity(rng: &mut Xoshiro256PlusPlus) -> TcpVelocity {
    let mut share = || 2.0 * rng.random::<f64>() - 1.0;
    TcpVelocity {
        linear_m_per_s: 0.4 * Vector3::new(share(), share(), share()),
        yaw_rad_per_s: 2.0 * share(),
    }
}
