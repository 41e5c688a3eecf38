//! A Video4Linux2 camera in memory: frames at their times into buffers in turn, and everything that real ones do wrong.
//!
//! Responsible for misbehaving by a seed and for the truth of it: when each picture's light was measured, and what was
//! lost, damaged or refused. Time is simulated and passes by waiting alone. Not responsible for what the driver makes of
//! it ([`crate::v4l`]).

use super::super::conformance::camera::numbered;
use crate::picture::{Colour, PixelFormat, Source};
use crate::v4l::{Device, DeviceError, Facts, Finished, Port, StampSource};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::episode;

/// What can go wrong with a frame, or from a frame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The driver loses it, but counts it.
    Lost,
    /// V4L2_BUF_FLAG_ERROR.
    Damaged,
    /// Half of its bytes.
    Short,
    /// JPEG: bytes are missing in the middle. Raw formats have no such thing: it is short.
    Corrupt,
    StampFromFuture,
    /// A stamp before the last one.
    StampGoesBack,
    /// A stamp of another clock.
    StampUnknown,
    /// EIO from here on, until the device is opened anew.
    Failure,
    /// The buffer is not taken back.
    RequeueFails,
    /// Nothing comes for a while, and nobody says why.
    Stall,
    /// Unplugged for a while.
    Unplug,
}

const FAULTS: [Fault; 11] = [
    Fault::Lost,
    Fault::Damaged,
    Fault::Short,
    Fault::Corrupt,
    Fault::StampFromFuture,
    Fault::StampGoesBack,
    Fault::StampUnknown,
    Fault::Failure,
    Fault::RequeueFails,
    Fault::Stall,
    Fault::Unplug,
];

/// How the camera is built and how often each thing goes wrong.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub format: PixelFormat,
    pub size_px: [u32; 2],
    pub period: Duration,
    pub exposure: Duration,
    /// From the end of the exposure until the frame is finished, at most a period.
    pub readout: Duration,
    pub stamps: StampSource,
    /// Share of the frames with each fault.
    pub shares: Vec<(Fault, f64)>,
    /// Opening takes at most so long.
    pub opening_max: Duration,
}

impl Plan {
    /// Nothing wrong: 30 Hz.
    pub fn well(seed: u64, format: PixelFormat) -> Self {
        Self {
            seed,
            format,
            size_px: [32, 24],
            period: Duration::from_micros(33_333),
            exposure: Duration::from_millis(12),
            readout: Duration::from_millis(20),
            stamps: StampSource::StartOfExposure,
            shares: Vec::new(),
            opening_max: Duration::from_millis(900),
        }
    }

    /// Drawn from the seed: a camera, and a few things that go wrong with it.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let format = match rng.random_range(0..5) {
            0 => PixelFormat::Mjpeg,
            1 => PixelFormat::Uyvy,
            2 => PixelFormat::Rgb24,
            3 => PixelFormat::Grey,
            _ => PixelFormat::Yuyv,
        };
        let period_us = rng.random_range(8_000..70_000);
        let part = |share: f64| Duration::from_micros((f64::from(period_us) * share) as u64);
        let mut shares = Vec::new();
        for _ in 0..rng.random_range(0..6) {
            let fault = FAULTS[rng.random_range(0..FAULTS.len())];
            // What costs the stream is rarer than what costs a frame.
            let share = match fault {
                Fault::Failure | Fault::RequeueFails | Fault::Stall | Fault::Unplug => 0.02,
                _ => 0.2,
            };
            shares.push((fault, rng.random_range(0.0..share)));
        }
        Self {
            period: part(1.0),
            exposure: part(rng.random_range(0.01..1.0)),
            readout: part(rng.random_range(0.05..0.9)),
            stamps: match rng.random_bool(0.5) {
                true => StampSource::StartOfExposure,
                false => StampSource::EndOfFrame,
            },
            shares,
            opening_max: Duration::from_millis(rng.random_range(1..4_000)),
            ..Self::well(seed, format)
        }
    }

    /// When the light of this picture was first measured.
    fn light(&self, picture: u64) -> Instant {
        EPOCH + Duration::from_ticks(self.period.as_ticks() * picture)
    }

    fn finished(&self, picture: u64) -> Instant {
        let mut rng = self.rng(picture, 0);
        // The bus delivers up to a twentieth of a period later, within the period that read-out may take.
        let late_ns = rng.random_range(0..=self.period.as_ticks() / 20);
        self.light(picture) + self.exposure + self.readout + Duration::from_ticks(late_ns)
    }

    fn rng(&self, picture: u64, purpose: u64) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.seed ^ picture << 20 ^ purpose << 56)
    }

    fn fault(&self, picture: u64) -> Option<Fault> {
        let mut rng = self.rng(picture, 1);
        let drawn: Vec<_> = self
            .shares
            .iter()
            .filter(|(_, share)| rng.random_bool(*share))
            .collect();
        drawn.first().map(|(fault, _)| *fault)
    }
}

const EPOCH: Instant = Instant::from_ticks(10_000_000_000);
const BUFFERS: u32 = 4;

/// What really happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Buffers that the driver handed over.
    pub dequeued: u64,
    /// Pictures lost between two of those of one stream: by a fault, or for want of a buffer.
    pub lost: u64,
    pub damaged: u64,
    pub short: u64,
    /// JPEG with bytes missing.
    pub corrupt: u64,
    /// Of whole frames.
    pub wrong_stamps: u64,
    /// Errors that were returned.
    pub failures: u64,
    pub gone: u64,
    /// Streams that were begun, the first included.
    pub streams: u64,
    pub stalls: u64,
    pub unplugged: u64,
}

/// The camera and its USB socket. Clones are the same camera.
#[derive(Clone)]
pub struct EmulatedCamera(Rc<RefCell<World>>);

struct World {
    plan: Plan,
    now: Instant,
    /// Nothing goes wrong after this.
    calm_from: Option<Instant>,
    /// The next stream may be asked for then, and what it takes.
    opening: Option<Instant>,
    silent_until: Instant,
    unplugged_until: Instant,
    opened: u64,
    truth: Truth,
}

impl EmulatedCamera {
    pub fn new(plan: Plan) -> Self {
        Self(Rc::new(RefCell::new(World {
            plan,
            now: EPOCH,
            calm_from: None,
            opening: None,
            silent_until: EPOCH,
            unplugged_until: EPOCH,
            opened: 0,
            truth: Truth::default(),
        })))
    }

    /// The port, and its device opened.
    pub fn plug_in(&self) -> (EmulatedPort, EmulatedDevice) {
        (
            EmulatedPort(self.clone()),
            EmulatedDevice::begin(self.clone()),
        )
    }

    pub fn now(&self) -> Instant {
        self.0.borrow().now
    }

    pub fn pass(&self, time: Duration) {
        self.0.borrow_mut().now += time;
    }

    /// Nothing goes wrong from now on, and what did is over.
    pub fn calm_down(&self) {
        let mut world = self.0.borrow_mut();
        world.calm_from = Some(world.now);
        world.silent_until = world.silent_until.min(world.now);
        world.unplugged_until = world.unplugged_until.min(world.now);
    }

    /// Pulls the cable for a while.
    pub fn unplug(&self, time: Duration) {
        let mut world = self.0.borrow_mut();
        world.unplugged_until = world.now + time;
        world.truth.unplugged += 1;
    }

    pub fn truth(&self) -> Truth {
        self.0.borrow().truth
    }

    /// When the light of this picture was measured, and its number.
    pub fn taken(&self, image: &Image) -> Option<(Instant, u64)> {
        let number = numbered::number(image)?;
        Some((self.0.borrow().plan.light(number), number))
    }
}

pub struct EmulatedPort(EmulatedCamera);

impl Port for EmulatedPort {
    type Device = EmulatedDevice;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn reopen(&mut self, old: Option<EmulatedDevice>, not_before: Instant) {
        drop(old);
        let mut world = self.0.0.borrow_mut();
        world.opened += 1;
        let (opened, plan) = (world.opened, &world.plan);
        let max_ns = plan.opening_max.as_ticks();
        let takes_ns = plan.rng(opened, 2).random_range(0..=max_ns);
        world.opening = Some(world.now.max(not_before) + Duration::from_ticks(takes_ns));
    }

    fn opened(&mut self, until: Instant) -> Option<Result<EmulatedDevice, DeviceError>> {
        let mut world = self.0.0.borrow_mut();
        let ready_at = world.opening?;
        if ready_at > until {
            world.now = world.now.max(until);
            return None;
        }
        world.now = world.now.max(ready_at);
        world.opening = None;
        if world.now < world.unplugged_until {
            return Some(Err(DeviceError::Gone));
        }
        drop(world);
        Some(Ok(EmulatedDevice::begin(self.0.clone())))
    }
}

/// One stream of the camera.
pub struct EmulatedDevice {
    camera: EmulatedCamera,
    facts: Facts,
    buffers: Vec<Buffer>,
    free: VecDeque<u32>,
    finished: VecDeque<u32>,
    /// The next picture, and its number in the driver's count.
    picture: u64,
    sequence: u32,
    lost: u64,
    is_first: bool,
    last_stamp: Instant,
    fails: bool,
    gone: bool,
    image: Image,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    held: bool,
    sequence: u32,
    stamp: Option<Instant>,
    fault: Option<Fault>,
    /// Before it, since the last one.
    lost: u64,
}

impl EmulatedDevice {
    fn begin(camera: EmulatedCamera) -> Self {
        let mut world = camera.0.borrow_mut();
        world.truth.streams += 1;
        let (now, plan) = (world.now, &world.plan);
        let first = (0..).find(|&picture| plan.finished(picture) > now);
        let colour = Colour {
            full_range: true,
            ..Colour::default()
        };
        let bytes_per_pixel = match plan.format {
            PixelFormat::Mjpeg => 0,
            PixelFormat::Grey => 1,
            PixelFormat::Yuyv | PixelFormat::Uyvy => 2,
            PixelFormat::Rgb24 => 3,
        };
        let facts = Facts {
            source: Source {
                format: plan.format,
                size_px: plan.size_px,
                bytes_per_line: bytes_per_pixel * plan.size_px[0],
                colour,
            },
            period: plan.period,
            exposure: Some(plan.exposure),
            stamps: plan.stamps,
            streaming_since: now,
            buffers: BUFFERS,
        };
        drop(world);
        Self {
            camera,
            facts,
            buffers: (0..BUFFERS).map(|_| Buffer::default()).collect(),
            free: (0..BUFFERS).collect(),
            finished: VecDeque::new(),
            picture: first.unwrap_or(0),
            sequence: 0,
            lost: 0,
            is_first: true,
            last_stamp: EPOCH,
            fails: false,
            gone: false,
            image: Image::default(),
        }
    }

    /// All that has happened until now.
    fn catch_up(&mut self) {
        let camera = self.camera.clone();
        let mut world = camera.0.borrow_mut();
        if world.now < world.unplugged_until {
            self.gone = true;
        }
        while !self.gone && !self.fails {
            let picture = self.picture;
            let finished = world.plan.finished(picture);
            if finished > world.now {
                return;
            }
            self.picture += 1;
            if finished < world.silent_until {
                continue;
            }
            let calm = world.calm_from.is_some_and(|from| finished >= from);
            let fault = world.plan.fault(picture).filter(|_| !calm);
            let mut span = world.plan.rng(picture, 3);
            let mut span_ms = |max| Duration::from_millis(span.random_range(1..max));
            match fault {
                Some(Fault::Stall) => {
                    world.silent_until = finished + span_ms(6_000);
                    world.truth.stalls += 1;
                    continue;
                }
                Some(Fault::Unplug) => {
                    world.unplugged_until = finished + span_ms(6_000);
                    world.truth.unplugged += 1;
                    self.gone = true;
                    return;
                }
                Some(Fault::Failure) => {
                    self.fails = true;
                    return;
                }
                _ => {}
            }
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            let free = self.free.pop_front().filter(|_| fault != Some(Fault::Lost));
            let Some(index) = free else {
                self.lost += 1;
                continue;
            };
            let stamp = match (fault, world.plan.stamps) {
                (Some(Fault::StampUnknown), _) => None,
                (Some(Fault::StampFromFuture), _) => Some(finished + Duration::from_secs(60)),
                (Some(Fault::StampGoesBack), _) => Some(self.last_stamp - Duration::from_ticks(1)),
                (_, StampSource::StartOfExposure) => Some(world.plan.light(picture)),
                (_, StampSource::EndOfFrame) => Some(finished),
            };
            if fault.is_none() {
                self.last_stamp = stamp.unwrap_or(self.last_stamp);
            }
            numbered::picture(picture, world.plan.size_px, &mut self.image);
            let buffer = &mut self.buffers[index as usize];
            expose(&self.image, world.plan.format, &mut buffer.bytes);
            let length = buffer.bytes.len();
            match (fault, world.plan.format) {
                (Some(Fault::Corrupt), PixelFormat::Mjpeg) => {
                    // The end of the scan is missing, not that of the file.
                    buffer.bytes.drain(length - 60..length - 2);
                }
                (Some(Fault::Short), PixelFormat::Mjpeg) => buffer.bytes.truncate(50),
                (Some(Fault::Short | Fault::Corrupt), _) => buffer.bytes.truncate(length / 2),
                _ => {}
            }
            (buffer.sequence, buffer.stamp, buffer.fault) = (sequence, stamp, fault);
            buffer.lost = std::mem::take(&mut self.lost);
            self.finished.push_back(index);
        }
    }
}

/// A picture as the sensor's format has it.
fn expose(image: &Image, format: PixelFormat, bytes: &mut Vec<u8>) {
    bytes.clear();
    // Black and white: one channel says all, and U and V are neutral.
    let grey = image.rgb.iter().step_by(3).copied();
    match format {
        PixelFormat::Grey => bytes.extend(grey),
        PixelFormat::Rgb24 => bytes.extend_from_slice(&image.rgb),
        PixelFormat::Yuyv => bytes.extend(grey.flat_map(|level| [level, 128])),
        PixelFormat::Uyvy => bytes.extend(grey.flat_map(|level| [128, level])),
        PixelFormat::Mjpeg => {
            let encoded = episode::jpeg(image, bytes);
            assert!(encoded.is_ok(), "a picture of this size can be encoded");
        }
    }
}

impl Device for EmulatedDevice {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn wait(&mut self, until: Instant) -> Result<bool, DeviceError> {
        loop {
            self.catch_up();
            if self.gone || self.fails || !self.finished.is_empty() {
                return Ok(true);
            }
            let mut world = self.camera.0.borrow_mut();
            if world.now >= until {
                return Ok(false);
            }
            // Whoever waits is woken a little later.
            let mut rng = world.plan.rng(self.picture, 4);
            let late = Duration::from_micros(rng.random_range(0..800));
            world.now = (world.plan.finished(self.picture) + late).min(until);
        }
    }

    fn dequeue(&mut self) -> Result<Option<Finished>, DeviceError> {
        self.catch_up();
        let mut world = self.camera.0.borrow_mut();
        let truth = &mut world.truth;
        if self.gone {
            truth.gone += 1;
            return Err(DeviceError::Gone);
        }
        let Some(index) = self.finished.pop_front() else {
            // What was finished before the device failed is still handed over.
            if self.fails {
                truth.failures += 1;
                return Err(DeviceError::Failed);
            }
            return Ok(None);
        };
        let buffer = &mut self.buffers[index as usize];
        buffer.held = true;
        truth.dequeued += 1;
        if !std::mem::take(&mut self.is_first) {
            truth.lost += buffer.lost;
        }
        let is_jpeg = self.facts.source.format == PixelFormat::Mjpeg;
        match buffer.fault {
            Some(Fault::Damaged) => truth.damaged += 1,
            Some(Fault::Corrupt) if is_jpeg => truth.corrupt += 1,
            Some(Fault::Short | Fault::Corrupt) => truth.short += 1,
            Some(Fault::StampUnknown | Fault::StampFromFuture | Fault::StampGoesBack) => {
                truth.wrong_stamps += 1
            }
            _ => {}
        }
        Ok(Some(Finished {
            index,
            is_damaged: buffer.fault == Some(Fault::Damaged),
            sequence: buffer.sequence,
            stamp: buffer.stamp,
        }))
    }

    fn bytes(&self, index: u32) -> &[u8] {
        let buffer = &self.buffers[index as usize];
        assert!(buffer.held, "a buffer of the driver's is read");
        &buffer.bytes
    }

    fn requeue(&mut self, index: u32) -> Result<(), DeviceError> {
        self.catch_up();
        let buffer = &mut self.buffers[index as usize];
        assert!(
            std::mem::take(&mut buffer.held),
            "a buffer is given back twice"
        );
        let mut world = self.camera.0.borrow_mut();
        if self.gone {
            world.truth.gone += 1;
            return Err(DeviceError::Gone);
        }
        if buffer.fault == Some(Fault::RequeueFails) {
            world.truth.failures += 1;
            return Err(DeviceError::Failed);
        }
        self.free.push_back(index);
        Ok(())
    }
}
