//! Reads an MCAP file while somebody writes it: every message once, as soon as its bytes are there.
//!
//! The end of the file is only where the writer is now. Not responsible for which file that is, nor for what becomes of
//! the messages ([`crate::live`]).

use mcap::McapError;
use mcap::records::{self, Record, op};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use std::collections::HashMap;
use std::io::Read;

/// A longer record is no message that anybody wants live, and more likely damage.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// So much is read at once.
const READ_BYTES: usize = 64 << 10;

/// A message as it stands in the file.
#[derive(Debug)]
pub struct Message<'a> {
    pub channel: &'a records::Channel,
    pub header: records::MessageHeader,
    pub data: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub name: String,
    pub encoding: String,
    pub text: Vec<u8>,
}

pub struct Follower {
    reader: LinearReader,
    channels: HashMap<u16, records::Channel>,
    schemas: HashMap<u16, Schema>,
    /// Bytes of the file so far.
    pub bytes: u64,
    ended: bool,
}

impl Default for Follower {
    fn default() -> Self {
        let options = LinearReaderOptions::default().with_record_length_limit(RECORD_BYTES_MAX);
        Self {
            reader: LinearReader::new_with_options(options),
            channels: HashMap::new(),
            schemas: HashMap::new(),
            bytes: 0,
            ended: false,
        }
    }
}

impl Follower {
    /// Reads up to the present end of the file. Whether it is the end for good: the writer has closed it.
    ///
    /// # Errors
    /// The file cannot be read, or is none; nothing more comes from it then.
    pub fn read(
        &mut self,
        file: &mut impl Read,
        mut on_message: impl FnMut(&Message<'_>, Option<&Schema>, u64),
    ) -> Result<bool, McapError> {
        while !self.ended {
            match self.reader.next_event().transpose()? {
                None => self.ended = true,
                Some(LinearReadEvent::ReadRequest(_)) => {
                    // The reader asks for what it needs next, and takes more as well.
                    let read = file.read(self.reader.insert(READ_BYTES))?;
                    // Zero would mean the end for good.
                    if read == 0 {
                        return Ok(false);
                    }
                    self.reader.notify_read(read);
                    self.bytes += read as u64;
                }
                Some(LinearReadEvent::Record { opcode, data }) => {
                    match opcode {
                        op::SCHEMA | op::CHANNEL | op::MESSAGE => {}
                        // What follows is a summary.
                        op::DATA_END => {
                            self.ended = true;
                            continue;
                        }
                        _ => continue,
                    }
                    match mcap::parse_record(opcode, data)? {
                        Record::Schema { header, data } => {
                            let schema = Schema {
                                name: header.name,
                                encoding: header.encoding,
                                text: data.into_owned(),
                            };
                            self.schemas.insert(header.id, schema);
                        }
                        Record::Channel(channel) => {
                            self.channels.insert(channel.id, channel);
                        }
                        Record::Message { header, data } => {
                            if let Some(channel) = self.channels.get(&header.channel_id) {
                                let schema = self.schemas.get(&channel.schema_id);
                                let data = &data;
                                let message = Message {
                                    channel,
                                    header,
                                    data,
                                };
                                on_message(&message, schema, self.bytes);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::io::Cursor;

    /// An episode of `count` messages, flushed after every tenth.
    pub fn episode(count: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = mcap::WriteOptions::new()
            .compression(Some(mcap::Compression::Lz4))
            .disable_seeking(true)
            .create(Cursor::new(&mut bytes))
            .unwrap();
        let schema = writer
            .add_schema("test_msgs/msg/Count", "ros2msg", b"uint32 count")
            .unwrap();
        let channel = writer
            .add_channel(schema, "/count", "cdr", &BTreeMap::new())
            .unwrap();
        for sequence in 0..count {
            let header = records::MessageHeader {
                channel_id: channel,
                sequence,
                log_time: u64::from(sequence) * 1000,
                publish_time: 7,
            };
            writer
                .write_to_known_channel(&header, &sequence.to_le_bytes())
                .unwrap();
            if sequence % 10 == 9 {
                writer.flush().unwrap();
            }
        }
        writer.finish().unwrap();
        drop(writer);
        bytes
    }

    fn follow(pieces: &[&[u8]]) -> (Vec<u32>, bool) {
        let mut follower = Follower::default();
        let (mut sequences, mut ended) = (Vec::new(), false);
        for mut piece in pieces.iter().copied() {
            let read = follower.read(&mut piece, |message, schema, _| {
                assert_eq!(message.channel.topic, "/count");
                assert_eq!(
                    schema.map(|schema| schema.name.as_str()),
                    Some("test_msgs/msg/Count")
                );
                assert_eq!(message.data, message.header.sequence.to_le_bytes());
                sequences.push(message.header.sequence);
            });
            ended = read.unwrap();
        }
        (sequences, ended)
    }

    #[test]
    fn every_message_comes_once_wherever_the_writer_pauses() {
        let episode = episode(35);
        let all: Vec<u32> = (0..35).collect();
        for at in 0..episode.len() {
            let (sequences, ended) = follow(&[&episode[..at], &[], &episode[at..]]);
            assert_eq!((sequences, ended), (all.clone(), true), "{at}");
        }
        let bytes: Vec<&[u8]> = episode.chunks(1).collect();
        assert_eq!(follow(&bytes).0, all);
    }

    #[test]
    fn what_was_flushed_comes_before_the_rest() {
        let episode = episode(35);
        let short = &episode[..episode.len() * 2 / 3];
        let (sequences, ended) = follow(&[short]);
        assert!(!ended && sequences.len() >= 10, "{sequences:?}");
        assert!(sequences.iter().copied().eq(0..sequences.len() as u32));
    }

    proptest! {
        #[test]
        fn damage_ends_it_without_a_panic(at in 0usize..2000, with in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut episode = episode(35);
            let at = at % episode.len();
            let end = (at + with.len()).min(episode.len());
            episode[at..end].copy_from_slice(&with[..end - at]);
            let mut follower = Follower::default();
            let _ = follower.read(&mut &episode[..], |_, _, _| {});
        }

        #[test]
        fn garbage_ends_it_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for start in [&[][..], mcap::MAGIC] {
                let garbage = [start, &bytes].concat();
                let mut follower = Follower::default();
                let _ = follower.read(&mut &garbage[..], |_, _, _| {});
            }
        }
    }
}
