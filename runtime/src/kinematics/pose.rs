//! Poses and twists, and the bridge between a tool that points straight down ([`TcpPose`]) and SE(3).

use crate::observation::TcpPose;
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3, Vector6};
use std::f64::consts::PI;

/// A pose that moves, base frame. Twist and acceleration: linear of the tip's origin, then angular.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolMotion {
    /// `T_base_tip`.
    pub pose: Isometry3<f64>,
    /// m/s and rad/s.
    pub twist: Vector6<f64>,
    /// m/s² and rad/s².
    pub acceleration: Vector6<f64>,
}

/// `T_base_tcp` of a tool that points straight down: R_task_tcp = Rz(yaw)·Rx(pi).
pub fn tool_pose(t_base_task: &Isometry3<f64>, tcp: &TcpPose) -> Isometry3<f64> {
    let yaw = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), tcp.yaw_rad);
    let down = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), PI);
    t_base_task * Isometry3::from_parts(Translation3::from(tcp.position_m), yaw * down)
}

/// The inverse of [`tool_pose`], with yaw in (-pi, pi].
///
/// A tilted tool loses its tilt: yaw is then the heading of the tool's y axis (along which the fingers close) projected
/// on the task's horizontal plane. It is exact for any rotation about that axis, and 0 when the axis is vertical.
pub fn tcp_pose(t_base_task: &Isometry3<f64>, t_base_tcp: &Isometry3<f64>) -> TcpPose {
    let t_task_tcp = t_base_task.inv_mul(t_base_tcp);
    // Rz(yaw)·Rx(pi) takes y to (sin yaw, -cos yaw, 0).
    let y = t_task_tcp.rotation * Vector3::y();
    let yaw_rad = if y.xy().norm() < 1e-9 {
        0.0
    } else {
        y.x.atan2(-y.y)
    };
    TcpPose {
        position_m: t_task_tcp.translation.vector,
        yaw_rad: if yaw_rad <= -PI { PI } else { yaw_rad },
    }
}

/// A moving straight-down tool in the base frame. `velocity` and `acceleration` are (x, y, z, yaw) in the task frame.
pub fn tool_motion(
    t_base_task: &Isometry3<f64>,
    tcp: &TcpPose,
    velocity: &[f64; 4],
    acceleration: &[f64; 4],
) -> ToolMotion {
    let to_base = |[x, y, z, yaw]: [f64; 4]| {
        let linear = t_base_task.rotation * Vector3::new(x, y, z);
        let angular = t_base_task.rotation * Vector3::new(0.0, 0.0, yaw);
        stack(&linear, &angular)
    };
    ToolMotion {
        pose: tool_pose(t_base_task, tcp),
        twist: to_base(*velocity),
        acceleration: to_base(*acceleration),
    }
}

/// From pose `from` to pose `to` (both in one frame): translation between the origins, then rotation vector, in that
/// frame. It is zero exactly when the poses are equal, and 1 s of this twist leads from one to the other.
pub fn pose_error(to: &Isometry3<f64>, from: &Isometry3<f64>) -> Vector6<f64> {
    let angular = (to.rotation * from.rotation.inverse()).scaled_axis();
    stack(&(to.translation.vector - from.translation.vector), &angular)
}

/// The logarithm of SE(3): the body twist (linear, angular) whose constant action for 1 s from identity gives `t`.
/// (Lynch and Park, "Modern Robotics", 2017, section 3.3.3.2.)
pub fn log(t: &Isometry3<f64>) -> Vector6<f64> {
    let w = t.rotation.scaled_axis();
    let theta = w.norm();
    let p = t.translation.vector;
    // (1 - (theta/2)·cot(theta/2)) / theta², whose limit at 0 is 1/12.
    let k = if theta < 1e-4 {
        1.0 / 12.0
    } else {
        (1.0 - 0.5 * theta / (0.5 * theta).tan()) / (theta * theta)
    };
    stack(&(p - 0.5 * w.cross(&p) + k * w.cross(&w.cross(&p))), &w)
}

/// The inverse of [`log`].
pub fn exp(twist: &Vector6<f64>) -> Isometry3<f64> {
    let (v, w) = (
        twist.fixed_rows::<3>(0).into_owned(),
        twist.fixed_rows::<3>(3).into_owned(),
    );
    let theta = w.norm();
    let (a, b) = if theta < 1e-4 {
        (0.5, 1.0 / 6.0)
    } else {
        (
            (1.0 - theta.cos()) / theta.powi(2),
            (theta - theta.sin()) / theta.powi(3),
        )
    };
    let wv = w.cross(&v);
    Isometry3::from_parts(
        Translation3::from(v + a * wv + b * w.cross(&wv)),
        UnitQuaternion::from_scaled_axis(w),
    )
}

fn stack(linear: &Vector3<f64>, angular: &Vector3<f64>) -> Vector6<f64> {
    Vector6::new(
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinematics::chain::tests::iiwa14;
    use crate::kinematics::ik::solve_pose;
    use crate::units::JointPositions;
    use proptest::prelude::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    fn task() -> Isometry3<f64> {
        Isometry3::translation(0.60, 0.0, 0.02)
    }

    #[test]
    fn fingers_close_along_y_turned_by_yaw() {
        for yaw in [-2.0_f64, -0.5, 0.0, 1.0, 2.5] {
            let tcp = TcpPose {
                position_m: Vector3::new(0.1, -0.05, 0.2),
                yaw_rad: yaw,
            };
            let t = tool_pose(&task(), &tcp);
            let closing = t.rotation * Vector3::y();
            assert!(
                (closing + Vector3::new(-yaw.sin(), yaw.cos(), 0.0)).amax() < 1e-12,
                "a line has two directions"
            );
            assert!((t.rotation * Vector3::z() + Vector3::z()).amax() < 1e-12);
            assert!((t.translation.vector - Vector3::new(0.7, -0.05, 0.22)).amax() < 1e-12);
        }
    }

    #[test]
    fn a_pitched_tool_keeps_its_yaw_and_a_vertical_axis_has_none() {
        let down = tool_pose(
            &task(),
            &TcpPose {
                position_m: Vector3::zeros(),
                yaw_rad: 0.7,
            },
        );
        let pitched = down * UnitQuaternion::from_axis_angle(&Vector3::y_axis(), 0.4);
        assert!((tcp_pose(&task(), &pitched).yaw_rad - 0.7).abs() < 1e-12);
        let rolled = down * UnitQuaternion::from_axis_angle(&Vector3::x_axis(), 0.5 * PI);
        assert_eq!(tcp_pose(&task(), &rolled).yaw_rad, 0.0);
    }

    #[test]
    fn yaw_zero_over_the_tray_is_joint_7_at_zero() {
        let chain = iiwa14();
        let goal = tool_pose(
            &task(),
            &TcpPose {
                position_m: Vector3::new(0.0, 0.0, 0.2),
                yaw_rad: 0.0,
            },
        );
        let seed = JointPositions::from([0.0, 0.5, 0.0, -1.5, 0.0, 1.1, 0.0]);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let found = solve_pose(&chain, &goal, &seed, chain.limits(), &mut rng, 0);
        let q = found.expect("reachable").q;
        for joint in [0, 2, 4, 6] {
            assert!(q[joint].abs() < 1e-3, "{q:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tool_pose_and_tcp_pose_are_inverse(
            p in proptest::array::uniform3(-0.3..0.3), yaw in -3.1..3.1, task_yaw in -3.0..3.0,
        ) {
            let task = Isometry3::new(Vector3::new(0.6, 0.1, 0.02), Vector3::z() * task_yaw);
            let tcp = TcpPose { position_m: Vector3::from(p), yaw_rad: yaw };
            let back = tcp_pose(&task, &tool_pose(&task, &tcp));
            prop_assert!((back.position_m - tcp.position_m).amax() < 1e-12);
            prop_assert!((back.yaw_rad - tcp.yaw_rad).abs() < 1e-12);
        }

        #[test]
        fn exp_and_log_are_inverse(v in proptest::array::uniform6(-1.5..1.5), scale in prop_oneof![Just(1.0), Just(1e-6)]) {
            let twist = Vector6::from(v) * scale;
            prop_assert!((log(&exp(&twist)) - twist).amax() < 1e-9 * scale.max(1e-3));
        }

        #[test]
        fn tool_motion_is_the_derivative_of_tool_pose(
            p in proptest::array::uniform4(-1.0..1.0), dp in proptest::array::uniform4(-1.0..1.0), task_yaw in -3.0..3.0,
        ) {
            const H: f64 = 1e-6;
            let task = Isometry3::new(Vector3::new(0.6, 0.1, 0.02), Vector3::z() * task_yaw);
            let at = |t: f64| {
                let [x, y, z, yaw] = std::array::from_fn(|i| p[i] + t * dp[i]);
                TcpPose { position_m: Vector3::new(x, y, z), yaw_rad: yaw }
            };
            let motion = tool_motion(&task, &at(0.0), &dp, &[0.0; 4]);
            let numeric = pose_error(&tool_pose(&task, &at(H)), &tool_pose(&task, &at(-H))) / (2.0 * H);
            prop_assert!((motion.twist - numeric).amax() < 1e-7);
        }
    }
}
