//! What every camera has to show, under whatever goes wrong.
//!
//! Responsible for asking as the camera loop does, and for judging every answer against what is known about the device. Not
//! responsible for what goes wrong: a [`CameraBench`] brings the camera, its time and the truth.

use rand::{Rng, RngExt};
use visuomotor_runtime::camera::{Camera, CameraError, Frame, Image};
use visuomotor_runtime::clock::{Duration, Instant};

/// A camera under test, with simulated time and the truth about its device.
pub trait CameraBench {
    type Camera: Camera;

    fn camera(&mut self) -> &mut Self::Camera;
    fn now(&self) -> Instant;
    /// Lets time pass in which nobody asks the camera.
    fn pass(&mut self, time: Duration);
    /// What the camera says that a capture takes at most.
    fn timeout(&self) -> Duration;
    /// Nominal, between two frames.
    fn period(&self) -> Duration;
    /// When the light of this picture was measured, and a number that grows from picture to picture.
    fn truth(&self, image: &Image) -> Option<(Instant, u64)>;
    /// Nothing goes wrong from now on.
    fn calm_down(&mut self);
    /// Frames must come again so long after everything is well.
    fn recovers_within(&self) -> Duration;
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub frames: u64,
    pub errors: u64,
}

/// Asks `captures` times while things go wrong, then until frames come again, then for a few more.
///
/// # Panics
/// When the camera breaks a promise. `what` names the case, such as its seed.
pub fn check(bench: &mut impl CameraBench, captures: u32, rng: &mut impl Rng, what: &str) -> Seen {
    let mut judge = Judge::default();
    for _ in 0..captures {
        let _ = judge.ask(bench, what);
        // Mostly at the loop's pace, sometimes after a pause in which frames pile up.
        if rng.random_bool(0.05) {
            let pause = bench.period() * rng.random_range(0..12);
            bench.pass(pause);
        }
    }
    bench.calm_down();
    let limit = bench.now() + bench.recovers_within();
    // What went wrong before may still show in the first frames.
    let mut in_turn = 0;
    while in_turn < 3 {
        assert!(bench.now() <= limit, "{what}: no frames though all is well");
        in_turn = judge.ask(bench, what).map_or(0, |()| in_turn + 1);
    }
    let errors = judge.seen.errors;
    for _ in 0..10 {
        let _ = judge.ask(bench, what);
    }
    assert_eq!(
        errors, judge.seen.errors,
        "{what}: an error though all is well"
    );
    judge.seen
}

#[derive(Default)]
struct Judge {
    frame: Frame,
    /// Stamp, number, and the truth of both, of the last frame.
    last: Option<(Instant, u64, u64)>,
    /// Of the pixels' memory, once it has its size.
    memory: Option<(usize, usize)>,
    seen: Seen,
}

impl Judge {
    fn ask(&mut self, bench: &mut impl CameraBench, what: &str) -> Result<(), CameraError> {
        let (asked_at, timeout) = (bench.now(), bench.timeout());
        let size = bench.camera().size();
        let answer = bench.camera().capture(asked_at, &mut self.frame);
        let now = bench.now();
        assert!(
            now <= asked_at + timeout,
            "{what}: a capture took {} and not at most {timeout}",
            now - asked_at
        );
        if let Err(error) = answer {
            self.seen.errors += 1;
            // As the loop does: no sooner than in the next period.
            let next = asked_at + bench.period();
            bench.pass(
                next.checked_duration_since(now)
                    .unwrap_or(Duration::from_ticks(0)),
            );
            return Err(error);
        }
        self.seen.frames += 1;
        let frame = &self.frame;
        let image = &frame.image;
        assert_eq!((image.width, image.height), size, "{what}: the size");
        assert_eq!(
            image.rgb.len(),
            3 * (size.0 * size.1) as usize,
            "{what}: the pixels"
        );
        let truth = bench.truth(image);
        assert!(truth.is_some(), "{what}: a picture that was never taken");
        let Some((measured_at, picture)) = truth else {
            return answer;
        };
        assert!(
            frame.captured_at <= measured_at,
            "{what}: picture {picture} of {measured_at} is stamped {}: younger than it is",
            frame.captured_at
        );
        assert!(measured_at <= now, "{what}: a picture from the future");
        if let Some((captured_at, sequence, last_picture)) = self.last {
            assert!(
                frame.captured_at > captured_at,
                "{what}: the stamp does not grow"
            );
            assert!(
                frame.sequence > sequence,
                "{what}: the number does not grow"
            );
            assert!(
                picture > last_picture,
                "{what}: an old picture with a new stamp"
            );
        }
        self.last = Some((frame.captured_at, frame.sequence, picture));
        let memory = (image.rgb.as_ptr().addr(), image.rgb.capacity());
        assert_eq!(
            *self.memory.get_or_insert(memory),
            memory,
            "{what}: the buffer is not reused"
        );
        answer
    }
}

/// Pictures that say which one they are: 16 black or white fields.
pub mod numbered {
    use visuomotor_runtime::camera::Image;

    const FIELDS: u32 = 4;

    /// The low 16 bits of `number` in a picture of this size.
    pub fn picture(number: u64, [width, height]: [u32; 2], image: &mut Image) {
        (image.width, image.height) = (width, height);
        image.rgb.clear();
        for i in 0..width * height {
            let (x, y) = (i % width * FIELDS / width, i / width * FIELDS / height);
            let is_white = number >> (FIELDS * y + x) & 1 == 1;
            image
                .rgb
                .extend_from_slice(&[if is_white { 255 } else { 0 }; 3]);
        }
    }

    /// `None` where a field is grey.
    pub fn number(image: &Image) -> Option<u64> {
        let (width, height) = (image.width, image.height);
        let field = |i: u32| {
            let (column, line) = (i % FIELDS, i / FIELDS);
            let x = (2 * column + 1) * width / (2 * FIELDS);
            let y = (2 * line + 1) * height / (2 * FIELDS);
            let at = 3 * (y * width + x) as usize;
            match image.rgb.get(at..at + 3)? {
                levels if levels.iter().all(|&level| level > 200) => Some(1_u64 << i),
                levels if levels.iter().all(|&level| level < 55) => Some(0),
                _ => None,
            }
        };
        (0..FIELDS * FIELDS).map(field).sum()
    }
}
