//! Between the log's format and the disk: what the disk does not take yet waits here, so that a full or failing disk never
//! leaves a hole in the middle of a file.
//!
//! Not responsible for how much may wait (the writer refuses records, and counts them, when it is too much) nor for what
//! the bytes mean.

use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the format's writer leaves its bytes. It only ever appends.
#[derive(Clone, Default)]
pub struct Tap(Arc<Mutex<Tapped>>);

#[derive(Default)]
struct Tapped {
    pending: Vec<u8>,
    /// Bytes that were ever written.
    length: u64,
}

impl Tap {
    fn with<T>(&self, act: impl FnOnce(&mut Tapped) -> T) -> T {
        // A panic elsewhere leaves whole bytes behind.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|tapped| {
            tapped.pending.extend_from_slice(bytes);
            tapped.length += bytes.len() as u64;
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Tap {
    /// # Errors
    /// For anything but asking where the end is.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Current(0) | SeekFrom::End(0) => Ok(self.with(|tapped| tapped.length)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Carries what was left at the [`Tap`] to the disk. Dropped, it tries once more.
pub struct Spool<W: Write> {
    tap: Tap,
    /// `None` when it was taken back.
    sink: Option<W>,
    /// Bytes that the sink has taken.
    taken: u64,
}

impl<W: Write> Spool<W> {
    pub fn new(sink: W) -> (Self, Tap) {
        let tap = Tap::default();
        let spool = Self {
            tap: tap.clone(),
            sink: Some(sink),
            taken: 0,
        };
        (spool, tap)
    }

    /// Bytes that wait.
    pub fn pending(&self) -> usize {
        self.tap.with(|tapped| tapped.pending.len())
    }

    /// Bytes that were ever written at the tap.
    pub fn length(&self) -> u64 {
        self.tap.with(|tapped| tapped.length)
    }

    /// Bytes that the sink has taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Gives the sink all that waits.
    ///
    /// # Errors
    /// The sink's; what it did not take goes on waiting.
    pub fn carry(&mut self) -> io::Result<()> {
        let Some(sink) = &mut self.sink else {
            return Ok(());
        };
        self.tap.with(|tapped| {
            let mut gone = 0;
            let result = loop {
                match sink.write(&tapped.pending[gone..]) {
                    _ if gone == tapped.pending.len() => break sink.flush(),
                    Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => gone += written,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                }
            };
            tapped.pending.drain(..gone);
            self.taken += gone as u64;
            result
        })
    }

    /// The sink, with all that it has taken.
    pub fn into_sink(mut self) -> Option<W> {
        self.sink.take()
    }
}

impl<W: Write> Drop for Spool<W> {
    fn drop(&mut self) {
        // Nobody is there any more to be told.
        let _ = self.carry();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at most at a time, and none while it is full.
    #[derive(Default)]
    struct Slow {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.room.min(bytes.len()).min(3);
            if room == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..room]);
            self.room -= room;
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_comes_later_and_in_order() {
        let (mut spool, mut tap) = Spool::new(Slow::default());
        let mut written = Vec::new();
        for (k, room) in [0_usize, 5, 0, 40, 2, 1000].into_iter().enumerate() {
            let bytes = vec![k as u8; 11];
            tap.write_all(&bytes).unwrap();
            written.extend(bytes);
            spool.sink.as_mut().unwrap().room = room;
            assert_eq!(spool.carry().is_ok(), room >= 40, "{k}");
            assert_eq!(spool.taken() as usize + spool.pending(), written.len());
        }
        assert_eq!(tap.stream_position().unwrap(), 66);
        assert_eq!(spool.into_sink().unwrap().bytes, written);
    }
}
