//! The camera itself: the newest whole frame, honestly stamped, or an error in bounded time.
//!
//! Responsible for which of the finished buffers is handed on, for counting all others, and for closing and reopening the
//! device after anything that went wrong, for ever. Not responsible for system calls ([`super::kernel`]), for pixels
//! ([`crate::picture`]) or for the truth of stamps ([`super::stamps`]).

use super::config::V4lConfig;
use super::device::{Device, DeviceError, Facts, Finished, Port};
use super::error::OpenError;
use super::port::KernelPort;
use super::stamps::{Numbers, Stamps};
use crate::picture::{Converter, Crop, PictureError};
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::clock::{Duration, Instant};

/// What became of every frame, and what went wrong, since the camera was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Handed on.
    pub frames: u64,
    /// Whole, but a newer one was finished too; or too old, because all buffers had been full.
    pub skipped: u64,
    /// Gaps in the driver's count.
    pub dropped_by_driver: u64,
    /// The driver called them damaged.
    pub error_frames: u64,
    /// Too short, or no JPEG of this size.
    pub corrupt: u64,
    /// Handed on or skipped with a stamp that could not be true and was replaced.
    pub restamped: u64,
    /// No frame within the time-out, or none at all after the device was opened.
    pub stalls: u64,
    /// The device failed (EIO and the like).
    pub failures: u64,
    /// The device was gone.
    pub disconnects: u64,
    /// Streams that were begun after the first.
    pub reopened: u64,
}

/// Where the time of the last frame went. Driver and bus: `dequeued_at - stamp`; this camera: `converted_at - dequeued_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The driver's own stamp, nothing subtracted; `None` when it could not be believed.
    pub stamp: Option<Instant>,
    pub dequeued_at: Instant,
    /// The picture was ready to be handed over.
    pub converted_at: Instant,
}

/// A camera and what is not as it should be about it.
pub struct Opened {
    pub camera: V4lCamera,
    pub warnings: Vec<super::Warning>,
}

/// A camera of the kernel's. `P` opens its device.
pub struct V4lCamera<P: Port = KernelPort> {
    port: P,
    /// `None` while it is being reopened.
    stream: Option<Stream<P::Device>>,
    settings: Settings,
    stamps: Stamps,
    numbers: Numbers,
    counters: Counters,
    /// Waits so long before the next reopening.
    backoff: Duration,
    /// Why it is being reopened.
    lost: DeviceError,
    timing: Option<Timing>,
}

struct Settings {
    size_px: [u32; 2],
    crop: Option<Crop>,
    output_px: Option<[u32; 2]>,
    latency: Option<Duration>,
    timeout: Duration,
}

/// A device that streams, and how it is doing.
struct Stream<D> {
    device: D,
    facts: Facts,
    converter: Converter,
    /// A buffer came, or the stream began.
    heard_at: Instant,
    /// Something has come.
    flows: bool,
    /// Was told to be ready that often, and had nothing.
    empty_promises: u32,
}

/// From opening a device to its first frame: USB cameras take up to a second.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(3);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const EMPTY_PROMISES_MAX: u32 = 10;

impl V4lCamera {
    /// Opens the device, fixes its settings and starts it. Also starts the thread that will reopen it, which runs as the
    /// calling thread does: not to be called under a real-time policy.
    pub fn open(config: &V4lConfig) -> Result<Opened, OpenError> {
        let (port, device, warnings) = KernelPort::open(config)?;
        let camera = Self::over(port, device, config)?;
        Ok(Opened { camera, warnings })
    }
}

impl<P: Port> V4lCamera<P> {
    /// Over a device that the port has opened already.
    pub fn over(port: P, device: P::Device, config: &V4lConfig) -> Result<Self, PictureError> {
        let settings = Settings {
            size_px: config.size_px,
            crop: config.crop(),
            output_px: config.output_px,
            latency: config.latency(),
            timeout: config.timeout(),
        };
        let facts = *device.facts();
        let stream = Stream::begin(device, &settings)?;
        Ok(Self {
            port,
            stream: Some(stream),
            stamps: Stamps::new(&facts, settings.latency),
            settings,
            numbers: Numbers::default(),
            counters: Counters::default(),
            backoff: BACKOFF_FIRST,
            lost: DeviceError::Failed,
            timing: None,
        })
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Of the last frame that was handed on; `None` before the first.
    pub fn timing(&self) -> Option<Timing> {
        self.timing
    }

    /// What is subtracted from the driver's stamps at present.
    pub fn latency(&self) -> Duration {
        self.stamps.latency()
    }

    /// No capture waits longer.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Closes the device and has it opened anew.
    fn give_up(&mut self, error: DeviceError) {
        self.lost = error;
        match error {
            DeviceError::Gone => self.counters.disconnects += 1,
            DeviceError::Failed => self.counters.failures += 1,
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        let device = self.stream.take().map(|stream| stream.device);
        let not_before = self.port.now() + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.port.reopen(device, not_before);
    }

    /// Waits for the device to be opened, until `until`.
    fn resume(&mut self, until: Instant) -> Result<(), CameraError> {
        let opened = self.port.opened(until);
        let begun = opened.map(|opened| {
            let device = opened?;
            let facts = *device.facts();
            // Another camera in the same place.
            let stream = Stream::begin(device, &self.settings).map_err(|_| DeviceError::Gone)?;
            Ok((stream, facts))
        });
        match begun {
            Some(Ok((stream, facts))) => {
                self.stamps = self.stamps.resume(&facts, self.settings.latency);
                self.numbers = self.numbers.resume();
                self.counters.reopened += 1;
                self.stream = Some(stream);
                return Ok(());
            }
            Some(Err(error)) => {
                self.lost = error;
                self.reopen();
            }
            None => {}
        }
        Err(match self.lost {
            DeviceError::Gone => CameraError::Disconnected,
            DeviceError::Failed => CameraError::NoFrame,
        })
    }

    /// The newest whole frame that comes until `until`; `None` when none came.
    fn newest(&mut self, until: Instant, frame: &mut Frame) -> Result<Option<()>, DeviceError> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            let drained = drain(
                &self.port,
                stream,
                &mut self.numbers,
                &mut self.stamps,
                &mut self.counters,
            );
            if drained.taken > 0 {
                stream.empty_promises = 0;
            }
            if let Some(newest) = drained.newest {
                let outdated =
                    drained.were_full && newest.is_outdated(stream.facts.period, &self.port);
                let converted = match outdated {
                    true => Err(&mut self.counters.skipped),
                    false => {
                        let bytes = stream.device.bytes(newest.buffer.index);
                        let converted = stream.converter.convert(bytes, &mut frame.image);
                        converted.map_err(|_| &mut self.counters.corrupt)
                    }
                };
                let requeued = match drained.error {
                    None => stream.device.requeue(newest.buffer.index),
                    Some(error) => Err(error),
                };
                match converted {
                    Err(counter) => {
                        *counter += 1;
                        requeued?;
                    }
                    Ok(()) => {
                        (frame.captured_at, frame.sequence) = (newest.captured_at, newest.number);
                        self.counters.frames += 1;
                        self.backoff = BACKOFF_FIRST;
                        self.timing = Some(Timing {
                            stamp: newest.buffer.stamp.filter(|_| newest.is_believed),
                            dequeued_at: newest.dequeued_at,
                            converted_at: self.port.now(),
                        });
                        // The frame is whole, whatever becomes of its buffer.
                        if let Err(error) = requeued {
                            self.give_up(error);
                        }
                        return Ok(Some(()));
                    }
                }
            }
            if let Some(error) = drained.error {
                return Err(error);
            }
            if self.port.now() >= until {
                return Ok(None);
            }
            stream.empty_promises += u32::from(stream.device.wait(until)?);
            if stream.empty_promises > EMPTY_PROMISES_MAX {
                return Err(DeviceError::Failed);
            }
        }
    }

    fn has_stalled(&self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let silent = self.port.now().checked_duration_since(stream.heard_at);
        let patience = match stream.flows {
            true => self.settings.timeout,
            false => FIRST_FRAME_WITHIN.max(self.settings.timeout),
        };
        silent.is_some_and(|silent| silent >= patience)
    }
}

impl<P: Port> Camera for V4lCamera<P> {
    fn size(&self) -> (u32, u32) {
        let settings = &self.settings;
        let crop = settings.crop.map(|crop| [crop.width, crop.height]);
        let [width, height] = settings.output_px.or(crop).unwrap_or(settings.size_px);
        (width, height)
    }

    fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
        let until = now + self.settings.timeout;
        if self.stream.is_none() {
            self.resume(until)?;
        }
        match self.newest(until, frame) {
            Ok(Some(())) => Ok(()),
            Ok(None) => {
                if self.has_stalled() {
                    self.counters.stalls += 1;
                    self.lost = DeviceError::Failed;
                    self.reopen();
                }
                Err(CameraError::NoFrame)
            }
            Err(error) => {
                self.give_up(error);
                Err(match error {
                    DeviceError::Gone => CameraError::Disconnected,
                    DeviceError::Failed => CameraError::NoFrame,
                })
            }
        }
    }

    fn owns_cycle(&self) -> bool {
        true
    }
}

impl<D: Device> Stream<D> {
    fn begin(device: D, settings: &Settings) -> Result<Self, PictureError> {
        let facts = *device.facts();
        let [width, height] = facts.source.size_px;
        if facts.source.size_px != settings.size_px {
            return Err(PictureError::Size(width, height));
        }
        Ok(Self {
            device,
            facts,
            converter: Converter::new(facts.source, settings.crop, settings.output_px)?,
            heard_at: facts.streaming_since,
            flows: false,
            empty_promises: 0,
        })
    }
}

/// What was finished.
struct Drained {
    newest: Option<Newest>,
    taken: u32,
    /// The driver had no buffer left: since when, nobody knows.
    were_full: bool,
    /// Ended it early.
    error: Option<DeviceError>,
}

struct Newest {
    buffer: Finished,
    number: u64,
    captured_at: Instant,
    is_believed: bool,
    dequeued_at: Instant,
}

impl Newest {
    fn is_outdated(&self, period: Duration, port: &impl Port) -> bool {
        let age = port.now().checked_duration_since(self.dequeued_at);
        let stamp = self.buffer.stamp.filter(|_| self.is_believed);
        let finished = stamp.map(|stamp| self.dequeued_at.checked_duration_since(stamp));
        match (age, finished.flatten()) {
            (Some(since_dequeued), Some(age)) => since_dequeued + age > period * 2,
            _ => true,
        }
    }
}

/// Takes all finished buffers, gives all but the newest whole one back, and counts them.
fn drain<P: Port>(
    port: &P,
    stream: &mut Stream<P::Device>,
    numbers: &mut Numbers,
    stamps: &mut Stamps,
    counters: &mut Counters,
) -> Drained {
    let mut drained = Drained {
        newest: None,
        taken: 0,
        were_full: false,
        error: None,
    };
    // A driver that fills buffers as fast as they are given back must not keep us.
    while drained.taken < 2 * stream.facts.buffers {
        let before = port.now();
        let buffer = match stream.device.dequeue() {
            Ok(Some(buffer)) => buffer,
            Ok(None) => {
                stamps.none_finished(before);
                break;
            }
            Err(error) => {
                drained.error = Some(error);
                break;
            }
        };
        drained.taken += 1;
        let dequeued_at = port.now();
        (stream.heard_at, stream.flows) = (dequeued_at, true);
        let (number, lost) = numbers.next(buffer.sequence);
        counters.dropped_by_driver += lost;
        let (captured_at, is_believed) = stamps.captured_at(buffer.stamp, dequeued_at);
        let is_short = stream.device.bytes(buffer.index).len() < stream.converter.bytes_min();
        let given_back = match (buffer.is_damaged, is_short) {
            (true, _) => {
                counters.error_frames += 1;
                Some(buffer)
            }
            (false, true) => {
                counters.corrupt += 1;
                Some(buffer)
            }
            (false, false) => {
                counters.restamped += u64::from(!is_believed);
                let older = drained.newest.replace(Newest {
                    buffer,
                    number,
                    captured_at,
                    is_believed,
                    dequeued_at,
                });
                counters.skipped += u64::from(older.is_some());
                older.map(|older| older.buffer)
            }
        };
        let requeued = given_back.map(|buffer| stream.device.requeue(buffer.index));
        if let Some(Err(error)) = requeued {
            drained.error = Some(error);
            break;
        }
    }
    drained.were_full = drained.taken >= stream.facts.buffers;
    drained
}
