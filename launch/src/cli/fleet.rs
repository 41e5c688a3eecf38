//! What may be asked of a robot's forwarder and of the collector of a fleet.
//!
//! Not responsible for doing it ([`crate::fleet`]).

use super::{episodes, seconds};
use clap::Args;
use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use visuomotor_fleet::name::Robot;

#[cfg(test)]
pub const EXAMPLES: [&str; 2] = [FORWARD_EXAMPLES, COLLECT_EXAMPLES];

const FORWARD_EXAMPLES: &str = "\
Examples:
  visuomotor forward episodes/ --robot arm-7 --connect tcp/192.0.2.1:7447
      Beside `visuomotor run`, until Ctrl-C. Collector or network may be away for as long as the disk lasts.
  visuomotor forward episodes/ --robot arm-7 --config robot.json5 --once --json -
      Over TLS, as zenoh's configuration file says; ends when everything is delivered.

No file of the robot is changed or removed; .forwarded.jsonl beside them remembers what was delivered. Files named
X.mcap.open that no process writes any more are sent too, and stay marked as incomplete. Meanwhile the records of the
episode that is being written are published on visuomotor/ROBOT/live/TOPIC.

JSON: robot, delivered, known_before (of these, the collector had them), bytes_delivered, bytes_sent (in blocks, also lost
ones), refused [what and why, for good], waiting (ready and not delivered), live_messages. Exit code 1 when something is
waiting or was refused.";

#[derive(Debug, Args)]
#[command(after_help = FORWARD_EXAMPLES)]
pub struct ForwardArgs {
    /// Directory where the robot's episodes are written.
    pub episodes: PathBuf,
    /// The robot's name; episodes are kept under it.
    #[arg(long, value_name = "NAME")]
    pub robot: Robot,
    /// Where the collector, or a zenoh router on the way to it, listens: tcp/HOST:PORT or tls/HOST:PORT.
    #[arg(long, value_name = "ENDPOINT", required_unless_present = "config")]
    pub connect: Vec<String>,
    /// Configuration file of zenoh's: certificates, endpoints.
    #[arg(long, value_name = "JSON5")]
    pub config: Option<PathBuf>,
    /// End when everything that is there has been delivered.
    #[arg(long)]
    pub once: bool,
    /// End after this time, s; without it, forward until Ctrl-C.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const COLLECT_EXAMPLES: &str = "\
Examples:
  visuomotor collect --out fleet/ --listen tcp/0.0.0.0:7447
      Each episode as fleet/ROBOT/NAME, one line each in fleet/index.jsonl. Ctrl-C ends it.
  visuomotor collect --out s3://bucket/prefix --staging parts/ --config collector.json5
      To an object store (with the feature `s3`), over TLS; credentials and endpoint come from AWS_* variables.
  visuomotor collect --out fleet/ --episodes 100 --json - | jq .bytes_stored

What has a closed episode's name is whole and hashed; everything else ends in .mcap.open and has complete: false in the
index. Equal bytes are stored once; different bytes under one name stay beside each other, the later ones with their hash
before the name. Killed at any moment, it goes on from there.

JSON: episodes, incomplete (of these), bytes_stored, bytes_received (in blocks), blocks_out_of_place, already_stored,
refused, partials (arrived in part), robots. Exit code 1 when fewer than --episodes came.";

#[derive(Debug, Args)]
#[command(after_help = COLLECT_EXAMPLES)]
pub struct CollectFleetArgs {
    /// Where to keep the episodes: a directory, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "DIR_OR_URL")]
    pub out: Output,
    /// Local directory for index and parts when episodes go to an object store.
    #[arg(long, value_name = "DIR")]
    pub staging: Option<PathBuf>,
    /// Where to listen [default: tcp/127.0.0.1:7447, or as the configuration file says].
    #[arg(long, value_name = "ENDPOINT")]
    pub listen: Vec<String>,
    /// Zenoh routers to connect to.
    #[arg(long, value_name = "ENDPOINT")]
    pub connect: Vec<String>,
    /// Configuration file of zenoh's: certificates, access control, endpoints.
    #[arg(long, value_name = "JSON5")]
    pub config: Option<PathBuf>,
    /// End after so many new episodes.
    #[arg(long, value_name = "N", value_parser = episodes())]
    pub episodes: Option<u32>,
    /// End after this time, s.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Where episodes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(place) = text.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            if bucket.is_empty() {
                return Err("expected s3://BUCKET/PREFIX".to_owned());
            }
            let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
            return Ok(Self::S3 { bucket, prefix });
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(format!(
                "{scheme}:// is not known; s3:// is, and directories"
            )),
            None => text
                .parse()
                .map(Self::Directory)
                .map_err(|e: Infallible| match e {}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_directories_or_buckets() {
        let s3 = |bucket: &str, prefix: &str| Output::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (text, output) in [
            ("a/b", Some(Output::Directory("a/b".into()))),
            ("s3://a", Some(s3("a", ""))),
            ("s3://a/b/c/", Some(s3("a", "b/c"))),
            ("s3://", None),
            ("gs://a/b", None),
        ] {
            assert_eq!(text.parse().ok(), output, "{text}");
        }
    }
}
