//! Joint-space vectors whose type is their unit. `N` is the number of joints, base to tip.
//!
//! Not responsible for Cartesian quantities: those are nalgebra types whose names carry frame and unit.

use nalgebra::SVector;

macro_rules! joint_vector {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name<const N: usize>(pub SVector<f64, N>);

        impl<const N: usize> $name<N> {
            pub fn zeros() -> Self {
                Self(SVector::zeros())
            }

            pub fn is_finite(&self) -> bool {
                self.0.iter().all(|x| x.is_finite())
            }
        }

        impl<const N: usize> From<[f64; N]> for $name<N> {
            fn from(values: [f64; N]) -> Self {
                Self(SVector::from(values))
            }
        }

        impl<const N: usize> std::ops::Index<usize> for $name<N> {
            type Output = f64;
            fn index(&self, joint: usize) -> &f64 {
                &self.0[joint]
            }
        }

        impl<const N: usize> std::ops::IndexMut<usize> for $name<N> {
            fn index_mut(&mut self, joint: usize) -> &mut f64 {
                &mut self.0[joint]
            }
        }
    };
}

joint_vector!(
    /// `q`, in rad (m for a prismatic joint).
    JointPositions
);
joint_vector!(
    /// `dq`, in rad/s.
    JointVelocities
);
joint_vector!(
    /// `ddq`, in rad/s².
    JointAccelerations
);
joint_vector!(
    /// `tau`, in N·m.
    JointTorques
);
