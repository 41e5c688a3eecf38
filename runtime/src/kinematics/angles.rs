//! Sine and cosine of several angles at once.
//!
//! The same bits on every machine, which those of a system's mathematical library are not, and several at a time where
//! the processor can. Not for angles of many turns: those go to the standard library.

use std::f64::consts::FRAC_2_PI;

/// 1.5·2⁵²: a smaller number that is added to it is rounded to an integer, which then stands in the lowest bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// pi/2 in three parts. The first two have 33 bits each, so that their products with up to 2²⁰ quarter turns are exact.
const QUARTER: [f64; 3] = [
    f64::from_bits(0x3FF9_21FB_5440_0000),
    f64::from_bits(0x3DD0_B461_1A60_0000),
    f64::from_bits(0x3BA3_198A_2E03_7073),
];
const ANGLE_MAX_RAD: f64 = 1e5;

/// Coefficients of r³, r⁵, … of the sine and of r⁴, r⁶, … of the cosine within an eighth of a turn (FreeBSD's msun,
/// `k_sin.c` and `k_cos.c`, after Ng and Peters, 1993).
const SINE: [f64; 6] = [
    -0.16666666666666632,
    0.00833333333332249,
    -0.0001984126982985795,
    2.7557313707070068e-06,
    -2.5050760253406863e-08,
    1.58969099521155e-10,
];
const COSINE: [f64; 6] = [
    0.0416666666666666,
    -0.001388888888887411,
    2.480158728947673e-05,
    -2.7557314351390663e-07,
    2.087572321298175e-09,
    -1.1359647557788195e-11,
];

/// Of each angle, rad. Within two units in the last place; not finite where the angle is not.
#[inline]
pub fn sin_cos<const N: usize>(angles: &[f64; N]) -> ([f64; N], [f64; N]) {
    let (mut sines, mut cosines) = ([0.0; N], [0.0; N]);
    // Also false of NaN.
    let near = angles.iter().map(|angle| angle.abs()).sum::<f64>() <= ANGLE_MAX_RAD;
    if !near {
        for i in 0..N {
            (sines[i], cosines[i]) = angles[i].sin_cos();
        }
        return (sines, cosines);
    }
    // One kind of operation after the other, for all angles each: so the compiler sees that they go in pairs.
    let [mut shifted, mut r, mut z, mut odd, mut even] = [[0.0; N]; 5];
    for i in 0..N {
        shifted[i] = angles[i] * FRAC_2_PI + ROUNDING;
    }
    for i in 0..N {
        let quarters = shifted[i] - ROUNDING;
        r[i] = angles[i] - quarters * QUARTER[0] - quarters * QUARTER[1] - quarters * QUARTER[2];
    }
    for i in 0..N {
        z[i] = r[i] * r[i];
    }
    for i in 0..N {
        odd[i] = r[i] + r[i] * z[i] * series(&SINE, z[i]);
    }
    for i in 0..N {
        even[i] = 1.0 - z[i] * (0.5 - z[i] * series(&COSINE, z[i]));
    }
    for i in 0..N {
        let turns = shifted[i].to_bits();
        let (sine, cosine) = (odd[i].to_bits(), even[i].to_bits());
        // A quarter turn swaps the two, and half a turn changes signs.
        let swapped = (sine ^ cosine) & 0_u64.wrapping_sub(turns & 1);
        let negative = |turns: u64| (turns & 2) << 62;
        sines[i] = f64::from_bits(sine ^ swapped ^ negative(turns));
        cosines[i] = f64::from_bits(cosine ^ swapped ^ negative(turns.wrapping_add(1)));
    }
    (sines, cosines)
}

#[inline]
fn series(c: &[f64; 6], z: f64) -> f64 {
    c[0] + z * (c[1] + z * (c[2] + z * (c[3] + z * (c[4] + z * c[5]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_equals_the_standard_library() {
        let mut worst = 0.0f64;
        for k in -40_000..40_000 {
            let x = f64::from(k) * 7.3e-4 + 1e-9;
            let far = f64::from(k) * 2.4;
            let (s, c) = sin_cos(&[x, far, f64::from(k) * std::f64::consts::FRAC_PI_4]);
            for (i, angle) in [x, far, f64::from(k) * std::f64::consts::FRAC_PI_4]
                .into_iter()
                .enumerate()
            {
                let (es, ec) = angle.sin_cos();
                worst = worst.max((s[i] - es).abs()).max((c[i] - ec).abs());
            }
        }
        assert!(worst <= 3e-16, "{worst:e}");
    }

    #[test]
    fn what_is_far_or_no_number_is_left_to_the_standard_library() {
        for x in [1e6, 1e300, -3e7] {
            assert_eq!(sin_cos(&[x, 0.5]).0, [x.sin(), 0.5f64.sin()]);
        }
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let (s, c) = sin_cos(&[0.5, x]);
            assert!(s[1].is_nan() && c[1].is_nan() && s[0] == 0.5f64.sin());
        }
    }
}
