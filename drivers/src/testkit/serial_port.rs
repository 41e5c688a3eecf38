//! A serial line with faults.
//!
//! A request is what is sent in one call, an answer what the line delivers in one. Allocates nothing once its faults are
//! scheduled. A clone is another handle of the same line.

use super::conformance::LineFault;
use super::{Scheduled, Window};
use crate::port::{PortError, SerialPort};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use visuomotor_runtime::clock::{Duration, Instant};

const ANSWER_MAX: usize = 288;
/// More answers than this are not on their way.
const HELD_MAX: usize = 512;
/// Babbling, one byte takes as long: 1 Mbit/s.
const BABBLE_BYTE: Duration = Duration::from_ticks(10_000);
/// So many bytes of babble wait at most, as in a kernel's buffer.
const BABBLE_MAX: u64 = 4096;
const BABBLE_CHUNK: u64 = 16;

#[derive(Clone, Copy)]
struct Held {
    due: Instant,
    bytes: [u8; ANSWER_MAX],
    len: usize,
    taken: usize,
}

struct Inner<P> {
    port: P,
    faults: Vec<Scheduled<LineFault>>,
    rng: Xoshiro256PlusPlus,
    held: VecDeque<Held>,
    /// Until when babble was delivered.
    babbled: Instant,
}

pub struct FaultySerialPort<P>(Rc<RefCell<Inner<P>>>);

impl<P> Clone for FaultySerialPort<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: SerialPort> FaultySerialPort<P> {
    pub fn new(port: P, seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            babbled: port.now(),
            port,
            faults: Vec::new(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            held: VecDeque::with_capacity(HELD_MAX),
        })))
    }

    pub fn schedule(&self, window: Window, fault: LineFault) {
        let scheduled = Scheduled::new(window, fault);
        self.0.borrow_mut().faults.push(scheduled);
    }

    /// How often a fault has changed something.
    pub fn injected(&self) -> u64 {
        let inner = self.0.borrow();
        inner.faults.iter().map(|fault| fault.injected).sum()
    }
}

impl<P: SerialPort> Inner<P> {
    /// Whether one of the faults that `choose` gives a share of is there at `now`, and strikes.
    fn strikes(&mut self, now: Instant, choose: impl Fn(LineFault) -> Option<f64>) -> bool {
        let mut struck = false;
        for scheduled in &mut self.faults {
            let share = choose(scheduled.fault).filter(|_| scheduled.window.contains(now));
            if share.is_some_and(|share| self.rng.random_bool(share.clamp(0.0, 1.0))) {
                scheduled.injected += 1;
                struck = true;
            }
        }
        struck
    }

    fn is_unplugged(&mut self) -> bool {
        let now = self.port.now();
        let is_unplugged =
            self.strikes(now, |fault| (fault == LineFault::Disconnect).then_some(1.0));
        if is_unplugged {
            // What was on its way is lost. The port itself is sound: it has no error to tell.
            self.held.clear();
            let _ = self.port.clear();
        }
        is_unplugged
    }

    fn is_corrupted(&mut self, now: Instant) -> bool {
        self.strikes(now, |fault| match fault {
            LineFault::Corrupt { share } => Some(share),
            _ => None,
        })
    }

    /// One bit: what every check is sure to find. An 8-bit sum misses one of 16 pairs of bits.
    fn flip_a_bit(&mut self, bytes: &mut [u8]) {
        let bit = self.rng.random_range(0..bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }

    /// An answer has come over the line.
    fn hold(&mut self, bytes: &mut [u8]) {
        let now = self.port.now();
        let lost = self.strikes(now, |fault| match fault {
            LineFault::LoseAnswers { share } => Some(share),
            // Who babbles destroys what others send meanwhile.
            LineFault::Babble => Some(1.0),
            _ => None,
        });
        if lost || bytes.is_empty() {
            return;
        }
        if self.is_corrupted(now) {
            self.flip_a_bit(bytes);
        }
        let is_cut = self.strikes(now, |fault| match fault {
            LineFault::Truncate { share } => Some(share),
            _ => None,
        });
        let len = if is_cut {
            self.rng.random_range(0..bytes.len())
        } else {
            bytes.len()
        };
        let is_doubled = self.strikes(now, |fault| match fault {
            LineFault::Duplicate { share } => Some(share),
            _ => None,
        });
        let due = self.delayed(now);
        for _ in 0..1 + usize::from(is_doubled) {
            let mut held = Held {
                due,
                bytes: [0; ANSWER_MAX],
                len,
                taken: 0,
            };
            held.bytes[..len].copy_from_slice(&bytes[..len]);
            if len > 0 && self.held.len() < HELD_MAX {
                self.held.push_back(held);
            }
        }
    }

    /// When what has come now is delivered: in order, and as late as the latest of the delays.
    fn delayed(&mut self, now: Instant) -> Instant {
        let mut due = self.held.back().map_or(now, |last| last.due.max(now));
        for scheduled in &mut self.faults {
            if let (LineFault::Delay { by }, true) =
                (scheduled.fault, scheduled.window.contains(now))
            {
                scheduled.injected += 1;
                due = due.max(now + by);
            }
        }
        due
    }

    /// How many bytes of babble wait.
    fn babble(&mut self) -> u64 {
        let now = self.port.now();
        if !self.is_babbling(now) {
            self.babbled = now;
        }
        let since = now
            .checked_duration_since(self.babbled)
            .unwrap_or(Duration::ZERO);
        (since.as_ticks() / BABBLE_BYTE.as_ticks()).min(BABBLE_MAX)
    }

    fn deliver_babble(&mut self, buffer: &mut [u8], waiting: u64) -> usize {
        let count = (waiting as usize).min(buffer.len());
        buffer[..count].fill_with(|| self.rng.random());
        self.babbled = match waiting {
            BABBLE_MAX => self.port.now() - BABBLE_BYTE * (BABBLE_MAX - count as u64) as u32,
            _ => self.babbled + BABBLE_BYTE * count as u32,
        };
        let now = self.port.now();
        self.strikes(now, |fault| (fault == LineFault::Babble).then_some(1.0));
        count
    }

    fn deliver_held(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let now = self.port.now();
        let held = self.held.front_mut().filter(|held| held.due <= now)?;
        let left = &held.bytes[held.taken..held.len];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        held.taken += count;
        if held.taken == held.len {
            self.held.pop_front();
        }
        Some(count)
    }

    fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize, PortError> {
        if self.is_unplugged() {
            return Err(PortError::Gone);
        }
        loop {
            if let Some(count) = self.deliver_held(buffer) {
                return Ok(count);
            }
            let waiting = self.babble();
            let now = self.port.now();
            if waiting > 0 && (waiting >= BABBLE_CHUNK || now >= until) {
                return Ok(self.deliver_babble(buffer, waiting));
            }
            let mut wait = self.held.front().map_or(until, |held| held.due.min(until));
            if self.is_babbling(now) {
                wait = wait.min(now + BABBLE_BYTE * BABBLE_CHUNK as u32);
            }
            let mut bytes = [0; ANSWER_MAX];
            let count = self.port.receive(&mut bytes, wait)?;
            self.hold(&mut bytes[..count]);
            let is_due = self
                .held
                .front()
                .is_some_and(|held| held.due <= self.port.now());
            if count == 0 && self.port.now() >= until && !is_due && self.babble() == 0 {
                return Ok(0);
            }
        }
    }

    fn is_babbling(&self, now: Instant) -> bool {
        let babble = |scheduled: &Scheduled<LineFault>| {
            scheduled.fault == LineFault::Babble && scheduled.window.contains(now)
        };
        self.faults.iter().any(babble)
    }
}

impl<P: SerialPort> SerialPort for FaultySerialPort<P> {
    fn now(&self) -> Instant {
        self.0.borrow().port.now()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let inner = &mut *self.0.borrow_mut();
        if inner.is_unplugged() {
            return Err(PortError::Gone);
        }
        let now = inner.port.now();
        let lost = inner.strikes(now, |fault| match fault {
            LineFault::LoseRequests { share } => Some(share),
            _ => None,
        });
        if lost {
            return Ok(());
        }
        let mut sent = [0; ANSWER_MAX];
        let sent = sent.get_mut(..bytes.len()).ok_or(PortError::Full)?;
        sent.copy_from_slice(bytes);
        if inner.is_corrupted(now) {
            inner.flip_a_bit(sent);
        }
        inner.port.send(sent)
    }

    fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize, PortError> {
        self.0.borrow_mut().receive(buffer, until)
    }

    fn clear(&mut self) -> Result<(), PortError> {
        let inner = &mut *self.0.borrow_mut();
        if inner.is_unplugged() {
            return Err(PortError::Gone);
        }
        let now = inner.port.now();
        while inner.held.front().is_some_and(|held| held.due <= now) {
            inner.held.pop_front();
        }
        inner.babbled = now;
        inner.port.clear()
    }
}
