//! Statistics of columns, as LeRobot's `stats.json` and `meta/episodes` have them.
//!
//! Per episode everything is exact and over every row and every pixel: minimum, maximum, mean, standard deviation of the
//! population, quantiles with linear interpolation. Of several episodes all but the quantiles is exact too; those are the
//! means of the episodes' quantiles, weighted by their rows, as LeRobot itself makes them. Pictures are in [0, 1] by channel
//! and counted as pictures. Not responsible for the files.

use crate::picture;
use crate::table::Column;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use visuomotor_runtime::camera::Image;

pub const QUANTILES: [(&str, f64); 5] = [
    ("q01", 0.01),
    ("q10", 0.10),
    ("q50", 0.50),
    ("q90", 0.90),
    ("q99", 0.99),
];

/// Of one feature; each vector has one entry for each of its numbers or channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub min: Vec<f64>,
    pub max: Vec<f64>,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
    /// In the order of [`QUANTILES`].
    pub quantiles: Vec<Vec<f64>>,
    pub count: u64,
}

impl Stats {
    /// `width_px` and `height_px` are those that every picture must have.
    pub fn of(column: &Column, width_px: u32, height_px: u32) -> Result<Self, String> {
        let count = column.rows() as u64;
        let numbers = match column {
            Column::Image(pictures) => return of_pictures(pictures, width_px, height_px),
            Column::F32(width, values) => (0..*width)
                .map(|k| {
                    values
                        .iter()
                        .skip(k)
                        .step_by(*width)
                        .map(|&x| f64::from(x))
                        .collect()
                })
                .collect(),
            Column::I64(values) => vec![values.iter().map(|&x| x as f64).collect::<Vec<_>>()],
            Column::Bool(values) => vec![values.iter().map(|&x| f64::from(x)).collect()],
        };
        let mut stats = Self::empty(count);
        for mut values in numbers {
            values.sort_by(f64::total_cmp);
            let n = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            stats.push(
                mean,
                variance,
                &|rank| values.get(rank).copied().unwrap_or(0.0),
                values.len(),
            );
        }
        Ok(stats)
    }

    fn empty(count: u64) -> Self {
        Self {
            min: Vec::new(),
            max: Vec::new(),
            mean: Vec::new(),
            std: Vec::new(),
            quantiles: vec![Vec::new(); QUANTILES.len()],
            count,
        }
    }

    /// One more number, of `n` values of which `ranked` gives the smallest, second smallest, … .
    fn push(&mut self, mean: f64, variance: f64, ranked: &dyn Fn(usize) -> f64, n: usize) {
        let last = n.saturating_sub(1);
        self.min.push(ranked(0));
        self.max.push(ranked(last));
        self.mean.push(mean);
        self.std.push(variance.sqrt());
        for ((_, share), quantiles) in QUANTILES.iter().zip(&mut self.quantiles) {
            let place = share * last as f64;
            let (below, part) = (place.floor() as usize, place.fract());
            let (low, high) = (ranked(below), ranked((below + 1).min(last)));
            quantiles.push(low + part * (high - low));
        }
    }

    /// Of all rows of several episodes together.
    pub fn merged<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Option<Self> {
        let width = parts.clone().next()?.mean.len();
        let count: u64 = parts.clone().map(|part| part.count).sum();
        let mut whole = Self::empty(count);
        for k in 0..width {
            let values = |of: &'static dyn Fn(&Self) -> &Vec<f64>| {
                parts
                    .clone()
                    .map(move |part| of(part).get(k).copied().unwrap_or(0.0))
            };
            let weights = || {
                parts
                    .clone()
                    .map(|part| part.count as f64 / count.max(1) as f64)
            };
            let weighted = |values: &mut dyn Iterator<Item = f64>| {
                weights()
                    .zip(values)
                    .map(|(weight, value)| weight * value)
                    .sum::<f64>()
            };
            let mean = weighted(&mut values(&|part| &part.mean));
            let spreads = values(&|part| &part.std).zip(values(&|part| &part.mean));
            let variance = weighted(&mut spreads.map(|(std, m)| std.powi(2) + (m - mean).powi(2)));
            whole
                .min
                .push(values(&|part| &part.min).fold(f64::INFINITY, f64::min));
            whole
                .max
                .push(values(&|part| &part.max).fold(f64::NEG_INFINITY, f64::max));
            whole.mean.push(mean);
            whole.std.push(variance.sqrt());
            for (q, quantiles) in whole.quantiles.iter_mut().enumerate() {
                let of_parts = parts.clone().map(|part| {
                    let quantiles = part.quantiles.get(q);
                    quantiles
                        .and_then(|values| values.get(k))
                        .copied()
                        .unwrap_or(0.0)
                });
                quantiles.push(weighted(&mut of_parts.into_iter()));
            }
        }
        Some(whole)
    }

    /// By LeRobot's name.
    pub fn named(&self) -> Vec<(&'static str, &[f64])> {
        let mut named: Vec<(_, &[f64])> = vec![
            ("min", &self.min),
            ("max", &self.max),
            ("mean", &self.mean),
            ("std", &self.std),
        ];
        let quantiles = QUANTILES.iter().zip(&self.quantiles);
        named.extend(quantiles.map(|((name, _), values)| (*name, values.as_slice())));
        named
    }
}

/// A recorded picture of either kind.
pub fn decode(bytes: &[u8]) -> Result<Image, String> {
    let image = match bytes.starts_with(b"\x89PNG") {
        true => picture::decode_png(bytes),
        false => picture::decode_jpeg(bytes),
    };
    image.map_err(|error| error.to_string())
}

/// How many pixels have which value, by channel.
type Bins = [[u64; 256]; 3];

fn of_pictures(pictures: &[Arc<Vec<u8>>], width: u32, height: u32) -> Result<Stats, String> {
    let mut bins: Bins = [[0; 256]; 3];
    let mut last: Option<(&Arc<Vec<u8>>, Bins)> = None;
    for bytes in pictures {
        let of_this = match &last {
            Some((before, bins)) if Arc::ptr_eq(before, bytes) => *bins,
            _ => {
                let image = decode(bytes)?;
                if (image.width, image.height) != (width, height) {
                    return Err(format!(
                        "a picture has {} x {} pixels, those of the data set have {width} x {height}",
                        image.width, image.height
                    ));
                }
                let mut bins = [[0; 256]; 3];
                for pixel in image.rgb.chunks_exact(3) {
                    for (bins, value) in bins.iter_mut().zip(pixel) {
                        bins[usize::from(*value)] += 1;
                    }
                }
                last = Some((bytes, bins));
                bins
            }
        };
        for (bins, more) in bins.iter_mut().flatten().zip(of_this.iter().flatten()) {
            *bins += more;
        }
    }
    let mut stats = Stats::empty(pictures.len() as u64);
    for bins in &bins {
        let n: u64 = bins.iter().sum();
        let mean_of = |of: &dyn Fn(f64) -> f64| {
            let values = bins.iter().zip(0_u8..=255);
            let sum: f64 = values
                .map(|(count, value)| *count as f64 * of(f64::from(value) / 255.0))
                .sum();
            sum / n.max(1) as f64
        };
        let mean = mean_of(&|value| value);
        let variance = mean_of(&|value| (value - mean).powi(2));
        let ranked = |rank: usize| {
            let mut below = 0;
            let bin = bins.iter().position(|count| {
                below += count;
                below > rank as u64
            });
            bin.unwrap_or(0) as f64 / 255.0
        };
        stats.push(mean, variance, &ranked, n as usize);
    }
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_numpy() {
        // numpy 2: v = [3, 1, 4, 1, 5]; min, max, mean, std, quantile.
        let column = Column::F32(2, vec![3.0, 0.0, 1.0, 0.0, 4.0, 0.0, 1.0, 0.0, 5.0, 7.0]);
        let stats = Stats::of(&column, 0, 0).unwrap();
        assert_eq!(
            (stats.min[0], stats.max[0], stats.mean[0], stats.count),
            (1.0, 5.0, 2.8, 5)
        );
        assert!((stats.std[0] - 1.6).abs() < 1e-12);
        let quantiles: Vec<_> = stats.quantiles.iter().map(|values| values[0]).collect();
        for (value, expected) in quantiles.iter().zip([1.0, 1.0, 3.0, 4.6, 4.96]) {
            assert!((value - expected).abs() < 1e-12, "{quantiles:?}");
        }
        assert_eq!((stats.mean[1], stats.std[1], stats.max[1]), (1.4, 2.8, 7.0));
    }

    #[test]
    fn pictures_count_every_pixel() {
        let mut png = Vec::new();
        let image = staged::picture(3);
        let mut encoder = png::Encoder::new(&mut png, image.width, image.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&image.rgb)
            .unwrap();
        let png = Arc::new(png);
        let column = Column::Image(vec![png.clone(), png.clone(), png]);
        let stats = Stats::of(&column, 32, 24).unwrap();
        assert_eq!(stats.count, 3);
        for channel in 0..3 {
            let values = image.rgb.iter().skip(channel).step_by(3);
            let values: Vec<_> = values.map(|&v| f64::from(v) / 255.0).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((stats.mean[channel] - mean).abs() < 1e-12);
            assert_eq!(
                stats.max[channel],
                values.iter().copied().fold(0.0, f64::max)
            );
        }
        assert!(Stats::of(&column, 32, 25).unwrap_err().contains("32 x 24"));
    }

    proptest! {
        #[test]
        fn parts_make_the_whole(values in proptest::collection::vec(-1e3..1e3_f32, 2..60), cut in 0.0..1.0_f64) {
            let cut = 1 + (cut * (values.len() - 1) as f64) as usize;
            let of = |values: &[f32]| Stats::of(&Column::F32(1, values.to_vec()), 0, 0).unwrap();
            let whole = of(&values);
            let mut parts = vec![of(&values[..cut])];
            if cut < values.len() { parts.push(of(&values[cut..])); }
            let merged = Stats::merged(parts.iter()).unwrap();
            prop_assert_eq!((merged.count, &merged.min, &merged.max), (whole.count, &whole.min, &whole.max));
            prop_assert!((merged.mean[0] - whole.mean[0]).abs() < 1e-9);
            prop_assert!((merged.std[0] - whole.std[0]).abs() < 1e-9 * (1.0 + whole.std[0]));
        }
    }
}
