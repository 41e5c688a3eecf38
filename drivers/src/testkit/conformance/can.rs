//! The bench of the CAN arm: seven joints and fingers, on a bus that is exact to the bit, at 250 Hz.

use super::{Bench, LineFault, Metered};
use crate::can::timing::BITS_PER_S;
use crate::can::wire::Status;
use crate::can::{Actuator, CanArm, CanConfig, ConnectedCanArm, GripperDrive, JointDrive, Model};
use crate::testkit::Window;
use crate::testkit::emulate::can::{CanDrives, CanLink, FaultsHandle, FaultyCanPort};
use crate::testkit::emulate::{Inertias, Plant};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::array;
use visuomotor_runtime::arm::BringUpError;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::dynamics::UPRIGHT_M_PER_S2;
use visuomotor_runtime::kinematics::{Chain, ChainError, Dynamics};

const JOINTS: usize = 7;
const STEP_S: f64 = 5e-4;

/// A seven-joint arm as an example: strong drives at the shoulder, light ones at the wrist.
pub fn example_config() -> CanConfig {
    use Model::{J4310, J4340, J8009, J10010L};
    let models = [J10010L, J10010L, J8009, J8009, J4340, J4310, J4310];
    let gains = [
        (120.0, 4.0),
        (120.0, 4.0),
        (80.0, 3.0),
        (80.0, 3.0),
        (40.0, 1.5),
        (30.0, 1.0),
        (30.0, 1.0),
    ];
    let joints = models.into_iter().zip(gains).enumerate();
    CanConfig {
        interface: "can0".into(),
        watchdog_ms: 50,
        gravity_m_per_s2: UPRIGHT_M_PER_S2,
        joint: joints
            .map(|(i, (model, (kp, kd)))| JointDrive {
                id: i as u16 + 1,
                master_id: i as u16 + 0x11,
                actuator: Actuator::Model(model),
                kp,
                kd,
                direction: if i % 3 == 1 { -1 } else { 1 },
                zero_offset_rad: 0.1 * i as f64 - 0.2,
                torque_limit_nm: Actuator::Model(model).ranges().t_max_nm * 0.6,
                rotor_inertia_kg_m2: 0.0,
            })
            .collect(),
        gripper: GripperDrive {
            id: 8,
            master_id: 0x18,
            actuator: Actuator::Model(J4310),
            kp: 10.0,
            kd: 0.5,
            closed_rad: 0.1,
            m_per_rad: 0.045,
            open_m: 0.08,
            force_n: 25.0,
        },
    }
}

/// Joints without mass, so that nothing but the drives moves them.
pub fn weightless() -> Result<Dynamics<JOINTS>, ChainError> {
    let mut urdf = String::from("<robot name=\"bench\"><link name=\"link0\"/>");
    for i in 1..=JOINTS {
        urdf += &format!(
            "<joint name=\"joint_{i}\" type=\"continuous\"><parent link=\"link{}\"/><child link=\"link{i}\"/>\
             <axis xyz=\"0 0 1\"/><limit velocity=\"2\" effort=\"1\"/></joint><link name=\"link{i}\"/>",
            i - 1
        );
    }
    urdf += "</robot>";
    let chain = Chain::from_urdf(&urdf, "link0", &format!("link{JOINTS}"))?;
    Dynamics::new(&chain, &urdf, UPRIGHT_M_PER_S2)
}

/// Inertias that a hand can move.
pub struct ByHand {
    inertias: Inertias,
    /// rad/s; 0 when nobody touches them.
    dq: f64,
}

impl ByHand {
    /// At rest at these positions, rad.
    pub fn at(q: &[f64], step_s: f64) -> Self {
        Self {
            inertias: Inertias::at(q, 0.02, 1.6, step_s),
            dq: 0.0,
        }
    }

    /// Moves all joints steadily from now on, rad/s; with 0 they are let go, at rest.
    pub fn push(&mut self, dq: f64) {
        self.dq = dq;
        if dq == 0.0 {
            for joint in 0..self.joints() {
                let (q, _) = self.state(joint);
                self.inertias.place(joint, q, 0.0);
            }
        }
    }
}

impl Plant for ByHand {
    fn joints(&self) -> usize {
        self.inertias.joints()
    }

    fn step_s(&self) -> f64 {
        self.inertias.step_s()
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.inertias.state(joint)
    }

    fn step(&mut self, tau_nm: &[f64]) {
        if self.dq == 0.0 {
            return self.inertias.step(tau_nm);
        }
        for joint in 0..self.joints() {
            let (q, _) = self.state(joint);
            self.inertias
                .place(joint, q + self.dq * self.step_s(), self.dq);
        }
    }
}

pub struct CanBench {
    config: CanConfig,
    link: CanLink<ByHand>,
    faults: FaultsHandle,
    port: Option<FaultyCanPort<CanLink<ByHand>>>,
}

impl Bench<JOINTS> for CanBench {
    type Connected = ConnectedCanArm<FaultyCanPort<CanLink<ByHand>>, JOINTS>;

    fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let q: Vec<f64> = (0..=JOINTS).map(|_| rng.random_range(-1.5..1.5)).collect();
        let config = example_config();
        let plant = ByHand::at(&q, STEP_S);
        let start = Instant::from_ticks(1_000_000_000);
        let link = CanLink::new(CanDrives::new(&config, plant, start), start);
        let port = FaultyCanPort::new(link.clone(), &config.master_ids(), rng.random());
        Self {
            config,
            link,
            faults: port.handle(),
            port: Some(port),
        }
    }

    fn period(&self) -> Duration {
        Duration::from_millis(4)
    }

    fn connect(&mut self) -> Result<Self::Connected, BringUpError> {
        let error = |problem: String| BringUpError {
            device: "bench".into(),
            problem,
            remedy: "mend the bench".into(),
        };
        let port = self.port.take();
        let port = port.ok_or_else(|| error("a bench has one driver".into()))?;
        let dynamics = weightless().map_err(|reason| error(reason.to_string()))?;
        CanArm::connect(port, &self.config, dynamics)
    }

    fn schedule(&mut self, from: Instant, until: Instant, fault: LineFault) {
        self.faults.schedule(Window { from, until }, fault);
    }

    fn injected(&self) -> u64 {
        self.faults.injected()
    }

    fn now(&self) -> Instant {
        crate::port::CanPort::now(&self.link)
    }

    fn advance(&mut self, at: Instant) {
        self.link.advance(at);
    }

    fn truth(&self, at: Instant) -> [f64; JOINTS] {
        let drives = self.link.drives();
        array::from_fn(|i| drives.was(i, at))
    }

    fn push_by_hand(&mut self, dq: f64) {
        self.link.drives().plant.push(dq);
    }

    fn goals(&self) -> [Option<f64>; JOINTS] {
        let drives = self.link.drives();
        array::from_fn(|i| drives.drives[i].goal())
    }

    fn resolution(&self) -> f64 {
        let joints = self.config.joint.iter();
        joints
            .map(|joint| joint.actuator.ranges().resolution_rad())
            .fold(0.0, f64::max)
    }

    fn watchdog(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.config.watchdog_ms.into()))
    }

    fn break_drive(&mut self, joint: usize) {
        self.link.drives().drives[joint].fail(Status(0xB));
    }
}

impl Metered<JOINTS> for CanBench {
    fn bits(&self) -> u64 {
        self.link.bits()
    }

    fn bits_per_s(&self) -> u64 {
        BITS_PER_S
    }
}
