//! Finds packets in a stream of bytes.
//!
//! Whatever has come, the next whole packet that follows is found, but for one thing: bytes that look like the head of a packet
//! hold up what follows for at most the longest packet that is expected. Work and memory are bounded, and nothing panics.

use super::{Packet, Protocol, dynamixel, feetech};

/// More than two of the longest packets.
const CAPACITY: usize = 640;

pub(super) struct Found {
    pub packet: Packet,
    /// Bytes that it takes.
    pub used: usize,
}

/// Why some bytes do not begin with a packet.
pub(super) enum Miss {
    Nothing,
    /// It may be one; there are too few bytes to say.
    More,
}

pub(super) type Lookup = Result<Found, Miss>;

#[derive(Clone, Debug)]
pub struct Parser {
    protocol: Protocol,
    params_max: usize,
    /// What looks like the head of another packet within a packet says that the first one has no end.
    heads_inside: bool,
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Parser {
    /// Of what is sent to servos, with at most so many parameters. What looks longer is garbage.
    pub fn of_instructions(protocol: Protocol, params_max: usize) -> Self {
        assert!(params_max <= super::PARAMS_MAX, "{params_max} parameters");
        Self {
            protocol,
            params_max,
            heads_inside: true,
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    /// Of what servos answer.
    ///
    /// Feetech's sum has 8 bits: where the end of an answer is lost and the next one follows, the two together are in one
    /// of 256 cases an answer with a right sum and wrong numbers. So a Feetech answer with `FF FF` inside is none. No
    /// register that is read here can hold that.
    pub fn of_answers(protocol: Protocol, params_max: usize) -> Self {
        Self {
            heads_inside: protocol == Protocol::Dynamixel,
            ..Self::of_instructions(protocol, params_max)
        }
    }

    /// Some bytes have come. Where there is no room the oldest are forgotten: call [`Parser::next_packet`] in between.
    pub fn feed(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(CAPACITY)..];
        let excess = (self.len + bytes.len()).saturating_sub(CAPACITY);
        self.forget(excess);
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn forget(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
    }

    fn has_head_inside(&self, start: usize, used: usize) -> bool {
        let inside = &self.bytes[start + 2..start + used];
        !self.heads_inside && inside.windows(2).any(|pair| pair == [0xFF, 0xFF])
    }

    /// The first packet in what has come; `None` when there is none yet.
    pub fn next_packet(&mut self) -> Option<Packet> {
        let decode = match self.protocol {
            Protocol::Feetech => feetech::decode,
            Protocol::Dynamixel => dynamixel::decode,
        };
        for start in 0..self.len {
            match decode(&self.bytes[start..self.len], self.params_max) {
                Err(Miss::Nothing) => {}
                Err(Miss::More) => {
                    self.forget(start);
                    return None;
                }
                Ok(Found { used, .. }) if self.has_head_inside(start, used) => {}
                Ok(Found { packet, used }) => {
                    self.forget(start + used);
                    return Some(packet);
                }
            }
        }
        self.len = 0;
        None
    }
}
