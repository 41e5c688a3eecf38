//! From a URDF text to a [`Chain`], with errors that say what to change.

use super::chain::{Chain, JointLimit, Motion};
use super::frames::{Mount, Transform};
use nalgebra::{Isometry3, Translation3, Unit, UnitQuaternion, Vector3};
use std::f64::consts::PI;
use urdf_rs::{Joint, JointType};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChainError {
    #[error("not a URDF: {reason}")]
    Parse { reason: String },
    #[error("no link is named {link}; the links are {}", .links.join(", "))]
    UnknownLink { link: String, links: Vec<String> },
    #[error("{tip} does not hang from {base}: its ancestors are {}", .ancestors.join(", "))]
    NotConnected {
        base: String,
        tip: String,
        ancestors: Vec<String>,
    },
    #[error(
        "the chain from {base} to {tip} has {found} moving joints where {expected} are expected: {}",
        .joints.join(", ")
    )]
    JointCount {
        base: String,
        tip: String,
        found: usize,
        expected: usize,
        joints: Vec<String>,
    },
    #[error(
        "joint {joint} is {kind}; a chain takes revolute, continuous, prismatic and fixed joints that mimic none"
    )]
    Unsupported { joint: String, kind: &'static str },
    #[error("the axis of joint {joint} is {axis:?}: it needs a finite length")]
    Axis { joint: String, axis: [f64; 3] },
    #[error("the origin of joint {joint} is not finite")]
    Origin { joint: String },
    #[error(
        "link {link} has the mass {mass} kg, or a centre of mass or inertia that is not finite"
    )]
    Mass { link: String, mass: f64 },
    #[error(
        "joint {joint} has position limits [{lower}, {upper}] and velocity {velocity}: it needs lower < upper and velocity > 0"
    )]
    Limit {
        joint: String,
        lower: f64,
        upper: f64,
        velocity: f64,
    },
}

impl<const N: usize> Chain<N> {
    /// Reads the joints between two links of a robot description.
    ///
    /// # Errors
    /// When the text is not a URDF, the links are unknown or not connected, the number of moving joints is not `N`,
    /// or a joint is of a kind, axis or limit that a chain cannot have.
    pub fn from_urdf(urdf_text: &str, base_link: &str, tip_link: &str) -> Result<Self, ChainError> {
        let robot = urdf_rs::read_from_string(urdf_text).map_err(|e| ChainError::Parse {
            reason: e.to_string(),
        })?;
        for link in [base_link, tip_link] {
            if !robot.links.iter().any(|l| l.name == link) {
                let links = robot.links.iter().map(|l| l.name.clone()).collect();
                return Err(ChainError::UnknownLink {
                    link: link.to_owned(),
                    links,
                });
            }
        }
        let path = path(&robot.joints, base_link, tip_link)?;
        let moving: Vec<&Joint> = path
            .iter()
            .copied()
            .filter(|j| j.joint_type != JointType::Fixed)
            .collect();
        if moving.len() != N {
            return Err(ChainError::JointCount {
                base: base_link.to_owned(),
                tip: tip_link.to_owned(),
                found: moving.len(),
                expected: N,
                joints: moving.iter().map(|j| j.name.clone()).collect(),
            });
        }

        let mut fixed = [Transform::identity(); N];
        let mut motion = [Motion::Revolute; N];
        let mut pending = Isometry3::identity();
        let mut links = vec![mount(base_link, 0, pending)];
        let mut i = 0;
        for joint in path {
            pending *= origin(joint)?;
            if joint.joint_type != JointType::Fixed {
                motion[i] = motion_of(joint)?;
                let align = z_to_axis(joint)?;
                fixed[i] = Transform::from_isometry(&(pending * align));
                pending = Isometry3::from_parts(Translation3::identity(), align.inverse());
                i += 1;
            }
            links.push(mount(&joint.child.link, i, pending));
        }
        add_branches(&robot.joints, &mut links)?;
        let mut limits = [JointLimit {
            lower: 0.0,
            upper: 0.0,
            velocity: 0.0,
            effort: 0.0,
        }; N];
        for (limit, joint) in limits.iter_mut().zip(&moving) {
            *limit = limit_of(joint)?;
        }
        Ok(Self {
            fixed,
            motion,
            tip: Transform::from_isometry(&pending),
            limits,
            names: std::array::from_fn(|i| moving[i].name.clone()),
            links,
        })
    }
}

/// The joints from base to tip.
fn path<'a>(joints: &'a [Joint], base: &str, tip: &str) -> Result<Vec<&'a Joint>, ChainError> {
    let mut path = Vec::new();
    let mut link = tip;
    // A description with a loop must end too.
    while link != base && path.len() <= joints.len() {
        let Some(joint) = joints.iter().find(|j| j.child.link == link) else {
            break;
        };
        path.push(joint);
        link = &joint.parent.link;
    }
    if link != base {
        let ancestors = path
            .iter()
            .take(joints.len())
            .map(|j| j.parent.link.clone())
            .collect();
        return Err(ChainError::NotConnected {
            base: base.to_owned(),
            tip: tip.to_owned(),
            ancestors,
        });
    }
    path.reverse();
    Ok(path)
}

#[allow(non_snake_case)]
fn mount(link: &str, joints: usize, T_frame_link: Isometry3<f64>) -> (String, Mount) {
    let mount = Mount {
        joints,
        T_frame_link,
    };
    (link.to_owned(), mount)
}

/// What fixed joints hang onto the links of the chain, directly or through each other: a camera, a cover, a gripper.
fn add_branches(joints: &[Joint], links: &mut Vec<(String, Mount)>) -> Result<(), ChainError> {
    let mut next = 0;
    while let Some((parent, at)) = links.get(next).cloned() {
        for joint in joints {
            let known = links.iter().any(|(link, _)| *link == joint.child.link);
            if joint.joint_type == JointType::Fixed && joint.parent.link == parent && !known {
                let pose = at.T_frame_link * origin(joint)?;
                links.push(mount(&joint.child.link, at.joints, pose));
            }
        }
        next += 1;
    }
    Ok(())
}

pub(super) fn origin(joint: &Joint) -> Result<Isometry3<f64>, ChainError> {
    let (xyz, [roll, pitch, yaw]) = (joint.origin.xyz.0, joint.origin.rpy.0);
    if !xyz.iter().chain(&[roll, pitch, yaw]).all(|x| x.is_finite()) {
        return Err(ChainError::Origin {
            joint: joint.name.clone(),
        });
    }
    let rotation = UnitQuaternion::from_euler_angles(roll, pitch, yaw);
    Ok(Isometry3::from_parts(
        Translation3::from(Vector3::from(xyz)),
        rotation,
    ))
}

fn motion_of(joint: &Joint) -> Result<Motion, ChainError> {
    let unsupported = |kind| {
        Err(ChainError::Unsupported {
            joint: joint.name.clone(),
            kind,
        })
    };
    if joint.mimic.is_some() {
        return unsupported("a mimic of another joint");
    }
    match joint.joint_type {
        JointType::Revolute | JointType::Continuous => Ok(Motion::Revolute),
        JointType::Prismatic => Ok(Motion::Prismatic),
        JointType::Floating => unsupported("floating"),
        JointType::Planar => unsupported("planar"),
        JointType::Spherical => unsupported("spherical"),
        JointType::Fixed => unsupported("fixed"),
    }
}

/// The rotation that brings z onto the joint's axis.
fn z_to_axis(joint: &Joint) -> Result<UnitQuaternion<f64>, ChainError> {
    let axis = joint.axis.xyz.0;
    let Some(unit) =
        Unit::try_new(Vector3::from(axis), 1e-9).filter(|u| u.iter().all(|x| x.is_finite()))
    else {
        return Err(ChainError::Axis {
            joint: joint.name.clone(),
            axis,
        });
    };
    Ok(
        UnitQuaternion::rotation_between_axis(&Vector3::z_axis(), &unit)
            .unwrap_or_else(|| UnitQuaternion::from_axis_angle(&Vector3::x_axis(), PI)),
    )
}

fn limit_of(joint: &Joint) -> Result<JointLimit, ChainError> {
    let l = &joint.limit;
    let (lower, upper) = match joint.joint_type {
        JointType::Continuous => (f64::NEG_INFINITY, f64::INFINITY),
        _ => (l.lower, l.upper),
    };
    if !(lower < upper && l.velocity > 0.0 && l.velocity.is_finite()) {
        return Err(ChainError::Limit {
            joint: joint.name.clone(),
            lower,
            upper,
            velocity: l.velocity,
        });
    }
    Ok(JointLimit {
        lower,
        upper,
        velocity: l.velocity,
        effort: l.effort,
    })
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::IIWA14;
    use super::*;

    fn error_of(text: &str, base: &str, tip: &str) -> String {
        Chain::<7>::from_urdf(text, base, tip)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let eight = IIWA14.replace(
            r#"name="tcp_joint" type="fixed""#,
            r#"name="joint_8" type="continuous""#,
        );
        let cases = [
            ("<robot".to_owned(), "base_link", "tcp", "not a URDF"),
            (
                IIWA14.to_owned(),
                "base",
                "tcp",
                "no link is named base; the links are base_link, link_1",
            ),
            (
                IIWA14.to_owned(),
                "tcp",
                "base_link",
                "base_link does not hang from tcp",
            ),
            (
                eight,
                "base_link",
                "tcp",
                "has 8 moving joints where 7 are expected: joint_1, ",
            ),
            (
                IIWA14.to_owned(),
                "link_1",
                "tcp",
                "has 6 moving joints where 7 are expected: joint_2, ",
            ),
            (
                IIWA14.replacen("revolute", "planar", 1),
                "base_link",
                "tcp",
                "joint joint_1 is planar",
            ),
            (
                IIWA14.replacen(r#"axis xyz="0 0 1""#, r#"axis xyz="0 0 0""#, 1),
                "base_link",
                "tcp",
                "axis of joint joint_1",
            ),
            (
                IIWA14.replacen(r#"xyz="0 0 0.1575""#, r#"xyz="0 0 nan""#, 1),
                "base_link",
                "tcp",
                "origin of joint joint_1",
            ),
            (
                IIWA14.replacen("velocity=\"1.48", "velocity=\"-1.48", 1),
                "base_link",
                "tcp",
                "joint joint_1 has position limits",
            ),
        ];
        for (text, base, tip, expected) in cases {
            let message = error_of(&text, base, tip);
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
    }

    #[test]
    fn links_are_mounted_where_their_joints_put_them() {
        let camera = r#"<link name="bracket"/><link name="camera"/><link name="finger"/>
            <joint name="screw" type="fixed"><parent link="link_4"/><child link="bracket"/>
                <origin xyz="0.1 0 0" rpy="0 0 1.5707963267948966"/></joint>
            <joint name="ball" type="fixed"><parent link="bracket"/><child link="camera"/>
                <origin xyz="0 0.2 0"/></joint>
            <joint name="slide" type="prismatic"><parent link="tcp"/><child link="finger"/>
                <limit lower="0" upper="1" velocity="1" effort="1"/></joint></robot>"#;
        let text = IIWA14.replace("</robot>", camera);
        let chain = Chain::<7>::from_urdf(&text, "base_link", "tcp").expect("a valid URDF");
        let q = crate::units::JointPositions::from([0.3, -0.5, 0.7, 1.1, -0.2, 0.4, 0.9]);
        let frames = chain.frames(&q);
        let at = |link: &str| {
            let mount = chain.mount(link).expect(link);
            frames.point(mount.joints, &mount.T_frame_link.translation.vector)
        };
        assert!((at("tcp") - chain.tip_position(&q)).amax() < 1e-12);
        assert_eq!(at("base_link"), Vector3::zeros());
        assert_eq!(chain.mount("link_4").map(|mount| mount.joints), Some(4));
        let to_elbow = Chain::<4>::from_urdf(&text, "base_link", "camera").expect("a valid URDF");
        let elbow = crate::units::JointPositions::from([0.3, -0.5, 0.7, 1.1]);
        assert!((at("camera") - to_elbow.tip_position(&elbow)).amax() < 1e-12);
        assert_eq!(
            (chain.mount("finger"), chain.mount("nothing")),
            (None, None)
        );
        let p = Vector3::new(0.1, 0.2, 0.3);
        assert!((frames.in_frame(5, &frames.point(5, &p)) - p).amax() < 1e-12);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let text = r#"<robot name="loop"><link name="a"/><link name="b"/><link name="c"/>
            <joint name="one" type="fixed"><parent link="a"/><child link="b"/></joint>
            <joint name="two" type="fixed"><parent link="b"/><child link="a"/></joint></robot>"#;
        assert!(error_of(text, "c", "a").contains("a does not hang from c"));
    }
}
