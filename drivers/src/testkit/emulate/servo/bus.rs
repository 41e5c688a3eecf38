//! Emulated servos on one bus: what they hear, and what they answer when.
//!
//! Sans I/O, allocates nothing once it is built. Each byte takes ten bits' time; each answer waits for its servo's return delay.
//! Not responsible for who transports it ([`super::SerialLink`], [`super::SerialServer`]).

use super::drive::{Mounting, Servo};
use super::registers::Refusal;
use crate::servo_bus::calibration::{Calibration, Direction};
use crate::servo_bus::tables::Model;
use crate::servo_bus::wire::{BROADCAST, Frame, Instruction, PARAMS_MAX, Packet, Parser, Protocol};
use crate::servo_bus::{SERVOS_MAX, line_time};
use crate::testkit::emulate::Plant;
use std::collections::VecDeque;
use visuomotor_runtime::clock::{Duration, Instant};

/// Between an instruction's end and its answer, beside the return delay.
const THINKING: Duration = Duration::from_ticks(30_000);
/// Longer than any pause within a packet.
const SILENCE: Duration = Duration::from_ticks(1_000_000);
const RETURN_DELAY_UNIT: Duration = Duration::from_ticks(2_000);
/// Answers that nobody takes are forgotten, the oldest first.
const ANSWERS_MAX: usize = 32;
/// Of steps of the plant: half a second at 1 ms.
const HISTORY: usize = 512;

/// One servo, as it is ordered and mounted.
#[derive(Clone, Copy, Debug)]
pub struct ServoSpec {
    pub id: u8,
    pub model: &'static Model,
    pub mounting: Mounting,
}

pub struct ServoDevice<P> {
    protocol: Protocol,
    baud: u32,
    servos: Vec<Servo>,
    plant: P,
    parser: Parser,
    now: Instant,
    /// When the plant has come to.
    stepped: Instant,
    step: Duration,
    heard: Instant,
    last_byte: Instant,
    /// Until when somebody sends.
    busy_until: Instant,
    answers: VecDeque<(Instant, Frame)>,
    history: Vec<(Instant, [f64; SERVOS_MAX])>,
    steps: usize,
}

impl<P: Plant> ServoDevice<P> {
    /// A servo for each joint of the plant, in its order.
    ///
    /// # Panics
    /// When there are more servos than [`SERVOS_MAX`], as many as joints they are not, or of both protocols.
    pub fn new(specs: &[ServoSpec], plant: P, baud: u32, now: Instant) -> Self {
        assert!(
            specs.len() <= SERVOS_MAX && specs.len() == plant.joints(),
            "{} servos",
            specs.len()
        );
        let protocol = specs[0].model.protocol;
        assert!(
            specs.iter().all(|spec| spec.model.protocol == protocol),
            "two protocols on a bus"
        );
        let servo = |(joint, spec): (usize, &ServoSpec)| {
            Servo::new(spec.model, spec.id, spec.mounting, plant.state(joint))
        };
        let servos: Vec<Servo> = specs.iter().enumerate().map(servo).collect();
        let mut device = Self {
            protocol,
            baud,
            servos,
            step: Duration::from_ticks((plant.step_s() * 1e9) as u64),
            plant,
            parser: Parser::of_instructions(protocol, PARAMS_MAX),
            now,
            stepped: now,
            heard: now,
            last_byte: now,
            busy_until: now,
            answers: VecDeque::with_capacity(ANSWERS_MAX),
            history: vec![(now, [0.0; SERVOS_MAX]); HISTORY],
            steps: 0,
        };
        device.history = vec![(now, device.joints()); HISTORY];
        device
    }

    /// The servos of the arm that this is the calibration of. The gripper's joint is at 0 rad where it is closed, and opens
    /// towards positive ones.
    ///
    /// # Panics
    /// As [`ServoDevice::new`].
    pub fn calibrated(calibration: &Calibration, plant: P, baud: u32, now: Instant) -> Self {
        let gripper = &calibration.gripper;
        let [closed, open] = gripper.ends_ticks();
        let opening = if open > closed {
            Direction::Forward
        } else {
            Direction::Reverse
        };
        let joints = calibration.joints.iter();
        let joints = joints.map(|j| {
            (
                j.id,
                j.model,
                j.homing_offset_ticks,
                j.zero_ticks,
                j.direction,
            )
        });
        let last = (
            gripper.id,
            gripper.model,
            gripper.homing_offset_ticks,
            closed,
            opening,
        );
        let all: Vec<_> = joints.chain([last]).collect();
        let spec =
            |&(id, model, offset, zero, direction): &(u8, &'static Model, i32, i32, Direction)| {
                ServoSpec {
                    id,
                    model,
                    mounting: Mounting {
                        zero_ticks: match model.protocol {
                            Protocol::Feetech => zero + offset,
                            Protocol::Dynamixel => zero - offset,
                        },
                        direction,
                        ..Mounting::centred(model)
                    },
                }
            };
        let specs: Vec<ServoSpec> = all.iter().map(spec).collect();
        let mut device = Self::new(&specs, plant, baud, now);
        for (servo, (_, model, offset, ..)) in device.servos.iter_mut().zip(&all) {
            servo
                .memory
                .set_lasting(&model.registers.homing_offset, *offset);
            servo.measure();
        }
        device
    }

    pub fn baud(&self) -> u32 {
        self.baud
    }

    pub fn plant(&mut self) -> &mut P {
        &mut self.plant
    }

    /// The servo of a joint, base to tip.
    pub fn servo(&mut self, joint: usize) -> &mut Servo {
        &mut self.servos[joint]
    }

    pub fn goal(&self, joint: usize) -> Option<f64> {
        self.servos[joint].goal()
    }

    fn joints(&self) -> [f64; SERVOS_MAX] {
        std::array::from_fn(|i| {
            if i < self.servos.len() {
                self.plant.state(i).0
            } else {
                0.0
            }
        })
    }

    /// Where the joints were at `at`; the oldest that is remembered when that is longer ago.
    pub fn truth(&self, at: Instant) -> [f64; SERVOS_MAX] {
        let remembered =
            (0..HISTORY).map(|back| &self.history[(self.steps + HISTORY - back) % HISTORY]);
        let mut oldest = &self.history[self.steps % HISTORY];
        for entry in remembered {
            oldest = entry;
            if entry.0 <= at {
                break;
            }
        }
        oldest.1
    }

    /// Lives until `at`.
    pub fn advance(&mut self, at: Instant) {
        let dt = self.plant.step_s();
        while self.stepped + self.step <= at {
            self.stepped += self.step;
            let mut torques = [0.0; SERVOS_MAX];
            for (servo, torque) in self.servos.iter_mut().zip(&mut torques) {
                servo.watch(self.stepped, self.heard);
                *torque = servo.torque(dt);
            }
            self.plant.step(&torques[..self.servos.len()]);
            for (joint, servo) in self.servos.iter_mut().enumerate() {
                servo.moved_to(self.plant.state(joint));
            }
            self.steps += 1;
            self.history[self.steps % HISTORY] = (self.stepped, self.joints());
        }
        self.now = self.now.max(at);
    }

    /// These bytes have come; the last of them at `at`.
    pub fn receive(&mut self, bytes: &[u8], at: Instant) {
        self.advance(at);
        self.busy_until = self.busy_until.max(at);
        // A packet that stops in its middle is forgotten: it does not go on with the next one.
        let begun = at.checked_sub_duration(line_time(bytes.len(), self.baud));
        let silence = begun.and_then(|begun| begun.checked_duration_since(self.last_byte));
        if silence > Some(SILENCE) {
            self.parser.clear();
        }
        self.last_byte = at;
        self.parser.feed(bytes);
        while let Some(packet) = self.parser.next_packet() {
            self.heard = self.now;
            self.obey(&packet);
        }
    }

    /// The next answer, and when its last byte has been sent.
    pub fn answer(&mut self) -> Option<(Instant, Frame)> {
        self.answers.pop_front()
    }

    fn obey(&mut self, packet: &Packet) {
        let params = packet.params();
        match packet.code {
            code if code == Instruction::SyncRead as u8 => self.sync_read(params),
            code if code == Instruction::SyncWrite as u8 => self.sync_write(params),
            code if code == Instruction::BulkRead as u8 => self.bulk_read(params),
            code if code == Instruction::BulkWrite as u8 => self.bulk_write(params),
            code if code == Instruction::Action as u8 => self.act(),
            code => {
                for i in 0..self.servos.len() {
                    if packet.id == self.servos[i].memory.id() || packet.id == BROADCAST {
                        self.one(i, code, params, packet.id != BROADCAST);
                    }
                }
            }
        }
    }

    /// An instruction to one servo.
    fn one(&mut self, i: usize, code: u8, params: &[u8], alone: bool) {
        let (protocol, servo) = (self.protocol, &mut self.servos[i]);
        let mut data = [0; PARAMS_MAX];
        let mut len = 0;
        let done = match code {
            code if code == Instruction::Ping as u8 => {
                if protocol == Protocol::Dynamixel {
                    let [low, high] = servo.memory.model.number.to_le_bytes();
                    data[..3].copy_from_slice(&[low, high, servo.memory.byte(6)]);
                    len = 3;
                }
                Ok(())
            }
            code if code == Instruction::Read as u8 => match protocol.address_and_len(params) {
                Some((address, count, [])) if count <= 128 => {
                    len = count;
                    servo.memory.read(address, &mut data[..count])
                }
                _ => Err(Refusal::Length),
            },
            code if code == Instruction::Write as u8 => match protocol.address(params) {
                Some((address, bytes)) => servo.write(address, bytes),
                None => Err(Refusal::Length),
            },
            code if code == Instruction::RegWrite as u8 => match protocol.address(params) {
                Some((address, bytes)) if bytes.len() <= 32 => {
                    let mut kept = [0; 32];
                    kept[..bytes.len()].copy_from_slice(bytes);
                    servo.registered = Some((address, kept, bytes.len()));
                    Ok(())
                }
                _ => Err(Refusal::Length),
            },
            _ => Err(Refusal::Instruction),
        };
        let is_reading = [Instruction::Ping as u8, Instruction::Read as u8].contains(&code);
        // A broadcast ping is answered by all, in Dynamixel's protocol.
        let is_asked = alone || code == Instruction::Ping as u8 && protocol == Protocol::Dynamixel;
        let level = match protocol {
            Protocol::Feetech => servo.memory.byte(8) == 1,
            Protocol::Dynamixel => servo.memory.byte(68) == 2,
        };
        if is_asked && (is_reading || level) {
            let len = if done.is_ok() { len } else { 0 };
            self.send(i, done, &data[..len]);
        }
    }

    fn act(&mut self) {
        for servo in &mut self.servos {
            if let Some((address, data, len)) = servo.registered.take() {
                // Nobody answers to an action, so nobody hears of a refusal.
                let _ = servo.write(address, &data[..len]);
            }
        }
    }

    fn sync_read(&mut self, params: &[u8]) {
        if let Some((address, len, ids)) = self.protocol.address_and_len(params) {
            ids.iter().for_each(|id| self.read_one(*id, address, len));
        }
    }

    fn bulk_read(&mut self, params: &[u8]) {
        for item in params.chunks_exact(5) {
            if let Some((address, len, _)) = self.protocol.address_and_len(&item[1..]) {
                self.read_one(item[0], address, len);
            }
        }
    }

    fn read_one(&mut self, id: u8, address: u16, len: usize) {
        let mut data = [0; 128];
        let found = self.servos.iter().position(|servo| servo.memory.id() == id);
        if let (Some(i), Some(data)) = (found, data.get_mut(..len)) {
            let read = self.servos[i].memory.read(address, data);
            self.send(i, read, data);
        }
    }

    fn sync_write(&mut self, params: &[u8]) {
        if let Some((address, len, rest)) = self.protocol.address_and_len(params) {
            for item in rest.chunks_exact(len + 1) {
                self.write_one(item[0], address, &item[1..]);
            }
        }
    }

    fn bulk_write(&mut self, params: &[u8]) {
        let mut rest = params;
        while let Some((&id, after)) = rest.split_first() {
            let Some((address, len, after)) = self.protocol.address_and_len(after) else {
                return;
            };
            let Some((data, after)) = after.split_at_checked(len) else {
                return;
            };
            self.write_one(id, address, data);
            rest = after;
        }
    }

    /// Nobody answers to a write to many, so nobody hears of a refusal.
    fn write_one(&mut self, id: u8, address: u16, data: &[u8]) {
        let found = self.servos.iter_mut().find(|servo| servo.memory.id() == id);
        let _ = found.map(|servo| servo.write(address, data));
    }

    fn send(&mut self, i: usize, done: Result<(), Refusal>, data: &[u8]) {
        let servo = &self.servos[i];
        let refusal = match (self.protocol, done) {
            (Protocol::Dynamixel, Err(refusal)) => refusal as u8,
            _ => 0,
        };
        let frame = self
            .protocol
            .status(servo.memory.id(), servo.errors() | refusal, data);
        let delay = servo.memory.get(&servo.memory.model.registers.return_delay);
        let start = self.busy_until.max(self.now) + RETURN_DELAY_UNIT * delay as u32 + THINKING;
        self.busy_until = start + line_time(frame.bytes().len(), self.baud);
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back((self.busy_until, frame));
    }
}
