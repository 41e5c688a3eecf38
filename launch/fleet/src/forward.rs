//! Beside a robot: sends the episodes of its directory, again and again until the collector has each, and changes none.
//!
//! Responsible for what comes next and how long to wait. How one file travels is [`crate::upload`], what is ready
//! [`crate::outbox`], what is being written [`crate::live`].

use crate::delivered::Delivered;
use crate::digest::{Digest, Hasher};
use crate::live;
use crate::message::{Answer, Offer, key_of};
use crate::name::{EpisodeName, Robot};
use crate::network;
use crate::outbox::{self, Outbox, Ready};
use crate::upload::{Away, Link, Outcome, Pace, upload};
use crate::{FleetError, Stop};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use zenoh::handlers::FifoChannel;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, Reply};
use zenoh::session::ZenohId;
use zenoh::{Config, Session, Wait};

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// No answer after so long: the smallest block passes at 1 kB/s in this time.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// How often somebody who waits for an answer looks whether it can still come.
const GLANCE: Duration = Duration::from_millis(200);

const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct Forwarder {
    pub directory: PathBuf,
    pub robot: Robot,
    /// [`crate::network::Network::robot`].
    pub config: Config,
    /// End when everything that is there has been delivered.
    pub once: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub robot: String,
    pub delivered: u64,
    /// Of these, by somebody before: their bytes did not travel again.
    pub known_before: u64,
    pub bytes_delivered: u64,
    /// In blocks, also those that got lost on the way.
    pub bytes_sent: u64,
    /// Files that the collector will never take, and why.
    pub refused: Vec<String>,
    /// Files that are ready and not delivered.
    pub waiting: u64,
    pub live_messages: u64,
}

impl Forwarder {
    /// Forwards until it shall stop, or has done what there was to do. `on_delivered` sees each episode.
    pub fn run(
        &self,
        stop: &Stop,
        on_delivered: &mut dyn FnMut(&EpisodeName),
    ) -> Result<Report, FleetError> {
        let delivered = Delivered::open(&self.directory)?;
        let mut report = Report {
            robot: self.robot.to_string(),
            ..Report::default()
        };
        let Some(session) = self.connect(stop) else {
            let ready = Outbox::new(&self.directory).look()?;
            report.waiting = ready.iter().filter(|ready| !delivered.has(ready)).count() as u64;
            return Ok(report);
        };
        let link = ZenohLink {
            session: &session,
            key: key_of(&self.robot),
            stop,
        };
        let mut round = Round {
            outbox: Outbox::new(&self.directory),
            delivered,
            refused: HashMap::new(),
            hashed: None,
            link,
            pace: Pace::default(),
            report,
        };
        // The live records end with the episodes, however those end.
        let live_stop = Stop::default();
        let (ended, live) = thread::scope(|scope| {
            let live =
                scope.spawn(|| live::run(&session, &self.robot, &self.directory, &live_stop));
            let ended = self.go_round(&mut round, stop, on_delivered);
            live_stop.ask();
            (ended, live.join())
        });
        ended?;
        let mut report = round.report;
        match live {
            Ok(messages) => report.live_messages = messages?,
            Err(_) => {
                return Err(FleetError::Network(
                    "the live records' thread panicked".into(),
                ));
            }
        }
        // All is said: a session that does not close in good order loses nothing.
        if let Err(error) = session.close().wait() {
            tracing::debug!(%error, "the session did not close in good order");
        }
        Ok(report)
    }

    /// The session, as soon as there is a collector; `None` when it shall stop before.
    fn connect(&self, stop: &Stop) -> Option<Session> {
        let mut wait = Backoff::new(&self.robot);
        loop {
            match network::open(&self.config) {
                Ok(session) => return Some(session),
                Err(error) => tracing::info!(%error, "no collector yet"),
            }
            if stop.wait(wait.next()) {
                return None;
            }
        }
    }

    fn go_round(
        &self,
        round: &mut Round<ZenohLink<'_>>,
        stop: &Stop,
        on_delivered: &mut dyn FnMut(&EpisodeName),
    ) -> Result<(), FleetError> {
        let mut wait = Backoff::new(&self.robot);
        loop {
            let went_well = round.go(stop, on_delivered)?;
            if self.once && round.report.waiting == 0 && round.outbox.is_settled() {
                return Ok(());
            }
            let pause = if went_well {
                wait = Backoff::new(&self.robot);
                LOOK
            } else {
                wait.next()
            };
            if stop.wait(pause) {
                return Ok(());
            }
        }
    }
}

/// What is sent, and how.
struct Round<L> {
    outbox: Outbox,
    delivered: Delivered,
    /// For good, as they were then.
    refused: HashMap<EpisodeName, Ready>,
    /// The hash of the file that was tried last: an interruption does not cost another reading.
    hashed: Option<(Ready, Digest)>,
    link: L,
    pace: Pace,
    report: Report,
}

impl<L: Link> Round<L> {
    /// Sends what is ready, file by file. Whether nothing is left to try again.
    fn go(
        &mut self,
        stop: &Stop,
        on_delivered: &mut dyn FnMut(&EpisodeName),
    ) -> Result<bool, FleetError> {
        let mut ready = self.outbox.look()?;
        for (name, why) in self.outbox.unsendable() {
            let told = format!("{name}: {why}");
            if !self.report.refused.contains(&told) {
                tracing::warn!(name, why, "never sent");
                self.report.refused.push(told);
            }
        }
        ready.retain(|ready| {
            !self.delivered.has(ready) && self.refused.get(&ready.name) != Some(ready)
        });
        self.report.waiting = ready.len() as u64;
        let mut went_well = true;
        for ready in ready {
            if stop.is_asked() {
                break;
            }
            match self.send(&ready) {
                Outcome::Delivered { new } => {
                    self.report.delivered += 1;
                    self.report.known_before += u64::from(!new);
                    self.report.bytes_delivered += ready.bytes;
                    self.report.waiting -= 1;
                    on_delivered(&ready.name);
                }
                Outcome::Refused { why, again: false } => {
                    tracing::warn!(name = %ready.name, why, "refused for good");
                    self.report.refused.push(format!("{}: {why}", ready.name));
                    self.report.waiting -= 1;
                    self.refused.insert(ready.name.clone(), ready);
                }
                // The next file may fare better: one that cannot be read or stored keeps no other waiting.
                Outcome::Refused { why, again: true } => {
                    tracing::info!(name = %ready.name, why, "refused for now");
                    self.hashed = None;
                    went_well = false;
                }
                Outcome::Unreadable(error) => {
                    tracing::warn!(name = %ready.name, %error, "cannot be read");
                    self.hashed = None;
                    went_well = false;
                }
                Outcome::Away => return Ok(false),
            }
        }
        Ok(went_well)
    }

    fn send(&mut self, ready: &Ready) -> Outcome {
        let opened = outbox::open(&self.outbox.path(&ready.name), ready);
        let hashed = opened.and_then(|mut file| {
            let sha256 = match &self.hashed {
                Some((hashed, sha256)) if hashed == ready => *sha256,
                _ => {
                    let mut hasher = Hasher::default();
                    hasher.read(&mut file)?;
                    hasher.digest()
                }
            };
            Ok((file, sha256))
        });
        let (file, sha256) = match hashed {
            Ok(hashed) => hashed,
            Err(error) => return Outcome::Unreadable(error),
        };
        self.hashed = Some((ready.clone(), sha256));
        let offer = Offer {
            name: ready.name.clone(),
            sha256,
            bytes: ready.bytes,
            offset: 0,
        };
        let sent = &mut self.report.bytes_sent;
        let outcome = upload(&mut self.link, &file, &offer, &mut self.pace, sent);
        if matches!(outcome, Outcome::Delivered { .. }) {
            self.delivered.add(ready, sha256);
        }
        outcome
    }
}

struct ZenohLink<'a> {
    session: &'a Session,
    key: String,
    stop: &'a Stop,
}

impl Link for ZenohLink<'_> {
    fn ask(&mut self, offer: &Offer, block: &[u8]) -> Result<Answer, Away> {
        let away = |error: &dyn std::fmt::Display| {
            tracing::info!(%error, name = %offer.name, offset = offer.offset, "no answer");
            Away
        };
        let attachment = serde_json::to_vec(offer).map_err(|error| away(&error))?;
        let asked = self.next_hop();
        if asked.is_none() {
            return Err(away(&"not connected"));
        }
        let replies = self
            .session
            .get(&self.key)
            .payload(block)
            .attachment(attachment)
            .timeout(ANSWER_MAX)
            .consolidation(ConsolidationMode::None)
            .congestion_control(CongestionControl::Block)
            // Live records pass by.
            .priority(Priority::Background)
            .with(FifoChannel::new(1))
            .wait()
            .map_err(|error| away(&error))?;
        // Zenoh's own limit passes late, or twice as late, where a connection breaks under a question.
        for _ in 0..ANSWER_MAX.as_millis() / GLANCE.as_millis() {
            match replies.recv_timeout(GLANCE) {
                Ok(Some(reply)) => return understood(&reply).map_err(|why| away(&why)),
                Ok(None) if self.stop.is_asked() => return Err(away(&"asked to stop")),
                Ok(None) if self.next_hop() != asked => return Err(away(&"the connection broke")),
                Ok(None) => {}
                Err(error) => return Err(away(&error)),
            }
        }
        Err(away(&"none in time"))
    }
}

impl ZenohLink<'_> {
    /// The router, or collector, at the other end of the connection.
    fn next_hop(&self) -> Option<ZenohId> {
        self.session.info().routers_zid().wait().next()
    }
}

fn understood(reply: &Reply) -> Result<Answer, String> {
    let sample = reply
        .result()
        .map_err(|error| String::from_utf8_lossy(&error.payload().to_bytes()).into_owned())?;
    Answer::read(&sample.payload().to_bytes()).map_err(|error| error.to_string())
}

/// Waits twice as long after each failure, up to a limit. The robots of a fleet differ by up to a third, from their
/// names, so that they do not all return to a collector in the same moment.
struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    fn new(robot: &Robot) -> Self {
        let spread = u32::from(Digest::of(robot.as_str().as_bytes()).first_byte());
        let longer = |wait: Duration| wait + wait * spread / (3 * 255);
        Self {
            next: longer(WAIT_MIN),
            max: longer(WAIT_MAX),
        }
    }

    fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.max);
        now
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
