//! What is done with episodes after they were recorded.
//!
//! Responsible for reading them whatever the robot ([`Timeline`]), and for everything that looks at them, judges them, cuts
//! them or turns them into data sets. Not responsible for recording them ([`visuomotor_runtime::episode`]), nor for running
//! anything: what needs a controller, a policy or a simulator is in the command's own crate.

mod dataset_error;
mod dataset_lineage;
pub mod idle;
pub mod lerobot;
pub mod lineage;
pub mod lint;
pub mod list;
mod markup;
mod motion;
pub mod paths;
pub mod picture;
pub mod plant;
mod resample;
mod robot;
pub mod shards;
pub mod show;
#[cfg(test)]
mod staged;
pub mod steps;
pub mod survey;
mod table;
mod timeline;
mod unfinished;
mod words;

pub use dataset_error::DatasetError;
pub use dataset_lineage::{
    DatasetLineage, EpisodeLineage, LINEAGE_FILE, LINEAGE_VERSION, Mixed, Refused,
};
pub use timeline::{Commanded, Joints, Measured, Tick, Timeline};
