//! An episode's MCAP file: its lineage, gathered from everything that was wired together, and its contents.
//!
//! Not responsible for the format ([`visuomotor_runtime::episode`]).

use crate::baked;
use crate::config::{JOINTS, Launch};
use crate::film::Observer;
use crate::policy::Identity;
use crate::report::{Class, EpisodeResult};
use std::path::{Path, PathBuf};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::clock::linux::unix_time;
use visuomotor_runtime::episode::{
    Attachment, Clock, ClockSource, Code, DiskWriter, Ending, EpisodeError, EpisodeWriter, Header,
    Losses, ObservationRecord, Origin, Outcome, PolicyIdentity, Realtime, SCHEMA_VERSION, Scene,
    Sha256,
};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::realtime::Granted;
use visuomotor_runtime::step::Step;

/// What one episode has for itself.
#[derive(Clone, Copy, Debug)]
pub struct Particulars<'a> {
    /// Of the scene.
    pub seed: u64,
    /// Given to the policy when the episode begins.
    pub policy_seed: u64,
    /// Whose objects.
    pub split: &'static str,
    /// Directory of meshes that are there instead of the launch file's objects.
    pub objects: Option<&'a Path>,
}

/// What all episodes of one process have in common.
pub struct Lineage<'a, const N: usize = JOINTS> {
    launch: &'a Launch<N>,
    policy: Identity,
    code: Code,
}

impl<'a, const N: usize> Lineage<'a, N> {
    /// Hashes the running executable, so once a process.
    pub fn new(launch: &'a Launch<N>, policy: Identity) -> std::io::Result<Self> {
        let executable = std::fs::read(std::env::current_exe()?)?;
        let code = Code::of_this_build(Sha256::of(&executable));
        Ok(Self {
            launch,
            policy,
            code,
        })
    }

    fn header(
        &self,
        id: String,
        clock: Clock,
        realtime: Option<Realtime>,
        particulars: &Particulars<'_>,
    ) -> Header {
        Header {
            origin: Origin {
                schema_version: SCHEMA_VERSION,
                id,
                started_at_utc: String::new(),
                launch: self.launch.source.path.display().to_string(),
                task: self.launch.instruction().to_owned(),
            },
            code: self.code.clone(),
            robot: baked::robot(self.launch),
            camera: baked::camera(self.launch, clock.source),
            clock,
            realtime,
            policy: Some(PolicyIdentity {
                name: self.policy.name.clone(),
                manifest: self.policy.path(),
                manifest_sha256: self.policy.manifest_sha256,
                seed: particulars.policy_seed,
            }),
            checkpoints: self.policy.checkpoints.clone(),
            policy_settings: self.policy.settings.clone(),
            scene: Some(Scene {
                seed: particulars.seed,
                split: particulars.split.to_owned(),
                objects: particulars
                    .objects
                    .map_or_else(String::new, |objects| objects.display().to_string()),
            }),
            solver: baked::solver(),
            derivation: None,
        }
    }

    /// Header and attachments of an episode in simulated time.
    pub fn simulated(&self, particulars: &Particulars<'_>) -> (Header, Vec<Attachment>) {
        let clock = Clock {
            source: ClockSource::Simulated,
            realtime_granted: false,
        };
        let id = format!("sim-{}", particulars.seed);
        let header = self.header(id, clock, None, particulars);
        (header, self.attachments())
    }

    /// Path, header and attachments of an episode of a session in real time.
    pub fn live(
        &self,
        directory: &Path,
        particulars: &Particulars<'_>,
        granted: &Granted,
    ) -> (PathBuf, Header, Vec<Attachment>) {
        let unix = std::time::Duration::from_nanos(unix_time().as_nanos());
        let started_at = humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + unix);
        let clock = Clock {
            source: ClockSource::Monotonic,
            realtime_granted: granted.memory_locked && granted.fifo,
        };
        let realtime = Realtime {
            required: granted.required,
            memory_locked: granted.memory_locked,
            fifo: granted.fifo,
            affinity: granted.affinity,
            cpu_latency: granted.cpu_latency,
            missing: granted.missing.join(","),
        };
        let id = format!("{}-{}", unix.as_secs(), particulars.seed);
        let path = directory.join(format!("{id}.mcap"));
        let mut header = self.header(id, clock, Some(realtime), particulars);
        header.origin.started_at_utc = started_at.to_string();
        (path, header, self.attachments())
    }

    fn attachments(&self) -> Vec<Attachment> {
        let attachment = |name: &str, media_type: &str, text: &str| Attachment {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            data: text.as_bytes().to_vec(),
        };
        let mut attachments = vec![
            attachment("launch.toml", "application/toml", &self.launch.source.text),
            attachment("robot.urdf", "application/xml", &self.launch.urdf_text),
        ];
        let manifest = self.policy.manifest.as_ref();
        attachments.extend(
            manifest.map(|manifest| attachment("policy.toml", "application/toml", &manifest.text)),
        );
        attachments
    }
}

/// Writes one simulated episode as it goes by.
pub struct Recording {
    writer: DiskWriter,
    /// The newest tick.
    now: Instant,
    /// The first error; what comes after it is not written.
    error: Option<EpisodeError>,
}

impl Recording {
    /// Begins `SEED.mcap` in the directory.
    pub fn simulated<const N: usize>(
        lineage: &Lineage<'_, N>,
        directory: &Path,
        particulars: &Particulars<'_>,
    ) -> Result<Self, EpisodeError> {
        let (header, attachments) = lineage.simulated(particulars);
        let path = directory.join(format!("{:08}.mcap", particulars.seed));
        let writer = EpisodeWriter::create(&path, &header, &attachments)?;
        Ok(Self {
            writer,
            now: Instant::from_ticks(0),
            error: None,
        })
    }

    pub fn close(self, result: &EpisodeResult) -> Result<(), EpisodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let ending = match result {
            EpisodeResult {
                class: Class::Faulted,
                ..
            } => Ending::Fault,
            EpisodeResult {
                terminated: true, ..
            } => Ending::Terminated,
            _ => Ending::StepLimit,
        };
        let success = result.judged();
        let outcome = Outcome {
            ended_at: self.now,
            ending,
            success,
            actions: result.steps,
        };
        self.writer.close(&outcome, Losses::default()).map(drop)
    }

    fn note(&mut self, write: impl FnOnce(&mut DiskWriter) -> Result<(), EpisodeError>) {
        if self.error.is_none() {
            self.error = write(&mut self.writer).err();
        }
    }
}

impl<const N: usize> Observer<N> for Recording {
    fn ticked(&mut self, step: &Step<N>) {
        self.now = step.due;
        self.note(|writer| writer.step(step));
    }

    fn decided(&mut self, observation: &Observation<'_>, decision: &Decision, at: Instant) {
        let record = ObservationRecord::new(observation, self.now);
        self.note(|writer| {
            writer.frame(observation.frame)?;
            writer.observation(&record, &observation.frame.image)?;
            writer.decision(decision, at)
        });
    }
}
