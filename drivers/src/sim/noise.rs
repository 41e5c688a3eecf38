//! Cheap bell-shaped noise from raw random bits.
//!
//! Not a normal distribution: the sum of four uniform bytes (Irwin-Hall), which ends at 3.45 standard deviations.

use rand::Rng;

/// Standard deviation of the sum of four independent uniform bytes: sqrt(4 (256² - 1) / 12).
const SUM_DEVIATION: f64 = 147.8;
const SUM_MEAN: f64 = 510.0;

fn unit(bits: u32) -> f64 {
    let sum: u32 = bits.to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
    (f64::from(sum) - SUM_MEAN) / SUM_DEVIATION
}

/// One sample with mean 0 and standard deviation 1.
pub fn bell(rng: &mut impl Rng) -> f64 {
    unit(rng.next_u32())
}

/// Adds noise of standard deviation `levels` to every byte, saturating.
pub fn speckle(bytes: &mut [u8], levels: f64, rng: &mut impl Rng) {
    for byte in bytes {
        *byte = (f64::from(*byte) + levels * unit(rng.next_u32())).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn mean_and_deviation_are_those_stated() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let samples: Vec<f64> = (0..50_000).map(|_| bell(&mut rng)).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let variance =
            samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / samples.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }
}
