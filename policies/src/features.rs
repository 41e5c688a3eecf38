//! The one place that turns a gripper observation into the numbers that a network sees, and that wraps yaw.
//!
//! Training data is written through the same function, so what a network learned from is what it is shown.

use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::observation::GripperObservation;

/// Length of the state vector.
pub const STATE_LEN: usize = 7;

/// What the entries of the state vector are: name and unit, as manifests repeat them.
pub const STATE_LAYOUT: [&str; STATE_LEN] = [
    "closed: 0 or 1",
    "aperture: 0.084 m",
    "goal x: 0.1 m",
    "goal y: 0.1 m",
    "goal z: 0.2 m",
    "goal yaw: rad in (-pi/2, pi/2]",
    "measured z: 0.2 m",
];

/// Divisors of the state vector's entries, so that each is of order one.
const APERTURE_UNIT_M: f64 = crate::task::APERTURE_MAX_M;
const XY_UNIT_M: f64 = 0.1;
const Z_UNIT_M: f64 = 0.2;

/// The symmetric gripper's angle in (-π/2, π/2], rad: yaw and yaw + π are the same grasp.
pub fn wrap_yaw(yaw_rad: f64) -> f64 {
    use std::f64::consts::{FRAC_PI_2, PI};
    let wrapped = (yaw_rad + FRAC_PI_2).rem_euclid(PI) - FRAC_PI_2;
    if wrapped <= -FRAC_PI_2 {
        FRAC_PI_2
    } else {
        wrapped
    }
}

/// The state vector: fingers closed by the last verb (0 or 1), aperture / 0.084 m, goal x / 0.1 m, goal y / 0.1 m,
/// goal z / 0.2 m, goal yaw wrapped (rad), measured z / 0.2 m; positions in the task frame.
pub fn state_vector(gripper: &GripperObservation) -> [f32; STATE_LEN] {
    let goal = &gripper.goal.position_m;
    [
        f64::from(u8::from(gripper.fingers == Fingers::Closed)),
        gripper.aperture_m / APERTURE_UNIT_M,
        goal.x / XY_UNIT_M,
        goal.y / XY_UNIT_M,
        goal.z / Z_UNIT_M,
        wrap_yaw(gripper.goal.yaw_rad),
        gripper.measured.position_m.z / Z_UNIT_M,
    ]
    .map(|x| x as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Vector3;
    use proptest::prelude::*;
    use std::f64::consts::{FRAC_PI_2, PI};
    use visuomotor_runtime::clock::Instant;
    use visuomotor_runtime::observation::TcpPose;

    #[test]
    fn yaw_wraps_into_a_half_open_interval() {
        for (yaw, wrapped) in [
            (0.0, 0.0),
            (1.0, 1.0),
            (FRAC_PI_2, FRAC_PI_2),
            (-FRAC_PI_2, FRAC_PI_2),
            (2.0, 2.0 - PI),
            (-2.0, PI - 2.0),
            (PI, 0.0),
            (7.0, 7.0 - 2.0 * PI),
        ] {
            assert!((wrap_yaw(yaw) - wrapped).abs() < 1e-12, "{yaw}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn wrapping_keeps_the_grasp(yaw in -20f64..20.0) {
            let wrapped = wrap_yaw(yaw);
            prop_assert!(wrapped > -FRAC_PI_2 && wrapped <= FRAC_PI_2);
            let turns = (yaw - wrapped) / PI;
            prop_assert!((turns - turns.round()).abs() < 1e-9);
        }
    }

    #[test]
    fn every_entry_has_its_place() {
        let gripper = GripperObservation {
            sampled_at: Instant::from_ticks(0),
            measured: TcpPose {
                position_m: Vector3::new(9.0, 9.0, 0.1),
                yaw_rad: 9.0,
            },
            goal: TcpPose {
                position_m: Vector3::new(0.05, -0.1, 0.04),
                yaw_rad: 2.0,
            },
            fingers: Fingers::Closed,
            aperture_m: 0.042,
        };
        let expected = [1.0, 0.5, 0.5, -1.0, 0.2, (2.0 - PI) as f32, 0.5];
        for (got, expected) in state_vector(&gripper).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }
}
