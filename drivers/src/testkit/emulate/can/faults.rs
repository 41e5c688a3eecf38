//! A CAN port with faults.
//!
//! A flipped bit does not pass CAN's checksum: the frame is lost for everybody. Not responsible for drives.

use crate::port::{CanFrame, CanPort, PortError};
use crate::testkit::conformance::LineFault;
use crate::testkit::{Scheduled, Window};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use visuomotor_runtime::clock::{Duration, Instant};

/// A babbling node sends as often as it can.
const BABBLE_PERIOD: Duration = Duration::from_micros(130);
/// The identifier of highest priority, which no drive has.
const NOBODY: u16 = 0;
/// Frames and windows that there is room for.
const ROOM: usize = 4096;

struct Faults {
    scheduled: Vec<Scheduled<LineFault>>,
    rng: Xoshiro256PlusPlus,
    /// What comes when.
    coming: VecDeque<(Instant, CanFrame)>,
    /// Identifiers that a babbling node uses: of nobody, and of drives.
    babble_ids: Vec<u16>,
    babbled_at: Instant,
}

impl Faults {
    /// The fault of this kind that is on at `now`, which is counted; `by` takes its number where it is one of these.
    fn on<T>(&mut self, now: Instant, by: impl Fn(LineFault) -> Option<T>) -> Option<(usize, T)> {
        let mut all = self
            .scheduled
            .iter()
            .enumerate()
            .filter(|(_, s)| s.window.contains(now));
        all.find_map(|(i, s)| by(s.fault).map(|t| (i, t)))
    }

    fn chance(&mut self, now: Instant, by: impl Fn(LineFault) -> Option<f64>) -> bool {
        let Some((i, share)) = self.on(now, by) else {
            return false;
        };
        let hit = self.rng.random_bool(share.clamp(0.0, 1.0));
        self.scheduled[i].injected += u64::from(hit);
        hit
    }

    /// Nothing of what comes while the adapter is away is ever seen.
    fn disconnected(&mut self, port: &mut impl CanPort) -> Result<(), PortError> {
        let now = port.now();
        let is = |fault| (fault == LineFault::Disconnect).then_some(());
        match self.on(now, is) {
            Some((i, ())) => {
                self.scheduled[i].injected += 1;
                self.coming.clear();
                while port.receive(now)?.is_some() {}
                Err(PortError::Gone)
            }
            None => Ok(()),
        }
    }

    /// An answer has come from the bus at `now`.
    fn came(&mut self, now: Instant, mut frame: CanFrame) {
        let lost = self.chance(now, |fault| match fault {
            LineFault::LoseAnswers { share } | LineFault::Corrupt { share } => Some(share),
            _ => None,
        });
        if lost {
            return;
        }
        let mut at = now;
        let delay = |fault| match fault {
            LineFault::Delay { by } => Some(by),
            _ => None,
        };
        if let Some((i, by)) = self.on(now, delay) {
            self.scheduled[i].injected += 1;
            at = now + by;
        }
        // In order.
        at = self.coming.back().map_or(at, |(last, _)| at.max(*last));
        let truncated = |fault| match fault {
            LineFault::Truncate { share } => Some(share),
            _ => None,
        };
        if self.chance(now, truncated) {
            frame.len = self.rng.random_range(0..8);
            frame.data[usize::from(frame.len)..].fill(0);
        }
        let twice = self.chance(now, |fault| match fault {
            LineFault::Duplicate { share } => Some(share),
            _ => None,
        });
        for _ in 0..=u32::from(twice) {
            if self.coming.len() < ROOM {
                self.coming.push_back((at, frame));
            }
        }
    }

    /// What a node sends that means nothing: any bytes under an identifier that nobody here has; under a drive's, less than a
    /// drive says, or what another drive would say.
    fn babble(&mut self) -> CanFrame {
        let id = self.babble_ids[self.rng.random_range(0..self.babble_ids.len())];
        let mut data: [u8; 8] = self.rng.random();
        let mut len = 8;
        if id != NOBODY {
            len = self.rng.random_range(0..=8);
            data[0] = data[0] & 0xF0 | (id as u8 & 0xF) ^ 0xF;
        }
        CanFrame { id, data, len }
    }
}

/// The port `P`, with what is scheduled wrong about it.
pub struct FaultyCanPort<P> {
    port: P,
    faults: Rc<RefCell<Faults>>,
}

/// Schedules faults while the driver has the port.
#[derive(Clone)]
pub struct FaultsHandle(Rc<RefCell<Faults>>);

impl FaultsHandle {
    pub fn schedule(&self, window: Window, fault: LineFault) {
        self.0
            .borrow_mut()
            .scheduled
            .push(Scheduled::new(window, fault));
    }

    /// How often a fault has changed something.
    pub fn injected(&self) -> u64 {
        self.0.borrow().scheduled.iter().map(|s| s.injected).sum()
    }
}

impl<P: CanPort> FaultyCanPort<P> {
    /// Without a fault until one is scheduled. `master_ids`: what a babbling node uses besides an identifier of nobody; the low four
    /// bits are those of the drive.
    pub fn new(port: P, master_ids: &[u16], seed: u64) -> Self {
        let faults = Faults {
            scheduled: Vec::with_capacity(64),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            coming: VecDeque::with_capacity(ROOM),
            babble_ids: [master_ids, &[NOBODY]].concat(),
            babbled_at: port.now(),
        };
        Self {
            port,
            faults: Rc::new(RefCell::new(faults)),
        }
    }

    pub fn handle(&self) -> FaultsHandle {
        FaultsHandle(self.faults.clone())
    }
}

impl<P: CanPort> CanPort for FaultyCanPort<P> {
    fn now(&self) -> Instant {
        self.port.now()
    }

    fn send(&mut self, frame: &CanFrame) -> Result<(), PortError> {
        let now = self.port.now();
        let mut faults = self.faults.borrow_mut();
        faults.disconnected(&mut self.port)?;
        let lost = faults.chance(now, |fault| match fault {
            LineFault::LoseRequests { share } | LineFault::Corrupt { share } => Some(share),
            _ => None,
        });
        if lost { Ok(()) } else { self.port.send(frame) }
    }

    fn receive(&mut self, until: Instant) -> Result<Option<CanFrame>, PortError> {
        let mut faults = self.faults.borrow_mut();
        loop {
            let now = self.port.now();
            faults.disconnected(&mut self.port)?;
            if let Some((at, frame)) = faults.coming.front().copied()
                && at <= now
            {
                faults.coming.pop_front();
                return Ok(Some(frame));
            }
            let babble = faults.on(now, |fault| (fault == LineFault::Babble).then_some(()));
            if let Some((i, ())) = babble
                && now.checked_duration_since(faults.babbled_at) >= Some(BABBLE_PERIOD)
            {
                faults.scheduled[i].injected += 1;
                faults.babbled_at = now;
                return Ok(Some(faults.babble()));
            }
            let mut next = until;
            if let Some((at, _)) = faults.coming.front() {
                next = next.min(*at);
            }
            if babble.is_some() {
                next = next.min(faults.babbled_at + BABBLE_PERIOD);
            }
            match self.port.receive(next)? {
                Some(frame) => faults.came(self.port.now(), frame),
                None if self.port.now() >= until
                    && faults.coming.front().is_none_or(|(at, _)| *at > until) =>
                {
                    return Ok(None);
                }
                None => {}
            }
        }
    }
}
