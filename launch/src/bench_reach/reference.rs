//! The fastest motion that the joints' limits allow, each joint for itself.

use crate::config::JOINTS;
use rsruckig::prelude::{
    DataArrayOrVec, InputParameter, Ruckig, RuckigError, Synchronization, ThrowErrorHandler,
    Trajectory,
};
use visuomotor_runtime::safety::{CommandState, Limits};
use visuomotor_runtime::units::JointPositions;

/// From rest to rest. Position limits do not enter: such a motion never leaves the interval between its ends.
pub struct Reference {
    plan: Trajectory<JOINTS>,
}

impl Reference {
    pub fn new(
        limits: &Limits<JOINTS>,
        from: &JointPositions<JOINTS>,
        to: &JointPositions<JOINTS>,
    ) -> Result<Self, RuckigError> {
        let each = |value: &dyn Fn(usize) -> f64| DataArrayOrVec::Stack(std::array::from_fn(value));
        let joints = limits.joints();
        let mut input = InputParameter::new(None);
        input.synchronization = Synchronization::None;
        input.current_position = each(&|i| from[i]);
        input.target_position = each(&|i| to[i]);
        input.max_velocity = each(&|i| joints[i].dq_max);
        input.max_acceleration = each(&|i| joints[i].ddq_max);
        input.max_jerk = each(&|i| joints[i].dddq_max);
        let mut plan = Trajectory::new(None);
        // Plans of one piece do not depend on the period.
        Ruckig::<JOINTS, ThrowErrorHandler>::new(None, 1e-3).calculate(&input, &mut plan)?;
        Ok(Self { plan })
    }

    /// The time of the slowest joint.
    pub fn duration_s(&self) -> f64 {
        self.plan.get_duration()
    }

    /// Where it is `t` seconds after its start; at rest at its goal after its end.
    pub fn at(&self, t: f64) -> CommandState<JOINTS> {
        let [mut q, mut dq, mut ddq] = [(); 3].map(|()| DataArrayOrVec::Stack([0.0; JOINTS]));
        self.plan.at_time(
            t,
            &mut Some(&mut q),
            &mut Some(&mut dq),
            &mut Some(&mut ddq),
            &mut None,
            &mut None,
        );
        CommandState {
            q: std::array::from_fn(|i| q[i]).into(),
            dq: std::array::from_fn(|i| dq[i]).into(),
            ddq: std::array::from_fn(|i| ddq[i]).into(),
        }
    }
}
