//! What a camera can deliver, and which of it is taken.

use crate::picture::PixelFormat;
use std::fmt;

/// Four letters, as `"YUYV"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    pub fn pixels(self) -> Option<PixelFormat> {
        Some(match &self.0 {
            b"YUYV" => PixelFormat::Yuyv,
            b"UYVY" => PixelFormat::Uyvy,
            b"RGB3" => PixelFormat::Rgb24,
            b"GREY" => PixelFormat::Grey,
            b"MJPG" | b"JPEG" => PixelFormat::Mjpeg,
            _ => return None,
        })
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |&byte: &u8| match byte.is_ascii_graphic() {
            true => char::from(byte),
            false => '.',
        };
        self.0
            .iter()
            .map(printable)
            .try_for_each(|c| write!(f, "{c}"))
    }
}

/// Sizes of one format, with the rates at each.
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    pub format: FourCc,
    pub size: Size,
    /// Frames a second; empty where the driver does not say.
    pub rates_hz: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Exactly([u32; 2]),
    /// Any from `min` on, by `step`, up to `max`; the rates are those of the largest.
    Between {
        min: [u32; 2],
        max: [u32; 2],
        step: [u32; 2],
    },
}

impl Size {
    pub fn holds(&self, size_px: [u32; 2]) -> bool {
        match *self {
            Self::Exactly(size) => size == size_px,
            Self::Between { min, max, step } => (0..2).all(|i| {
                let (side, step) = (size_px[i], step[i].max(1));
                (min[i]..=max[i]).contains(&side) && (side - min[i]).is_multiple_of(step)
            }),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format = \"{}\", size_px = ", self.format)?;
        match self.size {
            Size::Exactly([width, height]) => write!(f, "[{width}, {height}]")?,
            Size::Between { min, max, step } => write!(f, "{min:?} to {max:?} by {step:?}")?,
        }
        write!(f, ", rate_hz = ")?;
        match &self.rates_hz[..] {
            [] => write!(f, "not told")?,
            rates => {
                for (i, rate) in rates.iter().enumerate() {
                    let separator = if i == 0 { "" } else { " | " };
                    write!(f, "{separator}{}", (rate * 100.0).round() / 100.0)?;
                }
            }
        }
        match self.format.pixels() {
            Some(_) => Ok(()),
            None => write!(f, " (not supported)"),
        }
    }
}

/// 30 is said of 30000/1001.
const RATE_TOLERANCE: f64 = 0.01;

fn has_rate(mode: &Mode, rate_hz: f64) -> bool {
    let close = |rate: &f64| (rate - rate_hz).abs() <= RATE_TOLERANCE * rate_hz;
    mode.rates_hz.is_empty() || mode.rates_hz.iter().any(close)
}

/// The format to ask for: the wanted one, else uncompressed where the camera has the rate, else JPEG.
pub fn choose(
    modes: &[Mode],
    format: Option<&str>,
    size_px: [u32; 2],
    rate_hz: f64,
) -> Option<FourCc> {
    let fits = |mode: &&Mode| {
        let wanted = format.is_none_or(|format| format.as_bytes() == mode.format.0);
        let known = mode.format.pixels().is_some();
        wanted && known && mode.size.holds(size_px) && has_rate(mode, rate_hz)
    };
    let rank = |mode: &&Mode| match mode.format.pixels() {
        Some(PixelFormat::Yuyv) => 0,
        Some(PixelFormat::Uyvy) => 1,
        Some(PixelFormat::Rgb24) => 2,
        Some(PixelFormat::Mjpeg) => 3,
        // Colours are worth a decoder.
        Some(PixelFormat::Grey) | None => 4,
    };
    Some(modes.iter().filter(fits).min_by_key(rank)?.format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(format: &[u8; 4], size: [u32; 2], rates_hz: &[f64]) -> Mode {
        Mode {
            format: FourCc(*format),
            size: Size::Exactly(size),
            rates_hz: rates_hz.to_vec(),
        }
    }

    #[test]
    fn uncompressed_is_taken_where_it_is_fast_enough() {
        let vga = [640, 480];
        let hd = [1280, 720];
        let modes = [
            mode(b"H264", hd, &[30.0]),
            mode(b"MJPG", hd, &[60.0, 30.0]),
            mode(b"MJPG", vga, &[30.0]),
            mode(b"GREY", vga, &[120.0]),
            mode(b"YUYV", hd, &[10.0]),
            mode(b"YUYV", vga, &[30_000.0 / 1001.0, 15.0]),
            Mode {
                size: Size::Between {
                    min: [16, 16],
                    max: [64, 64],
                    step: [8, 0],
                },
                ..mode(b"RGB3", vga, &[])
            },
        ];
        for (format, size_px, rate_hz, chosen) in [
            (None, vga, 30.0, Some(b"YUYV")),
            (None, hd, 30.0, Some(b"MJPG")),
            (None, hd, 10.0, Some(b"YUYV")),
            (None, vga, 120.0, Some(b"GREY")),
            (None, vga, 25.0, None),
            (Some("MJPG"), vga, 30.0, Some(b"MJPG")),
            (Some("H264"), hd, 30.0, None),
            (Some("YUYV"), [640, 481], 30.0, None),
            (None, [24, 33], 7.0, Some(b"RGB3")),
            (None, [25, 33], 7.0, None),
        ] {
            let got = choose(&modes, format, size_px, rate_hz);
            let chosen = chosen.map(|&letters| FourCc(letters));
            assert_eq!(got, chosen, "{format:?} {size_px:?} {rate_hz}");
        }
        let text = modes[5].to_string();
        assert_eq!(
            text,
            "format = \"YUYV\", size_px = [640, 480], rate_hz = 29.97 | 15"
        );
        assert!(modes[0].to_string().ends_with("(not supported)"));
    }
}
