//! A driver on its bench, driven tick by tick, each of its readings compared with the truth.
//!
//! Not responsible for what is demanded beyond that: [`super::arm`] is.

use super::bench::Bench;
use super::commands::Commands;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, Connected, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};

/// How far back a bench knows the truth.
const HISTORY: Duration = Duration::from_ticks(200_000_000);
/// How finely the truth is looked at between two instants.
const TRUTH_STEP: Duration = Duration::from_ticks(500_000);
/// How far beyond what is seen there a joint may have been in between, rad: none turns faster than 1 rad/s and a little.
const BETWEEN_RAD: f64 = 3e-4;

pub(in crate::testkit) type Enabled<B, const N: usize> =
    <<B as Bench<N>>::Connected as Connected<N>>::Enabled;

/// What is read of, with power or without.
pub(in crate::testkit) trait Reads<const N: usize> {
    fn read_at(&mut self, now: Instant) -> Result<ArmState<N>, ArmError>;
}

pub(in crate::testkit) struct Unpowered<C>(pub C);

impl<const N: usize, C: Connected<N>> Reads<N> for Unpowered<C> {
    fn read_at(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        self.0.read(now)
    }
}

pub(in crate::testkit) struct Powered<A>(pub A);

impl<const N: usize, A: Arm<N>> Reads<N> for Powered<A> {
    fn read_at(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        self.0.read(now)
    }
}

/// A bench with its driver.
pub(in crate::testkit) struct Drive<B, R, const N: usize> {
    pub bench: B,
    pub driver: R,
    pub commands: Commands<N>,
    due: Instant,
}

pub(in crate::testkit) type Arms<B, const N: usize> = Drive<B, Powered<Enabled<B, N>>, N>;

impl<B: Bench<N>, const N: usize> Drive<B, Unpowered<B::Connected>, N> {
    pub fn connected(seed: u64) -> Result<Self, String> {
        let mut bench = B::new(seed);
        let connected = bench
            .connect()
            .map_err(|error| format!("connect: {error}"))?;
        let commands = Commands::new(bench.period())?;
        Ok(Self {
            due: bench.now(),
            bench,
            driver: Unpowered(connected),
            commands,
        })
    }

    pub fn enable(self) -> Result<Arms<B, N>, String> {
        let enabled = self
            .driver
            .0
            .enable()
            .map_err(|error| format!("enable: {error}"))?;
        Ok(Drive {
            due: self.bench.now(),
            bench: self.bench,
            driver: Powered(enabled),
            commands: self.commands,
        })
    }
}

impl<B: Bench<N>, R: Reads<N>, const N: usize> Drive<B, R, N> {
    /// Lets time pass until the next tick.
    pub fn tick(&mut self) {
        self.due = (self.due + self.bench.period()).max(self.bench.now());
        self.bench.advance(self.due);
    }

    pub fn ticks(&mut self, count: u32) {
        (0..count).for_each(|_| self.tick());
    }

    /// Reads, and compares what was read with the truth.
    pub fn read(&mut self) -> Result<Result<ArmState<N>, ArmError>, String> {
        let answer = self.driver.read_at(self.bench.now());
        if let Ok(state) = &answer {
            self.compare(state)?;
        }
        Ok(answer)
    }

    /// Every joint was there, within the resolution, at some time since `sampled_at`: else its age is under-estimated.
    fn compare(&self, state: &ArmState<N>) -> Result<(), String> {
        let now = self.bench.now();
        let Some(age) = now.checked_duration_since(state.sampled_at) else {
            return Err(format!(
                "sampled in the future: at {} of {now}",
                state.sampled_at
            ));
        };
        if age > HISTORY {
            return Err(format!("a reading that claims to be {age} old"));
        }
        let (mut low, mut high) = ([f64::INFINITY; N], [f64::NEG_INFINITY; N]);
        let mut at = state.sampled_at;
        loop {
            for (i, q) in self.bench.truth(at).into_iter().enumerate() {
                (low[i], high[i]) = (low[i].min(q), high[i].max(q));
            }
            if at == now {
                break;
            }
            at = (at + TRUTH_STEP).min(now);
        }
        let resolution = self.bench.resolution() + BETWEEN_RAD;
        for i in 0..N {
            let allowed = (low[i] - resolution)..=(high[i] + resolution);
            if !allowed.contains(&state.q[i]) {
                return Err(format!(
                    "joint {i} reads {} rad and claims an age of at most {age}, but since then it was in {allowed:?}",
                    state.q[i]
                ));
            }
        }
        Ok(())
    }

    /// Reads until an answer comes, for at most `ticks` ticks.
    pub fn read_within(&mut self, ticks: u32) -> Result<ArmState<N>, String> {
        let mut last = ArmError::NoAnswer;
        for _ in 0..ticks {
            self.tick();
            match self.read()? {
                Ok(state) => return Ok(state),
                Err(error) => last = error,
            }
        }
        Err(format!(
            "no reading within {ticks} ticks of a sound line: {last}"
        ))
    }
}

impl<B: Bench<N>, const N: usize> Arms<B, N> {
    /// A driver under power that holds where it stands.
    pub fn enabled(seed: u64) -> Result<Self, String> {
        Drive::connected(seed)?.enable()
    }

    /// Commands start where the arm is.
    pub fn start(&mut self) -> Result<(), String> {
        let state = self.read_within(5)?;
        self.commands.start_at(&state)
    }

    /// One tick of motion at `dq`, rad/s: reads and writes.
    pub fn step(&mut self, dq: f64) -> Result<Result<ArmState<N>, ArmError>, String> {
        self.tick();
        let answer = self.read()?;
        let command = self.commands.next(dq, Fingers::Open)?;
        let written = self.driver.0.write(&command);
        Ok(answer.and_then(|state| written.map(|()| state)))
    }

    /// As a controller with a latched stop of category 0: asks for it in every tick.
    pub fn stay_off(&mut self, ticks: u32) -> Result<(), String> {
        for _ in 0..ticks {
            self.tick();
            let _ = self.read()?;
            self.driver
                .0
                .stop(visuomotor_runtime::safety::StopCategory::Zero);
        }
        self.tick();
        Ok(())
    }
}
