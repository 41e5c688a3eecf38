//! What every camera has to show, under whatever goes wrong.
//!
//! Responsible for asking as the camera loop does, and for judging every answer against what is known about the device. Not
//! responsible for what goes wrong: a [`CameraBench`] brings the camera, its time and the truth.

use super::ensure;
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
/// # Errors
/// With the promise that the camera breaks.
pub fn check(
    bench: &mut impl CameraBench,
    captures: u32,
    rng: &mut impl Rng,
) -> Result<Seen, String> {
    let mut judge = Judge::default();
    for _ in 0..captures {
        let _ = judge.ask(bench)?;
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
        ensure(bench.now() <= limit, || {
            "no frames though all is well".to_owned()
        })?;
        in_turn = judge.ask(bench)?.map_or(0, |()| in_turn + 1);
    }
    for _ in 0..10 {
        let answer = judge.ask(bench)?;
        answer.map_err(|error| format!("an error though all is well: {error}"))?;
    }
    Ok(judge.seen)
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
    /// The camera's own answer; an error beyond it is a promise that is broken.
    fn ask(&mut self, bench: &mut impl CameraBench) -> Result<Result<(), CameraError>, String> {
        let (asked_at, timeout) = (bench.now(), bench.timeout());
        let size = bench.camera().size();
        let answer = bench.camera().capture(asked_at, &mut self.frame);
        let now = bench.now();
        let taken = now - asked_at;
        ensure(taken <= timeout, || {
            format!("a capture took {taken} and not at most {timeout}")
        })?;
        if let Err(error) = answer {
            self.seen.errors += 1;
            // As the loop does: no sooner than in the next period.
            let next = asked_at + bench.period();
            bench.pass(next.checked_duration_since(now).unwrap_or(Duration::ZERO));
            return Ok(Err(error));
        }
        self.seen.frames += 1;
        self.judge(bench, size, now)?;
        Ok(Ok(()))
    }

    /// Whether the frame is what its stamp and its number say.
    fn judge(
        &mut self,
        bench: &impl CameraBench,
        size: (u32, u32),
        now: Instant,
    ) -> Result<(), String> {
        let frame = &self.frame;
        let image = &frame.image;
        let bytes = 3 * (size.0 * size.1) as usize;
        let has_size = (image.width, image.height) == size && image.rgb.len() == bytes;
        ensure(has_size, || {
            format!("{} x {} instead of {size:?}", image.width, image.height)
        })?;
        let (measured_at, picture) =
            (bench.truth(image)).ok_or("a picture that was never taken")?;
        ensure(frame.captured_at <= measured_at, || {
            format!(
                "picture {picture} of {measured_at} is stamped {}: younger than it is",
                frame.captured_at
            )
        })?;
        ensure(measured_at <= now, || {
            "a picture from the future".to_owned()
        })?;
        if let Some((captured_at, sequence, last_picture)) = self.last {
            ensure(frame.captured_at > captured_at, || {
                "the stamp does not grow".to_owned()
            })?;
            ensure(frame.sequence > sequence, || {
                "the number does not grow".to_owned()
            })?;
            ensure(picture > last_picture, || {
                "an old picture with a new stamp".to_owned()
            })?;
        }
        self.last = Some((frame.captured_at, frame.sequence, picture));
        let memory = (image.rgb.as_ptr().addr(), image.rgb.capacity());
        let first = *self.memory.get_or_insert(memory);
        ensure(first == memory, || "the buffer is not reused".to_owned())
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
