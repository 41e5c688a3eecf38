//! The episode log: everything that happened between two resets, in one MCAP file that says where it comes from.
//!
//! Responsible for the file's layout, for writing it while it happens ([`EpisodeWriter`] on the caller's thread,
//! [`Recorder`] on one of its own) and for reading it back ([`Episode`]). Not responsible for when an episode begins or
//! ends, nor for judging it.
//!
//! The file has the profile `ros2`: CDR messages with full `ros2msg` schemas in lz4 chunks, so the field's own tools
//! open it. Its topics are in [`topic`], its lineage in metadata records ([`Header`]), the launch file and the robot
//! description in attachments. While it is written its name ends in `.mcap.open`.

mod cdr;
mod chronicle;
mod convert;
mod derive;
mod end;
mod file;
mod fingerprint;
mod glance;
mod health;
mod inputs;
mod lineage;
mod messages;
mod narrate;
mod older;
mod picture;
mod reader;
mod recorder;
mod records;
mod salvage;
#[cfg(test)]
pub(crate) mod samples;
mod spool;
mod writer;

pub use derive::{Derived, How, derive};
pub use file::{EpisodeFile, is_being_written};
pub use fingerprint::Fingerprint;
pub use glance::{End, Glance};
pub use lineage::{
    Clock, ClockSource, Code, Derivation, Header, JointNames, Origin, PolicyIdentity, Realtime,
    Robot, SCHEMA_VERSION, Scene, Sha256, TextMap,
};
pub use picture::jpeg;
pub use reader::{Episode, frames};
pub use recorder::{Condition, EventSink, Queues, Recorder, StepSink, Worker};
pub use records::{
    Annotation, Attachment, DecisionRecord, Ending, FrameRecord, HealthRecord, LogRecord, Losses,
    ObservationRecord, ObservedImage, Outcome,
};
pub use salvage::Unreadable;
pub use writer::{Disk, DiskWriter, EpisodeWriter, Summary};

use std::io;
use std::path::PathBuf;

/// The topics of an episode.
pub mod topic {
    /// `sensor_msgs/msg/JointState`: measured, every tick that read the arm; logged when due, stamped when sampled.
    pub const JOINT_STATES: &str = "/joint_states";
    /// `sensor_msgs/msg/JointState`: commanded, every tick that sent a command.
    pub const JOINT_COMMANDS: &str = "/joint_commands";
    /// `visuomotor_msgs/msg/Step`: the rest of every tick.
    pub const STEP: &str = "/step";
    /// `visuomotor_msgs/msg/Health`: how every tick of a live episode fared with the operating system.
    pub const HEALTH: &str = "/health";
    /// `sensor_msgs/msg/CompressedImage`: JPEG, logged and stamped with the capture time.
    pub const IMAGE: &str = "/camera/image/compressed";
    /// `sensor_msgs/msg/CameraInfo`: with every frame of [`IMAGE`].
    pub const CAMERA_INFO: &str = "/camera/camera_info";
    /// `sensor_msgs/msg/CompressedImage`: PNG, the very pixels that the policy looked at; logged when it looked, stamped
    /// with the capture time, numbered like the observation.
    pub const OBSERVED: &str = "/observation/image/compressed";
    /// `visuomotor_msgs/msg/Observation`: at the policy's rate, logged when it was made.
    pub const OBSERVATION: &str = "/observation";
    /// `geometry_msgs/msg/PoseStamped`: the measured pose of each observation again, for viewers.
    pub const TCP: &str = "/tcp";
    /// `visuomotor_msgs/msg/Action`: at the policy's rate, logged when decided.
    pub const ACTION: &str = "/action";
    /// `geometry_msgs/msg/TwistStamped`: every velocity that a person asked the tool for, task frame.
    pub const OPERATOR: &str = "/operator/twist";
    /// `visuomotor_msgs/msg/Annotation`: what a person says about a span of the episode.
    pub const ANNOTATION: &str = "/annotation";
    /// `rcl_interfaces/msg/Log`: phases, faults and lost deadlines in words.
    pub const LOG: &str = "/rosout";
    /// `visuomotor_msgs/msg/Outcome`: once, at the end.
    pub const OUTCOME: &str = "/outcome";
}

/// What keeps an episode from being written or read.
#[derive(Debug, thiserror::Error)]
pub enum EpisodeError {
    #[error("{path} exists: give the episode another name, or move that file away")]
    Exists { path: PathBuf },
    #[error("cannot {doing} {path}: {source}")]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the log cannot be written or read: {0}")]
    Log(#[from] mcap::McapError),
    #[error("the log cannot be written or read: {0}")]
    Io(#[from] io::Error),
    #[error("a frame of {width} x {height} cannot be compressed: {reason}")]
    Image {
        width: u32,
        height: u32,
        reason: String,
    },
    #[error("a step of {got} joints in an episode whose robot has {expected}")]
    Joints { expected: usize, got: usize },
    #[error("the episode is incomplete, {lost} could not be written; first error: {first}")]
    Incomplete {
        lost: Losses,
        first: Box<EpisodeError>,
    },
    #[error("an episode is being recorded already")]
    Recording,
    #[error("no episode is being recorded")]
    NotRecording,
    #[error("the recorder's thread has ended")]
    RecorderGone,

    #[error("this is not an episode: the metadata record `{record}` is missing")]
    MissingRecord { record: &'static str },
    #[error("the metadata record `{record}` is unreadable at `{key}`: {reason}")]
    Header {
        record: &'static str,
        key: &'static str,
        reason: String,
    },
    #[error(
        "the episode has schema version {found}, this program reads 1 to {}",
        SCHEMA_VERSION
    )]
    SchemaVersion { found: u32 },
    #[error("the message {sequence} on {topic} is unreadable: {reason}")]
    Message {
        topic: String,
        sequence: u32,
        reason: String,
    },
}
