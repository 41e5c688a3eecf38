//! The frames of Damiao's drives on classical CAN: the MIT impedance frame, their commands, feedback and registers.
//!
//! Sources: the manuals of the DM-J series (Shenzhen Damiao, "Geared Motor User Manual", chapters on the CAN protocol and the
//! MIT mode); the packing is that of B. Katz's MIT actuator, which T-Motor's AK series shares. Every value is the drive's own: its output
//! shaft, its direction, its zero. Not responsible for joints, nor for when anything is sent.

use crate::port::CanFrame;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Registers are read and written, and states asked for, with this identifier; the drive's own is in the data.
pub const REGISTERS_ID: u16 = 0x7FF;
const READ: u8 = 0x33;
const WRITE: u8 = 0x55;
const STATUS: u8 = 0xCC;
/// One unit of [`Register::Timeout`], µs.
pub const TIMEOUT_UNIT_US: u32 = 50;
/// Value of [`Register::ControlMode`] in which a drive obeys [`Impedance`].
pub const MIT_MODE: u32 = 1;

/// What the drive's integers stand for: positions from -`p_max_rad` to `p_max_rad` and so on; gains from 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    pub p_max_rad: f64,
    pub v_max_rad_per_s: f64,
    pub t_max_nm: f64,
    /// N·m/rad.
    #[serde(default = "kp_max")]
    pub kp_max: f64,
    /// N·m·s/rad.
    #[serde(default = "kd_max")]
    pub kd_max: f64,
}

const fn kp_max() -> f64 {
    500.0
}

const fn kd_max() -> f64 {
    5.0
}

impl Ranges {
    pub const fn new(p_max_rad: f64, v_max_rad_per_s: f64, t_max_nm: f64) -> Self {
        Self {
            p_max_rad,
            v_max_rad_per_s,
            t_max_nm,
            kp_max: kp_max(),
            kd_max: kd_max(),
        }
    }

    pub fn is_valid(&self) -> bool {
        let all = [
            self.p_max_rad,
            self.v_max_rad_per_s,
            self.t_max_nm,
            self.kp_max,
            self.kd_max,
        ];
        all.iter().all(|x| x.is_finite() && *x > 0.0)
    }

    /// How far a decoded position may be from what the drive measured, rad: it cuts off what is below one step.
    pub fn resolution_rad(&self) -> f64 {
        2.0 * self.p_max_rad / 65535.0
    }
}

/// The nearest of 2^`bits` steps from `low` to `high`, the lower one of two. The caller has made sure that `x` is finite.
fn to_steps(x: f64, low: f64, high: f64, bits: u32) -> u16 {
    let steps = ((1_u32 << bits) - 1) as f64;
    let exact = (x.clamp(low, high) - low) * steps / (high - low);
    (exact - 0.5).ceil().clamp(0.0, steps) as u16
}

fn from_steps(n: u16, low: f64, high: f64, bits: u32) -> f64 {
    let steps = ((1_u32 << bits) - 1) as f64;
    low + f64::from(n) * (high - low) / steps
}

/// tau = kp (q - measured q) + kd (dq - measured dq) + tau, until the next frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impedance {
    pub q: f64,
    pub dq: f64,
    pub kp: f64,
    pub kd: f64,
    pub tau: f64,
}

impl Impedance {
    /// What is out of range is sent as its limit. `None` when anything is not finite, or when all of it is at the very end of
    /// its range: that frame would be a [`Command`].
    pub fn encode(&self, id: u16, r: &Ranges) -> Option<CanFrame> {
        let all = [self.q, self.dq, self.kp, self.kd, self.tau];
        if !all.iter().all(|x| x.is_finite()) {
            return None;
        }
        let [p0, p1] = to_steps(self.q, -r.p_max_rad, r.p_max_rad, 16).to_be_bytes();
        let [v0, v1] = to_steps(self.dq, -r.v_max_rad_per_s, r.v_max_rad_per_s, 12).to_be_bytes();
        let [kp0, kp1] = to_steps(self.kp, 0.0, r.kp_max, 12).to_be_bytes();
        let [kd0, kd1] = to_steps(self.kd, 0.0, r.kd_max, 12).to_be_bytes();
        let [t0, t1] = to_steps(self.tau, -r.t_max_nm, r.t_max_nm, 12).to_be_bytes();
        let data = [
            p0,
            p1,
            v0 << 4 | v1 >> 4,
            v1 << 4 | kp0,
            kp1,
            kd0 << 4 | kd1 >> 4,
            kd1 << 4 | t0,
            t1,
        ];
        let frame = CanFrame { id, data, len: 8 };
        Command::decode(&frame).is_none().then_some(frame)
    }

    /// As a drive does. `None` when the frame is too short, or is a [`Command`].
    pub fn decode(frame: &CanFrame, r: &Ranges) -> Option<Self> {
        if frame.len != 8 || Command::decode(frame).is_some() {
            return None;
        }
        let d = frame.data.map(u16::from);
        let (v, kp) = (d[2] << 4 | d[3] >> 4, (d[3] & 0xF) << 8 | d[4]);
        let (kd, t) = (d[5] << 4 | d[6] >> 4, (d[6] & 0xF) << 8 | d[7]);
        Some(Self {
            q: from_steps(d[0] << 8 | d[1], -r.p_max_rad, r.p_max_rad, 16),
            dq: from_steps(v, -r.v_max_rad_per_s, r.v_max_rad_per_s, 12),
            kp: from_steps(kp, 0.0, r.kp_max, 12),
            kd: from_steps(kd, 0.0, r.kd_max, 12),
            tau: from_steps(t, -r.t_max_nm, r.t_max_nm, 12),
        })
    }
}

/// Sent to the drive's own identifier. Each is answered with [`Feedback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Command {
    /// Takes the drive out of a fault, without power.
    ClearFault = 0xFB,
    Enable = 0xFC,
    Disable = 0xFD,
    /// Here is zero, from now on and after a power cycle. The driver never sends it.
    SetZero = 0xFE,
}

impl Command {
    pub fn encode(self, id: u16) -> CanFrame {
        let mut data = [0xFF; 8];
        data[7] = self as u8;
        CanFrame { id, data, len: 8 }
    }

    pub fn decode(frame: &CanFrame) -> Option<Self> {
        let all = [Self::ClearFault, Self::Enable, Self::Disable, Self::SetZero];
        let is = |command: &Self| command.encode(frame.id) == *frame;
        all.into_iter().find(is)
    }
}

/// What a drive says of itself: four bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    pub const DISABLED: Self = Self(0);
    pub const ENABLED: Self = Self(1);
    /// Its watchdog has taken the power away.
    pub const SILENCE: Self = Self(0xD);

    pub fn is_fault(self) -> bool {
        self.0 > 1
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0x0 => "without power",
            0x1 => "under power",
            0x8 => "over-voltage",
            0x9 => "under-voltage",
            0xA => "over-current",
            0xB => "MOSFETs too hot",
            0xC => "coil too hot",
            0xD => "communication lost",
            0xE => "overload",
            _ => "a state that the manual does not know",
        };
        write!(f, "{text} ({:X})", self.0)
    }
}

/// What a drive answers to every frame that it is addressed with, on its master identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Feedback {
    pub status: Status,
    pub q: f64,
    pub dq: f64,
    pub tau: f64,
    pub mosfet_c: u8,
    pub coil_c: u8,
}

impl Feedback {
    /// `None` when this is no feedback of the drive `id`, which is below 16.
    pub fn decode(frame: &CanFrame, id: u16, r: &Ranges) -> Option<Self> {
        let d = frame.data.map(u16::from);
        if frame.len != 8 || d[0] & 0xF != id || Access::answers(frame, id).is_some() {
            return None;
        }
        Some(Self {
            status: Status((d[0] >> 4) as u8),
            q: from_steps(d[1] << 8 | d[2], -r.p_max_rad, r.p_max_rad, 16),
            dq: from_steps(
                d[3] << 4 | d[4] >> 4,
                -r.v_max_rad_per_s,
                r.v_max_rad_per_s,
                12,
            ),
            tau: from_steps((d[4] & 0xF) << 8 | d[5], -r.t_max_nm, r.t_max_nm, 12),
            mosfet_c: frame.data[6],
            coil_c: frame.data[7],
        })
    }

    /// As a drive does: it cuts off what is below one step.
    pub fn encode(&self, id: u16, master_id: u16, r: &Ranges) -> CanFrame {
        let cut = |x: f64, max: f64, bits: u32| {
            let steps = ((1_u32 << bits) - 1) as f64;
            ((x.clamp(-max, max) + max) * steps / (2.0 * max)) as u16
        };
        let [p0, p1] = cut(self.q, r.p_max_rad, 16).to_be_bytes();
        let [v0, v1] = cut(self.dq, r.v_max_rad_per_s, 12).to_be_bytes();
        let [t0, t1] = cut(self.tau, r.t_max_nm, 12).to_be_bytes();
        let first = self.status.0 << 4 | (id & 0xF) as u8;
        let data = [
            first,
            p0,
            p1,
            v0 << 4 | v1 >> 4,
            v1 << 4 | t0,
            t1,
            self.mosfet_c,
            self.coil_c,
        ];
        CanFrame {
            id: master_id,
            data,
            len: 8,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Register {
    MasterId = 7,
    /// After which silence the drive gives up, in [`TIMEOUT_UNIT_US`]; 0 means never. An integer, lost without power.
    Timeout = 9,
    /// An integer; see [`MIT_MODE`].
    ControlMode = 10,
    /// A float, as the two after it: what the drive takes for the limits of [`Ranges`].
    PositionMax = 21,
    VelocityMax = 22,
    TorqueMax = 23,
}

/// A request on [`REGISTERS_ID`]. A drive answers a read or a write in the same form, on its master identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read {
        register: u8,
    },
    Write {
        register: u8,
        value: [u8; 4],
    },
    /// Asks for [`Feedback`]. Does not feed the drive's watchdog.
    Status,
}

impl Access {
    pub fn encode(self, id: u16) -> CanFrame {
        let [low, high] = id.to_le_bytes();
        let data = match self {
            Self::Read { register } => [low, high, READ, register, 0, 0, 0, 0],
            Self::Write {
                register,
                value: [a, b, c, d],
            } => [low, high, WRITE, register, a, b, c, d],
            Self::Status => [low, high, STATUS, 0, 0, 0, 0, 0],
        };
        CanFrame {
            id: REGISTERS_ID,
            data,
            len: 8,
        }
    }

    /// As a drive does: whom it is for, and what.
    pub fn decode(frame: &CanFrame) -> Option<(u16, Self)> {
        let [low, high, kind, register, value @ ..] = frame.data;
        if frame.id != REGISTERS_ID || frame.len < 4 {
            return None;
        }
        let access = match kind {
            READ => Self::Read { register },
            WRITE if frame.len == 8 => Self::Write { register, value },
            STATUS => Self::Status,
            _ => return None,
        };
        Some((u16::from_le_bytes([low, high]), access))
    }

    /// The register that the drive `id` speaks of, if this is its answer to a read or a write. Only a drive without power at the very
    /// end of its range could mean [`Feedback`] with the same bits.
    pub fn answers(frame: &CanFrame, id: u16) -> Option<u8> {
        let [low, high, kind, register, ..] = frame.data;
        let is = frame.len == 8 && [low, high] == id.to_le_bytes() && matches!(kind, READ | WRITE);
        is.then_some(register)
    }

    /// What the drive `id` says is in the register, when this is its answer to the request; `None` else.
    pub fn answer(self, frame: &CanFrame, id: u16) -> Option<[u8; 4]> {
        let [_, _, kind, register, value @ ..] = frame.data;
        let is_mine = match self {
            Self::Read { register: asked } => (kind, register) == (READ, asked),
            Self::Write {
                register: asked, ..
            } => (kind, register) == (WRITE, asked),
            Self::Status => false,
        };
        (is_mine && Self::answers(frame, id).is_some()).then_some(value)
    }

    /// The answer to a read or a write, as a drive sends it; `None` for [`Access::Status`].
    pub fn answered(self, id: u16, master_id: u16, value: [u8; 4]) -> Option<CanFrame> {
        let mut frame = self.encode(id);
        frame.id = master_id;
        frame.data[4..].copy_from_slice(&value);
        (self != Self::Status).then_some(frame)
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
