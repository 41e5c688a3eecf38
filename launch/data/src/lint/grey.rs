//! Frames as small grey pictures: all that the checks see of a frame.
//!
//! Not responsible for judging them.

use visuomotor_runtime::camera::Image;

/// Larger pictures are averaged down to at most so many pixels a side: enough to see motion and edges, and an hour of frames
/// fits into memory.
const SIDE_PX_MAX: u32 = 96;

/// Three standard deviations of the difference between two pictures of one scene.
const NOISE_LEVELS: u8 = 6;

#[derive(Clone, Debug, PartialEq)]
pub struct Grey {
    pub width: usize,
    pub height: usize,
    /// So many pixels of the frame, each way, are one of these.
    pub scale: usize,
    /// Row by row, 0 to 255.
    pub levels: Vec<u8>,
    /// Mean of the whole frame.
    pub mean: f64,
    /// Share of the pixels with all channels at their end.
    pub saturated: f64,
}

impl Grey {
    pub fn of(image: &Image) -> Self {
        let scale = image.width.max(image.height).div_ceil(SIDE_PX_MAX).max(1) as usize;
        let (width, height) = (image.width as usize / scale, image.height as usize / scale);
        let row = 3 * image.width as usize;
        let mut levels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = 0_u32;
                for line in image.rgb.chunks_exact(row).skip(y * scale).take(scale) {
                    let pixels = line[3 * x * scale..3 * (x + 1) * scale].chunks_exact(3);
                    sum += pixels.map(luma).sum::<u32>();
                }
                levels.push((sum / (256 * (scale * scale) as u32)) as u8);
            }
        }
        let pixels = image.rgb.chunks_exact(3);
        let count = pixels.len().max(1) as f64;
        let sum: u64 = pixels.clone().map(|rgb| u64::from(luma(rgb))).sum();
        let at_end = pixels
            .filter(|rgb| rgb.iter().all(|&level| level >= 250))
            .count();
        Self {
            width,
            height,
            scale,
            levels,
            mean: sum as f64 / 256.0 / count,
            saturated: at_end as f64 / count,
        }
    }

    /// How much of the other picture is another: mean over all pixels of what exceeds a sensor's noise; `None` of pictures of
    /// different sizes.
    pub fn change(&self, other: &Self) -> Option<f64> {
        let alike = (self.width, self.height) == (other.width, other.height);
        if !alike || self.levels.is_empty() {
            return None;
        }
        let pairs = self.levels.iter().zip(&other.levels);
        let beyond = pairs.map(|(&a, &b)| u32::from(a.abs_diff(b).saturating_sub(NOISE_LEVELS)));
        Some(f64::from(beyond.sum::<u32>()) / self.levels.len() as f64)
    }

    /// Mean absolute difference in levels; `None` of pictures of different sizes.
    pub fn difference(&self, other: &Self) -> Option<f64> {
        let alike = (self.width, self.height) == (other.width, other.height);
        if !alike || self.levels.is_empty() {
            return None;
        }
        let pairs = self.levels.iter().zip(&other.levels);
        let sum: u32 = pairs.map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
        Some(f64::from(sum) / self.levels.len() as f64)
    }
}

/// ITU-R BT.601, in 256ths.
fn luma(rgb: &[u8]) -> u32 {
    match rgb {
        [r, g, b] => 77 * u32::from(*r) + 150 * u32::from(*g) + 29 * u32::from(*b),
        _ => 0,
    }
}
