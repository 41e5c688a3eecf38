//! Safe commands for an arm of `N` joints whose mechanics nobody knows.
//!
//! Only `safety` makes commands, so there is one here, over a chain of `N` revolute joints without length: what a driver does
//! with a command depends on nothing else of it.

use nalgebra::{Isometry3, SVector};
use std::fmt::Write;
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::safety::{
    Collision, Limits, Request, SafeCommand, Safety, ToolLimits, Verdict, Workspace,
};
use visuomotor_runtime::units::{JointAccelerations, JointVelocities};

/// Makes commands from a standing start.
#[derive(Clone)]
pub struct Commands<const N: usize> {
    safety: Safety<N>,
}

impl<const N: usize> Commands<N> {
    pub fn new(period: Duration) -> Result<Self, String> {
        let chain = Chain::from_urdf(&urdf(N), "link0", &format!("link{N}"));
        let chain = chain.map_err(|error| error.to_string())?;
        let each = |value: f64| vec![value; N];
        let limits = format!("acceleration = {:?}\njerk = {:?}", each(5.0), each(500.0));
        let limits = toml::from_str(&limits).map_err(|error| error.to_string())?;
        let limits = Limits::new(&chain, &limits).map_err(|error| error.to_string())?;
        let workspace = Workspace {
            min_m: [-1.0; 3],
            max_m: [1.0; 3],
            table_height_m: -1.0,
        };
        let tool = ToolLimits::anywhere_in(workspace);
        let task = Isometry3::identity();
        let safety = Safety::new(chain, limits, tool, Collision::none(), task, period);
        let safety = safety.map_err(|error| error.to_string())?;
        Ok(Self { safety })
    }

    /// The next commands start at this measurement, at rest.
    pub fn start_at(&mut self, measured: &ArmState<N>) -> Result<(), String> {
        let at_rest = ArmState {
            dq: JointVelocities::zeros(),
            ..*measured
        };
        let armed = self.safety.arm(&at_rest);
        armed.map_err(|fault| format!("no command can start here: {fault:?}"))
    }

    /// All joints move towards this velocity, rad/s.
    pub fn next(&mut self, dq: f64, fingers: Fingers) -> Result<SafeCommand<N>, String> {
        let request = Request::Motion {
            dq: JointVelocities(SVector::repeat(dq)),
            ddq: JointAccelerations::zeros(),
        };
        match self.safety.filter(request, fingers) {
            (Verdict::Move(command), _) => Ok(command),
            (Verdict::Stop(category), _) => Err(format!("no command but a stop: {category:?}")),
        }
    }
}

/// A chain of `n` joints that all turn about one point.
fn urdf(n: usize) -> String {
    let mut urdf = String::from("<robot name=\"any\"><link name=\"link0\"/>");
    for i in 1..=n {
        let axis = ["1 0 0", "0 1 0", "0 0 1"][i % 3];
        // Writing into a string cannot fail.
        let _ = write!(
            urdf,
            "<joint name=\"joint{i}\" type=\"revolute\"><parent link=\"link{}\"/><child link=\"link{i}\"/>\
             <axis xyz=\"{axis}\"/><limit lower=\"-20\" upper=\"20\" velocity=\"2\" effort=\"1\"/></joint>\
             <link name=\"link{i}\"/>",
            i - 1
        );
    }
    urdf + "</robot>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use visuomotor_runtime::clock::Instant;
    use visuomotor_runtime::units::{JointPositions, JointTorques};

    fn moves_from_where_it_is_told<const N: usize>() {
        let mut commands = Commands::<N>::new(Duration::from_ticks(10_000_000)).unwrap();
        let state = ArmState {
            sampled_at: Instant::from_ticks(0),
            q: JointPositions(SVector::repeat(0.4)),
            dq: JointVelocities::zeros(),
            tau: JointTorques::zeros(),
            aperture_m: 0.0,
        };
        assert!(commands.next(0.0, Fingers::Open).is_err());
        commands.start_at(&state).unwrap();
        let at_rest = commands.next(0.0, Fingers::Open).unwrap();
        assert_eq!(*at_rest.q(), state.q);
        for _ in 0..100 {
            commands.next(0.5, Fingers::Closed).unwrap();
        }
        let command = commands.next(0.5, Fingers::Closed).unwrap();
        assert!(command.q()[0] > 0.7, "{command:?}");
        assert!((command.dq()[N - 1] - 0.5).abs() < 0.01, "{command:?}");
    }

    #[test]
    fn any_number_of_joints_moves_from_where_it_is_told() {
        moves_from_where_it_is_told::<5>();
        moves_from_where_it_is_told::<6>();
        moves_from_where_it_is_told::<7>();
    }
}
