//! Recorded pictures as pixels again: JPEG and PNG.
//!
//! Not responsible for which picture is which.

use std::io::Cursor;
use visuomotor_runtime::camera::Image;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// A picture has at most so many pixels a side; a damaged one must not ask for all the memory there is.
const SIDE_PX_MAX: usize = 1 << 14;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the picture is unreadable: {0}")]
pub struct PictureError(String);

pub fn decode_jpeg(bytes: &[u8]) -> Result<Image, PictureError> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(SIDE_PX_MAX)
        .set_max_height(SIDE_PX_MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let unreadable = |error: zune_jpeg::errors::DecodeErrors| PictureError(error.to_string());
    let rgb = decoder.decode().map_err(unreadable)?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| PictureError("it has no size".to_owned()))?;
    Ok(Image {
        width: width as u32,
        height: height as u32,
        rgb,
    })
}

/// 8 bit a channel, RGB without transparency, which is what episodes have.
pub fn decode_png(bytes: &[u8]) -> Result<Image, PictureError> {
    let unreadable = |error: png::DecodingError| PictureError(error.to_string());
    let mut reader = png::Decoder::new(Cursor::new(bytes))
        .read_info()
        .map_err(unreadable)?;
    let info = reader.info();
    let (width, height) = (info.width, info.height);
    if width.max(height) as usize > SIDE_PX_MAX
        || (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight)
    {
        return Err(PictureError(
            "it is no 8 bit RGB of a usual size".to_owned(),
        ));
    }
    let mut rgb = vec![0; 3 * width as usize * height as usize];
    reader.next_frame(&mut rgb).map_err(unreadable)?;
    Ok(Image { width, height, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::{self, Stage};
    use crate::timeline::Timeline;

    #[test]
    fn what_was_recorded_comes_back_exactly_as_png_and_nearly_as_jpeg() {
        let timeline = Timeline::read(Cursor::new(Stage::default().file())).unwrap();
        for (k, (frame, observed)) in timeline.frames.iter().zip(&timeline.observed).enumerate() {
            let exact = decode_png(&observed.png).unwrap();
            assert_eq!(exact, staged::picture(k as u64));
            let near = decode_jpeg(&frame.jpeg).unwrap();
            assert_eq!((near.width, near.height), (exact.width, exact.height));
            let difference = near
                .rgb
                .iter()
                .zip(&exact.rgb)
                .map(|(&a, &b)| a.abs_diff(b));
            assert!(difference.max().unwrap() < 60);
        }
    }

    #[test]
    fn damaged_pictures_are_errors() {
        let timeline = Timeline::read(Cursor::new(Stage::default().file())).unwrap();
        let (jpeg, png) = (&timeline.frames[0].jpeg, &timeline.observed[0].png);
        for cut in [0, 1, 20, png.len() / 2] {
            assert!(decode_png(&png[..cut]).is_err(), "{cut}");
        }
        for cut in [0, 1, 20] {
            assert!(decode_jpeg(&jpeg[..cut]).is_err(), "{cut}");
        }
        assert!(decode_png(jpeg).is_err() && decode_jpeg(png).is_err());
    }
}
