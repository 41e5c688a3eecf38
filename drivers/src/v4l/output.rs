//! Shows pictures on an output device, as v4l2loopback is: whoever opens it as a camera sees them.
//!
//! For emulated robots. Not responsible for the rate.

use moq_v4l::video::Output;
use moq_v4l::{Device, Format, FourCC};
use std::io::{self, Write};
use std::path::Path;
use visuomotor_runtime::camera::Image;

pub struct OutputDevice {
    device: Device,
    bytes: usize,
}

impl OutputDevice {
    /// For pictures of this width and height, as "RGB3".
    ///
    /// # Errors
    /// Of the system; and when the device shows no such pictures.
    pub fn open(path: &Path, [width, height]: [u32; 2]) -> io::Result<Self> {
        let device = Device::with_path(path)?;
        let wanted = Format::new(width, height, FourCC::new(b"RGB3"));
        let got = Output::set_format(&device, &wanted)?;
        if (got.width, got.height, got.fourcc) != (width, height, wanted.fourcc) {
            let problem = format!("it takes {} x {} {}", got.width, got.height, got.fourcc);
            return Err(io::Error::other(problem));
        }
        let bytes = 3 * width as usize * height as usize;
        Ok(Self { device, bytes })
    }

    /// # Errors
    /// When the picture has another size, or the device does not take it.
    pub fn show(&mut self, image: &Image) -> io::Result<()> {
        if image.rgb.len() != self.bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.device.write_all(&image.rgb)
    }
}
