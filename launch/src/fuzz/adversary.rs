//! Requests that know no mercy, drawn from a seed.

use super::check::Judge;
use nalgebra::SVector;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::kinematics::ik::{self, Tuning};
use visuomotor_runtime::kinematics::pose::ToolMotion;
use visuomotor_runtime::safety::{CommandState, Request};
use visuomotor_runtime::units::{JointAccelerations, JointVelocities};

/// How long it keeps to one kind of malice at most, ticks.
const MODE_TICKS_MAX: u32 = 400;
/// A posture is pursued for so long, and a late thread sleeps for so long at most, ticks.
const TRAVEL_TICKS: u32 = 4000;
const LATE_TICKS_MAX: u32 = 20;
/// Postures of which the most folded one is pursued.
const POSTURES: usize = 300;
/// Straight motions of the tool that it asks for, m/s and rad/s.
const TOOL_SPEED: f64 = 2.0;

#[derive(Clone, Copy, Debug)]
enum Mode {
    Noise,
    /// One velocity, mostly beyond the limits.
    Push,
    /// Velocities exactly at the limits: every joint rides to its end.
    Ride,
    BangBang,
    Huge,
    NotFinite,
    /// The tool moves straight on, into whatever border comes.
    Tool,
    /// A new velocity four times a second.
    Steps,
    /// To some posture, anywhere.
    Posture,
    /// To a posture in which the arm meets itself, or nearly so.
    Fold,
    /// Any jerks at all, as if the optimiser had gone wrong.
    Answer,
    /// As if the optimiser had no answer.
    NoAnswer,
    /// Ticks that do not happen.
    Late,
}

const MODES: [Mode; 11] = [
    Mode::Noise,
    Mode::Push,
    Mode::Ride,
    Mode::BangBang,
    Mode::Huge,
    Mode::NotFinite,
    Mode::Tool,
    Mode::Steps,
    Mode::Answer,
    Mode::NoAnswer,
    Mode::Late,
];

/// These take long, and are chosen less often.
const TRAVELS: [Mode; 2] = [Mode::Posture, Mode::Fold];
const TRAVELS_ONCE_IN: u32 = 15;

pub struct Adversary<'a, const N: usize> {
    judge: &'a Judge<'a, N>,
    tuning: Tuning<N>,
    rng: Xoshiro256PlusPlus,
    mode: Mode,
    ticks_left: u32,
    tick: u32,
    dq_max: JointVelocities<N>,
    /// In [-1, 1].
    direction: [f64; N],
    tool: [f64; 6],
    posture: [f64; N],
}

impl<'a, const N: usize> Adversary<'a, N> {
    pub fn new(judge: &'a Judge<'a, N>, tuning: Tuning<N>, seed: u64) -> Self {
        Self {
            judge,
            tuning,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            mode: Mode::Noise,
            ticks_left: 0,
            tick: 0,
            dq_max: judge.limits.dq_max(),
            direction: [0.0; N],
            tool: [0.0; 6],
            posture: [0.0; N],
        }
    }

    /// What it asks of a filter in this state; `None` when it lets the tick go by, as a control thread that comes late.
    pub fn request(&mut self, state: &CommandState<N>) -> Option<Request<N>> {
        if self.ticks_left == 0 {
            self.change();
        }
        self.ticks_left -= 1;
        self.tick = self.tick.wrapping_add(1);
        let (dq, ddq) = match self.mode {
            Mode::Noise => (self.noise(2.0), self.noise(30.0)),
            Mode::Push => (self.direction.map(|x| 3.0 * x), [0.0; N]),
            Mode::Ride => (self.direction.map(f64::signum), [0.0; N]),
            Mode::BangBang => (
                self.noise(1.0).map(|x| 10.0 * x.signum()),
                self.noise(1.0).map(|x| 1e3 * x.signum()),
            ),
            Mode::Huge => (self.noise(1e300), self.noise(1e300)),
            Mode::NotFinite => (self.spoiled(self.direction), [0.0; N]),
            Mode::Tool => return Some(self.tool_motion(state)),
            Mode::Steps => {
                if self.tick.is_multiple_of(250) {
                    self.turn();
                }
                (self.direction, [0.0; N])
            }
            Mode::Posture | Mode::Fold => {
                let way = |i: usize| (5.0 * (self.posture[i] - state.q[i])).clamp(-1.5, 1.5);
                (std::array::from_fn(way), [0.0; N])
            }
            Mode::Answer => return Some(Request::Jerk(self.answer())),
            Mode::NoAnswer => return Some(Request::Stop),
            Mode::Late => return None,
        };
        let dq = std::array::from_fn(|i| dq[i] * self.dq_max[i]);
        Some(Request::Motion {
            dq: dq.into(),
            ddq: ddq.into(),
        })
    }

    fn change(&mut self) {
        self.ticks_left = self.rng.random_range(1..MODE_TICKS_MAX);
        self.mode = if self.once_in(TRAVELS_ONCE_IN) {
            TRAVELS[self.rng.random_range(0..TRAVELS.len())]
        } else {
            MODES[self.rng.random_range(0..MODES.len())]
        };
        self.turn();
        match self.mode {
            Mode::Posture => (self.ticks_left, self.posture) = (TRAVEL_TICKS, self.any_posture()),
            Mode::Fold => (self.ticks_left, self.posture) = (TRAVEL_TICKS, self.folded()),
            Mode::Late => self.ticks_left = self.rng.random_range(1..LATE_TICKS_MAX),
            _ => {}
        }
    }

    fn any_posture(&mut self) -> [f64; N] {
        let limits = self.judge.limits.joints();
        limits.map(|joint| self.rng.random_range(joint.lower..joint.upper))
    }

    /// Of many postures, the one that brings the arm nearest to itself.
    fn folded(&mut self) -> [f64; N] {
        let mut nearest = (f64::INFINITY, self.posture);
        for _ in 0..POSTURES {
            let q = self.any_posture();
            let frames = self.judge.chain.frames(&q.into());
            let distance_m = self.judge.shapes.distances(&frames).to_itself_m;
            if distance_m < nearest.0 {
                nearest = (distance_m, q);
            }
        }
        nearest.1
    }

    /// As an optimiser might answer that has gone wrong, or is about to.
    fn answer(&mut self) -> SVector<f64, N> {
        let jerks = self.judge.limits.joints().map(|joint| joint.dddq_max);
        let noise = self.noise(1.0);
        let answer = match self.tick % 4 {
            0 => std::array::from_fn(|i| jerks[i] * noise[i].signum()),
            1 => std::array::from_fn(|i| jerks[i] * self.direction[i]),
            2 => noise.map(|x| 1e300 * x),
            _ => self.spoiled(noise),
        };
        answer.into()
    }

    fn spoiled(&self, mut values: [f64; N]) -> [f64; N] {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
        values[self.tick as usize % N] = bad[self.tick as usize % bad.len()];
        values
    }

    /// True now and then: whatever it does then, it should be rare and unforeseeable.
    pub fn once_in(&mut self, ticks: u32) -> bool {
        self.rng.random_range(0..ticks) == 0
    }

    fn turn(&mut self) {
        self.direction = self.noise(1.0);
        self.tool = std::array::from_fn(|_| self.rng.random_range(-TOOL_SPEED..TOOL_SPEED));
    }

    fn noise(&mut self, scale: f64) -> [f64; N] {
        std::array::from_fn(|_| self.rng.random_range(-scale..scale))
    }

    fn tool_motion(&self, state: &CommandState<N>) -> Request<N> {
        let chain = self.judge.chain;
        let motion = ToolMotion {
            pose: chain.fk(&state.q),
            twist: self.tool.into(),
            acceleration: [0.0; 6].into(),
        };
        let joints = ik::differential(chain, &state.q, &state.dq, &motion, &self.tuning);
        Request::Motion {
            dq: joints.dq,
            ddq: JointAccelerations::zeros(),
        }
    }
}
