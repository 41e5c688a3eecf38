//! The collector on the network: robots' offers in, answers out.
//!
//! A few threads take offers from one bounded queue; when all are busy, zenoh stops reading and the robots wait. What an
//! answer is decides [`crate::inbox`].

use crate::archive::{Archive, INDEX, Record};
use crate::inbox::{Bounds, Inbox, Received};
use crate::message::{Answer, KEY_OF_ALL, Offer, robot_of};
use crate::network::{self, network};
use crate::shelf::{Shelf, make_directory};
use crate::{BLOCK_BYTES_MAX, FleetError, Stop, at};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use zenoh::handlers::FifoChannel;
use zenoh::query::Query;
use zenoh::{Config, Wait};

/// A thread mostly waits for the disk. Each holds one block.
const THREADS: usize = 16;

/// Offers that wait for a thread; each holds one block.
const WAITING_MAX: usize = 32;

/// How often an idle thread looks whether it shall end.
const IDLE: Duration = Duration::from_millis(200);

/// Where everything is kept.
#[derive(Debug)]
pub struct Place {
    pub shelf: Shelf,
    pub index: PathBuf,
    /// For what has arrived in part; on the file system of the shelf when that is a directory.
    pub staging: PathBuf,
}

impl Place {
    /// `DIR/<robot>/<episode>`, `DIR/index.jsonl`, and `DIR/.incoming` for parts.
    pub fn directory(root: &Path) -> Self {
        Self {
            shelf: Shelf::Directory(root.to_owned()),
            index: root.join(INDEX),
            staging: root.join(".incoming"),
        }
    }

    /// An object store, with index and parts in a local directory.
    pub fn objects(shelf: Shelf, staging: &Path) -> Self {
        Self {
            shelf,
            index: staging.join(INDEX),
            staging: staging.join(".incoming"),
        }
    }
}

/// What came until the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Stored by this process, complete ones and others.
    pub episodes: u64,
    pub incomplete: u64,
    pub bytes_stored: u64,
    /// In blocks: those that were lost on the way and sent again are in here too.
    pub bytes_received: u64,
    pub blocks_out_of_place: u64,
    /// Offers of what was there already.
    pub already_stored: u64,
    pub refused: u64,
    /// Begun and not whole; a later collector goes on with them.
    pub partials: usize,
    pub robots: BTreeSet<String>,
}

/// Collects until it shall stop. `on_stored` sees each new episode when it is safe.
pub fn run(
    config: &Config,
    place: Place,
    stop: &Stop,
    on_stored: &(dyn Fn(&Record) + Sync),
) -> Result<Report, FleetError> {
    make_directory(&place.staging)?;
    let _alone = lock(&place.staging)?;
    let archive = Archive::open(place.shelf, &place.index)?;
    let inbox = Inbox::open(&place.staging, archive, Bounds::default())?;
    let report = Mutex::new(Report::default());
    let session = network::open(config)?;
    let queryable = session
        .declare_queryable(KEY_OF_ALL)
        // There is nobody else to ask.
        .complete(true)
        .with(FifoChannel::new(WAITING_MAX))
        .wait()
        .map_err(network)?;
    let offers = queryable.handler();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // An error means that the session is closed.
                while let Ok(query) = offers.recv_timeout(IDLE) {
                    if let Some(query) = query
                        && let Some(record) = answer(&query, &inbox)
                    {
                        note(&report, &record);
                        on_stored(&record);
                    }
                    if stop.is_asked() {
                        break;
                    }
                }
            });
        }
    });
    queryable.undeclare().wait().map_err(network)?;
    session.close().wait().map_err(network)?;
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Received {
        bytes,
        blocks_out_of_place,
        already_stored,
        refused,
    } = inbox.received();
    (report.bytes_received, report.blocks_out_of_place) = (bytes, blocks_out_of_place);
    (report.already_stored, report.refused) = (already_stored, refused);
    report.partials = inbox.partials();
    Ok(report)
}

fn note(report: &Mutex<Report>, record: &Record) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    report.episodes += 1;
    report.incomplete += u64::from(!record.complete);
    report.bytes_stored += record.bytes;
    report.robots.insert(record.robot.to_string());
}

/// Two collectors in one place would each undo the other's parts.
fn lock(staging: &Path) -> Result<File, FleetError> {
    let path = staging.join("lock");
    let file = File::create(&path).map_err(at(&path, "open"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FleetError::Busy(staging.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path, "lock")(error)),
    }
}

fn answer(query: &Query, inbox: &Inbox) -> Option<Record> {
    let (answer, record) = understand(query, inbox);
    let sent = serde_json::to_vec(&answer)
        .map_err(zenoh::Error::from)
        .and_then(|bytes| query.reply(query.key_expr(), bytes).wait());
    if let Err(error) = sent {
        // The robot has gone away, and will ask again.
        tracing::debug!(%error, "an answer did not leave");
    }
    record
}

fn understand(query: &Query, inbox: &Inbox) -> (Answer, Option<Record>) {
    let robot = match robot_of(query.key_expr().as_str()) {
        Ok(robot) => robot,
        Err(error) => return (Answer::never(error), None),
    };
    let attachment = query
        .attachment()
        .map(|bytes| bytes.to_bytes())
        .unwrap_or_default();
    let offer = match Offer::read(&attachment) {
        Ok(offer) => offer,
        Err(error) => return (Answer::never(error), None),
    };
    let payload = query.payload();
    if payload.is_some_and(|payload| payload.len() > BLOCK_BYTES_MAX) {
        return (Answer::never("a block larger than blocks may be"), None);
    }
    let block = payload
        .map(|payload| payload.to_bytes())
        .unwrap_or_default();
    inbox.take(&robot, &offer, &block)
}
