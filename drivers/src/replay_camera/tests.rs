//! A recording made here, played in simulated time.

use super::*;
use crate::testkit::conformance::camera::{CameraBench, check, numbered};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use visuomotor_runtime::episode::{
    self, Clock, ClockSource, Code, Ending, EpisodeWriter, Header, JointNames, Losses, Origin,
    Outcome, Robot, SCHEMA_VERSION, Sha256, TextMap,
};

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

/// An episode of an arm with two joints, in which these frames were taken (ms).
fn episode_of(path: &Path, taken_ms: &[u64]) {
    let hash = Sha256::of(b"test");
    let header = Header {
        origin: Origin {
            schema_version: SCHEMA_VERSION,
            id: "0-0000".into(),
            started_at_utc: String::new(),
            launch: String::new(),
            task: String::new(),
        },
        code: Code::of_this_build(hash),
        robot: Robot {
            name: "two joints".into(),
            joint_names: JointNames(vec!["a".into(), "b".into()]),
            controller_sha256: hash,
            limits_sha256: hash,
            description_sha256: hash,
        },
        clock: Clock {
            source: ClockSource::Simulated,
            realtime_granted: false,
        },
        realtime: None,
        camera: TextMap::new(),
        solver: TextMap::new(),
        policy: None,
        checkpoints: TextMap::new(),
        policy_settings: TextMap::new(),
        scene: None,
        derivation: None,
    };
    let file = fs::File::create(path).unwrap();
    let mut writer = EpisodeWriter::new(file, &header, &[]).unwrap();
    for (number, &taken_ms) in (0..).zip(taken_ms) {
        let mut frame = Frame {
            captured_at: Instant::from_ticks(0) + ms(taken_ms),
            sequence: number,
            image: Image::default(),
        };
        numbered::picture(number, [32, 24], &mut frame.image);
        writer.frame(&frame).unwrap();
    }
    let outcome = Outcome {
        ended_at: Instant::from_ticks(0) + ms(100_000),
        ending: Ending::Stopped,
        success: None,
        actions: 0,
    };
    writer.finish(&outcome, Losses::default()).unwrap();
}

#[test]
fn an_episode_is_played_with_the_times_it_was_recorded_with() {
    let album = Album::new("episode");
    let path = album.0.join("a.mcap");
    let taken_ms = [70_000, 70_031, 70_035, 70_134];
    episode_of(&path, &taken_ms);
    let config = ReplayConfig {
        repeat: true,
        ..ReplayConfig::new(&path)
    };
    let now = Rc::new(Cell::new(START));
    let mut camera = ReplayCamera::open(&config, START, Virtual(now.clone())).unwrap();
    assert_eq!((camera.size(), camera.owns_cycle()), ((32, 24), true));
    let mut frame = Frame::default();
    // Again after the mean time between two, 134 / 3 ms.
    let again_us = 134_000 + 134_000 / 3;
    let expected_us = [0, 31_000, 35_000, 134_000].map(|us| [us, us + again_us, us + 2 * again_us]);
    for number in 0..12 {
        camera.capture(now.get(), &mut frame).unwrap();
        assert_eq!(frame.captured_at, now.get(), "exactly when it was due");
        let us = (frame.captured_at - START).as_micros();
        let expected_us: u64 = expected_us[number % 4][number / 4];
        assert!(
            us.abs_diff(expected_us) <= 1,
            "{number}: {us} {expected_us}"
        );
        assert_eq!(numbered::number(&frame.image), Some(number as u64 % 4));
        assert_eq!(frame.sequence, number as u64);
    }
    // What is no episode.
    fs::write(&path, b"no episode").unwrap();
    let refused = ReplayCamera::open(&config, START, AsAsked).err();
    assert!(matches!(refused, Some(ReplayError::Episode { .. })));
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
    // A head that claims more than there is memory for, and nothing behind it.
    let head = png::Encoder::new(
        fs::File::create(album.0.join("0000.png")).unwrap(),
        2_000_000,
        2_000_000,
    );
    drop(head.write_header().unwrap());
    assert!(matches!(open(&good), Some(ReplayError::Unreadable(0))));
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
        let seen = check(&mut bench, 100, &mut rng);
        let seen = seen.map_err(|what| format!("seed {seed}: {what}")).unwrap();
        assert!(seen.frames > 100 && seen.errors <= 2, "{seen:?}");
    }
}
