//! How values leave and reach the control thread: wait-free, bounded, and with every loss counted.
//!
//! Two shapes. A [`ring`] keeps order and every value that fits (a [`crate::step::Step`] a tick to the writer); the
//! reading end is rtrb's own. A [`latest`] cell keeps the newest value alone (a goal for the control thread); both ends
//! are triple_buffer's own. Not for threads that may block: those use channels.

use crate::clock::{Duration, Instant};

/// A ring of `capacity` values for one sender and one receiver.
///
/// `Copy` values only, so that neither a push nor a drop ever frees memory on the control thread.
pub fn ring<T: Copy>(capacity: usize) -> (RingSender<T>, rtrb::Consumer<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    (
        RingSender {
            producer,
            dropped: 0,
        },
        consumer,
    )
}

/// The sending end of a [`ring`]: never waits, drops the new value when the ring is full, and counts it.
pub struct RingSender<T> {
    producer: rtrb::Producer<T>,
    dropped: u64,
}

impl<T: Copy> RingSender<T> {
    /// Returns whether `value` found room.
    pub fn push(&mut self, value: T) -> bool {
        let has_room = self.producer.push(value).is_ok();
        self.dropped += u64::from(!has_room);
        has_room
    }

    /// Values that found the ring full, since it was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The receiver is gone: nothing that is pushed will ever be read.
    pub fn is_abandoned(&self) -> bool {
        self.producer.is_abandoned()
    }
}

/// A value and the instant that it speaks of (a frame's capture, an encoder's sampling; not when it was handed over).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    pub at: Instant,
    pub value: T,
}

impl<T> Stamped<T> {
    /// How old the value is at `now`. Zero when it was stamped after `now` was read, as another thread may do during
    /// a tick; a driver refuses stamps from the future where it takes them.
    pub fn age(&self, now: Instant) -> Duration {
        now.checked_duration_since(self.at)
            .unwrap_or(Duration::ZERO)
    }
}

pub type LatestInput<T> = triple_buffer::Input<Option<Stamped<T>>>;
pub type LatestOutput<T> = triple_buffer::Output<Option<Stamped<T>>>;

/// A cell that holds the newest value, `None` until the first. Neither end ever waits for the other.
///
/// `write` drops an older value on the writing thread, so what the control thread writes is `Copy`. `read` gives the
/// newest value again and again: the reader judges its [`Stamped::age`].
pub fn latest<T: Clone + Send>() -> (LatestInput<T>, LatestOutput<T>) {
    triple_buffer::triple_buffer(&None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_the_newest_and_counts_it() {
        let (mut sender, mut receiver) = ring(3);
        let kept: Vec<bool> = (0..5).map(|value| sender.push(value)).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        assert_eq!(sender.dropped(), 2);

        assert_eq!(receiver.pop(), Ok(0));
        assert!(sender.push(5), "there is room again");
        assert_eq!(sender.dropped(), 2, "the count is since the start");
        assert_eq!(
            std::iter::from_fn(|| receiver.pop().ok()).collect::<Vec<_>>(),
            [1, 2, 5]
        );

        drop(receiver);
        assert!(sender.is_abandoned());
    }

    #[test]
    fn received_and_dropped_make_up_what_was_sent() {
        const SENT: u64 = 20_000;
        let (mut sender, mut receiver) = ring(8);
        let received = std::thread::spawn(move || {
            let mut received = Vec::new();
            while !(receiver.is_abandoned() && receiver.is_empty()) {
                received.extend(receiver.pop());
            }
            received
        });
        for value in 0..SENT {
            sender.push(value);
        }
        let dropped = sender.dropped();
        drop(sender);
        let received = received.join().unwrap();
        assert_eq!(received.len() as u64 + dropped, SENT);
        assert!(received.is_sorted(), "order is kept");
    }

    #[test]
    fn latest_gives_the_newest_value_and_its_age() {
        let at = Instant::from_ticks;
        let (mut writer, mut reader) = latest();
        assert_eq!(*reader.read(), None);

        writer.write(Some(Stamped {
            at: at(100),
            value: 'a',
        }));
        writer.write(Some(Stamped {
            at: at(200),
            value: 'b',
        }));
        for _ in 0..2 {
            assert_eq!(
                *reader.read(),
                Some(Stamped {
                    at: at(200),
                    value: 'b'
                })
            );
        }
        let newest = reader.read().unwrap();
        for (now, age_ns) in [(200, 0), (250, 50), (199, 0)] {
            assert_eq!(newest.age(at(now)), Duration::from_ticks(age_ns));
        }
    }
}
