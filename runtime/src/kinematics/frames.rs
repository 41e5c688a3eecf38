//! The frames of a chain's joints at one posture, and what is fixed to them.
//!
//! Frame 0 is the base; frame `k` is what joints `0..k` move. Not responsible for computing them ([`super::chain`]).

use nalgebra::{
    ArrayStorage, Isometry3, Matrix3, Quaternion, Translation3, UnitQuaternion, Vector3,
};

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

    #[inline]
    pub fn then(&self, next: &Self) -> Self {
        // Written out: nalgebra's product goes through memory.
        let [x, y, z] = self.r.data.0;
        let turned = |v: [f64; 3]| {
            let mut turned = [0.0; 3];
            for k in 0..3 {
                turned[k] = x[k] * v[0] + y[k] * v[1] + z[k] * v[2];
            }
            turned
        };
        let [nx, ny, nz] = next.r.data.0;
        Self {
            r: Matrix3::from_array_storage(ArrayStorage([turned(nx), turned(ny), turned(nz)])),
            p: self.p + Vector3::from(turned(next.p.data.0[0])),
        }
    }

    /// The z axis and a point on it.
    #[inline]
    pub fn axis(&self) -> (Vector3<f64>, Vector3<f64>) {
        (self.r.column(2).into_owned(), self.p)
    }

    #[inline]
    pub fn to_isometry(self) -> Isometry3<f64> {
        Isometry3::from_parts(Translation3::from(self.p), quaternion(&self.r))
    }
}

/// The largest of its components is positive (S. W. Shepperd, "Quaternion from rotation matrix", 1978). All four ways to
/// compute it stand side by side: which one is right cannot be foreseen, and a wrong guess of the processor costs more.
#[inline]
fn quaternion(r: &Matrix3<f64>) -> UnitQuaternion<f64> {
    let [x, y, z] = [r.m11, r.m22, r.m33];
    let (zy, xz, yx) = (r.m32 - r.m23, r.m13 - r.m31, r.m21 - r.m12);
    let (xy, zx, yz) = (r.m21 + r.m12, r.m13 + r.m31, r.m32 + r.m23);
    // w, x, y, z, each times four times the component on the diagonal.
    let ways = [
        [1.0 + x + y + z, zy, xz, yx],
        [zy, 1.0 + x - y - z, xy, zx],
        [xz, xy, 1.0 - x + y - z, yz],
        [yx, zx, yz, 1.0 - x - y + z],
    ];
    let largest = usize::from(ways[1][1] > ways[0][0]);
    let other = 2 + usize::from(ways[3][3] > ways[2][2]);
    let way = if ways[other][other] > ways[largest][largest] {
        other
    } else {
        largest
    };
    let scale = 0.5 / ways[way][way].sqrt();
    let [w, x, y, z] = ways[way];
    UnitQuaternion::new_unchecked(Quaternion::new(w, x, y, z) * scale)
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

    /// Axis of joint `i` and a point on it, m, base frame.
    #[inline]
    pub(super) fn axis(&self, i: usize) -> (Vector3<f64>, Vector3<f64>) {
        self.0[i].axis()
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

    /// The direction `n` of the base frame in frame `k`.
    #[inline]
    pub fn direction_in(&self, k: usize, n: &Vector3<f64>) -> Vector3<f64> {
        match k {
            0 => *n,
            _ => self.0[k - 1].r.tr_mul(n),
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
