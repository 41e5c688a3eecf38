//! From what a sensor or a file gives to the small RGB picture that a policy was trained on: decode, crop, resize.
//!
//! Responsible for pixels alone: colours within a level or two of plain arithmetic, a crisp downscale (every source pixel
//! counts, none is skipped), and for refusing what is not a whole picture. Not responsible for when a picture was taken,
//! nor for lens distortion.
//!
//! Work follows the cheapest order. A 4:2:2 picture that shrinks to half its width or less is averaged as it is and
//! converted when it is small, which is the same because both are linear: 640 x 480 YUYV to 64 x 64 converts 1 % of the
//! pixels. What need not be resized is converted straight into the caller's buffer.
//!
//! Resizing is `fast_image_resize`, JPEG is `zune-jpeg`: SIMD chosen at run time, no C. The colour conversion is own
//! code, made for several instruction sets by `multiversion`: the crate `yuv` would do the same, for one to two minutes
//! of every cold build.
//!
//! Allocation: once everything has its size, raw formats without resizing allocate nothing. A resize allocates its tables
//! of weights (kilobytes), and the JPEG decoder its own buffers, every time.

mod jpeg;
mod resize;
#[cfg(test)]
mod tests;
mod yuv;

pub use jpeg::{Unreadable, decode as decode_jpeg};
pub use yuv::Colour;

use resize::Resizer;
use serde::{Deserialize, Serialize};
use visuomotor_runtime::camera::Image;

/// How pixels lie in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// 4:2:2, bytes Y0 U Y1 V for two pixels.
    Yuyv,
    /// 4:2:2, bytes U Y0 V Y1 for two pixels.
    Uyvy,
    Rgb24,
    Grey,
    /// One JPEG a frame, with or without its Huffman tables.
    Mjpeg,
}

impl PixelFormat {
    /// 0 where a line has no fixed length.
    fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Yuyv | Self::Uyvy => 2,
            Self::Rgb24 => 3,
            Self::Grey => 1,
            Self::Mjpeg => 0,
        }
    }
}

/// The part of the sensor's picture that is used, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    pub format: PixelFormat,
    pub size_px: [u32; 2],
    /// At least what the pixels need; not looked at for JPEG.
    pub bytes_per_line: u32,
    /// Of YUV formats.
    pub colour: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    #[error("a picture of {0} x {1} pixels: each side must have 1 to {MAX} of them", MAX = SIDE_MAX)]
    Size(u32, u32),
    #[error("lines of {got} bytes, but their pixels need {needed}")]
    Lines { got: u32, needed: usize },
    #[error(
        "the crop {width} x {height} at ({x}, {y}) does not lie in the picture of {picture_width} x {picture_height}",
        x = crop.x, y = crop.y, width = crop.width, height = crop.height,
        picture_width = size[0], picture_height = size[1]
    )]
    Crop { crop: Crop, size: [u32; 2] },
}

/// No camera has more, and all sizes in bytes stay within 32 bits.
pub(crate) const SIDE_MAX: u32 = 8192;

/// Converts the pictures of one source.
pub struct Converter {
    source: Source,
    crop: Crop,
    output_px: [u32; 2],
    /// The whole source as RGB, where it has to be made before it is resized.
    whole: Vec<u8>,
    /// A 4:2:2 picture that was resized as such.
    small: Vec<u8>,
    jpeg: Vec<u8>,
    resizer: Resizer,
}

impl Converter {
    /// Without `crop` all of the picture is used; without `output_px` it keeps its size.
    pub fn new(
        source: Source,
        crop: Option<Crop>,
        output_px: Option<[u32; 2]>,
    ) -> Result<Self, PictureError> {
        let [width, height] = source.size_px;
        let whole = Crop {
            x: 0,
            y: 0,
            width,
            height,
        };
        let crop = crop.unwrap_or(whole);
        let output_px = output_px.unwrap_or([crop.width, crop.height]);
        for [width, height] in [source.size_px, output_px] {
            if !(1..=SIDE_MAX).contains(&width) || !(1..=SIDE_MAX).contains(&height) {
                return Err(PictureError::Size(width, height));
            }
        }
        let needed = source.format.bytes_per_pixel() * width.next_multiple_of(2) as usize;
        let needed = match source.format {
            PixelFormat::Yuyv | PixelFormat::Uyvy => needed,
            other => other.bytes_per_pixel() * width as usize,
        };
        if (source.bytes_per_line as usize) < needed {
            let got = source.bytes_per_line;
            return Err(PictureError::Lines { got, needed });
        }
        let within = |from: u32, length: u32, all: u32| {
            length >= 1 && from.checked_add(length).is_some_and(|end| end <= all)
        };
        if !within(crop.x, crop.width, width) || !within(crop.y, crop.height, height) {
            let size = source.size_px;
            return Err(PictureError::Crop { crop, size });
        }
        Ok(Self {
            source,
            crop,
            output_px,
            whole: Vec::new(),
            small: Vec::new(),
            jpeg: Vec::new(),
            resizer: Resizer::default(),
        })
    }

    pub fn output_px(&self) -> [u32; 2] {
        self.output_px
    }

    /// A buffer with fewer bytes does not hold a whole picture.
    pub fn bytes_min(&self) -> usize {
        let [width, height] = self.source.size_px;
        match self.source.format {
            PixelFormat::Mjpeg => jpeg::BYTES_MIN,
            // The last line may lack its padding.
            format => {
                let line = format.bytes_per_pixel() * width as usize;
                self.source.bytes_per_line as usize * (height as usize - 1) + line
            }
        }
    }

    /// Writes the picture in `bytes` into `image`, whose buffer is reused.
    ///
    /// # Errors
    /// When `bytes` are too few or no JPEG of this size; `image` then holds nothing that may be looked at.
    pub fn convert(&mut self, bytes: &[u8], image: &mut Image) -> Result<(), Unreadable> {
        if bytes.len() < self.bytes_min() {
            return Err(Unreadable);
        }
        let [width, height] = self.output_px;
        (image.width, image.height) = (width, height);
        image.rgb.resize(3 * width as usize * height as usize, 0);
        let (source, crop) = (self.source, self.crop);
        let kept = [crop.width, crop.height] == self.output_px;
        let is_packed = matches!(source.format, PixelFormat::Yuyv | PixelFormat::Uyvy);
        let shrinks = 2 * width <= crop.width && 2 * height <= crop.height;
        if is_packed && shrinks && crop.x % 2 == 0 && crop.width % 2 == 0 {
            return self.shrink_packed(bytes, image);
        }
        if kept && source.format != PixelFormat::Mjpeg {
            lines_to_rgb(source, bytes, crop, &mut image.rgb);
            return Ok(());
        }
        let all = Crop {
            x: 0,
            y: 0,
            width: source.size_px[0],
            height: source.size_px[1],
        };
        if source.format == PixelFormat::Mjpeg && kept && crop == all {
            return jpeg::decode_frame(bytes, source.size_px, &mut self.jpeg, &mut image.rgb);
        }
        // Of raw formats only the crop is made, of JPEG there is nothing but all.
        let made = match source.format {
            PixelFormat::Mjpeg => all,
            _ => crop,
        };
        self.whole
            .resize(3 * made.width as usize * made.height as usize, 0);
        match source.format {
            PixelFormat::Mjpeg => {
                jpeg::decode_frame(bytes, source.size_px, &mut self.jpeg, &mut self.whole)?
            }
            _ => lines_to_rgb(source, bytes, crop, &mut self.whole),
        }
        let within = Crop {
            x: crop.x - made.x,
            y: crop.y - made.y,
            ..crop
        };
        if kept {
            copy_crop(&self.whole, made.width, within, &mut image.rgb);
            return Ok(());
        }
        let from = ([made.width, made.height], within);
        self.resizer
            .rgb(&self.whole, from, &mut image.rgb, self.output_px)
    }

    /// Averages pairs of 4:2:2 pixels as pixels of four channels, and converts what comes out.
    fn shrink_packed(&mut self, bytes: &[u8], image: &mut Image) -> Result<(), Unreadable> {
        let (source, crop) = (self.source, self.crop);
        let [width, height] = self.output_px;
        self.small.resize(4 * width as usize * height as usize, 0);
        let line = source.bytes_per_line as usize;
        // The resizer wants whole lines of whole pairs.
        let lines = source.size_px[1] as usize;
        let pairs = match line.is_multiple_of(4) && bytes.len() >= line * lines {
            true => (&bytes[..line * lines], line as u32 / 4),
            false => {
                let used = 2 * source.size_px[0].next_multiple_of(2) as usize;
                self.whole.clear();
                for line in bytes.chunks(line).take(lines) {
                    self.whole.extend_from_slice(&line[..used.min(line.len())]);
                }
                self.whole.resize(used * lines, 0);
                (&self.whole[..], used as u32 / 4)
            }
        };
        let within = Crop {
            x: crop.x / 2,
            width: crop.width / 2,
            ..crop
        };
        let from = ([pairs.1, source.size_px[1]], within);
        self.resizer
            .pairs(pairs.0, from, &mut self.small, self.output_px)?;
        yuv::averaged_pairs(source.format, source.colour, &self.small, &mut image.rgb);
        Ok(())
    }
}

/// The crop of a raw picture of which every line is there.
fn lines_to_rgb(source: Source, bytes: &[u8], crop: Crop, rgb: &mut [u8]) {
    let per_pixel = source.format.bytes_per_pixel();
    // 4:2:2 comes in pairs.
    let skipped = match source.format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => crop.x as usize % 2,
        _ => 0,
    };
    let start = per_pixel * (crop.x as usize - skipped);
    let lines = bytes
        .chunks(source.bytes_per_line as usize)
        .skip(crop.y as usize);
    for (line, rgb) in lines.zip(rgb.chunks_exact_mut(3 * crop.width as usize)) {
        let line = &line[start..];
        match source.format {
            PixelFormat::Rgb24 => rgb.copy_from_slice(&line[..rgb.len()]),
            PixelFormat::Grey => {
                for (pixel, &grey) in rgb.as_chunks_mut().0.iter_mut().zip(line) {
                    *pixel = [grey; 3];
                }
            }
            PixelFormat::Yuyv => yuv::yuyv_line(line, skipped, rgb, source.colour),
            PixelFormat::Uyvy => yuv::uyvy_line(line, skipped, rgb, source.colour),
            PixelFormat::Mjpeg => {}
        }
    }
}

fn copy_crop(rgb: &[u8], width: u32, crop: Crop, out: &mut [u8]) {
    let lines = rgb.chunks_exact(3 * width as usize).skip(crop.y as usize);
    let used = 3 * crop.width as usize;
    for (line, out) in lines.zip(out.chunks_exact_mut(used)) {
        out.copy_from_slice(&line[3 * crop.x as usize..][..used]);
    }
}

/// Resizes whole RGB pictures of files, whatever their size: area-averaging, `image` is replaced.
pub fn fit(
    rgb: &[u8],
    size_px: [u32; 2],
    crop: Option<Crop>,
    output_px: [u32; 2],
    image: &mut Image,
) -> Result<(), PictureError> {
    let source = Source {
        format: PixelFormat::Rgb24,
        size_px,
        bytes_per_line: 3 * size_px[0],
        colour: Colour::default(),
    };
    let size = PictureError::Size(size_px[0], size_px[1]);
    let mut converter = Converter::new(source, crop, Some(output_px))?;
    converter.convert(rgb, image).map_err(|Unreadable| size)
}
