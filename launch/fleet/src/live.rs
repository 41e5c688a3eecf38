//! The records of the episode that is being written, as they come: for whoever watches, and lost where nobody does.
//!
//! A message of topic `/a/b` is published on `visuomotor/<robot>/live/a/b`, its bytes as they are in the file. Its
//! encoding names the schema, its attachment is [`Stamp`] as JSON. A schema's text is the reply to a query on
//! `visuomotor/<robot>/schema/<name>`, so that who comes late can ask. Where nobody subscribes nothing leaves the robot;
//! where the network is too slow, messages are dropped: the episode itself comes later and whole ([`crate::forward`]).

use crate::follow::{Follower, Message, Schema};
use crate::name::Robot;
use crate::network::network;
use crate::{FleetError, Stop};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zenoh::bytes::Encoding;
use zenoh::key_expr::KeyExpr;
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::Query;
use zenoh::{Session, Wait};

/// How often the file is asked for more.
const PERIOD: Duration = Duration::from_millis(20);

/// At the latest after so many periods the directory is listed anew; sooner when its time of change says so.
const PERIODS_BETWEEN_LISTS: u32 = 50;

/// When a message was made, as its episode has it, ns of the episode's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub episode: String,
    pub sequence: u32,
    pub log_time: u64,
    pub publish_time: u64,
}

/// By name.
type Schemas = Arc<Mutex<BTreeMap<String, Schema>>>;

/// Publishes until it shall stop; how many messages that were.
pub fn run(
    session: &Session,
    robot: &Robot,
    directory: &Path,
    stop: &Stop,
) -> Result<u64, FleetError> {
    let schemas = Schemas::default();
    let known = schemas.clone();
    let base = format!("visuomotor/{robot}/schema");
    let _queryable = session
        .declare_queryable(format!("{base}/**"))
        .callback(move |query| reply(&query, &base, &known))
        .wait()
        .map_err(network)?;
    let mut out = Out {
        session,
        robot,
        schemas,
        publishers: HashMap::new(),
        messages: 0,
    };
    let mut watch = Watch::new(directory);
    let mut current: Option<Open> = None;
    loop {
        let newest = watch.look();
        if let Some(open) = &mut current
            && !open.publish(&mut out)
        {
            current = None;
        }
        if let Some(found) = newest
            && current.as_ref().is_none_or(|open| open.path != found.path)
        {
            current = found.open();
        }
        if stop.wait(PERIOD) {
            return Ok(out.messages);
        }
    }
}

fn reply(query: &Query, base: &str, schemas: &Schemas) {
    let schemas = schemas
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for (name, schema) in schemas {
        let Ok(key) = KeyExpr::try_from(format!("{base}/{name}")) else {
            continue;
        };
        if query.key_expr().intersects(&key) {
            let encoding = Encoding::from(schema.encoding);
            if let Err(error) = query.reply(key, schema.text).encoding(encoding).wait() {
                tracing::debug!(%error, "a schema did not leave");
            }
        }
    }
}

/// Finds the episode that is being written: the newest open file.
struct Watch<'a> {
    directory: &'a Path,
    changed_ns: Option<i128>,
    periods: u32,
    first: bool,
}

struct Found {
    path: PathBuf,
    /// What is older than this process is not live.
    skip_bytes: u64,
}

impl<'a> Watch<'a> {
    fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            changed_ns: None,
            periods: 0,
            first: true,
        }
    }

    /// The newest open file, when the directory was listed.
    fn look(&mut self) -> Option<Found> {
        use std::os::unix::fs::MetadataExt;
        let seen = fs::metadata(self.directory).ok()?;
        let changed_ns = i128::from(seen.mtime()) * 1_000_000_000 + i128::from(seen.mtime_nsec());
        self.periods += 1;
        if self.changed_ns == Some(changed_ns) && self.periods < PERIODS_BETWEEN_LISTS {
            return None;
        }
        (self.changed_ns, self.periods) = (Some(changed_ns), 0);
        let entries = fs::read_dir(self.directory).ok()?.filter_map(Result::ok);
        let open = entries.filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.ends_with(".mcap.open"))
        });
        let dated = open.filter_map(|entry| {
            let found = entry.metadata().ok().filter(|found| found.is_file())?;
            Some((
                (found.mtime(), found.mtime_nsec()),
                found.len(),
                entry.path(),
            ))
        });
        let newest = dated.max();
        let first = std::mem::replace(&mut self.first, false);
        newest.map(|(_, bytes, path)| Found {
            path,
            skip_bytes: if first { bytes } else { 0 },
        })
    }
}

impl Found {
    fn open(self) -> Option<Open> {
        let file = File::open(&self.path).ok()?;
        Some(Open {
            episode: self.path.file_stem()?.to_string_lossy().into_owned(),
            path: self.path,
            file,
            follower: Some(Follower::default()),
            skip_bytes: self.skip_bytes,
        })
    }
}

struct Open {
    path: PathBuf,
    episode: String,
    /// Stays the same file when it gets its final name.
    file: File,
    /// `None` when nothing more comes.
    follower: Option<Follower>,
    skip_bytes: u64,
}

impl Open {
    /// Publishes what is new; false when the episode was closed and nothing more will come.
    fn publish(&mut self, out: &mut Out<'_>) -> bool {
        let (episode, skip_bytes) = (&self.episode, self.skip_bytes);
        let Some(follower) = &mut self.follower else {
            return true;
        };
        let read = follower.read(&mut self.file, |message, schema, bytes| {
            if bytes > skip_bytes {
                out.publish(episode, message, schema);
            }
        });
        match read {
            Ok(ended) => !ended,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "no more live records from a damaged file");
                self.follower = None;
                true
            }
        }
    }
}

struct Out<'a> {
    session: &'a Session,
    robot: &'a Robot,
    schemas: Schemas,
    /// By topic; `None` for one that cannot be a key.
    publishers: HashMap<String, Option<Publisher<'static>>>,
    messages: u64,
}

impl Out<'_> {
    fn publish(&mut self, episode: &str, message: &Message<'_>, schema: Option<&Schema>) {
        if let Some(schema) = schema {
            let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
            if schemas.get(&schema.name) != Some(schema) {
                schemas.insert(schema.name.clone(), schema.clone());
            }
        }
        let topic = &message.channel.topic;
        if !self.publishers.contains_key(topic) {
            let publisher = self.declare(topic);
            self.publishers.insert(topic.clone(), publisher);
        }
        let Some(Some(publisher)) = self.publishers.get(topic) else {
            return;
        };
        let stamp = Stamp {
            episode: episode.to_owned(),
            sequence: message.header.sequence,
            log_time: message.header.log_time,
            publish_time: message.header.publish_time,
        };
        let Ok(stamp) = serde_json::to_vec(&stamp) else {
            return;
        };
        let name = schema.map_or("", |schema| schema.name.as_str());
        let encoding = match message.channel.message_encoding.as_str() {
            "cdr" => Encoding::APPLICATION_CDR,
            other => Encoding::from(other),
        };
        let put = publisher
            .put(message.data)
            .encoding(encoding.with_schema(name))
            .attachment(stamp);
        match put.wait() {
            Ok(()) => self.messages += 1,
            Err(error) => tracing::debug!(%error, "a live record did not leave"),
        }
    }

    fn declare(&self, topic: &str) -> Option<Publisher<'static>> {
        let key = key_of(self.robot, topic)?;
        let publisher = self
            .session
            .declare_publisher(key)
            .congestion_control(CongestionControl::Drop)
            // Passes by the blocks of episodes, which wait in a queue of lower priority.
            .priority(Priority::InteractiveHigh)
            .wait();
        publisher
            .inspect_err(|error| tracing::warn!(%error, topic, "a topic cannot be published"))
            .ok()
    }
}

/// Where a topic is published. What means something in a key becomes `_`.
fn key_of(robot: &Robot, topic: &str) -> Option<KeyExpr<'static>> {
    let parts = topic.split('/').filter(|part| !part.is_empty());
    let parts = parts.map(|part| part.replace(['*', '$', '?', '#', '@'], "_"));
    let topic = parts.collect::<Vec<_>>().join("/");
    KeyExpr::try_from(format!("visuomotor/{robot}/live/{topic}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Directory;
    use proptest::prelude::*;

    #[test]
    fn topics_become_keys_below_their_robot() {
        let robot = "arm-7".parse().unwrap();
        for (topic, key) in [
            ("/joint_states", Some("visuomotor/arm-7/live/joint_states")),
            (
                "/camera/image//raw/",
                Some("visuomotor/arm-7/live/camera/image/raw"),
            ),
            ("/a*/$b/?", Some("visuomotor/arm-7/live/a_/_b/_")),
            ("/", None),
        ] {
            assert_eq!(
                key_of(&robot, topic).as_ref().map(|key| key.as_str()),
                key,
                "{topic}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_topic_leaves_its_place(topic in any::<String>()) {
            let robot = "a".parse().unwrap();
            if let Some(key) = key_of(&robot, &topic) {
                prop_assert!(key.starts_with("visuomotor/a/live/") && !key.is_wild());
            }
        }
    }

    #[test]
    fn the_newest_open_file_is_followed_and_what_is_older_than_the_process_skipped() {
        let directory = Directory::new("watch");
        directory.write("a.mcap", b"closed");
        directory.write("b.mcap.open", b"old");
        let mut watch = Watch::new(directory.path());
        let found = watch.look().unwrap();
        assert!(found.path.ends_with("b.mcap.open") && found.skip_bytes == 3);
        directory.write("c.mcap.open", b"newer");
        let look = |watch: &mut Watch<'_>| (0..PERIODS_BETWEEN_LISTS).find_map(|_| watch.look());
        let found = look(&mut watch).unwrap();
        assert!(found.path.ends_with("c.mcap.open") && found.skip_bytes == 0);
    }
}
