//! A recording made here, played in simulated time.

use super::*;
use crate::testkit::conformance::camera::{CameraBench, check, numbered};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use visuomotor_runtime::episode;

const START: Instant = Instant::from_ticks(5_000_000_000);

/// A directory that goes away with the test.
struct Album(PathBuf);

impl Album {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("visuomotor-replay-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Numbered pictures in both formats.
    fn with_stills(name: &str, stills: u64) -> Self {
        let album = Self::new(name);
        let mut image = Image::default();
        for number in 0..stills {
            numbered::picture(number, [32, 24], &mut image);
            let mut bytes = Vec::new();
            if number % 2 == 0 {
                episode::jpeg(&image, &mut bytes).unwrap();
                fs::write(album.0.join(format!("{number:04}.jpg")), &bytes).unwrap();
                continue;
            }
            let mut encoder = png::Encoder::new(&mut bytes, 32, 24);
            encoder.set_color(png::ColorType::Grayscale);
            let grey: Vec<u8> = image.rgb.iter().step_by(3).copied().collect();
            encoder
                .write_header()
                .unwrap()
                .write_image_data(&grey)
                .unwrap();
            fs::write(album.0.join(format!("{number:04}.PNG")), &bytes).unwrap();
        }
        fs::write(album.0.join("notes.txt"), "no picture").unwrap();
        album
    }
}

impl Drop for Album {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(album: &Album) -> ReplayConfig {
    ReplayConfig {
        stills_hz: 20.0,
        output_px: Some([16, 12]),
        ..ReplayConfig::new(&album.0)
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn what_is_due_comes_once_with_its_own_stamp() {
    let album = Album::with_stills("due", 6);
    let mut camera = ReplayCamera::open(&config(&album), START, AsAsked).unwrap();
    assert_eq!((camera.size(), camera.owns_cycle()), ((16, 12), false));
    let mut frame = Frame::default();
    let mut ask = |at: Instant| {
        let answer = camera.capture(at, &mut frame);
        answer.map(|()| {
            (
                numbered::number(&frame.image),
                frame.captured_at - START,
                frame.sequence,
            )
        })
    };
    assert_eq!(ask(START - ms(1)), Err(CameraError::NoFrame));
    assert_eq!(ask(START), Ok((Some(0), ms(0), 0)));
    assert_eq!(ask(START + ms(49)), Err(CameraError::NoFrame));
    assert_eq!(ask(START + ms(51)), Ok((Some(1), ms(50), 1)));
    // A late one gets the newest.
    assert_eq!(ask(START + ms(249)), Ok((Some(4), ms(200), 4)));
    assert_eq!(ask(START + ms(1000)), Ok((Some(5), ms(250), 5)));
    assert_eq!(ask(START + ms(1001)), Err(CameraError::Disconnected));
}

#[test]
fn an_episode_is_played_with_the_times_it_was_recorded_with() {
    use visuomotor_runtime::episode::EpisodeError;
    let album = Album::new("episode");
    let path = album.0.join("a.mcap");
    fs::write(&path, b"no episode").unwrap();
    let refused = ReplayCamera::open(&ReplayConfig::new(&path), START, AsAsked).err();
    assert!(matches!(
        refused,
        Some(ReplayError::Episode {
            source: EpisodeError::MissingRecord { .. } | EpisodeError::Log(_),
            ..
        })
    ));
}

#[test]
fn what_cannot_be_played_is_refused() {
    let album = Album::with_stills("refused", 1);
    let open = |config: &ReplayConfig| ReplayCamera::open(config, START, AsAsked).err();
    let good = config(&album);
    let nowhere = ReplayConfig::new(album.0.join("nowhere.png"));
    assert!(matches!(open(&nowhere), Some(ReplayError::Read { .. })));
    let zero = ReplayConfig {
        stills_hz: 0.0,
        ..good.clone()
    };
    assert!(matches!(open(&zero), Some(ReplayError::Rate(_))));
    let outside = ReplayConfig {
        crop_px: Some([20, 0, 20, 20]),
        ..good.clone()
    };
    assert!(matches!(open(&outside), Some(ReplayError::Picture(_))));
    fs::write(album.0.join("0000.jpg"), "damaged").unwrap();
    assert!(matches!(open(&good), Some(ReplayError::Unreadable(0))));
    fs::remove_file(album.0.join("0000.jpg")).unwrap();
    assert!(matches!(open(&good), Some(ReplayError::Empty(_))));
    let text = "path = \"a.mcap\"\nfps = 3";
    assert!(toml::from_str::<ReplayConfig>(text).is_err());
}

/// Simulated time that passes by waiting.
#[derive(Clone)]
struct Virtual(Rc<Cell<Instant>>);

impl Waiting for Virtual {
    const WAITS: bool = true;

    fn wait(&mut self, until: Instant) -> Option<Instant> {
        self.0.set(self.0.get().max(until));
        Some(self.0.get())
    }
}

struct Bench<W> {
    camera: ReplayCamera<W>,
    now: Rc<Cell<Instant>>,
    stills: u64,
}

impl<W: Waiting> CameraBench for Bench<W> {
    type Camera = ReplayCamera<W>;

    fn camera(&mut self) -> &mut ReplayCamera<W> {
        &mut self.camera
    }

    fn now(&self) -> Instant {
        self.now.get()
    }

    fn pass(&mut self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    fn period(&self) -> Duration {
        ms(50)
    }

    /// The newest repetition of the picture that can have been played.
    fn truth(&self, image: &Image) -> Option<(Instant, u64)> {
        let number = numbered::number(image)?;
        let played = (self.now().checked_duration_since(START)?).as_ticks() / ms(50).as_ticks();
        let round = played.checked_sub(number)? / self.stills;
        let number = number + round * self.stills;
        Some((START + ms(50 * number), number))
    }

    fn calm_down(&mut self) {}

    fn recovers_within(&self) -> Duration {
        ms(200)
    }
}

#[test]
fn a_replay_keeps_the_promises_of_a_camera() {
    let album = Album::with_stills("conformance", 9);
    let config = ReplayConfig {
        repeat: true,
        ..config(&album)
    };
    for seed in 0..20 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let now = Rc::new(Cell::new(START - ms(rng.random_range(0..300))));
        let waiting = ReplayCamera::open(&config, START, Virtual(now.clone())).unwrap();
        let mut bench = Bench {
            camera: waiting,
            now,
            stills: 9,
        };
        let seen = check(&mut bench, 100, &mut rng, &format!("waiting, seed {seed}"));
        assert!(seen.frames > 100 && seen.errors <= 2, "{seen:?}");
    }
}
