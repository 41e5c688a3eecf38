//! The `[arm.can]` table of a launch file: which drives make the arm.
//!
//! Not responsible for asking the drives whether it is true; [`super::CanArm::connect`] does.

use super::wire::Ranges;
use serde::{Deserialize, Serialize};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::kinematics::JointLimit;
use visuomotor_runtime::kinematics::dynamics::UPRIGHT_M_PER_S2;

/// Joints stay so far from the ends of a drive's range, rad: there its positions look like answers of another kind.
const END_RAD: f64 = 0.1;

/// An arm of drives on one CAN bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanConfig {
    /// As `ip link` names it.
    pub interface: String,
    /// After which silence each drive takes its own power away, ms: 10 to 500, and at least four control periods and the longest
    /// I/O of a tick.
    pub watchdog_ms: u32,
    /// Gravity in the frame of the arm's base; another one for an arm on a wall or under a ceiling.
    #[serde(default = "upright")]
    pub gravity_m_per_s2: [f64; 3],
    /// Base to tip.
    pub joint: Vec<JointDrive>,
    pub gripper: GripperDrive,
}

fn upright() -> [f64; 3] {
    UPRIGHT_M_PER_S2
}

/// One joint's drive: joint angle = `direction` x drive angle + `zero_offset_rad`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointDrive {
    /// The identifier that the drive listens to, 1 to 15.
    pub id: u16,
    /// The identifier that it answers on: one of its own, whose low byte is no drive's `id`. Usually `id` + 16.
    pub master_id: u16,
    pub actuator: Actuator,
    /// Stiffness, N·m/rad.
    pub kp: f64,
    /// Damping, N·m·s/rad. Never 0: a drive with stiffness alone swings.
    pub kd: f64,
    /// 1 where drive and joint turn the same way, else -1.
    pub direction: i8,
    /// The joint's angle where the drive says 0, rad.
    pub zero_offset_rad: f64,
    /// What spring and feed-forward ask of the drive at most, N·m.
    pub torque_limit_nm: f64,
    /// Inertia of the drive's own rotor, seen from the joint: the rotor's times the gear's ratio squared, kg·m². The robot
    /// description does not have it. 0 leaves it to the spring.
    #[serde(default)]
    pub rotor_inertia_kg_m2: f64,
}

/// The drive of the fingers: distance between the pads = (drive angle - `closed_rad`) x `m_per_rad`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GripperDrive {
    /// As [`JointDrive::id`].
    pub id: u16,
    /// As [`JointDrive::master_id`].
    pub master_id: u16,
    pub actuator: Actuator,
    /// Stiffness, N·m/rad: how far from its goal the drive is when it pulls with all of `force_n`, as closed fingers do.
    pub kp: f64,
    /// Damping, N·m·s/rad. It limits the speed: closing freely, the drive turns with its torque over `kd`.
    pub kd: f64,
    /// The drive's angle with the pads in touch, rad.
    pub closed_rad: f64,
    /// How much the pads come apart when the drive turns, m/rad; negative when they come together.
    pub m_per_rad: f64,
    /// Distance of the pads when open, m.
    pub open_m: f64,
    /// With how much each pad presses at most, N.
    pub force_n: f64,
}

/// `"DM-J4310"`, or the numbers of another drive that speaks the same frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an actuator is the name of a model, as \"DM-J4310\", or a table with p_max_rad, v_max_rad_per_s and t_max_nm"
)]
pub enum Actuator {
    Model(Model),
    Ranges(Ranges),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    #[serde(rename = "DM-J3507")]
    J3507,
    #[serde(rename = "DM-J4310")]
    J4310,
    #[serde(rename = "DM-J4340")]
    J4340,
    #[serde(rename = "DM-J6006")]
    J6006,
    #[serde(rename = "DM-J8006")]
    J8006,
    #[serde(rename = "DM-J8009")]
    J8009,
    #[serde(rename = "DM-J10010")]
    J10010,
    #[serde(rename = "DM-J10010L")]
    J10010L,
}

impl Actuator {
    /// As drives are delivered (PMAX, VMAX and TMAX in the manufacturer's tables of parameters; Seeed Studio's wiki lists them
    /// side by side). Firmware differs in some: a drive is asked what it uses, and a difference is refused.
    pub const fn ranges(self) -> Ranges {
        match self {
            Self::Ranges(ranges) => ranges,
            Self::Model(Model::J3507) => Ranges::new(12.566, 50.0, 5.0),
            Self::Model(Model::J4310) => Ranges::new(12.5, 30.0, 10.0),
            Self::Model(Model::J4340) => Ranges::new(12.5, 8.0, 28.0),
            Self::Model(Model::J6006) => Ranges::new(12.5, 45.0, 20.0),
            Self::Model(Model::J8006) => Ranges::new(12.5, 45.0, 40.0),
            Self::Model(Model::J8009) => Ranges::new(12.5, 45.0, 54.0),
            Self::Model(Model::J10010) => Ranges::new(12.5, 20.0, 200.0),
            Self::Model(Model::J10010L) => Ranges::new(12.5, 25.0, 200.0),
        }
    }
}

impl CanConfig {
    /// What the drives answer on: all that the driver's port has to hear.
    pub fn master_ids(&self) -> Vec<u16> {
        let joints = self.joint.iter().map(|joint| joint.master_id);
        joints.chain([self.gripper.master_id]).collect()
    }

    /// What such an arm will say that a tick's reading and writing takes at most.
    pub fn io_time_max(&self) -> Duration {
        super::bus::io_time_max(self.joint.len() + 1)
    }

    /// The first thing that cannot be, in words.
    pub fn check(&self, limits: &[JointLimit]) -> Result<(), String> {
        if self.joint.len() != limits.len() {
            return Err(format!(
                "it lists {} joints for an arm of {}",
                self.joint.len(),
                limits.len()
            ));
        }
        if !(10..=500).contains(&self.watchdog_ms) {
            return Err(format!(
                "watchdog_ms = {} is outside 10 to 500",
                self.watchdog_ms
            ));
        }
        let gripper = (
            self.gripper.id,
            self.gripper.master_id,
            self.gripper.actuator,
            self.gripper.kp,
            self.gripper.kd,
        );
        let joints = self
            .joint
            .iter()
            .map(|j| (j.id, j.master_id, j.actuator, j.kp, j.kd));
        let drives: Vec<_> = joints.chain([gripper]).collect();
        for (i, &(id, master_id, actuator, kp, kd)) in drives.iter().enumerate() {
            let refuse = |why: String| Err(format!("drive {id}: {why}"));
            if !(1..=15).contains(&id) {
                return refuse("its id is outside 1 to 15: answers carry four bits of it".into());
            }
            if drives[..i]
                .iter()
                .any(|other| other.0 == id || other.1 == master_id)
            {
                return refuse(format!(
                    "its id, or its master_id {master_id:#x}, is another drive's too"
                ));
            }
            if !(1..0x7FF).contains(&master_id)
                || drives.iter().any(|other| other.0 == master_id & 0xFF)
            {
                return refuse(format!(
                    "its master_id {master_id:#x} is heard as a command by a drive; use {:#x}",
                    id + 16
                ));
            }
            let ranges = actuator.ranges();
            if !ranges.is_valid() {
                return refuse("the ranges of its actuator are not all finite and positive".into());
            }
            // Less than a step of its 12 bits may be sent as 0.
            let is_sent = |gain: f64, max: f64| (max / 4095.0..=max).contains(&gain);
            let (kp_max, kd_max) = (ranges.kp_max, ranges.kd_max);
            if !(is_sent(kp, kp_max) && is_sent(kd, kd_max)) {
                return refuse(format!(
                    "kp = {kp} and kd = {kd} must be at least {:.4} and {:.4}, and up to {kp_max} and {kd_max}",
                    kp_max / 4095.0,
                    kd_max / 4095.0
                ));
            }
        }
        for (joint, limit) in self.joint.iter().zip(limits) {
            let refuse = |why: String| Err(format!("drive {}: {why}", joint.id));
            let ranges = joint.actuator.ranges();
            let rotor = joint.rotor_inertia_kg_m2;
            if !(rotor >= 0.0 && rotor.is_finite()) {
                return refuse(format!(
                    "rotor_inertia_kg_m2 = {rotor} must be finite and not negative"
                ));
            }
            if !matches!(joint.direction, -1 | 1) {
                return refuse(format!(
                    "direction = {} is neither 1 nor -1",
                    joint.direction
                ));
            }
            if !(joint.torque_limit_nm > 0.0 && joint.torque_limit_nm <= ranges.t_max_nm) {
                let (limit, max) = (joint.torque_limit_nm, ranges.t_max_nm);
                return refuse(format!(
                    "torque_limit_nm = {limit} must be above 0 and up to {max}"
                ));
            }
            let reaches = [limit.lower, limit.upper].map(|q| (q - joint.zero_offset_rad).abs());
            let reach_max = ranges.p_max_rad - END_RAD;
            if !(joint.zero_offset_rad.is_finite()
                && reaches.iter().all(|p| *p <= reach_max || p.is_infinite()))
            {
                let offset = joint.zero_offset_rad;
                return refuse(format!(
                    "with zero_offset_rad = {offset} the joint's limits are beyond its {reach_max} rad"
                ));
            }
        }
        let grip = &self.gripper;
        let ranges = grip.actuator.ranges();
        let torque = grip.torque_nm();
        if !(torque > 0.0 && torque <= ranges.t_max_nm) {
            return Err(format!(
                "gripper: force_n = {} takes {torque} N·m of {}",
                grip.force_n, ranges.t_max_nm
            ));
        }
        let open_rad = grip.closed_rad + grip.open_m / grip.m_per_rad;
        let last_rad = grip.last_rad();
        if !(last_rad.abs() <= ranges.p_max_rad
            && open_rad.abs() <= ranges.p_max_rad
            && grip.open_m > 0.0)
        {
            return Err(format!(
                "gripper: open at {open_rad} rad and pressed together at {last_rad} rad are not both in reach"
            ));
        }
        if !self.gravity_m_per_s2.iter().all(|g| g.is_finite()) {
            return Err("gravity_m_per_s2 is not finite".into());
        }
        Ok(())
    }
}

impl GripperDrive {
    /// The torque that presses with `force_n`: what the drive turns is what both pads, each half of it, come together.
    pub fn torque_nm(&self) -> f64 {
        self.force_n * self.m_per_rad.abs()
    }

    /// The furthest goal of closed fingers, rad: they press with all of `force_n` until they are as far beyond `closed_rad` as
    /// the spring is stretched then, which soft pads never are.
    pub fn last_rad(&self) -> f64 {
        self.closed_rad - (2.0 * self.torque_nm() / self.kp).copysign(self.m_per_rad)
    }

    /// Drive angle at this distance of the pads, rad.
    pub fn angle_rad(&self, aperture_m: f64) -> f64 {
        self.closed_rad + aperture_m / self.m_per_rad
    }

    /// Distance of the pads at this drive angle, m.
    pub fn aperture_m(&self, angle_rad: f64) -> f64 {
        (angle_rad - self.closed_rad) * self.m_per_rad
    }
}
