//! When the light of a frame was measured: never later than claimed here, so that no age is under-estimated.
//!
//! A driver's monotonic stamp is on our clock (CLOCK_MONOTONIC) and is believed when it can be true: not in the future,
//! and later than the one before. From it the camera's latency is subtracted, whatever the stamp's source claims to be:
//! the UVC driver says "start of exposure" of all its stamps, also where it could only note when the first packet of the
//! finished picture came.
//!
//! Any other stamp is replaced. What is known without it: the frame was not finished yet when the driver last had no
//! finished frame for us. So its light was measured not earlier than a whole latency (exposure and read-out) before that
//! moment, and later than the light of the frame before. The later of these two bounds is the stamp.

use super::device::{Facts, StampSource};
use visuomotor_runtime::clock::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// From the light to a stamp that can be believed.
    latency: Duration,
    /// From the light to a finished frame.
    whole_latency: Duration,
    /// The driver had no finished frame then.
    none_finished_at: Instant,
    last_stamp: Option<Instant>,
    last_captured_at: Option<Instant>,
}

impl Stamps {
    /// `latency`: what the launch file says, else what is surely enough.
    pub fn new(facts: &Facts, latency: Option<Duration>) -> Self {
        // Nothing exposes for longer than a period, nor takes longer to read out.
        let exposure = facts.exposure.unwrap_or(facts.period);
        let whole_latency = exposure + facts.period;
        let latency = latency.unwrap_or(match facts.stamps {
            StampSource::StartOfExposure => exposure,
            StampSource::EndOfFrame => whole_latency,
        });
        Self {
            latency,
            whole_latency: whole_latency.max(latency),
            none_finished_at: facts.streaming_since,
            last_stamp: None,
            last_captured_at: None,
        }
    }

    /// For the stream that follows on this one.
    pub fn resume(&self, facts: &Facts, latency: Option<Duration>) -> Self {
        Self {
            last_captured_at: self.last_captured_at,
            ..Self::new(facts, latency)
        }
    }

    /// Subtracted from every stamp that is believed.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// The driver had no finished frame at `at`, or a moment later.
    pub fn none_finished(&mut self, at: Instant) {
        self.none_finished_at = at;
    }

    /// A frame that was finished at `now` at the latest: when its light was measured, and whether the driver's stamp says
    /// so. For every frame in turn, whether it is used or not.
    pub fn captured_at(&mut self, stamp: Option<Instant>, now: Instant) -> (Instant, bool) {
        let is_later = |stamp: &Instant| self.last_stamp.is_none_or(|last| *stamp > last);
        let believed = stamp.filter(|stamp| *stamp <= now).filter(is_later);
        self.last_stamp = believed.or(self.last_stamp);
        let bound = match believed {
            Some(stamp) => before(stamp, self.latency),
            None => before(self.none_finished_at, self.whole_latency),
        };
        let after_last = self
            .last_captured_at
            .map(|last| last + Duration::from_ticks(1));
        let captured_at = after_last.map_or(bound, |after_last| after_last.max(bound));
        self.last_captured_at = Some(captured_at);
        (captured_at, believed.is_some())
    }
}

fn before(instant: Instant, span: Duration) -> Instant {
    Instant::from_ticks(instant.as_ticks().saturating_sub(span.as_ticks()))
}

/// Numbers frames across reopenings, by the driver's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    last_of_driver: Option<u32>,
    last: u64,
}

impl Numbers {
    /// A new stream counts from anywhere.
    pub fn resume(&self) -> Self {
        Self {
            last_of_driver: None,
            last: self.last,
        }
    }

    /// The frame's number, and how many the driver has lost before it.
    pub fn next(&mut self, of_driver: u32) -> (u64, u64) {
        // A count that stands still, goes back or leaps over half of its range says nothing.
        let step = match self.last_of_driver {
            Some(last) => of_driver.wrapping_sub(last),
            None => 1,
        };
        let step = match step {
            1..=0x7fff_ffff => u64::from(step),
            _ => 1,
        };
        self.last_of_driver = Some(of_driver);
        self.last += step;
        (self.last, step - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{Colour, PixelFormat, Source};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(at_ms: u64) -> Instant {
        Instant::from_ticks(0) + ms(1000 + at_ms)
    }

    fn facts(stamps: StampSource) -> Facts {
        Facts {
            source: Source {
                format: PixelFormat::Grey,
                size_px: [1, 1],
                bytes_per_line: 1,
                colour: Colour::default(),
            },
            period: ms(30),
            exposure: Some(ms(10)),
            stamps,
            streaming_since: at(0),
            buffers: 4,
        }
    }

    #[test]
    fn a_stamp_that_can_be_true_is_believed_less_the_latency() {
        let cases = [
            (StampSource::StartOfExposure, None, 10),
            (StampSource::EndOfFrame, None, 40),
            (StampSource::EndOfFrame, Some(ms(0)), 0),
            (StampSource::StartOfExposure, Some(ms(17)), 17),
        ];
        for (source, latency, subtracted_ms) in cases {
            let mut stamps = Stamps::new(&facts(source), latency);
            let expected = at(50) - ms(subtracted_ms);
            assert_eq!(stamps.captured_at(Some(at(50)), at(50)), (expected, true));
        }
    }

    #[test]
    fn a_stamp_that_cannot_be_true_is_replaced_by_the_oldest_possible_moment() {
        let mut stamps = Stamps::new(&facts(StampSource::StartOfExposure), None);
        stamps.none_finished(at(60));
        // From the future, and of another clock.
        assert_eq!(stamps.captured_at(Some(at(66)), at(65)), (at(20), false));
        stamps.none_finished(at(90));
        assert_eq!(stamps.captured_at(None, at(95)), (at(50), false));
        assert_eq!(stamps.captured_at(Some(at(100)), at(125)), (at(90), true));
        // Goes back, and comes again: the light was later than that of the frame before.
        let later = |ticks| at(90) + Duration::from_ticks(ticks);
        stamps.none_finished(at(126));
        assert_eq!(stamps.captured_at(Some(at(99)), at(155)), (later(1), false));
        assert_eq!(
            stamps.captured_at(Some(at(100)), at(155)),
            (later(2), false)
        );
        stamps.none_finished(at(156));
        assert_eq!(stamps.captured_at(Some(at(99)), at(185)), (at(116), false));
        // No stream that follows goes back.
        let since = at(120);
        let next = Facts {
            streaming_since: since,
            ..facts(StampSource::EndOfFrame)
        };
        let mut stamps = stamps.resume(&next, None);
        let (captured_at, _) = stamps.captured_at(None, at(200));
        assert_eq!(captured_at, at(116) + Duration::from_ticks(1));
    }

    #[test]
    fn gaps_in_the_drivers_count_are_drops() {
        let mut numbers = Numbers::default();
        let (max, half) = (u32::MAX, 1 << 31);
        let of_driver = [7, 8, 11, 11, 3, 4, max, 2, half + 2, half + 4];
        let lost = of_driver.map(|count| numbers.next(count).1);
        assert_eq!(lost, [0, 0, 2, 0, 0, 0, 0, 2, 0, 1]);
        assert_eq!(numbers.last, 10 + 5);
        assert_eq!(numbers.resume().next(0), (16, 0));
    }
}
