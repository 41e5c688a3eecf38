//! Operating modes: how fast the arm may be at most while a person is near.
//!
//! Not responsible for whether a person may be near: that is for the robot's cell and its certified safety functions.

use super::limits::ToolLimits;

/// Highest speed of the tool centre point at reduced speed, m/s: ISO 10218-1:2011, clause 5.6.2. The arm's other parts
/// keep it as well.
const REDUCED_SPEED_M_PER_S: f64 = 0.25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum OperatingMode {
    /// The limits of the launch file.
    #[default]
    Automatic = 0,
    /// The same, and reduced speed: for setting up and for teaching by a person.
    Manual = 1,
}

impl OperatingMode {
    /// The launch file's limits in this mode; never looser than those.
    pub fn limits(self, of_launch_file: &ToolLimits) -> ToolLimits {
        let mut limits = *of_launch_file;
        if self == Self::Manual {
            limits.speed_m_per_s = limits.speed_m_per_s.min(REDUCED_SPEED_M_PER_S);
            // A person stands nearer to the elbow than to the tool.
            limits.capsules_m_per_s = limits.capsules_m_per_s.min(REDUCED_SPEED_M_PER_S);
        }
        limits
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating mode changes only while the arm is at rest")]
pub struct NotAtRest;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::{ArmState, Fingers};
    use crate::clock::{Duration, Instant};
    use crate::kinematics::chain::tests::iiwa14;
    use crate::safety::limits::tests::iiwa14_limits;
    use crate::safety::{Collision, Request, Safety, Workspace};
    use crate::units::{JointAccelerations, JointTorques, JointVelocities};
    use nalgebra::Translation3;

    const WORKSPACE: Workspace = Workspace {
        min_m: [-2.0, -2.0, -1.0],
        max_m: [2.0, 2.0, 2.0],
        table_height_m: -1.0,
    };

    fn safety(speed_m_per_s: f64) -> Safety<7> {
        let tool = ToolLimits {
            speed_m_per_s,
            ..ToolLimits::anywhere_in(WORKSPACE)
        };
        let task = Translation3::new(0.0, 0.0, 0.0).into();
        let period = Duration::from_ticks(1_000_000);
        let (chain, limits) = (iiwa14(), iiwa14_limits());
        let mut safety = Safety::new(chain, limits, tool, Collision::none(), task, period).unwrap();
        let measured = ArmState {
            sampled_at: Instant::from_ticks(0),
            q: [0.0, 0.5, 0.0, -1.3, 0.0, 1.2, 0.0].into(),
            dq: JointVelocities::zeros(),
            tau: JointTorques::zeros(),
            aperture_m: 0.0,
        };
        safety.arm(&measured).unwrap();
        safety
    }

    /// The tool's highest speed, also between ticks, while the base turns as fast as it may.
    fn fastest(safety: &mut Safety<7>) -> f64 {
        let mut dq = JointVelocities::zeros();
        dq[0] = 10.0;
        let (ddq, chain) = (JointAccelerations::zeros(), iiwa14());
        let mut fastest: f64 = 0.0;
        for _ in 0..400 {
            safety.filter(Request::Motion { dq, ddq }, Fingers::Open);
            for share in [0.3, 0.7, 1.0] {
                let state = safety.during_last_tick(share).unwrap();
                let twist = chain.jacobian(&state.q).1 * state.dq.0;
                fastest = fastest.max(twist.fixed_rows::<3>(0).norm());
            }
        }
        fastest
    }

    fn come_to_rest(safety: &mut Safety<7>) {
        while safety.stop_s() > 0.0 {
            safety.filter(Request::Stop, Fingers::Open);
        }
    }

    #[test]
    fn no_mode_is_looser_than_the_launch_file() {
        for (launch_file, manual) in [(0.8, 0.25), (0.25, 0.25), (0.1, 0.1)] {
            let mut safety = safety(launch_file);
            for (mode, limit) in [
                (OperatingMode::Automatic, launch_file),
                (OperatingMode::Manual, manual),
                (OperatingMode::Manual, manual),
                (OperatingMode::Automatic, launch_file),
            ] {
                assert_eq!(safety.set_mode(mode), Ok(()));
                assert_eq!(safety.mode(), mode);
                let fastest = fastest(&mut safety);
                assert!(
                    (0.85 * limit..=limit).contains(&fastest),
                    "{launch_file} {mode:?}: {fastest}"
                );
                come_to_rest(&mut safety);
            }
        }
    }

    #[test]
    fn manual_mode_slows_tool_and_capsules_and_nothing_else() {
        let unlimited = ToolLimits::anywhere_in(WORKSPACE);
        let slow = ToolLimits {
            speed_m_per_s: 0.1,
            capsules_m_per_s: 0.2,
            ..unlimited
        };
        for (launch_file, speeds) in [(unlimited, [0.25, 0.25]), (slow, [0.1, 0.2])] {
            assert_eq!(OperatingMode::Automatic.limits(&launch_file), launch_file);
            let expected = ToolLimits {
                speed_m_per_s: speeds[0],
                capsules_m_per_s: speeds[1],
                ..launch_file
            };
            assert_eq!(OperatingMode::Manual.limits(&launch_file), expected);
        }
    }

    #[test]
    fn a_moving_arm_keeps_its_mode() {
        let mut safety = safety(0.8);
        fastest(&mut safety);
        for mode in [OperatingMode::Automatic, OperatingMode::Manual] {
            assert_eq!(safety.set_mode(mode), Err(NotAtRest));
            assert_eq!(safety.mode(), OperatingMode::Automatic);
        }
        assert!(fastest(&mut safety) > 0.7);
        safety.disarm();
        assert_eq!(safety.set_mode(OperatingMode::Manual), Ok(()));
    }
}
