//! Resizing by convolution: to half the size or less every source pixel is averaged once (box); else bilinear.
//!
//! Policies learn from small pictures that are rendered crisp: a filter that looks beyond the pixel's own area would blur
//! them, and one that skips pixels would make them flicker.

use super::{Crop, Unreadable};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};

#[derive(Default)]
pub struct Resizer(fast_image_resize::Resizer);

impl Resizer {
    /// `from`: size of the picture, and the part of it that is used.
    pub fn rgb(
        &mut self,
        pixels: &[u8],
        from: ([u32; 2], Crop),
        out: &mut [u8],
        size_px: [u32; 2],
    ) -> Result<(), Unreadable> {
        self.resize(PixelType::U8x3, pixels, from, out, size_px)
    }

    /// Pixels of four channels.
    pub fn pairs(
        &mut self,
        pixels: &[u8],
        from: ([u32; 2], Crop),
        out: &mut [u8],
        size_px: [u32; 2],
    ) -> Result<(), Unreadable> {
        self.resize(PixelType::U8x4, pixels, from, out, size_px)
    }

    fn resize(
        &mut self,
        channels: PixelType,
        pixels: &[u8],
        ([width, height], crop): ([u32; 2], Crop),
        out: &mut [u8],
        [out_width, out_height]: [u32; 2],
    ) -> Result<(), Unreadable> {
        let shrinks = crop.width >= 2 * out_width && crop.height >= 2 * out_height;
        // Pairs of pixels have half their width already.
        let filter = match shrinks || channels == PixelType::U8x4 {
            true => FilterType::Box,
            false => FilterType::Bilinear,
        };
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(filter))
            .use_alpha(false)
            .crop(
                crop.x.into(),
                crop.y.into(),
                crop.width.into(),
                crop.height.into(),
            );
        let from = ImageRef::new(width, height, pixels, channels).map_err(|_| Unreadable)?;
        let to = Image::from_slice_u8(out_width, out_height, out, channels);
        let mut to = to.map_err(|_| Unreadable)?;
        let resized = self.0.resize(&from, &mut to, &options);
        resized.map_err(|_| Unreadable)
    }
}
