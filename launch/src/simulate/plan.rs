//! What goes wrong in one simulation, and when: drawn from its seed, written as text, and read back.
//!
//! Not responsible for doing it: [`visuomotor_drivers::testkit`] and [`super::system`] do.

use rand::{Rng, RngExt};
use std::fmt;
use std::str::FromStr;
use visuomotor_drivers::testkit::{ArmFault, CameraFault, Scheduled, Window};
use visuomotor_runtime::clock::{Duration, Instant, SimMono};

/// Faults begin in this part of a simulation, ms after its start.
const FIRST_MS: u64 = 50;
const LAST_MS: u64 = 2_200;
/// Lengths are drawn evenly over their logarithm, ms.
const LONGEST_MS: f64 = 1_000.0;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }
        }
    };
}

impl Kind {
    /// Shorter ones would mostly meet nobody: decisions, frames and words of the operator are far apart.
    fn shortest_ms(self) -> f64 {
        match self.name().split('-').next() {
            Some("policy" | "writer" | "disk") => 300.0,
            Some("camera" | "operator") => 50.0,
            _ => 3.0,
        }
    }
}

kinds! {
    CameraStall "camera-stall",
    CameraDisconnect "camera-disconnect",
    CameraFreeze "camera-freeze",
    CameraTruncate "camera-truncate",
    CameraCorrupt "camera-corrupt",
    CameraReorder "camera-reorder",
    CameraFuture "camera-future",
    EncoderDropout "encoder-dropout",
    EncoderFreeze "encoder-freeze",
    EncoderStuck "encoder-stuck",
    EncoderSpike "encoder-spike",
    EncoderWrap "encoder-wrap",
    EncoderOffset "encoder-offset",
    EncoderNan "encoder-nan",
    LinkDelay "link-delay",
    LinkLoss "link-loss",
    LinkDuplicate "link-duplicate",
    LinkCorrupt "link-corrupt",
    LinkFuture "link-future",
    CommandLost "command-lost",
    WriteFails "write-fails",
    DriveFault "drive-fault",
    EmergencyStop "emergency-stop",
    /// A person asks for a stop of any category.
    StopRequest "stop-request",
    PolicySlow "policy-slow",
    PolicyStuck "policy-stuck",
    PolicyNan "policy-nan",
    PolicyOutOfRange "policy-out-of-range",
    PolicyWrongShape "policy-wrong-shape",
    /// Answers that look at frames of long ago, or of the future.
    PolicyStale "policy-stale",
    /// The whole process stands still.
    ClockJump "clock-jump",
    /// Whoever holds the stick says nothing more.
    OperatorVanishes "operator-vanishes",
    WriterStall "writer-stall",
    DiskFull "disk-full",
}

/// One fault: `camera-stall@1200+400:7` begins after 1200 ms, lasts 400 ms, and has the number 7, from which sizes and
/// joints follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub kind: Kind,
    pub from_ms: u64,
    pub span_ms: u64,
    pub number: u32,
}

pub type Plan = Vec<Planned>;

/// Which faults a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Each simulation draws up to two at once from these.
    Draw(Vec<Kind>),
    /// Exactly these in every simulation.
    Exactly(Plan),
}

impl Choice {
    pub fn plan(&self, rng: &mut impl Rng) -> Plan {
        match self {
            Choice::Exactly(plan) => plan.clone(),
            Choice::Draw(kinds) if kinds.is_empty() => Plan::new(),
            Choice::Draw(kinds) => draw(kinds, rng),
        }
    }
}

/// One fault, or, as often, two of which the second begins during or soon after the first.
fn draw(kinds: &[Kind], rng: &mut impl Rng) -> Plan {
    let mut one = |earliest_ms: u64, latest_ms: u64| {
        let kind = kinds[rng.random_range(0..kinds.len())];
        let octaves = (LONGEST_MS / kind.shortest_ms()).log2();
        let span_ms = kind.shortest_ms() * (octaves * rng.random::<f64>()).exp2();
        Planned {
            kind,
            from_ms: rng.random_range(earliest_ms..=latest_ms),
            span_ms: span_ms as u64,
            number: rng.random_range(0..1000),
        }
    };
    let first = one(FIRST_MS, LAST_MS);
    match first.number % 2 {
        0 => vec![first],
        _ => vec![
            first,
            one(first.from_ms, first.from_ms + first.span_ms + 100),
        ],
    }
}

impl Planned {
    pub fn window(&self) -> Window {
        let from = SimMono::EPOCH + Duration::from_millis(self.from_ms);
        Window {
            from,
            until: from + Duration::from_millis(self.span_ms),
        }
    }

    pub fn contains(&self, now: Instant) -> bool {
        self.window().contains(now)
    }

    pub fn arm_fault(&self, joints: usize) -> Option<Scheduled<ArmFault>> {
        let number = self.number as usize;
        let joint = number % joints;
        // From barely visible to grotesque.
        let rad = 0.01 * f64::from(1 << (number % 9));
        let by = Duration::from_millis(1 + u64::from(self.number % 60));
        let fault = match self.kind {
            Kind::EncoderDropout => ArmFault::Dropout,
            Kind::EncoderFreeze => ArmFault::Freeze,
            Kind::EncoderStuck => ArmFault::Stuck { joint },
            Kind::EncoderSpike => ArmFault::Spike { joint, rad },
            Kind::EncoderWrap => ArmFault::Wrap { joint },
            Kind::EncoderOffset => ArmFault::Offset { joint, rad },
            Kind::EncoderNan => ArmFault::NotFinite { joint },
            Kind::LinkDelay => ArmFault::Delay { by },
            Kind::LinkLoss => ArmFault::Loss {
                share: 0.001 * f64::from(self.number),
            },
            Kind::LinkDuplicate => ArmFault::Duplicate,
            Kind::LinkCorrupt => ArmFault::Corrupt,
            Kind::LinkFuture => ArmFault::Future { by },
            Kind::CommandLost => ArmFault::CommandLost,
            Kind::WriteFails => ArmFault::WriteFails,
            Kind::DriveFault => ArmFault::DriveFault { code: self.number },
            Kind::EmergencyStop => ArmFault::EmergencyStop,
            _ => return None,
        };
        Some(Scheduled::new(self.window(), fault))
    }

    pub fn camera_fault(&self) -> Option<Scheduled<CameraFault>> {
        let fault = match self.kind {
            Kind::CameraStall => CameraFault::Stall,
            Kind::CameraDisconnect => CameraFault::Disconnect,
            Kind::CameraFreeze => CameraFault::Freeze,
            Kind::CameraTruncate => CameraFault::Truncate,
            Kind::CameraCorrupt => CameraFault::Corrupt,
            Kind::CameraReorder => CameraFault::Reorder,
            Kind::CameraFuture => CameraFault::Future {
                by: Duration::from_millis(1 + u64::from(self.number)),
            },
            _ => return None,
        };
        Some(Scheduled::new(self.window(), fault))
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Planned {
            kind,
            from_ms,
            span_ms,
            number,
        } = self;
        write!(f, "{}@{from_ms}+{span_ms}:{number}", kind.name())
    }
}

/// A plan in the words that [`Choice`] reads.
pub fn text(plan: &[Planned]) -> String {
    match plan {
        [] => "none".to_owned(),
        plan => plan
            .iter()
            .map(Planned::to_string)
            .collect::<Vec<_>>()
            .join(","),
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Kind::ALL.iter().find(|kind| kind.name() == text);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!(
                "no fault is called `{text}`; there are {}",
                names.join(", ")
            )
        })
    }
}

impl FromStr for Planned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not KIND@FROM_MS+SPAN_MS:NUMBER");
        let (kind, rest) = text.split_once('@').ok_or_else(form)?;
        let (from, rest) = rest.split_once('+').ok_or_else(form)?;
        let (span, number) = rest.split_once(':').ok_or_else(form)?;
        let bounded = |text: &str, most: u64| {
            let value: u64 = text.parse().map_err(|_| form())?;
            match value <= most {
                true => Ok(value),
                false => Err(format!("`{text}` is more than {most}")),
            }
        };
        Ok(Self {
            kind: kind.parse()?,
            from_ms: bounded(from, 60_000)?,
            span_ms: bounded(span, 60_000)?,
            number: bounded(number, 999)? as u32,
        })
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Choice::Draw(Kind::ALL.to_vec())),
            "none" => return Ok(Choice::Draw(Vec::new())),
            _ => {}
        }
        let parts = || text.split(',').map(str::trim);
        if parts().all(|part| part.contains('@')) {
            return Ok(Choice::Exactly(
                parts().map(str::parse).collect::<Result<_, _>>()?,
            ));
        }
        Ok(Choice::Draw(
            parts().map(str::parse).collect::<Result<_, _>>()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn plans_come_back_from_their_text() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for _ in 0..200 {
            let plan = Choice::Draw(Kind::ALL.to_vec()).plan(&mut rng);
            assert_eq!(text(&plan).parse(), Ok(Choice::Exactly(plan)));
        }
        assert_eq!("none".parse::<Choice>().unwrap().plan(&mut rng), []);
        let two = "camera-stall, drive-fault".parse::<Choice>().unwrap();
        assert_eq!(two, Choice::Draw(vec![Kind::CameraStall, Kind::DriveFault]));
    }

    #[test]
    fn every_kind_is_drawn_alone_and_with_another() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let all = Choice::Draw(Kind::ALL.to_vec());
        let plans: Vec<Plan> = (0..4000).map(|_| all.plan(&mut rng)).collect();
        for kind in Kind::ALL {
            for faults in [1, 2] {
                let with = plans.iter().filter(|plan| plan.len() == faults);
                assert!(
                    with.flatten().any(|planned| planned.kind == *kind),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_plan_says_what_would_be() {
        for (text, expected) in [
            ("", "no fault is called ``"),
            ("camera", "camera-stall"),
            ("camera-stall@1", "KIND@FROM_MS+SPAN_MS:NUMBER"),
            ("camera-stall@1+x:3", "KIND@FROM_MS+SPAN_MS:NUMBER"),
            ("camera-stall@1+99999999:3", "more than 60000"),
            (
                "camera-stall@1+2:3,drive-fault",
                "no fault is called `camera-stall@1+2:3`",
            ),
        ] {
            let error = text.parse::<Choice>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
