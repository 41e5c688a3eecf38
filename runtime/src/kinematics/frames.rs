//! The frames of a chain's joints at one posture, and what is fixed to them.
//!
//! Frame 0 is the base; frame `k` is what joints `0..k` move. Not responsible for computing them ([`super::chain`]).

use nalgebra::{Isometry3, Matrix3, Rotation3, Translation3, UnitQuaternion, Vector3};

/// A rigid transform as a matrix: composing is cheaper than with quaternions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Transform {
    pub r: Matrix3<f64>,
    pub p: Vector3<f64>,
}

impl Transform {
    pub fn identity() -> Self {
        Self {
            r: Matrix3::identity(),
            p: Vector3::zeros(),
        }
    }

    pub fn from_isometry(t: &Isometry3<f64>) -> Self {
        Self {
            r: t.rotation.to_rotation_matrix().into_inner(),
            p: t.translation.vector,
        }
    }

    pub fn then(&self, next: &Self) -> Self {
        Self {
            r: self.r * next.r,
            p: self.p + self.r * next.p,
        }
    }

    pub fn to_isometry(self) -> Isometry3<f64> {
        let rotation =
            UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(self.r));
        Isometry3::from_parts(Translation3::from(self.p), rotation)
    }
}

/// How a link is fixed to the chain.
// T_a_b is the field's own name for the pose of frame b in frame a.
#[allow(non_snake_case)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mount {
    /// Joints that move it, counted from the base; the number of its frame.
    pub joints: usize,
    pub T_frame_link: Isometry3<f64>,
}

/// Every joint's frame, after its motion, in the base frame.
#[derive(Clone, Copy, Debug)]
pub struct Frames<const N: usize>([Transform; N]);

impl<const N: usize> Frames<N> {
    #[inline]
    pub(super) fn new(frames: [Transform; N]) -> Self {
        Self(frames)
    }

    #[inline]
    pub(super) fn last(&self) -> Transform {
        self.0.last().copied().unwrap_or_else(Transform::identity)
    }

    /// Axis of joint `i` and a point on it, m, base frame.
    #[inline]
    pub(super) fn axis(&self, i: usize) -> (Vector3<f64>, Vector3<f64>) {
        (self.0[i].r.column(2).into_owned(), self.0[i].p)
    }

    /// The point `p` of frame `k` in the base frame, m.
    #[inline]
    pub fn point(&self, k: usize, p: &Vector3<f64>) -> Vector3<f64> {
        match k {
            0 => *p,
            _ => self.0[k - 1].p + self.0[k - 1].r * p,
        }
    }

    /// The direction `n` of frame `k` in the base frame.
    #[inline]
    pub fn direction(&self, k: usize, n: &Vector3<f64>) -> Vector3<f64> {
        match k {
            0 => *n,
            _ => self.0[k - 1].r * n,
        }
    }

    /// The point `p` of the base frame in frame `k`, m.
    #[inline]
    pub fn in_frame(&self, k: usize, p: &Vector3<f64>) -> Vector3<f64> {
        match k {
            0 => *p,
            _ => self.0[k - 1].r.tr_mul(&(p - self.0[k - 1].p)),
        }
    }
}
