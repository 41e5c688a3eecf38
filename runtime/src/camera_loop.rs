//! The camera's task: a frame every period, and only what is newer than the last goes on to whoever looks.
//!
//! A camera that owns its cycle ([`Camera::owns_cycle`]) gives the pace: it is asked again at once after a frame, and
//! when the period has passed after anything else, so that a camera that answers nonsense at once cannot make the task
//! spin.
//!
//! Responsible for when the camera is polled and for which frames are handed over; all others are counted. Not responsible
//! for how a frame is taken ([`Camera`]), nor for how old one may be when something is decided by it
//! ([`crate::controller`]).

use crate::camera::{Camera, CameraError, Frame};
use crate::clock::{Clock, Instant, Ticker};

/// The camera task's side of every hand-over to another thread or task. No method may block.
pub trait FrameExchange {
    /// Where the next frame is written; its buffer is reused.
    fn buffer(&mut self) -> &mut Frame;
    /// Hands over the frame in [`FrameExchange::buffer`]: newer than every one before.
    fn publish(&mut self);
    /// After every poll: what went on so far, and why nothing did this time.
    fn polled(&mut self, counters: &CameraCounters, refused: Option<Refused>);
    /// Whether the task should end.
    fn ended(&self) -> bool;
}

/// Why a poll gave nothing that may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Camera(#[from] CameraError),
    #[error("the same frame again")]
    Repeated,
    #[error("a frame from before the last one")]
    OutOfOrder,
    #[error("a frame that claims to be from the future")]
    FromFuture,
}

/// Polls since start, by what they gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct CameraCounters {
    /// Frames that were handed over.
    pub frames: u64,
    /// Nothing came in time.
    pub no_frame: u64,
    pub disconnected: u64,
    pub wrong_size: u64,
    pub repeated: u64,
    pub out_of_order: u64,
    pub from_future: u64,
    /// Periods in which the camera could not be polled, because the poll before took too long: for a camera that owns its
    /// cycle, those that passed without a frame of it (rounded, so that a cycle a little off the period misses none).
    pub missed: u64,
}

impl CameraCounters {
    /// Frames that came and were not handed over.
    pub fn refused(&self) -> u64 {
        self.wrong_size + self.repeated + self.out_of_order + self.from_future
    }

    /// Polls to which the camera gave nothing.
    pub fn failed(&self) -> u64 {
        self.no_frame + self.disconnected
    }

    /// Whether this is the only one of its reason so far.
    pub fn is_first(mut self, refused: Refused) -> bool {
        *self.counter(Some(refused)) == 1
    }

    fn counter(&mut self, refused: Option<Refused>) -> &mut u64 {
        match refused {
            None => &mut self.frames,
            Some(Refused::Camera(CameraError::NoFrame)) => &mut self.no_frame,
            Some(Refused::Camera(CameraError::Disconnected)) => &mut self.disconnected,
            Some(Refused::Camera(CameraError::WrongSize { .. })) => &mut self.wrong_size,
            Some(Refused::Repeated) => &mut self.repeated,
            Some(Refused::OutOfOrder) => &mut self.out_of_order,
            Some(Refused::FromFuture) => &mut self.from_future,
        }
    }
}

/// Runs until [`FrameExchange::ended`]. After an error the camera is asked again when the next frame is due.
pub async fn poll<C: Clock>(
    mut ticker: Ticker<C>,
    camera: &mut (impl Camera + ?Sized),
    exchange: &mut impl FrameExchange,
) {
    let mut counters = CameraCounters::default();
    let mut last = None;
    let mut at_once = false;
    loop {
        counters.missed += match at_once {
            true => ticker.restart().await,
            false => ticker.tick().await.missed,
        };
        if exchange.ended() {
            return;
        }
        let (size, frame) = (camera.size(), exchange.buffer());
        let captured = tracing::debug_span!("frame").in_scope(|| camera.capture(C::now(), frame));
        let judged = captured
            .map_err(Refused::Camera)
            .and_then(|()| judge(frame, size, C::now(), last));
        *counters.counter(judged.err()) += 1;
        if let Ok(newest) = judged {
            last = Some(newest);
            exchange.publish();
        }
        at_once = judged.is_ok() && camera.owns_cycle();
        exchange.polled(&counters, judged.err());
    }
}

/// What identifies a frame: when it was captured, and its number.
type Identity = (Instant, u64);

fn judge(
    frame: &Frame,
    (width, height): (u32, u32),
    now: Instant,
    last: Option<Identity>,
) -> Result<Identity, Refused> {
    let image = &frame.image;
    let (got, expected) = (image.rgb.len(), 3 * width as usize * height as usize);
    if (image.width, image.height) != (width, height) || got != expected {
        return Err(CameraError::WrongSize { got, expected }.into());
    }
    if frame.captured_at > now {
        return Err(Refused::FromFuture);
    }
    match last {
        // A number that comes back is an old picture, whatever its stamp says.
        Some((at, sequence)) if frame.captured_at == at || frame.sequence == sequence => {
            Err(Refused::Repeated)
        }
        Some((at, _)) if frame.captured_at < at => Err(Refused::OutOfOrder),
        _ => Ok((frame.captured_at, frame.sequence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Image;
    use crate::clock::{Duration, SimMono, ThreadMono, block_on, executor};
    use proptest::prelude::*;
    use rtic_monotonics::Timebase;
    use std::pin::pin;

    const PERIOD: Duration = Duration::from_millis(1);
    const SIZE: (u32, u32) = (4, 2);

    /// One answer: the age of the frame in ns (negative: from the future), its number, and how many bytes it has.
    type Answer = Result<(i64, u64, usize), CameraError>;

    fn frame(age_ns: i64, sequence: u64) -> Answer {
        Ok((age_ns, sequence, 24))
    }

    struct Scripted {
        answers: Vec<Answer>,
        asked_at: Vec<Instant>,
    }

    impl Camera for Scripted {
        fn size(&self) -> (u32, u32) {
            SIZE
        }

        fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
            let asked = self.asked_at.len();
            self.asked_at.push(now);
            let (age_ns, sequence, bytes) = self.answers[asked]?;
            let captured_ns = now
                .as_ticks()
                .checked_add_signed(-age_ns)
                .expect("in range");
            *frame = Frame {
                captured_at: Instant::from_ticks(captured_ns),
                sequence,
                image: Image {
                    width: 4,
                    height: 2,
                    rgb: vec![sequence as u8; bytes],
                },
            };
            Ok(())
        }
    }

    #[derive(Default)]
    struct Album {
        buffer: Frame,
        frames: Vec<Frame>,
        counters: CameraCounters,
        refused: Vec<Option<Refused>>,
        ends_after: usize,
    }

    impl FrameExchange for Album {
        fn buffer(&mut self) -> &mut Frame {
            &mut self.buffer
        }

        fn publish(&mut self) {
            self.frames.push(self.buffer.clone());
        }

        fn polled(&mut self, counters: &CameraCounters, refused: Option<Refused>) {
            self.counters = *counters;
            self.refused.push(refused);
        }

        fn ended(&self) -> bool {
            self.refused.len() == self.ends_after
        }
    }

    #[test]
    fn a_reason_is_the_first_of_its_kind_once_however_many_frames_come_in_between() {
        let (gone, none) = (CameraError::Disconnected, CameraError::NoFrame);
        let mut counters = CameraCounters::default();
        let mut firsts = Vec::new();
        for refused in [Some(none), None, Some(none), Some(gone), None, Some(none)] {
            let refused = refused.map(Refused::Camera);
            *counters.counter(refused) += 1;
            firsts.push(refused.is_some_and(|refused| counters.is_first(refused)));
        }
        assert_eq!(firsts, [true, false, false, true, false, false]);
    }

    fn album(answers: usize) -> Album {
        Album {
            ends_after: answers,
            ..Album::default()
        }
    }

    fn simulated(answers: &[Answer]) -> (Album, Vec<Instant>) {
        let mut album = album(answers.len());
        let mut camera = Scripted {
            answers: answers.to_vec(),
            asked_at: Vec::new(),
        };
        SimMono::reset();
        let ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
        executor::run::<SimMono>(&mut [pin!(poll(ticker, &mut camera, &mut album))]);
        (album, camera.asked_at)
    }

    const SECOND: i64 = 1_000_000_000;

    /// What comes, and why it does not go on.
    const CASES: [(Answer, Option<Refused>); 14] = [
        (
            Err(CameraError::NoFrame),
            Some(Refused::Camera(CameraError::NoFrame)),
        ),
        (Ok((0, 7, 24)), None),
        (Ok((0, 8, 24)), None),
        (Ok((-1_000 * SECOND, 9, 24)), Some(Refused::FromFuture)),
        (Ok((0, 8, 24)), Some(Refused::Repeated)),
        (Ok((SECOND / 2, 7, 24)), Some(Refused::OutOfOrder)),
        (
            Ok((0, 10, 23)),
            Some(Refused::Camera(CameraError::WrongSize {
                got: 23,
                expected: 24,
            })),
        ),
        (
            Ok((0, 10, 0)),
            Some(Refused::Camera(CameraError::WrongSize {
                got: 0,
                expected: 24,
            })),
        ),
        (
            Err(CameraError::WrongSize {
                got: 5,
                expected: 24,
            }),
            Some(Refused::Camera(CameraError::WrongSize {
                got: 5,
                expected: 24,
            })),
        ),
        (
            Err(CameraError::Disconnected),
            Some(Refused::Camera(CameraError::Disconnected)),
        ),
        // Numbered anew after it was gone.
        (Ok((0, 0, 24)), None),
        (Ok((SECOND / 2, 1, 24)), Some(Refused::OutOfOrder)),
        (Ok((0, 1, 24)), None),
        (Ok((0, 1, 24)), Some(Refused::Repeated)),
    ];

    fn assert_judged(album: &Album) {
        let refused: Vec<_> = CASES.iter().map(|&(_, refused)| refused).collect();
        assert_eq!(album.refused, refused);
        let sequences: Vec<_> = album.frames.iter().map(|frame| frame.sequence).collect();
        assert_eq!(sequences, [7, 8, 0, 1]);
        let expected = CameraCounters {
            frames: 4,
            no_frame: 1,
            disconnected: 1,
            wrong_size: 3,
            repeated: 2,
            out_of_order: 2,
            from_future: 1,
            missed: album.counters.missed,
        };
        assert_eq!(album.counters, expected);
        assert_eq!((expected.refused(), expected.failed()), (8, 2));
    }

    #[test]
    fn only_newer_frames_go_on_and_the_others_are_counted() {
        let answers = CASES.map(|(answer, _)| answer);
        let (album, asked_at) = simulated(&answers);
        assert_judged(&album);
        // An error is followed by no poll before the next period.
        let grid: Vec<_> = (0..14).map(|k| SimMono::EPOCH + PERIOD * k).collect();
        assert_eq!((asked_at, album.counters.missed), (grid, 0));

        // The same task alone on a thread.
        let mut album = self::album(answers.len());
        let mut camera = Scripted {
            answers: answers.to_vec(),
            asked_at: Vec::new(),
        };
        let ticker = Ticker::<ThreadMono>::new(ThreadMono::now(), PERIOD);
        block_on(poll(ticker, &mut camera, &mut album));
        assert_judged(&album);
    }

    #[test]
    fn a_picture_that_is_taken_again_with_a_new_stamp_is_an_old_one() {
        let (album, _) = simulated(&[frame(0, 3), frame(0, 3), frame(0, 4)]);
        assert_eq!((album.frames.len(), album.counters.repeated), (2, 1));
        // And so is another number with the old stamp.
        let ms = 1_000_000;
        let (album, _) = simulated(&[frame(0, 3), frame(ms, 4), frame(0, 5)]);
        assert_eq!((album.frames.len(), album.counters.repeated), (2, 1));
    }

    /// A camera that takes longer than a period for each frame.
    struct Slow(u64);

    impl Camera for Slow {
        fn size(&self) -> (u32, u32) {
            (0, 0)
        }

        fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
            SimMono::spend(PERIOD * 5 / 2);
            self.0 += 1;
            (frame.captured_at, frame.sequence) = (now, self.0);
            Ok(())
        }
    }

    #[test]
    fn polls_that_a_slow_camera_makes_impossible_are_counted_and_not_made_up_for() {
        let mut album = album(10);
        SimMono::reset();
        let ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
        executor::run::<SimMono>(&mut [pin!(poll(ticker, &mut Slow(0), &mut album))]);
        // The last poll, 22.5 ms after the first, served the 23rd period.
        assert_eq!((album.counters.frames, album.counters.missed), (10, 13));
    }

    /// Takes a picture every `cycle`, and whoever asks waits for the next one. Stalls once, for `stall` after `well`
    /// frames.
    struct Cyclic {
        owns_cycle: bool,
        cycle: Duration,
        well: u64,
        stall: Duration,
        next: Instant,
        taken: u64,
        /// From a picture until it was handed over, by picture.
        waited: Vec<Duration>,
    }

    impl Camera for Cyclic {
        fn size(&self) -> (u32, u32) {
            (0, 0)
        }

        fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
            if self.taken == self.well {
                self.taken += 1;
                self.next = now + self.stall;
                SimMono::spend(self.stall);
                return Err(CameraError::NoFrame);
            }
            while self.next + self.cycle <= now {
                self.next += self.cycle;
            }
            SimMono::spend(
                self.next
                    .checked_duration_since(now)
                    .unwrap_or(Duration::ZERO),
            );
            (frame.captured_at, frame.sequence) = (self.next, self.taken);
            self.waited.push(SimMono::now() - self.next);
            self.next += self.cycle;
            self.taken += 1;
            Ok(())
        }

        fn owns_cycle(&self) -> bool {
            self.owns_cycle
        }
    }

    fn paced(owns_cycle: bool, cycle: Duration, well: u64) -> (Album, Vec<Duration>) {
        let mut album = album(200);
        SimMono::reset();
        let mut camera = Cyclic {
            owns_cycle,
            cycle,
            well,
            stall: PERIOD * 5,
            next: SimMono::EPOCH + cycle / 3,
            taken: 0,
            waited: Vec::new(),
        };
        let ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
        executor::run::<SimMono>(&mut [pin!(poll(ticker, &mut camera, &mut album))]);
        (album, camera.waited)
    }

    #[test]
    fn a_camera_with_a_cycle_of_its_own_is_never_kept_waiting() {
        // Nominal, a little faster, a little slower.
        for cycle_us in [1000, 970, 1030] {
            let cycle = Duration::from_micros(cycle_us);
            let (album, waited) = paced(true, cycle, u64::MAX);
            assert_eq!((album.counters.frames, album.counters.missed), (200, 0));
            assert!(waited.iter().all(|waited| waited.is_zero()), "{cycle_us}");
        }
        // By the timer, frames of a slightly faster camera wait for up to a period.
        let (_, waited) = paced(false, Duration::from_micros(970), u64::MAX);
        assert!(waited.iter().max() > Some(&(PERIOD * 9 / 10)));
    }

    #[test]
    fn periods_without_a_frame_of_a_slow_or_stalled_camera_are_missed() {
        // Half the rate: a period is missed between any two frames; what passed after the last one, no poll has told.
        let (album, _) = paced(true, PERIOD * 2, u64::MAX);
        assert_eq!((album.counters.frames, album.counters.missed), (200, 198));
        // A stall of five periods, one of which the failed poll itself served.
        let (album, waited) = paced(true, PERIOD, 100);
        let counters = album.counters;
        assert_eq!((counters.frames, counters.no_frame), (199, 1));
        assert_eq!(counters.missed, 4);
        assert!(waited.iter().all(|waited| waited.is_zero()));
    }

    /// Owns its cycle and breaks its promise to wait.
    struct Hasty(Answer);

    impl Camera for Hasty {
        fn size(&self) -> (u32, u32) {
            (0, 0)
        }

        fn capture(&mut self, _now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
            let (_, sequence, _) = self.0?;
            (frame.captured_at, frame.sequence) = (SimMono::EPOCH, sequence);
            Ok(())
        }

        fn owns_cycle(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_camera_that_answers_nonsense_at_once_cannot_make_the_task_spin() {
        for answer in [frame(0, 3), Err(CameraError::Disconnected)] {
            let mut album = album(100);
            SimMono::reset();
            let ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
            executor::run::<SimMono>(&mut [pin!(poll(ticker, &mut Hasty(answer), &mut album))]);
            // The task sees that it should end one period after its last poll.
            let polls_at_once = album.counters.frames as u32;
            assert_eq!(
                SimMono::now() - SimMono::EPOCH,
                PERIOD * (100 - polls_at_once)
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_comes_what_goes_on_is_newer_whole_and_counted(
            answers in prop::collection::vec(
                prop_oneof![
                    4 => (-3_000_000_i64..3_000_000, 0_u64..6, prop_oneof![9 => Just(24_usize), 1 => 0_usize..30])
                        .prop_map(Ok),
                    1 => Just(Err(CameraError::NoFrame)),
                ],
                1..60,
            ),
        ) {
            let (album, asked_at) = simulated(&answers);
            prop_assert!(album.frames.windows(2).all(|pair| pair[0].captured_at < pair[1].captured_at));
            prop_assert!(album.frames.iter().all(|frame| frame.image.rgb.len() == 24));
            let handed_over = album.refused.iter().zip(&asked_at).filter(|(refused, _)| refused.is_none());
            for (frame, (_, &asked_at)) in album.frames.iter().zip(handed_over) {
                prop_assert!(frame.captured_at <= asked_at);
            }
            let counters = album.counters;
            prop_assert_eq!(counters.frames, album.frames.len() as u64);
            let polls = counters.frames + counters.refused() + counters.failed();
            prop_assert_eq!(polls, answers.len() as u64);
        }
    }
}
