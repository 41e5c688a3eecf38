//! From a twist of the tool to velocities of the joints: the damped inverse of a Jacobian.
//!
//! Six joints or more are asked for the whole twist. Fewer cannot give every twist: they are asked for its linear part
//! first, and for its angular part with what that leaves free, which drops the rotation that they cannot give (two
//! priorities as in Siciliano and Slotine, "A general framework for managing multiple tasks in highly redundant robotic
//! systems", 1991). Near a singularity damping grows with the loss of rank (Nakamura and Hanafusa, 1986), for each
//! priority by itself: a rotation that is hard to give never costs position.
//!
//! Not responsible for limits, nor for which twist is asked for ([`super::ik`]).

use nalgebra::{Cholesky, Const, Matrix3, Matrix6, SMatrix, SVector, Vector3, Vector6};

/// How many directions of the tool's rotation so many joints control beside its position: below 3 the others are dropped.
pub const fn rotations(joints: usize) -> usize {
    match joints {
        0..=3 => 0,
        4 => 1,
        5 => 2,
        _ => 3,
    }
}

/// How a matrix J·Jᵀ is damped.
struct Damping {
    /// Smallest pivot below which damping sets in.
    pivot_min: f64,
    /// At a singularity.
    most: f64,
}

/// Everywhere.
const DAMPING_MIN: f64 = 1e-9;
/// m² and rad² mixed.
const POSE: Damping = Damping {
    pivot_min: 4e-3,
    most: 1e-2,
};
/// m² per rad²: below lever arms of about 3 cm.
const POSITION: Damping = Damping {
    pivot_min: 1e-3,
    most: 1e-3,
};
const ROTATION: Damping = Damping {
    pivot_min: 1e-1,
    most: 1e-1,
};

/// The constants above, by name: they are baked into whatever the arm does, and so into its episodes.
pub(super) fn constants() -> [(&'static str, f64); 7] {
    [
        ("inverse.damping_min", DAMPING_MIN),
        ("inverse.pose.pivot_min", POSE.pivot_min),
        ("inverse.pose.damping_most", POSE.most),
        ("inverse.position.pivot_min", POSITION.pivot_min),
        ("inverse.position.damping_most", POSITION.most),
        ("inverse.rotation.pivot_min", ROTATION.pivot_min),
        ("inverse.rotation.damping_most", ROTATION.most),
    ]
}

// A box would allocate in every tick.
#[expect(clippy::large_enum_variant)]
pub(super) enum Inverse<const N: usize> {
    /// The factors of J·Jᵀ + damping.
    WholeTwist(Cholesky<f64, Const<6>>),
    LinearFirst(LinearFirst<N>),
}

/// In the terms of Jv and Jw, the Jacobian's linear and angular rows.
pub(super) struct LinearFirst<const N: usize> {
    /// The factors of Jv·Jvᵀ + damping.
    linear: Cholesky<f64, Const<3>>,
    /// Jw·P, where P keeps of a joint motion what leaves the tip where it is.
    turning: SMatrix<f64, 3, N>,
    /// The factors of (Jw·P)ᵀ·(Jw·P) + (1 - P) + damping. 1 - P makes it regular where the damping is none, and does
    /// nothing to the motions that P keeps.
    angular: Cholesky<f64, Const<N>>,
}

impl<const N: usize> Inverse<N> {
    /// Hardly damped but near a singularity; and how far from one it is, from 0 to 1. `None` when `j` is not finite.
    pub fn near_singularities(j: &SMatrix<f64, 6, N>) -> Option<(Self, f64)> {
        if rotations(N) == 3 {
            let (factors, rank) = POSE.factors(j * j.transpose())?;
            return Some((Self::WholeTwist(factors), rank));
        }
        let (jv, jw) = (linear(j), angular(j));
        let (linear, rank) = POSITION.factors(jv * jv.transpose())?;
        let (turning, gram) = LinearFirst::free(&linear, &jv, &jw);
        let (angular, angular_rank) = ROTATION.factors(gram)?;
        let inverse = LinearFirst {
            linear,
            turning,
            angular,
        };
        Some((Self::LinearFirst(inverse), rank.min(angular_rank)))
    }

    /// With this damping everywhere. `None` when `j` is not finite.
    pub fn damped(j: &SMatrix<f64, 6, N>, damping: f64) -> Option<Self> {
        if rotations(N) == 3 {
            let gram = j * j.transpose() + Matrix6::identity() * damping;
            return Cholesky::new(gram).map(Self::WholeTwist);
        }
        let (jv, jw) = (linear(j), angular(j));
        let linear = Cholesky::new(jv * jv.transpose() + Matrix3::identity() * damping)?;
        let (turning, gram) = LinearFirst::free(&linear, &jv, &jw);
        let angular = Cholesky::new(gram + SMatrix::identity() * damping)?;
        Some(Self::LinearFirst(LinearFirst {
            linear,
            turning,
            angular,
        }))
    }

    /// The joint velocities for a twist; `j` is the Jacobian that this is the inverse of.
    pub fn joints(&self, j: &SMatrix<f64, 6, N>, twist: &Vector6<f64>) -> SVector<f64, N> {
        match self {
            Self::WholeTwist(factors) => j.tr_mul(&factors.solve(twist)),
            Self::LinearFirst(inverse) => inverse.joints(j, twist),
        }
    }

    /// The part of a twist's rotation that no joint motion gives without moving the tip from where the twist moves it.
    pub fn dropped(&self, j: &SMatrix<f64, 6, N>, twist: &Vector6<f64>) -> Vector6<f64> {
        let Self::LinearFirst(inverse) = self else {
            return Vector6::zeros();
        };
        let rest = twist - j * inverse.joints(j, twist);
        Vector6::new(0.0, 0.0, 0.0, rest[3], rest[4], rest[5])
    }
}

impl<const N: usize> LinearFirst<N> {
    /// Jw·P, and the matrix that `angular` factors, undamped.
    fn free(
        linear: &Cholesky<f64, Const<3>>,
        jv: &SMatrix<f64, 3, N>,
        jw: &SMatrix<f64, 3, N>,
    ) -> (SMatrix<f64, 3, N>, SMatrix<f64, N, N>) {
        let bound = jv.tr_mul(&linear.solve(jv));
        let turning = jw - jw * bound;
        (turning, turning.tr_mul(&turning) + bound)
    }

    fn joints(&self, j: &SMatrix<f64, 6, N>, twist: &Vector6<f64>) -> SVector<f64, N> {
        let (jv, jw) = (linear(j), angular(j));
        let (v, w): (Vector3<f64>, Vector3<f64>) = (
            twist.fixed_rows::<3>(0).into(),
            twist.fixed_rows::<3>(3).into(),
        );
        let moving = jv.tr_mul(&self.linear.solve(&v));
        let turning = self.angular.solve(&self.turning.tr_mul(&(w - jw * moving)));
        // Damping has left some motion of the tip in it.
        moving + turning - jv.tr_mul(&self.linear.solve(&(jv * turning)))
    }
}

impl Damping {
    /// The factors of a damped J·Jᵀ, and how far from singular it is, in [0, 1].
    fn factors<const D: usize>(
        &self,
        gram: SMatrix<f64, D, D>,
    ) -> Option<(Cholesky<f64, Const<D>>, f64)> {
        let factors = Cholesky::new(gram + SMatrix::identity() * DAMPING_MIN)?;
        let pivot = factors.l_dirty().diagonal().min().powi(2);
        if pivot >= self.pivot_min {
            return Some((factors, 1.0));
        }
        let rank = pivot / self.pivot_min;
        let damping = DAMPING_MIN + self.most * (1.0 - rank).powi(2);
        Cholesky::new(gram + SMatrix::identity() * damping).map(|factors| (factors, rank))
    }
}

fn linear<const N: usize>(j: &SMatrix<f64, 6, N>) -> SMatrix<f64, 3, N> {
    j.fixed_rows::<3>(0).into()
}

fn angular<const N: usize>(j: &SMatrix<f64, 6, N>) -> SMatrix<f64, 3, N> {
    j.fixed_rows::<3>(3).into()
}
