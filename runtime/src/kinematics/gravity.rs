//! What the joints have to push against while the arm stands still.
//!
//! Masses and centres of mass come from the robot description. Not responsible for what moves: no inertia, no friction.

use super::chain::{Chain, Motion};
use super::urdf::{ChainError, origin};
use crate::units::{JointPositions, JointTorques};
use nalgebra::{Isometry3, Point3, Vector3};
use std::collections::BTreeMap;

/// Standard gravity along -z of an upright base, m/s² (ISO 80000-3).
pub const UPRIGHT_M_PER_S2: [f64; 3] = [0.0, 0.0, -9.80665];

/// The chain with the masses that it carries.
#[derive(Clone, Debug)]
pub struct Gravity<const N: usize> {
    chain: Chain<N>,
    /// In the base frame, m/s².
    g: Vector3<f64>,
    /// What hangs on the frame of each joint: mass, kg, and its first moment in that frame, kg·m.
    hung: [(f64, Vector3<f64>); N],
}

impl<const N: usize> Gravity<N> {
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
        let mut hung = [(0.0, Vector3::zeros()); N];
        for link in &robot.links {
            let Some((frame, pose)) = at.get(link.name.as_str()) else {
                continue;
            };
            let mass = link.inertial.mass.value;
            let centre = pose * Point3::from(Vector3::from(link.inertial.origin.xyz.0));
            if !(mass.is_finite() && mass >= 0.0 && centre.iter().all(|x| x.is_finite())) {
                return Err(ChainError::Mass {
                    link: link.name.clone(),
                    mass,
                });
            }
            // What hangs on the base burdens no joint.
            if let Some(i) = frame.checked_sub(1) {
                hung[i].0 += mass;
                hung[i].1 += centre.coords * mass;
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
        self.hung.iter().map(|(mass, _)| mass).sum()
    }

    /// The torques that hold the arm at `q`: for each joint tau = -g · sum of m J, with the linear Jacobian J of each centre of
    /// mass, which is the gradient of the potential energy. Allocates nothing.
    pub fn torques(&self, q: &JointPositions<N>) -> JointTorques<N> {
        let frames = self.chain.frames(q);
        let mut tau = JointTorques::zeros();
        let (mut mass, mut moment) = (0.0, Vector3::zeros());
        for i in (0..N).rev() {
            let (hung_mass, hung_moment) = &self.hung[i];
            let (axis, point) = frames.axis(i);
            let frame_origin = frames.point(i + 1, &Vector3::zeros());
            let turned = frames.point(i + 1, hung_moment) - frame_origin;
            mass += hung_mass;
            moment += turned + frame_origin * *hung_mass;
            tau[i] = match self.chain.motion[i] {
                Motion::Revolute => -self.g.dot(&axis.cross(&(moment - point * mass))),
                Motion::Prismatic => -self.g.dot(&axis) * mass,
            };
        }
        tau
    }

    /// Up to a constant, J.
    pub fn potential_energy(&self, q: &JointPositions<N>) -> f64 {
        let frames = self.chain.frames(q);
        let of = |i: usize| {
            let (mass, moment) = &self.hung[i];
            let frame_origin = frames.point(i + 1, &Vector3::zeros());
            -self
                .g
                .dot(&(frames.point(i + 1, moment) + frame_origin * (mass - 1.0)))
        };
        (0..N).map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{IIWA14, iiwa14};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pendulum_pulls_as_the_textbook_says() {
        let text = &r#"<robot name="pendulum"><link name="a"><inertial><mass value="9"/>{I}</inertial></link>
            <link name="b"><inertial><origin xyz="0 0 -0.5"/><mass value="2"/>{I}</inertial></link>
            <link name="c"><inertial><mass value="1"/>{I}</inertial></link>
            <link name="d"><inertial><origin xyz="0.1 0 0"/><mass value="3"/>{I}</inertial></link>
            <joint name="swing" type="revolute"><parent link="a"/><child link="b"/><axis xyz="0 -1 0"/>
                <origin xyz="0 0 1"/><limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
            <joint name="slide" type="prismatic"><parent link="b"/><child link="c"/><axis xyz="0 0 -1"/>
                <limit lower="0" upper="1" velocity="1" effort="1"/></joint>
            <joint name="finger" type="prismatic"><parent link="c"/><child link="d"/><axis xyz="0 0 -1"/>
                <limit lower="0" upper="1" velocity="1" effort="1"/></joint>
            </robot>"#
            .replace("{I}", r#"<inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/>"#);
        let chain = Chain::<2>::from_urdf(text, "a", "c").unwrap();
        let gravity = Gravity::new(&chain, text, UPRIGHT_M_PER_S2).unwrap();
        let g = 9.80665;
        assert_eq!(gravity.mass_kg(), 6.0);
        let hanging = gravity.torques(&JointPositions::from([0.0, 0.2]));
        assert!((hanging[0] - 3.0 * 0.1 * g).abs() < 1e-12, "{hanging:?}");
        assert!((hanging[1] + 4.0 * g).abs() < 1e-12, "{hanging:?}");
        // The arm is level: its masses are 0.5 m and 0.2 m away.
        let level = gravity.torques(&JointPositions::from([std::f64::consts::FRAC_PI_2, 0.2]));
        let levers = 2.0 * 0.5 + 4.0 * 0.2;
        assert!((level[0].abs() - levers * g).abs() < 1e-9, "{level:?}");
        let heavy = text.replace(r#"mass value="2""#, r#"mass value="nan""#);
        let refused = Gravity::new(&chain, &heavy, UPRIGHT_M_PER_S2).unwrap_err();
        assert!(refused.to_string().contains("link b"), "{refused}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn torques_are_the_gradient_of_the_potential_energy(
            q in proptest::array::uniform7(-3.0..3.0), g in proptest::array::uniform3(-10.0..10.0),
        ) {
            let gravity = Gravity::new(&iiwa14(), IIWA14, g).unwrap();
            let q = JointPositions::from(q);
            let tau = gravity.torques(&q);
            for i in 0..7 {
                let (mut up, mut down) = (q, q);
                up[i] += 1e-5;
                down[i] -= 1e-5;
                let slope = (gravity.potential_energy(&up) - gravity.potential_energy(&down)) / 2e-5;
                prop_assert!((tau[i] - slope).abs() < 1e-5, "joint {i}: {} for {slope}", tau[i]);
            }
        }
    }
}
