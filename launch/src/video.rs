//! An episode as an animated GIF, as the policy saw it.

use crate::drawing::enlarge;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use visuomotor_runtime::camera::Image;

/// Longest side of the video; small frames are enlarged by a whole factor up to it.
const SIDE_PX: u32 = 320;
const LAST_FRAME_MS: u32 = 1500;
/// From 1 (best palette) to 30 (fastest).
const PALETTE_SPEED: i32 = 5;

/// Writes the frames, `period_ms` apart, as an endless GIF; each frame has its own palette. No frames, no file.
pub fn write_gif(path: &Path, frames: &[Image], period_ms: u32) -> io::Result<()> {
    let Some(first) = frames.first() else {
        return Ok(());
    };
    let times = (SIDE_PX / first.width.max(first.height).max(1)).max(1);
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "frame too large for a GIF");
    let width = u16::try_from(first.width * times).map_err(too_large)?;
    let height = u16::try_from(first.height * times).map_err(too_large)?;
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = gif::Encoder::new(file, width, height, &[]).map_err(io::Error::other)?;
    encoder
        .set_repeat(gif::Repeat::Infinite)
        .map_err(io::Error::other)?;
    for (index, image) in frames.iter().enumerate() {
        let rgb = enlarge(image, times).rgb;
        if rgb.len() != 3 * usize::from(width) * usize::from(height) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "frames of different sizes",
            ));
        }
        let mut frame = gif::Frame::from_rgb_speed(width, height, &rgb, PALETTE_SPEED);
        let shown_ms = if index + 1 == frames.len() {
            LAST_FRAME_MS
        } else {
            period_ms
        };
        frame.delay = u16::try_from(shown_ms / 10).unwrap_or(u16::MAX);
        encoder.write_frame(&frame).map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::blank;

    #[test]
    fn gif_has_every_frame_in_its_colours() {
        let path = std::env::temp_dir().join(format!("visuomotor-{}.gif", std::process::id()));
        write_gif(&path, &[blank(80, 80, 10), blank(80, 80, 200)], 250).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(File::open(&path).unwrap()).unwrap();
        let mut seen = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            seen.push((
                frame.width,
                frame.height,
                frame.delay,
                frame.buffer[0].div_ceil(10),
            ));
        }
        assert_eq!(seen, [(320, 320, 25, 1), (320, 320, 150, 20)]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn frames_of_different_sizes_are_an_error_and_none_is_fine() {
        let path = std::env::temp_dir().join(format!("visuomotor-bad-{}.gif", std::process::id()));
        assert!(write_gif(&path, &[blank(8, 8, 1), blank(9, 8, 1)], 250).is_err());
        std::fs::remove_file(path).unwrap();
        write_gif(Path::new("/nonexistent/x.gif"), &[], 250).unwrap();
    }
}
