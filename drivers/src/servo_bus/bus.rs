//! The servos of one arm behind their port: one reading of all of them, honest about its age, in bounded time.
//!
//! Not responsible for what is commanded ([`super::arm`]) nor for finding the servos ([`super::bring_up`]).

use super::SERVOS_MAX;
use super::calibration::{Calibration, GripperCalibration, JointCalibration};
use super::config::ServoBusConfig;
use super::requests::{Requests, TAGS};
use super::tables::{Feedback, Model};
use super::wire::{BROADCAST, Frame, Packet, Parser, Protocol};
use crate::outstanding::ANSWER_LATE_MAX;
use crate::port::{PortError, SerialPort};
use visuomotor_runtime::arm::ArmError;
use visuomotor_runtime::clock::{Duration, Instant};

/// A servo's return delay when it is set to nothing, and what it takes to think, at most.
const ANSWERING_MAX: Duration = Duration::from_ticks(250_000);
/// A port may hold as much; whoever sends more, all the time, is not listened to for longer.
const BYTES_MAX: usize = 8192;
const CHUNK: usize = 256;
/// No servo turns faster: an answer that says so was garbled on its way.
const RAD_PER_S_MAX: f64 = 60.0;
const JUMP_RAD_MAX: f64 = 0.05;
/// No servo counts further, 256 turns either way.
const TICKS_MAX: u32 = 1 << 20;

#[derive(Clone, Debug)]
pub(super) enum Joint {
    Arm(JointCalibration),
    Gripper(GripperCalibration),
}

/// One servo, as it was calibrated.
#[derive(Clone, Debug)]
pub(super) struct Servo {
    pub id: u8,
    pub name: String,
    pub model: &'static Model,
    pub joint: Joint,
    /// What was read last, and when it was measured: no joint jumps.
    last: Option<(Instant, i32)>,
}

impl Servo {
    pub fn contains(&self, ticks: i32) -> bool {
        match &self.joint {
            Joint::Arm(joint) => joint.contains(ticks),
            Joint::Gripper(gripper) => gripper.contains(ticks),
        }
    }

    /// Whether its encoder shows another turn than that of its range: to its goal it would go the long way round.
    pub fn is_beyond_seam(&self, ticks: i32) -> bool {
        ticks
            != match &self.joint {
                Joint::Arm(joint) => joint.unwrapped(ticks),
                Joint::Gripper(gripper) => gripper.unwrapped(ticks),
            }
    }

    pub fn range_ticks(&self) -> [i32; 2] {
        match &self.joint {
            Joint::Arm(joint) => joint.range_ticks,
            Joint::Gripper(gripper) => gripper.range_ticks(),
        }
    }

    pub fn homing_offset_ticks(&self) -> i32 {
        match &self.joint {
            Joint::Arm(joint) => joint.homing_offset_ticks,
            Joint::Gripper(gripper) => gripper.homing_offset_ticks,
        }
    }

    pub fn is_gripper(&self) -> bool {
        matches!(self.joint, Joint::Gripper(_))
    }

    /// Whether it can have got there since it was read last.
    fn is_plausible(&self, sample: &Sample) -> bool {
        let Some((sampled_at, ticks)) = self.last else {
            return true;
        };
        let since = sample.sampled_at.checked_duration_since(sampled_at);
        let since_s = since.map_or(0.0, |since| since.as_ticks() as f64 * 1e-9);
        let turn = self.model.ticks_per_turn;
        let way = (sample.ticks - ticks + turn / 2).rem_euclid(turn) - turn / 2;
        f64::from(way.abs()) * self.model.rad_per_tick() <= JUMP_RAD_MAX + RAD_PER_S_MAX * since_s
    }
}

/// What one servo said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// At the earliest.
    pub sampled_at: Instant,
    pub ticks: i32,
    /// In the units of the model.
    pub speed: i32,
    pub load: i32,
    pub errors: u8,
    pub watchdog_has_stopped_it: bool,
}

pub(super) type Samples = [Option<Sample>; SERVOS_MAX];

pub(super) struct Bus<P> {
    pub port: P,
    pub protocol: Protocol,
    pub servos: Vec<Servo>,
    parser: Parser,
    requests: Requests,
    read_window: Duration,
    /// Per byte, and what the adapter adds.
    pub baud: u32,
    pub adapter_latency: Duration,
    /// Until when the answer to a question that was given up may come.
    late_until: Option<Instant>,
}

/// How long so many bytes take: eight bits each, with a start and a stop.
pub(crate) fn line_time(bytes: usize, baud: u32) -> Duration {
    Duration::from_ticks((bytes as u64 * 10 * 1_000_000_000).div_ceil(baud.into()))
}

/// How many bytes everything has that is on the line in one tick, at most.
fn bytes_of_a_tick(protocol: Protocol, servos: &[Servo]) -> usize {
    let registers = servos[0].model.registers;
    let read_len = registers.feedback.len + TAGS as u8 - 1;
    let read = read_frame(protocol, servos, read_len).bytes().len();
    let block = [0; 64];
    let block = &block[..registers.command.len.into()];
    let items = servos
        .iter()
        .map(|servo| (servo.id, servo.model.registers.command.address, block));
    let written = protocol
        .group_write(registers.command.len, items)
        .bytes()
        .len();
    let answers = servos.len() * protocol.answer_len(read_len.into());
    let all = read + written + answers;
    match protocol {
        Protocol::Feetech => all,
        // As much may be stuffed.
        Protocol::Dynamixel => all * 4 / 3,
    }
}

fn read_frame(protocol: Protocol, servos: &[Servo], len: u8) -> Frame {
    let items = servos
        .iter()
        .map(|servo| (servo.id, servo.model.registers.feedback.address));
    protocol.group_read(len, items)
}

/// Joints base to tip, then the gripper.
fn servos(calibration: &Calibration) -> Vec<Servo> {
    let of_joint = |joint: &JointCalibration| Servo {
        id: joint.id,
        name: joint.name.clone(),
        model: joint.model,
        joint: Joint::Arm(joint.clone()),
        last: None,
    };
    let gripper = &calibration.gripper;
    let of_gripper = Servo {
        id: gripper.id,
        name: gripper.name.clone(),
        model: gripper.model,
        joint: Joint::Gripper(gripper.clone()),
        last: None,
    };
    let joints = calibration.joints.iter().map(of_joint);
    joints.chain([of_gripper]).collect()
}

fn adapter_latency(config: &ServoBusConfig) -> Duration {
    Duration::from_ticks((config.adapter_latency_ms * 1e6) as u64)
}

fn read_window(config: &ServoBusConfig, servos: &[Servo]) -> Duration {
    let bytes = bytes_of_a_tick(config.protocol, servos);
    let answering = ANSWERING_MAX * servos.len() as u32;
    line_time(bytes, config.baud) + answering + adapter_latency(config)
}

/// What such an arm will say that a tick's reading and writing takes at most.
///
/// # Panics
/// When a servo speaks another protocol than the line's: [`Calibration::check_protocol`] comes first.
pub fn io_time_max(config: &ServoBusConfig, calibration: &Calibration) -> Duration {
    read_window(config, &servos(calibration))
}

impl<P: SerialPort> Bus<P> {
    pub fn new(port: P, config: &ServoBusConfig, calibration: &Calibration) -> Self {
        let servos = servos(calibration);
        Self {
            port,
            protocol: config.protocol,
            parser: Parser::of_answers(config.protocol, 40),
            requests: Requests::new(servos.len()),
            read_window: read_window(config, &servos),
            servos,
            baud: config.baud,
            adapter_latency: adapter_latency(config),
            late_until: None,
        }
    }

    /// How long [`Bus::read`] waits at most. Sending waits for nothing.
    pub fn read_window(&self) -> Duration {
        self.read_window
    }

    pub fn send(&mut self, frame: &Frame) -> Result<(), PortError> {
        self.port.send(frame.bytes())
    }

    /// One answer of every servo, each to a request of its own. An error when one is missing: its last answer says nothing of now.
    pub fn read(&mut self) -> Result<Samples, ArmError> {
        let start = self.port.now();
        let mut samples = [None; SERVOS_MAX];
        self.parser.clear();
        self.requests.forget_late(start);
        // Late answers to earlier requests: the line may be one that always delivers late.
        self.collect(start, None, &mut samples)?;
        let asked_at = self.port.now();
        let tag = self.requests.request(asked_at);
        let len = self.servos[0].model.registers.feedback.len + tag as u8;
        let frame = read_frame(self.protocol, &self.servos, len);
        self.send(&frame)?;
        self.collect(start + self.read_window, Some(asked_at), &mut samples)?;
        let mut answers = samples.iter_mut().zip(&mut self.servos);
        if !answers.all(|(sample, servo)| sample.is_none_or(|sample| servo.is_plausible(&sample))) {
            return Err(ArmError::Malformed);
        }
        for (sample, servo) in samples.iter().zip(&mut self.servos) {
            let Some(sample) = sample else { continue };
            servo.last = Some((sample.sampled_at, sample.ticks));
        }
        Ok(samples)
    }

    /// Takes what comes until every servo has answered the request of `asked_at`, at the latest until `until`.
    fn collect(
        &mut self,
        until: Instant,
        asked_at: Option<Instant>,
        samples: &mut Samples,
    ) -> Result<(), ArmError> {
        let mut chunk = [0; CHUNK];
        let mut left = BYTES_MAX;
        while left > 0 {
            let count = self.port.receive(&mut chunk[..CHUNK.min(left)], until)?;
            if count == 0 {
                break;
            }
            left -= count;
            self.parser.feed(&chunk[..count]);
            while let Some(packet) = self.parser.next_packet() {
                self.take(&packet, samples);
            }
            let is_answered = |sample: &Option<Sample>| {
                sample
                    .is_some_and(|sample| asked_at.is_some_and(|asked| sample.sampled_at >= asked))
            };
            if samples[..self.servos.len()].iter().all(is_answered) {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, packet: &Packet, samples: &mut Samples) {
        let Some(answer) = self.protocol.answer(packet) else {
            return;
        };
        let Some(i) = self.servos.iter().position(|servo| servo.id == answer.id) else {
            return;
        };
        let feedback = self.servos[i].model.registers.feedback;
        let tag = answer.data.len().checked_sub(feedback.len.into());
        let sampled_at = tag.and_then(|tag| self.requests.answer(i, tag));
        if let Some(sampled_at) = sampled_at {
            samples[i] = sample(
                self.protocol,
                &feedback,
                answer.error,
                answer.data,
                sampled_at,
            );
        }
    }

    /// Everybody's power off, with one packet that nobody answers.
    pub fn power_off(&mut self) -> Result<(), PortError> {
        let enable = self.servos[0].model.registers.torque_enable;
        let frame = self.protocol.write(BROADCAST, enable.address, &[0]);
        self.send(&frame)
    }

    /// Sends, and waits for this servo's next answer; `None` when there is none. For bring-up.
    pub fn ask(
        &mut self,
        id: u8,
        frame: &Frame,
        data_len: usize,
    ) -> Result<Option<(u8, Vec<u8>)>, PortError> {
        let mut chunk = [0; CHUNK];
        // The answer to a question that was given up may still come, and does not say what was asked.
        if let Some(until) = self.late_until.take() {
            while self.port.now() < until && self.port.receive(&mut chunk, until)? > 0 {}
        }
        self.parser.clear();
        self.port.clear()?;
        self.send(frame)?;
        let bytes = frame.bytes().len() + self.protocol.answer_len(data_len) * 4 / 3;
        // Before its return delay is set it may be as long as half a millisecond and a little more.
        let until = self.port.now()
            + line_time(bytes, self.baud)
            + ANSWERING_MAX * 4
            + self.adapter_latency;
        let mut left = BYTES_MAX;
        while left > 0 {
            let count = self.port.receive(&mut chunk, until)?;
            if count == 0 {
                break;
            }
            left = left.saturating_sub(count);
            self.parser.feed(&chunk[..count]);
            while let Some(packet) = self.parser.next_packet() {
                // An adapter with one wire may hand back what was sent.
                let is_echo = self
                    .protocol
                    .packet(packet.id, packet.code, packet.params())
                    .bytes()
                    == frame.bytes();
                let answer = self
                    .protocol
                    .answer(&packet)
                    .filter(|answer| answer.id == id && answer.data.len() == data_len && !is_echo);
                if let Some(answer) = answer {
                    return Ok(Some((answer.error, answer.data.to_vec())));
                }
            }
        }
        self.late_until = Some(self.port.now() + ANSWER_LATE_MAX);
        Ok(None)
    }
}

fn sample(
    protocol: Protocol,
    feedback: &Feedback,
    error: u8,
    data: &[u8],
    sampled_at: Instant,
) -> Option<Sample> {
    let errors = match (protocol, feedback.errors) {
        (Protocol::Feetech, _) | (_, None) => error,
        (Protocol::Dynamixel, Some(field)) => field.get(data)? as u8,
    };
    let watchdog = match feedback.watchdog {
        Some(field) => field.get(data)?,
        None => 0,
    };
    Some(Sample {
        sampled_at,
        ticks: (feedback.position.get(data)).filter(|ticks| ticks.unsigned_abs() <= TICKS_MAX)?,
        speed: feedback.speed.get(data)?,
        load: feedback.load.get(data)?,
        errors,
        watchdog_has_stopped_it: watchdog < 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servo_bus::tables::XL330;

    #[test]
    fn a_position_that_no_servo_counts_to_is_no_sample() {
        let feedback = XL330.feedback;
        for (ticks, is_sample) in [(-4095, true), (1 << 20, true), (i32::MIN, false)] {
            let mut data = vec![0; feedback.len.into()];
            feedback.position.set(&mut data, ticks);
            let now = Instant::from_ticks(1);
            let sample = sample(Protocol::Dynamixel, &feedback, 0, &data, now);
            assert_eq!(sample.map(|s| s.ticks), is_sample.then_some(ticks));
        }
    }
}
