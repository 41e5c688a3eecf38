//! The line to emulated servos in virtual time.
//!
//! Whoever waits on it makes the time pass; the device lives as it does. A clone is another handle of the same line, by which a
//! test reaches the device behind it.

use super::bus::ServoDevice;
use crate::port::{PortError, SerialPort};
use crate::servo_bus::line_time;
use crate::servo_bus::wire::Frame;
use crate::testkit::emulate::Plant;
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use visuomotor_runtime::clock::Instant;

/// Longer than any packet.
const BURST_MAX: usize = 288;
const BURSTS_MAX: usize = 16;

#[derive(Clone, Copy)]
struct Burst {
    /// When its last byte is there.
    at: Instant,
    bytes: [u8; BURST_MAX],
    len: usize,
}

struct Line<P> {
    device: ServoDevice<P>,
    now: Instant,
    /// Until when the host sends.
    sending_until: Instant,
    to_device: VecDeque<Burst>,
    answer: Option<(Instant, Frame)>,
    /// Of the answer, what was taken already.
    taken: usize,
    /// Bytes that were sent in all, by whomever.
    bytes: u64,
}

pub struct SerialLink<P>(Rc<RefCell<Line<P>>>);

impl<P> Clone for SerialLink<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Plant> SerialLink<P> {
    pub fn new(device: ServoDevice<P>, now: Instant) -> Self {
        Self(Rc::new(RefCell::new(Line {
            device,
            now,
            sending_until: now,
            to_device: VecDeque::with_capacity(BURSTS_MAX),
            answer: None,
            taken: 0,
            bytes: 0,
        })))
    }

    pub fn device(&self) -> RefMut<'_, ServoDevice<P>> {
        RefMut::map(self.0.borrow_mut(), |line| &mut line.device)
    }

    /// How many bits the line has carried: a byte has a start and a stop.
    pub fn bits(&self) -> u64 {
        10 * self.0.borrow().bytes
    }

    /// Lets time pass; what is answered waits to be received.
    pub fn advance(&self, at: Instant) {
        self.0.borrow_mut().advance(at);
    }
}

impl<P: Plant> Line<P> {
    /// Hands the device what reaches it until `at`.
    fn deliver(&mut self, at: Instant) {
        while let Some(burst) = self.to_device.front().filter(|burst| burst.at <= at) {
            self.device.receive(&burst.bytes[..burst.len], burst.at);
            self.to_device.pop_front();
        }
    }

    fn advance(&mut self, at: Instant) {
        self.deliver(at);
        self.device.advance(at);
        self.now = self.now.max(at);
    }

    /// The next answer that is complete by `until`; hands the device only what reaches it before that.
    fn next_answer(&mut self, until: Instant) -> Option<(Instant, Frame)> {
        loop {
            if self.answer.is_none() {
                self.answer = self.device.answer();
                let sent = self.answer.map_or(0, |(_, frame)| frame.bytes().len());
                self.bytes += sent as u64;
            }
            if let Some((at, frame)) = self.answer {
                return (at <= until).then_some((at, frame));
            }
            let next = self.to_device.front().map(|burst| burst.at);
            self.deliver(next.filter(|&at| at <= until)?);
        }
    }
}

impl<P: Plant> SerialPort for SerialLink<P> {
    fn now(&self) -> Instant {
        self.0.borrow().now
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let line = &mut *self.0.borrow_mut();
        if line.to_device.len() == BURSTS_MAX || bytes.len() > BURST_MAX {
            return Err(PortError::Full);
        }
        line.sending_until =
            line.sending_until.max(line.now) + line_time(bytes.len(), line.device.baud());
        let mut burst = Burst {
            at: line.sending_until,
            bytes: [0; BURST_MAX],
            len: bytes.len(),
        };
        burst.bytes[..bytes.len()].copy_from_slice(bytes);
        line.to_device.push_back(burst);
        line.bytes += bytes.len() as u64;
        Ok(())
    }

    /// At most one answer at a time.
    fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize, PortError> {
        let line = &mut *self.0.borrow_mut();
        let until = until.max(line.now);
        let Some((at, frame)) = line.next_answer(until) else {
            line.advance(until);
            return Ok(0);
        };
        let left = &frame.bytes()[line.taken..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        line.taken += count;
        if line.taken == frame.bytes().len() {
            (line.answer, line.taken) = (None, 0);
        }
        let at = at.max(line.now);
        line.advance(at);
        Ok(count)
    }

    fn clear(&mut self) -> Result<(), PortError> {
        let line = &mut *self.0.borrow_mut();
        let now = line.now;
        while line.next_answer(now).is_some() {
            (line.answer, line.taken) = (None, 0);
        }
        Ok(())
    }
}
