//! YUV to RGB in integers.
//!
//! Formulas and coefficients: ITU-R BT.601 and BT.709; full range as in JFIF. Not responsible for where lines lie.

use super::PixelFormat;
use multiversion::multiversion;

/// What the numbers of a YUV picture mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Colour {
    /// BT.709 instead of BT.601.
    pub bt709: bool,
    /// Y from 0 to 255 instead of 16 to 235.
    pub full_range: bool,
}

const FRACTION_BITS: i32 = 13;
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Scaled by 2^13.
#[derive(Clone, Copy)]
struct Coefficients {
    y_black: i32,
    y: i32,
    r_v: i32,
    g_u: i32,
    g_v: i32,
    b_u: i32,
}

impl From<Colour> for Coefficients {
    fn from(colour: Colour) -> Self {
        let (kr, kb) = match colour.bt709 {
            false => (0.299, 0.114),
            true => (0.2126, 0.0722),
        };
        let (y, chroma, y_black) = match colour.full_range {
            true => (1.0, 1.0, 0),
            false => (255.0 / 219.0, 255.0 / 224.0, 16),
        };
        let scaled = |value: f64| (value * f64::from(1 << FRACTION_BITS)).round() as i32;
        let kg = 1.0 - kr - kb;
        let (v_to_r, u_to_b) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
        Self {
            y_black,
            y: scaled(y),
            r_v: scaled(v_to_r),
            g_u: scaled(-u_to_b * kb / kg),
            g_v: scaled(-v_to_r * kr / kg),
            b_u: scaled(u_to_b),
        }
    }
}

impl Coefficients {
    /// What U and V add to each channel, rounding included.
    #[inline(always)]
    fn chroma(self, u: u8, v: u8) -> [i32; 3] {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        [
            self.r_v * v + HALF,
            self.g_u * u + self.g_v * v + HALF,
            self.b_u * u + HALF,
        ]
    }

    #[inline(always)]
    fn pixel(self, y: u8, chroma: [i32; 3]) -> [u8; 3] {
        let y = (i32::from(y) - self.y_black) * self.y;
        Self::levels(y, chroma)
    }

    /// A pixel between two.
    #[inline(always)]
    fn mean(self, y0: u8, y1: u8, chroma: [i32; 3]) -> [u8; 3] {
        let sum = i32::from(y0) + i32::from(y1) - 2 * self.y_black;
        Self::levels(sum * self.y / 2, chroma)
    }

    #[inline(always)]
    fn levels(y: i32, [r, g, b]: [i32; 3]) -> [u8; 3] {
        let level = |chroma: i32| ((y + chroma) >> FRACTION_BITS).clamp(0, 255) as u8;
        [level(r), level(g), level(b)]
    }
}

/// Pairs of pixels, of which the first `skipped` (0 or 1) pixels are left out; as many pixels as `rgb` takes.
pub fn yuyv_line(line: &[u8], skipped: usize, rgb: &mut [u8], colour: Colour) {
    packed_line(line, skipped, rgb, colour, |[y0, u, y1, v]| [y0, y1, u, v]);
}

/// As [`yuyv_line`].
pub fn uyvy_line(line: &[u8], skipped: usize, rgb: &mut [u8], colour: Colour) {
    packed_line(line, skipped, rgb, colour, |[u, y0, v, y1]| [y0, y1, u, v]);
}

#[inline(always)]
fn packed_line(
    line: &[u8],
    skipped: usize,
    rgb: &mut [u8],
    colour: Colour,
    parts: impl Fn([u8; 4]) -> [u8; 4] + Copy,
) {
    let coefficients = Coefficients::from(colour);
    let pairs = line.as_chunks().0;
    let (mut pairs, mut rgb) = (pairs, rgb);
    if let (1, [first, rest @ ..]) = (skipped, pairs) {
        let [_, y1, u, v] = parts(*first);
        let (pixel, others) = rgb.split_at_mut(3);
        pixel.copy_from_slice(&coefficients.pixel(y1, coefficients.chroma(u, v)));
        (pairs, rgb) = (rest, others);
    }
    whole_pairs(pairs, rgb, coefficients, parts);
    let done = rgb.len() / 6;
    if let (Some(last), [r, g, b]) = (pairs.get(done), &mut rgb[6 * done..]) {
        let [y0, _, u, v] = parts(*last);
        [*r, *g, *b] = coefficients.pixel(y0, coefficients.chroma(u, v));
    }
}

#[multiversion(targets("x86_64+avx2", "x86_64+sse4.2"))]
fn whole_pairs<F: Fn([u8; 4]) -> [u8; 4]>(
    pairs: &[[u8; 4]],
    rgb: &mut [u8],
    coefficients: Coefficients,
    parts: F,
) {
    for (&pair, rgb) in pairs.iter().zip(rgb.as_chunks_mut::<6>().0) {
        let [y0, y1, u, v] = parts(pair);
        let chroma = coefficients.chroma(u, v);
        let [r0, g0, b0] = coefficients.pixel(y0, chroma);
        let [r1, g1, b1] = coefficients.pixel(y1, chroma);
        *rgb = [r0, g0, b0, r1, g1, b1];
    }
}

/// One pixel for each pair.
pub fn averaged_pairs(format: PixelFormat, colour: Colour, pairs: &[u8], rgb: &mut [u8]) {
    let coefficients = Coefficients::from(colour);
    for (&pair, rgb) in pairs.as_chunks().0.iter().zip(rgb.as_chunks_mut().0) {
        let [y0, y1, u, v] = match (format, pair) {
            (PixelFormat::Uyvy, [u, y0, v, y1]) => [y0, y1, u, v],
            (_, [y0, u, y1, v]) => [y0, y1, u, v],
        };
        *rgb = coefficients.mean(y0, y1, coefficients.chroma(u, v));
    }
}
