//! Requests that know no mercy, drawn from a seed.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::kinematics::ik::{self, Tuning};
use visuomotor_runtime::kinematics::pose::ToolMotion;
use visuomotor_runtime::safety::{CommandState, Limits, Request};
use visuomotor_runtime::units::{JointAccelerations, JointVelocities};

/// How long it keeps to one kind of malice at most, ticks.
const MODE_TICKS_MAX: u32 = 400;
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
    /// As if the optimiser had no answer.
    NoAnswer,
}

const MODES: [Mode; 9] = [
    Mode::Noise,
    Mode::Push,
    Mode::Ride,
    Mode::BangBang,
    Mode::Huge,
    Mode::NotFinite,
    Mode::Tool,
    Mode::Steps,
    Mode::NoAnswer,
];

pub struct Adversary<const N: usize> {
    rng: Xoshiro256PlusPlus,
    mode: Mode,
    ticks_left: u32,
    tick: u32,
    dq_max: JointVelocities<N>,
    /// In [-1, 1].
    direction: [f64; N],
    tool: [f64; 6],
}

impl<const N: usize> Adversary<N> {
    pub fn new(limits: &Limits<N>, seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            mode: Mode::Noise,
            ticks_left: 0,
            tick: 0,
            dq_max: limits.dq_max(),
            direction: [0.0; N],
            tool: [0.0; 6],
        }
    }

    pub fn request(
        &mut self,
        chain: &Chain<N>,
        state: &CommandState<N>,
        tuning: &Tuning<N>,
    ) -> Request<N> {
        if self.ticks_left == 0 {
            self.ticks_left = self.rng.random_range(1..MODE_TICKS_MAX);
            self.mode = MODES[self.rng.random_range(0..MODES.len())];
            self.turn();
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
            Mode::NotFinite => {
                let mut dq = self.direction;
                let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
                dq[self.tick as usize % N] = bad[self.tick as usize % bad.len()];
                (dq, [0.0; N])
            }
            Mode::Tool => return self.tool_motion(chain, state, tuning),
            Mode::Steps => {
                if self.tick.is_multiple_of(250) {
                    self.turn();
                }
                (self.direction, [0.0; N])
            }
            Mode::NoAnswer => return Request::Stop,
        };
        let dq = std::array::from_fn(|i| dq[i] * self.dq_max[i]);
        Request::Motion {
            dq: dq.into(),
            ddq: ddq.into(),
        }
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

    fn tool_motion(
        &self,
        chain: &Chain<N>,
        state: &CommandState<N>,
        tuning: &Tuning<N>,
    ) -> Request<N> {
        let motion = ToolMotion {
            pose: chain.fk(&state.q),
            twist: self.tool.into(),
            acceleration: [0.0; 6].into(),
        };
        let joints = ik::differential(chain, &state.q, &state.dq, &motion, tuning);
        Request::Motion {
            dq: joints.dq,
            ddq: JointAccelerations::zeros(),
        }
    }
}
