//! Compressed pictures with their times, from whatever holds them.

use super::ReplayConfig;
use crate::picture::{self, PictureError};
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor};
use std::path::{Path, PathBuf};
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::episode::{self, EpisodeError};

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("[camera.replay] path: cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("[camera.replay] path: {path}: {source}")]
    Episode { path: PathBuf, source: EpisodeError },
    #[error(
        "[camera.replay] path: {0} holds no picture: write an episode, a JPEG or PNG, or a directory of those"
    )]
    Empty(PathBuf),
    #[error("picture {0} is no JPEG and no PNG, or is damaged")]
    Unreadable(u64),
    #[error("[camera.replay]: {0}")]
    Picture(#[from] PictureError),
    #[error("[camera.replay] stills_hz = {0}: write how many stills a second, from 0.01 to 1000")]
    Rate(f64),
}

pub struct Recording {
    /// Since the first, growing; never empty.
    pictures: Vec<(Duration, Vec<u8>)>,
    length: Duration,
}

/// The time that an episode with a single picture, or at its end, leaves until it begins again.
const LAST: Duration = Duration::from_millis(100);
const PNG: &[u8] = b"\x89PNG";
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

impl Recording {
    pub fn read(config: &ReplayConfig) -> Result<Self, ReplayError> {
        if !(0.01..=1000.0).contains(&config.stills_hz) {
            return Err(ReplayError::Rate(config.stills_hz));
        }
        let path = &config.path;
        let failed = |source| ReplayError::Read {
            path: path.clone(),
            source,
        };
        let has = |path: &Path, wanted: &[&str]| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension
                .is_some_and(|got| wanted.iter().any(|wanted| got.eq_ignore_ascii_case(wanted)))
        };
        let mut pictures = Vec::new();
        let mut length = Duration::from_ticks(0);
        let files = if path.is_dir() {
            let entries = fs::read_dir(path).map_err(failed)?;
            let entries: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
            let mut files = entries.map_err(failed)?;
            files.retain(|file| has(file, &EXTENSIONS));
            files.sort();
            files
        } else if has(path, &EXTENSIONS) {
            vec![path.clone()]
        } else {
            let file = File::open(path).map_err(failed)?;
            let frames = episode::frames(BufReader::new(file));
            let frames = frames.map_err(|source| ReplayError::Episode {
                path: path.clone(),
                source,
            })?;
            let first = frames.first().map(|frame| frame.captured_at);
            for frame in frames {
                let offset =
                    first.and_then(|first| frame.captured_at.checked_duration_since(first));
                // Stamps of a recording grow, or the frame was not handed over.
                if let Some(offset) =
                    offset.filter(|offset| pictures.is_empty() || *offset > length)
                {
                    length = offset;
                    pictures.push((offset, frame.jpeg));
                }
            }
            let pauses = pictures.len().max(2) as u64 - 1;
            let pause = Duration::from_ticks(length.as_ticks() / pauses);
            length += if pause.is_zero() { LAST } else { pause };
            Vec::new()
        };
        let period = Duration::from_ticks((1e9 / config.stills_hz) as u64);
        for file in files {
            let bytes = fs::read(&file).map_err(failed)?;
            pictures.push((length, bytes));
            length += period;
        }
        match pictures.is_empty() {
            true => Err(ReplayError::Empty(path.clone())),
            false => Ok(Self { pictures, length }),
        }
    }

    pub fn pictures(&self) -> u64 {
        self.pictures.len() as u64
    }

    /// From the first picture until it comes again.
    pub fn length(&self) -> Duration {
        self.length
    }

    pub fn offset(&self, picture: u64) -> Duration {
        self.pictures[picture as usize].0
    }

    /// The last picture that is not after `offset`.
    pub fn newest(&self, offset: Duration) -> u64 {
        let later = self.pictures.partition_point(|(at, _)| *at <= offset);
        later.saturating_sub(1) as u64
    }

    pub fn decode(&self, picture: u64, image: &mut Image) -> Result<(), ReplayError> {
        let bytes = &self.pictures[picture as usize].1;
        let decoded = match bytes.starts_with(PNG) {
            true => decode_png(bytes, image),
            false => picture::decode_jpeg(bytes, image).ok(),
        };
        decoded.ok_or(ReplayError::Unreadable(picture))
    }
}

fn decode_png(bytes: &[u8], image: &mut Image) -> Option<()> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().ok()?;
    // Before there is memory for it: a file of a hundred bytes may claim to be of any size.
    let (width, height) = (reader.info().width, reader.info().height);
    if width.max(height) > picture::SIDE_MAX {
        return None;
    }
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut pixels).ok()?;
    let channels = info.color_type.samples();
    image.rgb.clear();
    for pixel in pixels[..info.buffer_size()].chunks_exact(channels) {
        match *pixel {
            [grey] | [grey, _] => image.rgb.extend_from_slice(&[grey; 3]),
            [r, g, b, ..] => image.rgb.extend_from_slice(&[r, g, b]),
            [] => {}
        }
    }
    (image.width, image.height) = (info.width, info.height);
    Some(())
}
