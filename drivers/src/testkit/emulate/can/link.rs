//! A CAN bus in virtual time, exact to the bit: who wins arbitration sends, and each frame takes its own bits.
//!
//! On it are the driver, the drives, and whoever else sends. Time moves only while somebody waits. Not responsible for faults.

use super::arm::CanDrives;
use crate::can::timing;
use crate::port::{CanFrame, CanPort, PortError};
use crate::testkit::emulate::Plant;
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use visuomotor_runtime::clock::{Duration, Instant};

/// From the end of a frame until its drive wants to answer.
const TURNAROUND: Duration = Duration::from_micros(40);
/// Frames that the kernel keeps for sending; `txqueuelen`.
const QUEUE: usize = 128;

/// What a node wants to send, and from when on.
type Outbox = VecDeque<(Instant, CanFrame)>;

struct Bus<L> {
    drives: CanDrives<L>,
    now: Instant,
    free_at: Instant,
    /// The driver, then the drives, then somebody else.
    outboxes: Vec<Outbox>,
    inbox: Outbox,
    /// Bits that were sent in all.
    bits: u64,
}

impl<L: Plant> Bus<L> {
    /// When the next frame starts, and who sends it.
    fn next(&self) -> Option<(Instant, usize)> {
        let ready = self.outboxes.iter().filter_map(|outbox| outbox.front());
        let start = ready.map(|(from, _)| *from).min()?.max(self.free_at);
        let heads = self.outboxes.iter().enumerate();
        let contenders = heads
            .filter_map(|(i, outbox)| outbox.front().map(|(from, frame)| (i, *from, frame.id)));
        let (winner, ..) = contenders
            .filter(|(_, from, _)| *from <= start)
            .min_by_key(|(.., id)| *id)?;
        Some((start, winner))
    }

    /// Sends one frame, if it is through at `until`.
    fn send_one(&mut self, until: Instant) -> bool {
        let Some((start, sender)) = self.next() else {
            return false;
        };
        let Some((_, frame)) = self.outboxes[sender].front().copied() else {
            return false;
        };
        let bits = timing::bits(&frame);
        let end = start + timing::duration(bits);
        if end > until {
            return false;
        }
        self.outboxes[sender].pop_front();
        self.free_at = end;
        self.bits += u64::from(bits);
        if sender != 0 {
            self.inbox.push_back((end, frame));
        }
        let outboxes = &mut self.outboxes;
        self.drives.receive(&frame, end, |i, answer| {
            outboxes[i + 1].push_back((end + TURNAROUND, answer))
        });
        true
    }

    /// Lets everything happen that is over at `until`.
    fn advance(&mut self, until: Instant) {
        while self.send_one(until) {}
        self.drives.advance(until);
        self.now = self.now.max(until);
    }
}

/// A node on the bus, and all of it: copies share it.
pub struct CanLink<L>(Rc<RefCell<Bus<L>>>);

impl<L> Clone for CanLink<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Plant> CanLink<L> {
    pub fn new(drives: CanDrives<L>, now: Instant) -> Self {
        let nodes = drives.drives.len() + 2;
        Self(Rc::new(RefCell::new(Bus {
            drives,
            now,
            free_at: now,
            outboxes: (0..nodes).map(|_| Outbox::with_capacity(QUEUE)).collect(),
            inbox: Outbox::with_capacity(1024),
            bits: 0,
        })))
    }

    /// Lets everything live until `at`.
    pub fn advance(&self, at: Instant) {
        self.0.borrow_mut().advance(at);
    }

    pub fn drives(&self) -> RefMut<'_, CanDrives<L>> {
        RefMut::map(self.0.borrow_mut(), |bus| &mut bus.drives)
    }

    /// Somebody else wants to send this frame from `at` on.
    pub fn foreign(&self, at: Instant, frame: CanFrame) {
        let mut bus = self.0.borrow_mut();
        let somebody = bus.outboxes.len() - 1;
        bus.outboxes[somebody].push_back((at, frame));
    }

    /// How many bits the bus has carried.
    pub fn bits(&self) -> u64 {
        self.0.borrow().bits
    }
}

impl<L: Plant> CanPort for CanLink<L> {
    fn now(&self) -> Instant {
        self.0.borrow().now
    }

    fn send(&mut self, frame: &CanFrame) -> Result<(), PortError> {
        let bus = &mut *self.0.borrow_mut();
        if bus.outboxes[0].len() >= QUEUE {
            return Err(PortError::Full);
        }
        bus.outboxes[0].push_back((bus.now, *frame));
        Ok(())
    }

    fn receive(&mut self, until: Instant) -> Result<Option<CanFrame>, PortError> {
        let bus = &mut *self.0.borrow_mut();
        while bus.inbox.is_empty() && bus.send_one(until) {}
        let Some((at, frame)) = bus.inbox.pop_front() else {
            bus.advance(until);
            return Ok(None);
        };
        bus.advance(at);
        Ok(Some(frame))
    }
}
