//! The benches of servo arms: five joints and a gripper on a serial line that is exact to the byte, at 100 Hz.

use super::{Bench, LineFault, Metered};
use crate::servo_bus::calibration::{Calibration, Direction, GripperCalibration, JointCalibration};
use crate::servo_bus::tables::{MODELS, Model};
use crate::servo_bus::wire::Protocol;
use crate::servo_bus::{ServoBus, ServoBusConfig};
use crate::testkit::emulate::servo::{SerialLink, ServoDevice};
use crate::testkit::emulate::{Inertias, Plant};
use crate::testkit::{FaultySerialPort, Window};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use std::marker::PhantomData;
use visuomotor_runtime::arm::BringUpError;
use visuomotor_runtime::clock::{Duration, Instant};

pub const N: usize = 5;
pub const START: Instant = Instant::from_ticks(1_000_000_000);

/// Which servos an arm is made of.
pub trait Kind {
    const PROTOCOL: Protocol;
    const WATCHDOG_MS: Option<u32>;
    /// Base to tip, the gripper last.
    const MODELS: [&'static str; N + 1];
}

/// SO-101.
pub struct Feetech;

impl Kind for Feetech {
    const PROTOCOL: Protocol = Protocol::Feetech;
    const WATCHDOG_MS: Option<u32> = None;
    const MODELS: [&'static str; N + 1] = ["sts3215"; N + 1];
}

/// Koch: two models on one bus, whose registers lie in different places.
pub struct Dynamixel;

impl Kind for Dynamixel {
    const PROTOCOL: Protocol = Protocol::Dynamixel;
    const WATCHDOG_MS: Option<u32> = Some(100);
    const MODELS: [&'static str; N + 1] = [
        "xl430-w250",
        "xl430-w250",
        "xl330-m288",
        "xl330-m288",
        "xl330-m288",
        "xl330-m077",
    ];
}

/// Joints that a hand may move.
pub struct Hand {
    joints: Inertias,
    push: Option<f64>,
    /// What something is in the way of.
    pub blocked: [bool; N + 1],
}

impl Plant for Hand {
    fn joints(&self) -> usize {
        self.joints.joints()
    }

    fn step_s(&self) -> f64 {
        self.joints.step_s()
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.joints.state(joint)
    }

    fn step(&mut self, tau_nm: &[f64]) {
        let Some(dq) = self.push else {
            return self.pushed_by_drives(tau_nm);
        };
        for joint in 0..self.joints() {
            let (q, _) = self.state(joint);
            self.joints.place(joint, q + dq * self.step_s(), dq);
        }
    }
}

impl Hand {
    /// Somebody turns a joint without power.
    pub fn turn(&mut self, joint: usize, by_rad: f64) {
        let (q, _) = self.state(joint);
        self.joints.place(joint, q + by_rad, 0.0);
    }

    fn pushed_by_drives(&mut self, tau_nm: &[f64]) {
        let before: [f64; N + 1] = std::array::from_fn(|joint| self.state(joint).0);
        self.joints.step(tau_nm);
        for joint in (0..=N).filter(|&joint| self.blocked[joint]) {
            self.joints.place(joint, before[joint], 0.0);
        }
    }
}

pub struct ServoBench<K> {
    pub link: SerialLink<Hand>,
    pub port: FaultySerialPort<SerialLink<Hand>>,
    pub config: ServoBusConfig,
    pub calibration: Calibration,
    kind: PhantomData<K>,
}

pub fn config<K: Kind>() -> ServoBusConfig {
    ServoBusConfig {
        watchdog_ms: K::WATCHDOG_MS,
        ..ServoBusConfig::new(K::PROTOCOL, "bench", "bench")
    }
}

/// That there is no table of it is a mistake in a [`Kind`].
fn model(name: &str) -> &'static Model {
    let found: Vec<_> = MODELS.iter().filter(|model| model.name == name).collect();
    found[0]
}

/// Servos that are mounted somehow.
fn mounted<K: Kind>(rng: &mut Xoshiro256PlusPlus) -> Calibration {
    let models = K::MODELS.map(model);
    let mut joint = |i: usize| {
        let zero_ticks = rng.random_range(1700..2400);
        JointCalibration {
            name: format!("joint{i}"),
            id: i as u8 + 1,
            model: models[i],
            homing_offset_ticks: rng.random_range(-1500..1500),
            zero_ticks,
            direction: if rng.random() {
                Direction::Forward
            } else {
                Direction::Reverse
            },
            range_ticks: [zero_ticks - 1500, zero_ticks + 1500],
        }
    };
    let joints = (0..N).map(&mut joint).collect();
    let gripper = GripperCalibration {
        name: "gripper".to_owned(),
        id: N as u8 + 1,
        model: models[N],
        homing_offset_ticks: rng.random_range(-1500..1500),
        aperture: vec![(1500, 0.0), (2600, 0.08)],
    };
    Calibration { joints, gripper }
}

impl<K: Kind> ServoBench<K> {
    pub fn driver(&self) -> Result<ServoBus<FaultySerialPort<SerialLink<Hand>>, N>, BringUpError> {
        ServoBus::connect(self.port.clone(), &self.config, &self.calibration)
    }
}

impl<K: Kind> Bench<N> for ServoBench<K> {
    type Connected = ServoBus<FaultySerialPort<SerialLink<Hand>>, N>;

    fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let calibration = mounted::<K>(&mut rng);
        let mut q = [0.0; N + 1].map(|_: f64| rng.random_range(-0.5..0.5));
        // Neither closed nor wide open.
        q[N] += 0.8;
        let plant = Hand {
            joints: Inertias::at(&q, 0.005, 0.15, 1e-3),
            push: None,
            blocked: [false; N + 1],
        };
        let config = config::<K>();
        let device = ServoDevice::calibrated(&calibration, plant, config.baud, START);
        let link = SerialLink::new(device, START);
        Self {
            port: FaultySerialPort::new(link.clone(), rng.random()),
            link,
            config,
            calibration,
            kind: PhantomData,
        }
    }

    fn connect(&mut self) -> Result<Self::Connected, BringUpError> {
        self.driver()
    }

    fn schedule(&mut self, from: Instant, until: Instant, fault: LineFault) {
        self.port.schedule(Window { from, until }, fault);
    }

    fn injected(&self) -> u64 {
        self.port.injected()
    }

    fn now(&self) -> Instant {
        crate::port::SerialPort::now(&self.link)
    }

    fn advance(&mut self, at: Instant) {
        self.link.advance(at);
    }

    fn truth(&self, at: Instant) -> [f64; N] {
        let joints = self.link.device().truth(at);
        std::array::from_fn(|i| joints[i])
    }

    fn push_by_hand(&mut self, dq: f64) {
        let push = (dq != 0.0).then_some(dq);
        let mut device = self.link.device();
        let plant = device.plant();
        plant.push = push;
        if push.is_none() {
            for joint in 0..=N {
                let (q, _) = plant.state(joint);
                plant.joints.place(joint, q, 0.0);
            }
        }
    }

    fn goals(&self) -> [Option<f64>; N] {
        let device = self.link.device();
        std::array::from_fn(|i| device.goal(i))
    }

    fn resolution(&self) -> f64 {
        TAU / 4096.0
    }

    fn watchdog(&self) -> Option<Duration> {
        let ms = self.config.watchdog_ms?;
        Some(Duration::from_ticks(u64::from(ms) * 1_000_000))
    }

    fn stopped_by_watchdog(&self) -> Vec<bool> {
        let mut device = self.link.device();
        let stopped = |i| {
            let memory = &device.servo(i).memory;
            let register = memory.model.registers.bus_watchdog;
            register.is_some_and(|register| memory.get(&register) == -1)
        };
        (0..=N).map(stopped).collect()
    }

    fn break_drive(&mut self, joint: usize) {
        self.link.device().servo(joint).overheat();
    }
}

impl<K: Kind> Metered<N> for ServoBench<K> {
    fn bits(&self) -> u64 {
        self.link.bits()
    }

    fn bits_per_s(&self) -> u64 {
        self.config.baud.into()
    }
}
