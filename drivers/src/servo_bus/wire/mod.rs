//! Packets on a servo bus: to be sent, legal by construction; and found in whatever comes, garbage included.
//!
//! Two protocols. *Feetech* SCS/STS (Feetech's "Communication Protocol Manual" of the SMS/STS series):
//! `FF FF id len code params.. sum`, where an answer has its error flags in the place of the instruction. *Dynamixel* 2.0 (ROBOTIS
//! e-Manual, "DYNAMIXEL Protocol 2.0"): `FF FF FD 00 id len len code params.. crc crc`, with bytes stuffed.
//!
//! Own code and not the crate `rustypot`: that one owns the port and waits by wall-clock time-outs, allocates a vector for every
//! packet, and takes the next packet for the answer to the last request. Here time is virtual in tests, nothing may allocate in
//! the loop, and a late answer must be known as one. Not responsible for ports, nor for what is in registers ([`super::tables`]).

mod dynamixel;
mod feetech;
mod parser;

pub use dynamixel::crc16;
pub use parser::Parser;

/// Everybody on the bus; nobody answers.
pub const BROADCAST: u8 = 0xFE;
/// The highest identifier that both protocols give to a single servo.
pub const ID_MAX: u8 = 252;
/// No packet has more parameters.
pub const PARAMS_MAX: usize = 192;
/// Header, identifier, length, code, check, and the bytes that stuffing may add.
const FRAME_MAX: usize = 12 + PARAMS_MAX + PARAMS_MAX / 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Feetech,
    Dynamixel,
}

/// The instructions of both protocols that are used here, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Instruction {
    Ping = 0x01,
    Read = 0x02,
    Write = 0x03,
    /// A write that waits for [`Instruction::Action`].
    RegWrite = 0x04,
    Action = 0x05,
    SyncRead = 0x82,
    SyncWrite = 0x83,
    /// As the sync instructions, but each servo has its own address. Dynamixel only.
    BulkRead = 0x92,
    BulkWrite = 0x93,
}

/// Marks an answer in protocol 2.0.
pub const STATUS: u8 = 0x55;

/// A packet that was found. In an answer of the Feetech protocol `code` is the error byte; see [`Protocol::answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub id: u8,
    pub code: u8,
    params: [u8; PARAMS_MAX],
    len: usize,
}

impl Packet {
    fn new(id: u8, code: u8) -> Self {
        Self {
            id,
            code,
            params: [0; PARAMS_MAX],
            len: 0,
        }
    }

    /// False when there is no room.
    fn push(&mut self, byte: u8) -> bool {
        let room = self.params.get_mut(self.len);
        self.len += usize::from(room.is_some());
        room.map(|place| *place = byte).is_some()
    }

    pub fn params(&self) -> &[u8] {
        &self.params[..self.len]
    }
}

/// What a servo answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub id: u8,
    /// As the protocol has it: flags with Feetech, a number and the alert bit with Dynamixel.
    pub error: u8,
    pub data: &'a [u8],
}

/// A packet's bytes, to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    bytes: [u8; FRAME_MAX],
    len: usize,
}

impl Frame {
    fn empty() -> Self {
        Self {
            bytes: [0; FRAME_MAX],
            len: 0,
        }
    }

    /// # Panics
    /// When the packet is longer than any legal one: the caller's mistake.
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Protocol {
    /// # Panics
    /// Like every maker of packets: on an identifier that no servo has, or more parameters than [`PARAMS_MAX`].
    pub fn packet(self, id: u8, code: u8, params: &[u8]) -> Frame {
        assert!(id <= ID_MAX || id == BROADCAST, "no servo has id {id}");
        assert!(params.len() <= PARAMS_MAX, "{} parameters", params.len());
        match self {
            Protocol::Feetech => feetech::encode(id, code, params),
            Protocol::Dynamixel => dynamixel::encode(id, code, params),
        }
    }

    pub fn ping(self, id: u8) -> Frame {
        self.packet(id, Instruction::Ping as u8, &[])
    }

    pub fn read(self, id: u8, address: u16, len: u8) -> Frame {
        let mut params = Params::default();
        params.address(self, address);
        params.count(self, len);
        self.packet(id, Instruction::Read as u8, params.get())
    }

    pub fn write(self, id: u8, address: u16, data: &[u8]) -> Frame {
        self.writing(id, Instruction::Write, address, data)
    }

    /// As [`Protocol::write`], but kept until [`Protocol::action`].
    pub fn reg_write(self, id: u8, address: u16, data: &[u8]) -> Frame {
        self.writing(id, Instruction::RegWrite, address, data)
    }

    fn writing(self, id: u8, instruction: Instruction, address: u16, data: &[u8]) -> Frame {
        let mut params = Params::default();
        params.address(self, address);
        params.bytes(data);
        self.packet(id, instruction as u8, params.get())
    }

    pub fn action(self) -> Frame {
        self.packet(BROADCAST, Instruction::Action as u8, &[])
    }

    /// Asks these servos, who answer one after the other.
    pub fn sync_read(self, address: u16, len: u8, ids: impl Iterator<Item = u8>) -> Frame {
        let mut params = Params::default();
        params.address(self, address);
        params.count(self, len);
        ids.for_each(|id| params.bytes(&[id]));
        self.packet(BROADCAST, Instruction::SyncRead as u8, params.get())
    }

    /// Writes `LEN` bytes to each of these servos, who answer nothing.
    pub fn sync_write<'a>(
        self,
        address: u16,
        len: u8,
        items: impl Iterator<Item = (u8, &'a [u8])>,
    ) -> Frame {
        let mut params = Params::default();
        params.address(self, address);
        params.count(self, len);
        for (id, data) in items {
            assert_eq!(data.len(), usize::from(len), "data of another length");
            params.bytes(&[id]);
            params.bytes(data);
        }
        self.packet(BROADCAST, Instruction::SyncWrite as u8, params.get())
    }

    /// Asks these servos, who answer one after the other: for so many bytes from this address.
    ///
    /// # Panics
    /// When the addresses differ on a Feetech bus, which cannot do that.
    pub fn group_read(self, len: u8, items: impl Iterator<Item = (u8, u16)> + Clone) -> Frame {
        let mut addresses = items.clone().map(|(_, address)| address);
        let first = addresses.next().unwrap_or(0);
        if addresses.all(|address| address == first) {
            return self.sync_read(first, len, items.map(|(id, _)| id));
        }
        assert_eq!(self, Protocol::Dynamixel, "one address on a Feetech bus");
        let mut params = Params::default();
        for (id, address) in items {
            params.bytes(&[id]);
            params.address(self, address);
            params.count(self, len);
        }
        self.packet(BROADCAST, Instruction::BulkRead as u8, params.get())
    }

    /// Writes to each of these servos, who answer nothing: these bytes, from this address on.
    ///
    /// # Panics
    /// When the addresses differ on a Feetech bus, which cannot do that.
    pub fn group_write<'a>(
        self,
        len: u8,
        items: impl Iterator<Item = (u8, u16, &'a [u8])> + Clone,
    ) -> Frame {
        let mut addresses = items.clone().map(|(_, address, _)| address);
        let first = addresses.next().unwrap_or(0);
        if addresses.all(|address| address == first) {
            return self.sync_write(first, len, items.map(|(id, _, data)| (id, data)));
        }
        assert_eq!(self, Protocol::Dynamixel, "one address on a Feetech bus");
        let mut params = Params::default();
        for (id, address, data) in items {
            params.bytes(&[id]);
            params.address(self, address);
            params.count(self, len);
            params.bytes(data);
        }
        self.packet(BROADCAST, Instruction::BulkWrite as u8, params.get())
    }

    /// What a servo sends.
    pub fn status(self, id: u8, error: u8, data: &[u8]) -> Frame {
        match self {
            Protocol::Feetech => self.packet(id, error, data),
            Protocol::Dynamixel => {
                let mut params = Params::default();
                params.bytes(&[error]);
                params.bytes(data);
                self.packet(id, STATUS, params.get())
            }
        }
    }

    /// A packet as an answer; `None` when it is none. A Feetech answer looks like an instruction.
    pub fn answer(self, packet: &Packet) -> Option<Answer<'_>> {
        let (error, data) = match self {
            Protocol::Feetech => (packet.code, packet.params()),
            Protocol::Dynamixel if packet.code == STATUS => {
                let (error, data) = packet.params().split_first()?;
                (*error, data)
            }
            Protocol::Dynamixel => return None,
        };
        let id = packet.id;
        Some(Answer { id, error, data })
    }

    /// How many bytes an answer with so much data has, bytes stuffed not counted.
    pub fn answer_len(self, data: usize) -> usize {
        match self {
            Protocol::Feetech => 6 + data,
            Protocol::Dynamixel => 11 + data,
        }
    }

    /// A register's address and a number of bytes, at the front of the parameters; what follows them.
    pub fn address_and_len(self, params: &[u8]) -> Option<(u16, usize, &[u8])> {
        match (self, params) {
            (Protocol::Feetech, &[address, len, ref rest @ ..]) => {
                Some((address.into(), len.into(), rest))
            }
            (Protocol::Dynamixel, &[a0, a1, l0, l1, ref rest @ ..]) => Some((
                u16::from_le_bytes([a0, a1]),
                u16::from_le_bytes([l0, l1]).into(),
                rest,
            )),
            _ => None,
        }
    }

    /// A register's address at the front of the parameters; what follows it.
    pub fn address(self, params: &[u8]) -> Option<(u16, &[u8])> {
        match (self, params) {
            (Protocol::Feetech, &[address, ref rest @ ..]) => Some((address.into(), rest)),
            (Protocol::Dynamixel, &[a0, a1, ref rest @ ..]) => {
                Some((u16::from_le_bytes([a0, a1]), rest))
            }
            _ => None,
        }
    }
}

/// Parameters under construction.
struct Params {
    bytes: [u8; PARAMS_MAX],
    len: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            bytes: [0; PARAMS_MAX],
            len: 0,
        }
    }
}

impl Params {
    fn bytes(&mut self, data: &[u8]) {
        self.bytes[self.len..][..data.len()].copy_from_slice(data);
        self.len += data.len();
    }

    fn address(&mut self, protocol: Protocol, address: u16) {
        let [low, high] = address.to_le_bytes();
        match protocol {
            Protocol::Feetech => {
                assert_eq!(high, 0, "the Feetech protocol has no register {address}");
                self.bytes(&[low]);
            }
            Protocol::Dynamixel => self.bytes(&[low, high]),
        }
    }

    fn count(&mut self, protocol: Protocol, len: u8) {
        match protocol {
            Protocol::Feetech => self.bytes(&[len]),
            Protocol::Dynamixel => self.bytes(&[len, 0]),
        }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests;
