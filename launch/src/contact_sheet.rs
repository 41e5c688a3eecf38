//! Failures at a glance: one film strip per episode, stacked into one PNG.
//!
//! Strips are files of their own at first, because the episodes run in several processes.

use crate::drawing::{GLYPH_HEIGHT_PX, blank, paste, write_text};
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;
use visuomotor_runtime::camera::Image;

const TILES: usize = 8;
const GAP_PX: u32 = 2;
const TEXT_SIZE_PX: u32 = 2;
const BACKGROUND: u8 = 24;
const TEXT_COLOUR: [u8; 3] = [255, 220, 120];

/// At most eight frames of an episode side by side, the first and the last among them, under a caption.
pub fn strip(frames: &[Image], caption: &str) -> Image {
    let tiles = frames.len().clamp(1, TILES);
    let width_px = frames.first().map_or(80, |f| f.width);
    let height_px = frames.first().map_or(80, |f| f.height);
    let top = GLYPH_HEIGHT_PX * TEXT_SIZE_PX + 2 * GAP_PX;
    let width = TILES as u32 * (width_px + GAP_PX) + GAP_PX;
    let mut strip = blank(width, top + height_px + GAP_PX, BACKGROUND);
    write_text(
        &mut strip,
        caption,
        GAP_PX,
        GAP_PX,
        TEXT_SIZE_PX,
        TEXT_COLOUR,
    );
    for tile in 0..tiles {
        let index = tile * frames.len().saturating_sub(1) / (tiles - 1).max(1);
        if let Some(frame) = frames.get(index) {
            paste(
                &mut strip,
                frame,
                GAP_PX + tile as u32 * (width_px + GAP_PX),
                top,
            );
        }
    }
    strip
}

/// Strips one above the other.
pub fn sheet(strips: &[Image]) -> Image {
    let width = strips.iter().map(|s| s.width).max().unwrap_or(1);
    let height = strips.iter().map(|s| s.height).sum::<u32>().max(1);
    let mut sheet = blank(width, height, BACKGROUND);
    let mut top = 0;
    for strip in strips {
        paste(&mut sheet, strip, 0, top);
        top += strip.height;
    }
    sheet
}

pub fn write_png(path: &Path, image: &Image) -> io::Result<()> {
    let mut encoder = png::Encoder::new(
        BufWriter::new(File::create(path)?),
        image.width,
        image.height,
    );
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.rgb)?;
    Ok(writer.finish()?)
}

/// Reads a PNG that [`write_png`] wrote.
pub fn read_png(path: &Path) -> io::Result<Image> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let (width, height) = (reader.info().width, reader.info().height);
    let mut image = blank(width, height, 0);
    if reader.output_buffer_size() != Some(image.rgb.len()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not an 8-bit RGB image",
        ));
    }
    reader.next_frame(&mut image.rgb)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: u8) -> Vec<Image> {
        (0..count).map(|i| blank(10, 10, 100 + i)).collect()
    }

    fn greys(strip: &Image) -> Vec<u8> {
        let middle = 3 * (strip.width * (strip.height - 5)) as usize;
        let tiles = (0..TILES).map(|t| middle + 3 * (GAP_PX as usize + t * 12 + 5));
        tiles.map(|at| strip.rgb[at]).collect()
    }

    #[test]
    fn strip_shows_first_and_last_frame() {
        assert_eq!(
            greys(&strip(&frames(25), "x")),
            [100, 103, 106, 110, 113, 117, 120, 124]
        );
        let three = greys(&strip(&frames(3), "x"));
        assert_eq!(three, [100, 101, 102, 24, 24, 24, 24, 24]);
    }

    #[test]
    fn any_number_of_frames_makes_a_strip() {
        for count in 0..12 {
            let strip = strip(&frames(count), "seed 7 dropped");
            assert_eq!(strip.rgb.len(), 3 * (strip.width * strip.height) as usize);
        }
        assert_eq!(sheet(&[]).rgb.len(), 3);
    }

    #[test]
    fn sheet_stacks_strips_and_survives_the_png() {
        let strips = [strip(&frames(4), "a"), strip(&frames(9), "b")];
        let sheet = sheet(&strips);
        assert_eq!(sheet.height, strips[0].height + strips[1].height);
        let path =
            std::env::temp_dir().join(format!("visuomotor-sheet-{}.png", std::process::id()));
        write_png(&path, &sheet).unwrap();
        assert_eq!(read_png(&path).unwrap(), sheet);
        std::fs::remove_file(path).unwrap();
    }
}
