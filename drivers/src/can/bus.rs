//! Asking drives and keeping account of their answers.
//!
//! Every frame to a drive is answered with one feedback, in order, without saying which it answers. [`Outstanding`] then keeps
//! ages honest; and where an answer is missed, the next request is followed by a *fence*: a register that is read, whose answer
//! names it. When that comes, what was asked before it is settled, so that one lost answer does not make all later ones look
//! older. A frame that equals the drive's last one and comes at its heels is the same one again: CAN repeats a frame whose
//! acknowledgement was disturbed.
//!
//! Not responsible for what drives are told.

use super::timing;
use super::wire::{Access, Feedback, Ranges, Status};
use crate::outstanding::{FORGOTTEN_AFTER, Outstanding};
use crate::port::{CanFrame, CanPort, PortError};
use visuomotor_runtime::arm::ArmError;
use visuomotor_runtime::clock::{Duration, Instant};

/// A frame comes again within this time, or is another one: less than a request and its answer take.
const AGAIN: Duration = Duration::from_micros(200);
/// What a drive takes to answer, what an adapter on USB adds, and the thread's way to wake up.
const SLACK: Duration = Duration::from_micros(1_000);
/// More frames than these are not looked at in one read: what a full bus brings in 50 ms. Somebody else floods the socket.
const FRAMES_MAX: usize = 1024;
/// Registers that every drive has, read as fences in turn: one comes round again after 175 ms at the earliest, longer than any
/// queue keeps what was sent.
const FENCES: usize = 35;
const FENCE_PERIOD: Duration = Duration::from_micros(5_000);

/// Until all drives have answered one frame each and one of them a fence, on a bus that is theirs alone.
fn cycle_max(drives: usize) -> Duration {
    let frames = 2 * drives as u32 + 2;
    timing::duration(frames * timing::bits_max(8)) + SLACK
}

/// What a tick's reading and writing of so many drives takes at most.
pub(super) fn io_time_max(drives: usize) -> Duration {
    cycle_max(drives) + AGAIN
}

/// What a drive said, and when it was asked: it measured then or later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub asked_at: Instant,
    pub feedback: Feedback,
}

pub(super) struct Drive {
    pub id: u16,
    pub master_id: u16,
    pub name: String,
    pub ranges: Ranges,
    /// The newest that has come since the last read that was answered.
    pub sample: Option<Sample>,
    /// The newest request that it is known to have heard.
    pub heard: Instant,
    pub status: Status,
    /// Answers without a request: somebody else uses its identifiers, or they came too late.
    pub unasked: u32,
    /// Of its MOSFETs and of its coil, °C.
    pub warmth: (u8, u8),
    pub malformed: bool,
    open: Outstanding,
    last_request: Instant,
    last: Option<(CanFrame, Instant)>,
    /// A register that is being read or written, and its answer.
    pending: Option<Access>,
    value: Option<[u8; 4]>,
    wants_fence: bool,
    /// By register, of the fences that may still be answered: the last request before it.
    fences: [Option<Instant>; FENCES],
    next_fence: usize,
    fenced_at: Instant,
    /// When requests were given up that may have been answered later, as on a bus that was full for long: until a fence from
    /// after that has come, no answer is used.
    lost_track: Option<Instant>,
}

impl Drive {
    pub fn new(id: u16, master_id: u16, name: String, ranges: Ranges) -> Self {
        Self {
            id,
            master_id,
            name,
            ranges,
            sample: None,
            heard: Instant::from_ticks(0),
            status: Status::DISABLED,
            unasked: 0,
            warmth: (0, 0),
            malformed: false,
            open: Outstanding::default(),
            last_request: Instant::from_ticks(0),
            last: None,
            pending: None,
            value: None,
            wants_fence: false,
            fences: [None; FENCES],
            next_fence: 0,
            fenced_at: Instant::from_ticks(0),
            lost_track: None,
        }
    }

    pub fn has_value(&self) -> bool {
        self.value.is_some()
    }

    fn take(&mut self, frame: &CanFrame, now: Instant) {
        if let Some(register) = Access::answers(frame, self.id) {
            if let Some(until) = self
                .fences
                .get_mut(usize::from(register))
                .and_then(Option::take)
            {
                self.open.forget_until(until);
                self.lost_track.take_if(|at| *at <= until);
                self.wants_fence = self.open.open() > 0 || self.lost_track.is_some();
            }
            if let Some(value) = self
                .pending
                .and_then(|access| access.answer(frame, self.id))
            {
                self.value = Some(value);
                self.pending = None;
            }
            return;
        }
        let Some(feedback) = Feedback::decode(frame, self.id, &self.ranges) else {
            self.malformed = true;
            return;
        };
        let is_last = self.last.is_some_and(|(last, at)| {
            last == *frame && now.checked_duration_since(at) <= Some(AGAIN)
        });
        self.last = Some((*frame, now));
        if is_last {
            return;
        }
        let Some(asked_at) = self.open.answer() else {
            self.unasked += 1;
            return;
        };
        if self.lost_track.is_none() {
            self.sample = Some(Sample { asked_at, feedback });
            self.heard = asked_at;
            self.status = feedback.status;
            self.warmth = (feedback.mosfet_c, feedback.coil_c);
        }
    }
}

pub(super) struct Bus<P> {
    pub port: P,
    /// Joints base to tip, then the fingers.
    pub drives: Vec<Drive>,
    /// When all drives were asked, if their answers have not been looked for.
    pub asked_at: Option<Instant>,
    /// The stamp of those requests.
    stamp: Instant,
    /// Whose turn it is to get a fence.
    turn: usize,
}

impl<P: CanPort> Bus<P> {
    pub fn new(port: P, drives: Vec<Drive>) -> Self {
        Self {
            port,
            drives,
            asked_at: None,
            stamp: Instant::from_ticks(0),
            turn: 0,
        }
    }

    /// How long [`Self::collect`] takes at most after all were asked.
    pub fn collect_max(&self) -> Duration {
        io_time_max(self.drives.len())
    }

    /// Sends what drive `i` answers with feedback. `stamp`: no later than now.
    pub fn ask(&mut self, i: usize, frame: &CanFrame, stamp: Instant) -> Result<(), PortError> {
        self.port.send(frame)?;
        let drive = &mut self.drives[i];
        if drive.open.request(stamp) > 0 {
            drive.lost_track = Some(stamp);
        }
        drive.last_request = stamp;
        Ok(())
    }

    /// Reads or writes a register of drive `i`, whose answer [`Self::take_value`] gives.
    pub fn access(&mut self, i: usize, access: Access) -> Result<(), PortError> {
        let drive = &mut self.drives[i];
        let frame = access.encode(drive.id);
        drive.value = None;
        drive.pending = Some(access);
        self.port.send(&frame)
    }

    pub fn take_value(&mut self, i: usize) -> Option<[u8; 4]> {
        self.drives[i].value.take()
    }

    /// All have been asked with this stamp. One that missed an answer gets a fence, if it is its turn.
    pub fn asked(&mut self, stamp: Instant) -> Result<(), PortError> {
        let now = self.port.now();
        self.stamp = stamp;
        self.asked_at = Some(now);
        self.turn = (self.turn + 1) % self.drives.len();
        let count = self.drives.len();
        let next = (0..count).map(|k| (self.turn + k) % count).find(|&i| {
            let is_time =
                now.checked_duration_since(self.drives[i].fenced_at) >= Some(FENCE_PERIOD);
            self.drives[i].wants_fence && is_time
        });
        next.map_or(Ok(()), |i| self.fence(i))
    }

    /// At most one in [`FENCE_PERIOD`].
    pub fn fence(&mut self, i: usize) -> Result<(), PortError> {
        let drive = &mut self.drives[i];
        let register = drive.next_fence;
        drive.wants_fence = false;
        drive.next_fence = (register + 1) % FENCES;
        drive.fenced_at = self.port.now();
        drive.fences[register] = Some(drive.last_request);
        self.access(
            i,
            Access::Read {
                register: register as u8,
            },
        )
    }

    fn take(&mut self, frame: &CanFrame) {
        let now = self.port.now();
        let drive = self
            .drives
            .iter_mut()
            .find(|drive| drive.master_id == frame.id);
        if let Some(drive) = drive {
            drive.take(frame, now);
        }
    }

    /// Looks at all that has come, without waiting.
    pub fn drain(&mut self) -> Result<(), PortError> {
        for _ in 0..FRAMES_MAX {
            let now = self.port.now();
            match self.port.receive(now)? {
                Some(frame) => self.take(&frame),
                None => break,
            }
        }
        Ok(())
    }

    /// Whether every drive has answered what it was asked at `since` or later.
    fn is_complete(&self, since: Instant) -> bool {
        let has = |drive: &Drive| drive.sample.is_some_and(|sample| sample.asked_at >= since);
        self.drives.iter().all(has)
    }

    /// Waits until `is_done`, at the latest until `deadline`.
    pub fn wait(
        &mut self,
        deadline: Instant,
        is_done: impl Fn(&Self) -> bool,
    ) -> Result<(), PortError> {
        for _ in 0..FRAMES_MAX {
            if is_done(self) {
                break;
            }
            match self.port.receive(deadline)? {
                Some(frame) => self.take(&frame),
                None => break,
            }
        }
        Ok(())
    }

    /// The samples that no read has used yet are too old to be used.
    pub fn forget_old(&mut self, now: Instant) {
        for drive in &mut self.drives {
            let is_old = |sample: &Sample| {
                now.checked_duration_since(sample.asked_at) > Some(FORGOTTEN_AFTER)
            };
            drive.sample.take_if(|sample| is_old(sample));
        }
    }

    /// Until every drive has answered what it was asked last; where one does not, its answer to an earlier request will do, which
    /// no read has used.
    pub fn collect(&mut self) -> Result<(), ArmError> {
        let now = self.port.now();
        let deadline = self
            .asked_at
            .take()
            .map_or(now, |at| at + cycle_max(self.drives.len()))
            .max(now);
        let stamp = self.stamp;
        self.drain()?;
        if !self.is_complete(stamp) {
            self.wait(deadline, |bus| bus.is_complete(stamp))?;
            // A last frame that comes twice must not be taken for the answer to the next request.
            let until = self.port.now() + AGAIN;
            self.wait(until, |_| false)?;
        }
        for drive in &mut self.drives {
            drive.wants_fence |= drive.open.open() > 0 || drive.lost_track.is_some();
        }
        let is_complete = self.drives.iter().all(|drive| drive.sample.is_some());
        match (is_complete, self.drives.iter().any(|drive| drive.malformed)) {
            (true, _) => Ok(()),
            (false, true) => Err(ArmError::Malformed),
            (false, false) => Err(ArmError::NoAnswer),
        }
    }

    /// A read has used the samples.
    pub fn consume(&mut self) {
        for drive in &mut self.drives {
            drive.sample = None;
        }
    }
}
