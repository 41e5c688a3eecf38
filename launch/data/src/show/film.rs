//! The film strip: every picture begins where it was captured on the time line.
//!
//! Not responsible for the recorded pictures themselves; large ones are made smaller here.

use super::timescale::TimeScale;
use crate::markup::{Coordinate, Text};
use crate::picture;
use crate::timeline::Timeline;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{self, Write};
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::episode::FrameRecord;

/// So many pictures stand in the strip; the others show under the cursor.
const SHOWN_MAX: usize = 24;
/// Of these, so many stand where there is little room.
const ALWAYS_EVERY: usize = 4;
const PICTURES_MAX: usize = 160;
const SIDE_PX_MAX: u32 = 160;
/// Of all pictures together.
const BYTES_MAX: usize = 900_000;
const QUALITY: u8 = 80;

pub fn write(timeline: &Timeline, scale: &TimeScale, page: &mut String) -> fmt::Result {
    let frames = pictures(&timeline.frames);
    if frames.is_empty() {
        return writeln!(page, "<p class=\"none\">No pictures were recorded.</p>");
    }
    writeln!(
        page,
        "<section class=\"film\"><h3>camera <small>each picture begins when it was captured</small></h3><div class=\"box\">"
    )?;
    let every = frames.len().div_ceil(SHOWN_MAX);
    for (k, (frame, jpeg)) in frames.iter().enumerate() {
        let at = timeline.seconds(frame.captured_at);
        let class = match k % every {
            0 if (k / every).is_multiple_of(ALWAYS_EVERY) => "shown always",
            0 => "shown",
            _ => "hidden",
        };
        writeln!(
            page,
            "<img class=\"{class}\" style=\"left:{}%\" data-s=\"{at:.4}\" alt=\"{}\" title=\"{}\" src=\"data:image/jpeg;base64,{}\"/>",
            Coordinate(scale.column(at) / 10.0),
            Text(format_args!("{at:.2} s")),
            Text(format_args!(
                "frame {} captured at {at:.3} s",
                frame.sequence
            )),
            STANDARD.encode(jpeg)
        )?;
    }
    writeln!(page, "</div></section>")
}

/// Evenly chosen, first and last among them, small enough all together.
fn pictures(frames: &[FrameRecord]) -> Vec<(&FrameRecord, Vec<u8>)> {
    let choose = |count: usize| {
        let count = count.min(frames.len());
        (0..count).filter_map(move |k| frames.get(k * (frames.len() - 1) / (count - 1).max(1)))
    };
    let mut chosen: Vec<_> = choose(PICTURES_MAX)
        .map(|frame| (frame, small(&frame.jpeg)))
        .collect();
    let bytes: usize = chosen.iter().map(|(_, jpeg)| jpeg.len()).sum();
    if bytes > BYTES_MAX {
        let count = (chosen.len() * BYTES_MAX / bytes).max(SHOWN_MAX);
        chosen = choose(count)
            .map(|frame| (frame, small(&frame.jpeg)))
            .collect();
    }
    chosen
}

/// As it was recorded where that is small, or unreadable.
fn small(jpeg: &[u8]) -> Vec<u8> {
    let shrunk = picture::decode_jpeg(jpeg).ok().and_then(|image| {
        let times = image.width.max(image.height).div_ceil(SIDE_PX_MAX);
        if times < 2 {
            return None;
        }
        let image = shrink(&image, times);
        let (width, height) = (
            u16::try_from(image.width).ok()?,
            u16::try_from(image.height).ok()?,
        );
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, QUALITY);
        let done = encoder.encode(&image.rgb, width, height, jpeg_encoder::ColorType::Rgb);
        done.ok().map(|()| bytes)
    });
    shrunk.unwrap_or_else(|| jpeg.to_vec())
}

/// Each pixel is the mean of a square of `times` x `times`.
fn shrink(image: &Image, times: u32) -> Image {
    let (width, height) = ((image.width / times).max(1), (image.height / times).max(1));
    let mut rgb = Vec::with_capacity(3 * (width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let (mut sum, mut count) = (0, 0);
                for row in (y * times)..((y + 1) * times).min(image.height) {
                    for column in (x * times)..((x + 1) * times).min(image.width) {
                        sum += u32::from(
                            image.rgb[3 * (row * image.width + column) as usize + channel],
                        );
                        count += 1;
                    }
                }
                rgb.push((sum / count.max(1)) as u8);
            }
        }
    }
    Image { width, height, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;
    use visuomotor_runtime::clock::Instant;

    fn frame(k: u32, jpeg: Vec<u8>) -> FrameRecord {
        FrameRecord {
            captured_at: Instant::from_ticks(u64::from(k) * 40_000_000),
            sequence: k,
            jpeg,
        }
    }

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let noise = (0..3 * u32::from(width) * u32::from(height))
            .map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8);
        let rgb: Vec<u8> = noise.collect();
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
        encoder
            .encode(&rgb, width, height, jpeg_encoder::ColorType::Rgb)
            .unwrap();
        bytes
    }

    #[test]
    fn many_large_pictures_become_few_small_ones_with_both_ends() {
        let large = jpeg(641, 480);
        let frames: Vec<_> = (0..300).map(|k| frame(k, large.clone())).collect();
        let chosen = pictures(&frames);
        assert!(chosen.len() >= SHOWN_MAX);
        assert!(chosen.iter().map(|(_, jpeg)| jpeg.len()).sum::<usize>() <= BYTES_MAX);
        let ends = (chosen[0].0.sequence, chosen[chosen.len() - 1].0.sequence);
        assert_eq!(ends, (0, 299));
        let image = picture::decode_jpeg(&chosen[0].1).unwrap();
        assert_eq!((image.width, image.height), (128, 96));
    }

    #[test]
    fn small_and_unreadable_pictures_stay_as_they_are() {
        let small = jpeg(64, 48);
        let frames = [frame(0, small.clone()), frame(1, vec![1, 2, 3])];
        let chosen = pictures(&frames);
        assert_eq!(
            chosen
                .iter()
                .map(|(_, jpeg)| jpeg.clone())
                .collect::<Vec<_>>(),
            [small, vec![1, 2, 3]]
        );
        assert!(pictures(&[]).is_empty());
        assert_eq!(pictures(&frames[..1]).len(), 1);
    }
}
