//! What the joints have to push with: against gravity while the arm stands still, and against its inertia while it moves.
//!
//! Masses, centres of mass and inertias come from the robot description. Not responsible for friction, nor for what a
//! motor's own rotor takes: the description does not know it.

use super::chain::{Chain, Motion};
use super::urdf::{ChainError, origin};
use crate::units::{JointAccelerations, JointPositions, JointTorques, JointVelocities};
use nalgebra::{Isometry3, Matrix3, Point3, UnitQuaternion, Vector3};
use std::collections::BTreeMap;

/// Standard gravity along -z of an upright base, m/s² (ISO 80000-3).
pub const UPRIGHT_M_PER_S2: [f64; 3] = [0.0, 0.0, -9.80665];

/// The chain with the masses that it carries.
#[derive(Clone, Debug)]
pub struct Dynamics<const N: usize> {
    chain: Chain<N>,
    /// In the base frame, m/s².
    g: Vector3<f64>,
    /// What hangs on the frame of each joint.
    hung: [Hung; N],
}

/// All links that one frame carries as one rigid body, about the origin of that frame and in its axes.
#[derive(Clone, Copy, Debug)]
struct Hung {
    mass_kg: f64,
    /// First moment: mass times centre of mass, kg·m.
    moment: Vector3<f64>,
    /// kg·m².
    inertia: Matrix3<f64>,
}

impl<const N: usize> Dynamics<N> {
    /// The masses of every link beyond the chain's base. Links that joints outside of the chain move, as fingers, count where
    /// their joint's zero puts them.
    ///
    /// # Errors
    /// When the text is not a URDF, or a mass or a place in it is not finite.
    pub fn new(
        chain: &Chain<N>,
        urdf_text: &str,
        g_m_per_s2: [f64; 3],
    ) -> Result<Self, ChainError> {
        let robot = urdf_rs::read_from_string(urdf_text).map_err(|e| ChainError::Parse {
            reason: e.to_string(),
        })?;
        // Frame (joints that move it) and pose in it, by name of the link.
        let mut at: BTreeMap<&str, (usize, Isometry3<f64>)> = chain
            .links
            .iter()
            .map(|(link, mount)| (link.as_str(), (mount.joints, mount.T_frame_link)))
            .collect();
        for _ in 0..robot.joints.len() {
            for joint in &robot.joints {
                let parent = at.get(joint.parent.link.as_str()).copied();
                if let (Some((frame, pose)), false) =
                    (parent, at.contains_key(joint.child.link.as_str()))
                {
                    at.insert(&joint.child.link, (frame, pose * origin(joint)?));
                }
            }
        }
        let nothing = Hung {
            mass_kg: 0.0,
            moment: Vector3::zeros(),
            inertia: Matrix3::zeros(),
        };
        let mut hung = [nothing; N];
        for link in &robot.links {
            let Some((frame, pose)) = at.get(link.name.as_str()) else {
                continue;
            };
            let body = hung_of(link, pose)?;
            // What hangs on the base burdens no joint.
            if let Some(i) = frame.checked_sub(1) {
                hung[i].mass_kg += body.mass_kg;
                hung[i].moment += body.moment;
                hung[i].inertia += body.inertia;
            }
        }
        Ok(Self {
            chain: chain.clone(),
            g: Vector3::from(g_m_per_s2),
            hung,
        })
    }

    pub fn chain(&self) -> &Chain<N> {
        &self.chain
    }

    /// What the joints carry in all, kg.
    pub fn mass_kg(&self) -> f64 {
        self.hung.iter().map(|body| body.mass_kg).sum()
    }

    /// The torques with which the arm at `q` and `dq` accelerates with `ddq`: tau = M(q) ddq + C(q, dq) dq + g(q). At rest they
    /// hold it. By the recursive Newton-Euler algorithm in the base frame (Luh, Walker and Paul, 1980): outward each frame's
    /// motion, inward what moves it. Gravity is an acceleration of the base, upward. Allocates nothing.
    pub fn torques(
        &self,
        q: &JointPositions<N>,
        dq: &JointVelocities<N>,
        ddq: &JointAccelerations<N>,
    ) -> JointTorques<N> {
        let frames = self.chain.frames(q);
        let mut at = Vector3::zeros();
        let (mut w, mut dw, mut a) = (Vector3::zeros(), Vector3::zeros(), -self.g);
        // Of each frame: its origin, and the force and the moment about it that move what hangs on it.
        let mut pushed = [[Vector3::zeros(); 3]; N];
        for i in 0..N {
            let (axis, frame_origin) = frames.axis(i);
            let arm = frame_origin - at;
            a += dw.cross(&arm) + w.cross(&w.cross(&arm));
            match self.chain.motion[i] {
                Motion::Revolute => {
                    dw += axis * ddq[i] + w.cross(&axis) * dq[i];
                    w += axis * dq[i];
                }
                Motion::Prismatic => a += axis * ddq[i] + w.cross(&axis) * (2.0 * dq[i]),
            }
            let Hung {
                mass_kg,
                moment,
                inertia,
            } = &self.hung[i];
            let moment = frames.direction(i + 1, moment);
            let turned = |v: &Vector3<f64>| {
                frames.direction(i + 1, &(inertia * frames.direction_in(i + 1, v)))
            };
            let force = a * *mass_kg + dw.cross(&moment) + w.cross(&w.cross(&moment));
            let torque = turned(&dw) + w.cross(&turned(&w)) + moment.cross(&a);
            pushed[i] = [frame_origin, force, torque];
            at = frame_origin;
        }
        let mut tau = JointTorques::zeros();
        let (mut beyond, mut force, mut torque) = (at, Vector3::zeros(), Vector3::zeros());
        for i in (0..N).rev() {
            let [frame_origin, own_force, own_torque] = &pushed[i];
            torque += (beyond - frame_origin).cross(&force) + own_torque;
            force += own_force;
            beyond = *frame_origin;
            let (axis, _) = frames.axis(i);
            tau[i] = match self.chain.motion[i] {
                Motion::Revolute => axis.dot(&torque),
                Motion::Prismatic => axis.dot(&force),
            };
        }
        tau
    }
}

/// A link at this pose in the frame that carries it.
fn hung_of(link: &urdf_rs::Link, pose: &Isometry3<f64>) -> Result<Hung, ChainError> {
    let inertial = &link.inertial;
    let (mass_kg, i) = (inertial.mass.value, &inertial.inertia);
    let centre = (pose * Point3::from(Vector3::from(inertial.origin.xyz.0))).coords;
    let [roll, pitch, yaw] = inertial.origin.rpy.0;
    let axes = pose.rotation * UnitQuaternion::from_euler_angles(roll, pitch, yaw);
    let axes = axes.to_rotation_matrix();
    #[rustfmt::skip]
    let about_centre = Matrix3::new(
        i.ixx, i.ixy, i.ixz,
        i.ixy, i.iyy, i.iyz,
        i.ixz, i.iyz, i.izz,
    );
    // The parallel axis theorem.
    let away = Matrix3::identity() * centre.norm_squared() - centre * centre.transpose();
    let body = Hung {
        mass_kg,
        moment: centre * mass_kg,
        inertia: axes * about_centre * axes.transpose() + away * mass_kg,
    };
    let is_finite = body
        .moment
        .iter()
        .chain(&body.inertia)
        .all(|x| x.is_finite());
    if is_finite && mass_kg >= 0.0 {
        return Ok(body);
    }
    Err(ChainError::Mass {
        link: link.name.clone(),
        mass: mass_kg,
    })
}

#[cfg(test)]
#[path = "dynamics_tests.rs"]
mod tests;
