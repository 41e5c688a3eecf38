//! Pictures as bytes: JPEG for everything that the camera saw, PNG for what the policy looked at, which has to come back bit
//! for bit.
//!
//! Not responsible for what is recorded when ([`super::EpisodeWriter`]), nor for reading pictures back.

use super::EpisodeError;
use crate::camera::Image;
use jpeg_encoder::ColorType;

/// Of JPEG, 1 to 100. From 90 on the colours keep their full resolution.
const JPEG_QUALITY: u8 = 90;

/// Replaces what is in `bytes`. Takes milliseconds.
pub fn jpeg(image: &Image, bytes: &mut Vec<u8>) -> Result<(), EpisodeError> {
    let (Ok(columns), Ok(rows)) = (u16::try_from(image.width), u16::try_from(image.height)) else {
        let reason = "JPEG has at most 65535 pixels a side";
        return Err(refused(image, reason.into()));
    };
    bytes.clear();
    jpeg_encoder::Encoder::new(bytes, JPEG_QUALITY)
        .encode(&image.rgb, columns, rows, ColorType::Rgb)
        .map_err(|error| refused(image, error.to_string()))
}

/// Replaces what is in `bytes`; fast rather than small.
pub fn png(image: &Image, bytes: &mut Vec<u8>) -> Result<(), EpisodeError> {
    bytes.clear();
    let mut encoder = png::Encoder::new(bytes, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fastest);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&image.rgb)?;
        writer.finish()
    });
    written.map_err(|error| refused(image, error.to_string()))
}

fn refused(image: &Image, reason: String) -> EpisodeError {
    EpisodeError::Image {
        width: image.width,
        height: image.height,
        reason,
    }
}
