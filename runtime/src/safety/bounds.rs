//! How much the joints of a stop, or of a tick, can move anything that hangs from them.
//!
//! Upper bounds that hold in every posture, from how far, how fast and how hard each joint moves, and from the reach of what
//! hangs from it. Not responsible for what follows from them ([`super::certificate`]).

use super::joint::Track;
use nalgebra::SVector;
use std::ops::Range;

/// Of each joint, over a time. Absolute values.
pub(super) struct Bounds<const N: usize> {
    /// How far it gets from where it is now, rad.
    pub travel: SVector<f64, N>,
    dq: SVector<f64, N>,
    ddq: SVector<f64, N>,
    jerk: SVector<f64, N>,
}

impl<const N: usize> Bounds<N> {
    /// Along the stops that are stored in the tracks, and in the tick that leads to their beginning.
    pub fn of_stop(tracks: &[Track; N], jerk_max: &SVector<f64, N>, dt: f64) -> Self {
        let extent = |i: usize| &tracks[i].extent;
        let ddq = SVector::<f64, N>::from_fn(|i, _| extent(i).acceleration_max + jerk_max[i] * dt);
        let dq = SVector::<f64, N>::from_fn(|i, _| extent(i).speed_max + ddq[i] * dt);
        Self {
            travel: SVector::from_fn(|i, _| tracks[i].travel() + dq[i] * dt),
            dq,
            ddq,
            jerk: *jerk_max,
        }
    }

    /// In the tick from one state to the next.
    pub fn of_tick(
        old: &[Track; N],
        new: &[Track; N],
        jerk_max: &SVector<f64, N>,
        dt: f64,
    ) -> Self {
        // Where the stored stop goes on, jerk may change within the tick.
        let jerk = SVector::<f64, N>::from_fn(|i, _| {
            old[i].jerk_to(&new[i], dt).map_or(jerk_max[i], f64::abs)
        });
        let most =
            |value: fn(&Track) -> f64, i: usize| value(&old[i]).abs().max(value(&new[i]).abs());
        let ddq = SVector::from_fn(|i, _| match old[i].jerk_to(&new[i], dt) {
            Some(_) => most(|track| track.state.a, i),
            None => most(|track| track.state.a, i) + jerk_max[i] * dt,
        });
        let dq = SVector::from_fn(|i, _| most(|track| track.state.v, i) + ddq[i] * dt);
        Self {
            travel: dq * dt,
            dq,
            ddq,
            jerk,
        }
    }

    /// Of a point's speed, m/s.
    pub fn speed_max(&self, reach_m: &SVector<f64, N>) -> f64 {
        self.dq.dot(reach_m)
    }

    /// Of the speed of rotation, rad/s.
    pub fn turning_max(&self) -> f64 {
        self.dq.sum()
    }

    /// Of the second derivative of a point's position, m/s², in the frame that these joints start from.
    ///
    /// |J·ddq| <= sum r_i|ddq_i|, and the bias term is at most (sum |dq_i|)·(sum r_i|dq_i|): see
    /// [`crate::kinematics::chain::bias_acceleration`].
    pub fn acceleration_max(&self, reach_m: &SVector<f64, N>, joints: Range<usize>) -> f64 {
        let turning: f64 = self.dq.as_slice()[joints].iter().sum();
        self.ddq.dot(reach_m) + turning * self.dq.dot(reach_m)
    }

    /// Of the second derivative of a point's velocity, m/s³: any k-th partial derivative of its position is at most the
    /// reach of the outermost of its k joints, hence of any one of them.
    pub fn jerk_max(&self, reach_m: &SVector<f64, N>) -> f64 {
        let (turning, speed) = (self.dq.sum(), self.dq.dot(reach_m));
        self.jerk.dot(reach_m) + 3.0 * turning * self.ddq.dot(reach_m) + turning * turning * speed
    }

    /// Of the second derivative of the angular velocity, rad/s³: the same with every reach 1.
    pub fn turning_jerk_max(&self) -> f64 {
        let turning = self.dq.sum();
        self.jerk.sum() + 3.0 * turning * self.ddq.sum() + turning.powi(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinematics::chain::tests::iiwa14;
    use crate::safety::limits::tests::iiwa14_limits;
    use crate::units::{JointPositions, JointVelocities};
    use proptest::prelude::*;

    const DT: f64 = 1e-3;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Differences of the tool's velocity along ticks and stops never exceed the bounds.
        #[test]
        fn nothing_moves_more(q in proptest::array::uniform7(-1.5..1.5), way in proptest::array::uniform7(-1.0..1.0), ticks in 1..60u32) {
            const H: f64 = 1e-4;
            let (chain, limits) = (iiwa14(), iiwa14_limits());
            let jerk_max = limits.joints().map(|joint| joint.dddq_max).into();
            let mut tracks: [Track; 7] = std::array::from_fn(|i| Track::at_rest(q[i], &limits.joints()[i]));
            let mut old = tracks;
            for _ in 0..ticks {
                old = tracks;
                let next = |i: usize| old[i].propose(&limits.joints()[i], way[i] * limits.joints()[i].dddq_max, DT).0;
                tracks = std::array::from_fn(next);
            }
            let reach = chain.reach_m().into();
            let twist = |from: &[Track; 7], jerk: &dyn Fn(usize) -> Option<f64>, t: f64| {
                let at = |i: usize| match jerk(i) {
                    Some(jerk) => from[i].state.advance(jerk, t),
                    None => from[i].ahead(t),
                };
                let q = JointPositions::from(std::array::from_fn(|i| at(i).q));
                let dq = JointVelocities::from(std::array::from_fn(|i| at(i).v));
                chain.jacobian(&q).1 * dq.0
            };
            let second = |from: &[Track; 7], jerk: &dyn Fn(usize) -> Option<f64>, t: f64| {
                (twist(from, jerk, t + H) - twist(from, jerk, t) * 2.0 + twist(from, jerk, t - H)) / (H * H)
            };
            let within = |second: nalgebra::Vector6<f64>, bounds: &Bounds<7>| {
                second.fixed_rows::<3>(0).norm() <= bounds.jerk_max(&reach) * 1.001 + 1e-3
                    && second.fixed_rows::<3>(3).norm() <= bounds.turning_jerk_max() * 1.001 + 1e-3
            };
            let tick = Bounds::of_tick(&old, &tracks, &jerk_max, DT);
            let of_tick = |i: usize| old[i].jerk_to(&tracks[i], DT);
            prop_assert!(within(second(&old, &of_tick, 0.5 * DT), &tick));
            let stop = Bounds::of_stop(&tracks, &jerk_max, DT);
            for k in 0..20 {
                prop_assert!(within(second(&tracks, &|_| None, f64::from(k) * 7.3e-3 + H), &stop));
            }
        }
    }
}
