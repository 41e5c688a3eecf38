//! Against plain arithmetic in floating point, pixel by pixel.

use super::*;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = rng(seed);
    (0..bytes).map(|_| rng.random()).collect()
}

fn source(format: PixelFormat, size_px: [u32; 2], padding: u32) -> Source {
    Source {
        format,
        size_px,
        bytes_per_line: format.bytes_per_pixel() as u32 * size_px[0].next_multiple_of(2) + padding,
        colour: Colour::default(),
    }
}

/// ITU-R BT.601 and BT.709 as they are written.
fn rgb_of(y: f64, u: f64, v: f64, colour: Colour) -> [f64; 3] {
    let (kr, kb) = match colour.bt709 {
        true => (0.2126, 0.0722),
        false => (0.299, 0.114),
    };
    let (y, u, v) = match colour.full_range {
        true => (y, u - 128.0, v - 128.0),
        false => {
            let chroma = 255.0 / 224.0;
            (
                (y - 16.0) * 255.0 / 219.0,
                (u - 128.0) * chroma,
                (v - 128.0) * chroma,
            )
        }
    };
    let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
    let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
    [r, g, b].map(|level| level.clamp(0.0, 255.0))
}

/// Y, U, V of one pixel.
fn yuv_at(source: &Source, bytes: &[u8], x: u32, y: u32) -> [f64; 3] {
    let pair = &bytes[(y * source.bytes_per_line + x / 2 * 4) as usize..][..4];
    let odd = x as usize % 2;
    let [y, u, v] = match source.format {
        PixelFormat::Yuyv => [pair[2 * odd], pair[1], pair[3]],
        _ => [pair[1 + 2 * odd], pair[0], pair[2]],
    };
    [y, u, v].map(f64::from)
}

fn assert_close(got: u8, expected: f64, levels: f64, what: &str) {
    let off = (f64::from(got) - expected).abs();
    assert!(off <= levels, "{what}: {got} instead of {expected}");
}

#[test]
fn colours_are_those_of_the_standards() {
    for (format, bt709, full_range) in [
        (PixelFormat::Yuyv, false, false),
        (PixelFormat::Yuyv, true, true),
        (PixelFormat::Uyvy, false, true),
        (PixelFormat::Uyvy, true, false),
    ] {
        let colour = Colour { bt709, full_range };
        // An odd width, an odd crop, padded lines.
        for (width, padding, x) in [(64, 0, 0), (63, 12, 0), (61, 2, 7), (33, 0, 32)] {
            let size_px = [width, 9];
            let source = Source {
                colour,
                ..source(format, size_px, padding)
            };
            let crop = Crop {
                x,
                y: 2,
                width: width - x,
                height: 6,
            };
            let bytes = noise((source.bytes_per_line * 9) as usize, width.into());
            let mut image = Image::default();
            let mut converter = Converter::new(source, Some(crop), None).unwrap();
            converter.convert(&bytes, &mut image).unwrap();
            assert_eq!((image.width, image.height), (crop.width, crop.height));
            for (i, pixel) in (0..).zip(image.rgb.chunks(3)) {
                let (px, py) = (crop.x + i % crop.width, crop.y + i / crop.width);
                let [y, u, v] = yuv_at(&source, &bytes, px, py);
                let expected = rgb_of(y, u, v, colour);
                for (&got, expected) in pixel.iter().zip(expected) {
                    assert_close(
                        got,
                        expected,
                        1.0,
                        &format!("{format:?} {colour:?} {px} {py}"),
                    );
                }
            }
        }
    }
}

/// Weights of the source pixels in each pixel of the output, along one side.
fn weights(from: u32, crop: u32, out: u32, bilinear: bool) -> Vec<Vec<(u32, f64)>> {
    let ratio = f64::from(crop) / f64::from(out);
    let support = if bilinear {
        ratio.max(1.0)
    } else {
        ratio / 2.0
    };
    let of = |pixel: u32| {
        let centre = (f64::from(pixel) + 0.5) * ratio;
        let weight = |x: u32| {
            let distance = (f64::from(x) + 0.5 - centre) / support;
            match bilinear {
                true => (1.0 - distance.abs()).max(0.0),
                false => f64::from(distance > -1.0 && distance <= 1.0),
            }
        };
        let weighted: Vec<_> = (0..crop).map(|x| (from + x, weight(x))).collect();
        let sum: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let used = weighted.into_iter().filter(|(_, weight)| *weight > 0.0);
        used.map(|(x, weight)| (x, weight / sum)).collect()
    };
    (0..out).map(of).collect()
}

fn averaged<const N: usize>(
    columns: &[(u32, f64)],
    lines: &[(u32, f64)],
    at: impl Fn(u32, u32) -> [f64; N],
) -> [f64; N] {
    let mut sum = [0.0; N];
    for (y, of_line) in lines {
        for (x, of_column) in columns {
            let values = at(*x, *y);
            (0..N).for_each(|i| sum[i] += values[i] * of_line * of_column);
        }
    }
    sum
}

#[test]
fn shrinking_averages_every_pixel_once() {
    let size_px = [160, 120];
    let whole = Crop {
        x: 0,
        y: 0,
        width: 160,
        height: 120,
    };
    let middle = Crop {
        x: 20,
        y: 3,
        width: 117,
        height: 117,
    };
    let even = Crop {
        x: 20,
        y: 0,
        width: 120,
        height: 120,
    };
    for format in [PixelFormat::Rgb24, PixelFormat::Yuyv, PixelFormat::Uyvy] {
        for (crop, output_px, bilinear) in [
            (whole, [16, 12], false),
            (even, [20, 20], false),
            (even, [16, 16], false),
            (middle, [39, 13], false),
            (whole, [100, 100], true),
            (middle, [128, 128], true),
        ] {
            for padding in [0, 8, 2] {
                let source = source(format, size_px, padding);
                let bytes = noise((source.bytes_per_line * 120) as usize, 5);
                let mut converter = Converter::new(source, Some(crop), Some(output_px)).unwrap();
                let mut image = Image::default();
                converter.convert(&bytes, &mut image).unwrap();
                let columns = weights(crop.x, crop.width, output_px[0], bilinear);
                let lines = weights(crop.y, crop.height, output_px[1], bilinear);
                // An average of YUV is not clamped on the way.
                let is_yuv = format != PixelFormat::Rgb24;
                let packed = is_yuv && !bilinear && crop != middle;
                let mut off = 0.0;
                for (i, pixel) in image.rgb.chunks(3).enumerate() {
                    let (column, line) = (i % output_px[0] as usize, i / output_px[0] as usize);
                    let (column, line) = (&columns[column], &lines[line]);
                    let expected = match (is_yuv, packed) {
                        (false, _) => averaged(column, line, |x, y| {
                            let at = (y * source.bytes_per_line + 3 * x) as usize;
                            [0, 1, 2].map(|channel| f64::from(bytes[at + channel]))
                        }),
                        (_, true) => {
                            // Whole pairs are averaged: with 7.5 columns a pixel the border falls between pairs.
                            let pairs = weights(crop.x / 2, crop.width / 2, output_px[0], false);
                            let column: Vec<_> = pairs[i % output_px[0] as usize]
                                .iter()
                                .flat_map(|&(x, weight)| {
                                    [(2 * x, weight / 2.0), (2 * x + 1, weight / 2.0)]
                                })
                                .collect();
                            let at = |x, y| yuv_at(&source, &bytes, x, y);
                            let [y, u, v] = averaged(&column, line, at);
                            rgb_of(y, u, v, source.colour)
                        }
                        _ => averaged(column, line, |x, y| {
                            let [y, u, v] = yuv_at(&source, &bytes, x, y);
                            rgb_of(y, u, v, source.colour)
                        }),
                    };
                    for (&got, expected) in pixel.iter().zip(expected) {
                        let what = format!("{format:?} {crop:?} {output_px:?} {padding} pixel {i}");
                        off += (f64::from(got) - expected).abs();
                        assert_close(got, expected, if is_yuv { 3.0 } else { 1.5 }, &what);
                    }
                }
                assert!(
                    off <= image.rgb.len() as f64,
                    "{format:?} {crop:?}: more than a level off in the mean"
                );
            }
        }
    }
}

#[test]
fn grey_and_rgb_come_through_as_they_are() {
    let size_px = [6, 4];
    let grey = Source {
        bytes_per_line: 7,
        ..source(PixelFormat::Grey, size_px, 0)
    };
    let bytes = noise(28, 1);
    let mut image = Image::default();
    Converter::new(grey, None, None)
        .unwrap()
        .convert(&bytes, &mut image)
        .unwrap();
    assert_eq!(image.rgb[3 * 6..][..3], [bytes[7]; 3]);
    let rgb = source(PixelFormat::Rgb24, size_px, 0);
    let bytes = noise(72, 1);
    let pointer = image.rgb.as_ptr();
    let mut converter = Converter::new(rgb, None, None).unwrap();
    converter.convert(&bytes, &mut image).unwrap();
    assert!(image.rgb == bytes && image.rgb.as_ptr() == pointer);
}

#[test]
fn what_cannot_be_converted_is_refused() {
    let yuyv = source(PixelFormat::Yuyv, [8, 4], 0);
    let crop = |x, width| {
        Some(Crop {
            x,
            y: 0,
            width,
            height: 1,
        })
    };
    for refused in [
        Converter::new(
            Source {
                size_px: [0, 4],
                ..yuyv
            },
            None,
            None,
        ),
        Converter::new(yuyv, None, Some([8193, 4])),
        Converter::new(
            Source {
                bytes_per_line: 15,
                ..yuyv
            },
            None,
            None,
        ),
        Converter::new(yuyv, crop(4, 5), None),
        Converter::new(yuyv, crop(u32::MAX, 2), None),
        Converter::new(yuyv, crop(0, 0), None),
    ] {
        assert!(refused.is_err());
    }
    let mut converter = Converter::new(yuyv, None, Some([2, 2])).unwrap();
    let mut image = Image::default();
    assert_eq!(converter.convert(&[0; 63], &mut image), Err(Unreadable));
    assert_eq!(converter.convert(&[0; 64], &mut image), Ok(()));
}

/// Smooth, so that JPEG changes little, with all colours.
fn smooth([width, height]: [u32; 2]) -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (f64::from(i % width), f64::from(i / width));
        let (across, down) = (x / f64::from(width), y / f64::from(height));
        [across, down, 1.0 - across].map(|level| (20.0 + 215.0 * level) as u8)
    };
    (0..width * height).flat_map(pixel).collect()
}

/// A frame as USB cameras send it: 4:2:2, without the segments that `left_out` lists.
fn frame(size_px: [u32; 2], sampling: SamplingFactor, left_out: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 95);
    encoder.set_sampling_factor(sampling);
    let [width, height] = size_px.map(|side| side as u16);
    encoder
        .encode(&smooth(size_px), width, height, ColorType::Rgb)
        .unwrap();
    let mut frame = file[..2].to_vec();
    let mut at = 2;
    while file[at + 1] != 0xda {
        let next = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        if !left_out.contains(&file[at + 1]) {
            frame.extend_from_slice(&file[at..next]);
        }
        at = next;
    }
    frame.extend_from_slice(&file[at..]);
    frame
}

#[test]
fn jpeg_frames_decode_with_and_without_their_tables() {
    let size_px = [96, 64];
    let mjpeg = source(PixelFormat::Mjpeg, size_px, 0);
    let expected = smooth(size_px);
    for sampling in [
        SamplingFactor::R_4_4_4,
        SamplingFactor::R_4_2_2,
        SamplingFactor::R_4_2_0,
    ] {
        let whole = frame(size_px, sampling, &[]);
        let bare = frame(size_px, sampling, &[0xc4]);
        assert!(bare.len() + 400 < whole.len());
        let mut padded = bare.clone();
        padded.resize(whole.len() + 1000, 0);
        let decoded = [whole, bare, padded].map(|bytes| {
            let mut image = Image::default();
            let mut converter = Converter::new(mjpeg, None, None).unwrap();
            converter.convert(&bytes, &mut image).unwrap();
            image.rgb
        });
        assert!(decoded[0] == decoded[1] && decoded[0] == decoded[2]);
        for (&got, &expected) in decoded[0].iter().zip(&expected) {
            assert_close(got, expected.into(), 8.0, &format!("{sampling:?}"));
        }
        let off = decoded[0]
            .iter()
            .zip(&expected)
            .map(|(a, b)| u32::from(a.abs_diff(*b)));
        assert!(
            off.sum::<u32>() as usize <= 2 * expected.len(),
            "{sampling:?}: more than two levels off in the mean"
        );
    }
}

#[test]
fn a_jpeg_that_is_cut_off_is_refused_wherever_the_cut_is() {
    let size_px = [96, 64];
    let mjpeg = source(PixelFormat::Mjpeg, size_px, 0);
    let whole = frame(size_px, SamplingFactor::R_4_2_2, &[0xc4]);
    let mut converter = Converter::new(mjpeg, None, Some([48, 32])).unwrap();
    let mut image = Image::default();
    converter.convert(&whole, &mut image).unwrap();
    for kept in 0..whole.len() - 1 {
        let refused = converter.convert(&whole[..kept], &mut image);
        assert_eq!(refused, Err(Unreadable), "{kept}");
    }
    // Another size than was agreed on.
    let other = frame([96, 48], SamplingFactor::R_4_2_2, &[]);
    assert_eq!(converter.convert(&other, &mut image), Err(Unreadable));
    // Packets lost in the middle: what follows fills the wrong places, and the end comes too early.
    let scan = whole.len() * 2 / 3;
    let mut hole = whole[..scan].to_vec();
    hole.extend_from_slice(&whole[scan + 200..]);
    assert_eq!(converter.convert(&hole, &mut image), Err(Unreadable));
}

#[test]
fn damaged_jpeg_never_panics() {
    let size_px = [96, 64];
    let mjpeg = source(PixelFormat::Mjpeg, size_px, 0);
    let whole = frame(size_px, SamplingFactor::R_4_2_0, &[]);
    let mut converter = Converter::new(mjpeg, None, None).unwrap();
    let mut image = Image::default();
    let mut rng = rng(3);
    for _ in 0..2000 {
        let mut damaged = whole.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..damaged.len());
            damaged[at] = rng.random();
        }
        let _ = converter.convert(&damaged, &mut image);
    }
}
