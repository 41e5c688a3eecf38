//! JPEG to RGB, strictly: a frame that is cut off, that has another size or that does not decode to its last block is
//! refused, and never half a picture with a grey rest.
//!
//! Frames of USB cameras (Motion JPEG) mostly lack the Huffman tables; the tables of ITU-T T.81, annex K.3, are then meant.

use visuomotor_runtime::camera::Image;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The bytes are no whole picture of the expected size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole picture of the expected size")]
pub struct Unreadable;

/// SOI, the headers of one component, EOI.
pub const BYTES_MIN: usize = 100;

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];
/// The decoder's bit buffer.
const LOOKED_AHEAD: usize = 8;
const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;

/// Decodes a file of any size; `image` is replaced.
pub fn decode(bytes: &[u8], image: &mut Image) -> Result<(), Unreadable> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    decoder.decode_headers().map_err(|_| Unreadable)?;
    let (width, height) = decoder.dimensions().ok_or(Unreadable)?;
    image.rgb.resize(3 * width * height, 0);
    decoder
        .decode_into(&mut image.rgb)
        .map_err(|_| Unreadable)?;
    (image.width, image.height) = (width as u32, height as u32);
    Ok(())
}

/// Decodes a frame of this size into `rgb`, which has it. `scratch` is reused.
pub fn decode_frame(
    bytes: &[u8],
    size_px: [u32; 2],
    scratch: &mut Vec<u8>,
    rgb: &mut [u8],
) -> Result<(), Unreadable> {
    // Buffers are padded behind the end of the picture.
    let end = bytes.windows(2).rposition(|pair| pair == EOI);
    let bytes = &bytes[..end.ok_or(Unreadable)?];
    let head = Head::of(bytes).ok_or(Unreadable)?;
    let (before, scan) = bytes.split_at(head.scan);
    scratch.clear();
    scratch.extend_from_slice(before);
    if !head.has_tables {
        for (class_and_number, counts, values) in STANDARD_TABLES {
            let length = 2 + 1 + 16 + values.len() as u16;
            scratch.extend_from_slice(&[0xff, DHT]);
            scratch.extend_from_slice(&length.to_be_bytes());
            scratch.push(class_and_number);
            scratch.extend_from_slice(counts);
            scratch.extend_from_slice(values);
        }
    }
    scratch.extend_from_slice(scan);
    // Behind an EOI that comes too early the decoder goes on in grey; without one it says that data ran out. It may look
    // ahead.
    scratch.extend_from_slice(&[0; LOOKED_AHEAD]);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&scratch[..]), options());
    decoder.decode_headers().map_err(|_| Unreadable)?;
    let (width, height) = decoder.dimensions().ok_or(Unreadable)?;
    if [width, height] != size_px.map(|side| side as usize) {
        return Err(Unreadable);
    }
    decoder.decode_into(rgb).map_err(|_| Unreadable)
}

fn options() -> DecoderOptions {
    DecoderOptions::new_fast()
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
}

struct Head {
    has_tables: bool,
    /// Where the marker of the first scan begins.
    scan: usize,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut has_tables = false;
        let mut at = SOI.len();
        if !bytes.starts_with(&SOI) {
            return None;
        }
        loop {
            let [0xff, marker, high, low] = *bytes.get(at..at + 4)?.as_array()? else {
                return None;
            };
            match marker {
                SOS => {
                    let scan = at;
                    return Some(Self { has_tables, scan });
                }
                DHT => has_tables = true,
                // A fill byte.
                0xff => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
}

/// Class and number of a table, how many codes have each length from 1 to 16 bits, and their values.
type Table = (u8, &'static [u8; 16], &'static [u8]);

/// ITU-T T.81, tables K.3 to K.6.
const STANDARD_TABLES: [Table; 4] = [
    (
        0x00,
        &[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        &DC_VALUES,
    ),
    (
        0x01,
        &[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        &DC_VALUES,
    ),
    (
        0x10,
        &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        &LUMA_AC_VALUES,
    ),
    (
        0x11,
        &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        &CHROMA_AC_VALUES,
    ),
];

const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

#[rustfmt::skip]
const LUMA_AC_VALUES: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
    0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
    0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
    0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
    0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
    0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

#[rustfmt::skip]
const CHROMA_AC_VALUES: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
    0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
    0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
    0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
    0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
    0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];
