//! Forwarders and a collector as they run, joined by zenoh over TCP on this machine: they come and go, and everything
//! arrives once. Durations here only bound how long a failing test takes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use visuomotor_fleet::collect::{self, Place};
use visuomotor_fleet::forward::{self, Forwarder};
use visuomotor_fleet::network::Network;
use visuomotor_fleet::{FleetError, Stop};
use zenoh::Wait;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let unique = format!("{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An endpoint that nobody listens on.
fn endpoint() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp/{}", free.local_addr().unwrap())
}

fn episode(seed: u8, bytes: usize) -> Vec<u8> {
    let inside: Vec<u8> = (0..bytes).map(|at| seed ^ (at % 253) as u8).collect();
    [mcap::MAGIC, &inside, mcap::MAGIC].concat()
}

struct Running<T> {
    stop: Stop,
    thread: JoinHandle<Result<T, FleetError>>,
}

impl<T> Running<T> {
    fn end(self) -> T {
        self.stop.ask();
        self.thread.join().unwrap().unwrap()
    }
}

/// A collector, and a word for each episode that it stored.
fn collect(endpoint: &str, out: &Path) -> (Running<collect::Report>, mpsc::Receiver<String>) {
    let network = Network {
        listen: vec![endpoint.to_owned()],
        ..Network::default()
    };
    let (config, place) = (network.collector().unwrap(), Place::directory(out));
    let (stop, (said, heard)) = (Stop::default(), mpsc::channel());
    let asked = stop.clone();
    let thread = thread::spawn(move || {
        collect::run(&config, place, &asked, &|record| {
            let _ = said.send(record.stored_as.clone());
        })
    });
    (Running { stop, thread }, heard)
}

fn forward(endpoint: &str, robot: &str, directory: &Path, once: bool) -> Running<forward::Report> {
    let network = Network {
        connect: vec![endpoint.to_owned()],
        ..Network::default()
    };
    let forwarder = Forwarder {
        directory: directory.to_owned(),
        robot: robot.parse().unwrap(),
        config: network.robot().unwrap(),
        once,
    };
    let stop = Stop::default();
    let asked = stop.clone();
    let thread = thread::spawn(move || forwarder.run(&asked, &mut |_| {}));
    Running { stop, thread }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn everything_arrives_once_whoever_comes_late_or_goes_early() {
    let scratch = Scratch::new("come-and-go");
    let (endpoint, out) = (endpoint(), scratch.directory("out"));
    let mut episodes = BTreeMap::new();
    for robot in ["arm-1", "arm-2"] {
        for number in 0..6u8 {
            let seed = number + 10 * (robot.as_bytes()[4] - b'0');
            let bytes = episode(seed, 1000 + 300_000 * usize::from(number));
            let name = format!("{number}.mcap");
            fs::write(scratch.directory(robot).join(&name), &bytes).unwrap();
            episodes.insert(format!("{robot}/{name}"), bytes);
        }
    }
    let first = forward(&endpoint, "arm-1", &scratch.directory("arm-1"), true);
    let second = forward(&endpoint, "arm-2", &scratch.directory("arm-2"), false);
    let (collector, heard) = collect(&endpoint, &out);
    for _ in 0..3 {
        heard.recv_timeout(LONG).unwrap();
    }
    // The collector goes away and comes back; then one of the forwarders does.
    let before = collector.end();
    let (collector, heard) = collect(&endpoint, &out);
    heard.recv_timeout(LONG).unwrap();
    let gone = second.end();
    let second = forward(&endpoint, "arm-2", &scratch.directory("arm-2"), true);
    let (first, second) = (
        first.thread.join().unwrap().unwrap(),
        second.thread.join().unwrap().unwrap(),
    );
    let after = collector.end();
    assert_eq!(before.episodes + after.episodes, 12, "{before:?} {after:?}");
    assert_eq!(first.delivered, 6, "{first:?}");
    assert_eq!(gone.delivered + second.delivered, 6, "{gone:?} {second:?}");
    assert_eq!((first.waiting, second.waiting), (0, 0));
    for (at, bytes) in &episodes {
        assert!(fs::read(out.join(at)).unwrap() == *bytes, "{at}");
    }
    let index = fs::read_to_string(out.join("index.jsonl")).unwrap();
    assert_eq!(index.lines().count(), episodes.len());
    // Nothing is left to say after all that.
    let again = forward(&endpoint, "arm-1", &scratch.directory("arm-1"), true);
    again.stop.ask();
    let again = again.thread.join().unwrap().unwrap();
    assert_eq!(
        (again.delivered, again.bytes_sent, again.waiting),
        (0, 0, 0)
    );
}

#[test]
fn a_second_process_in_the_same_place_is_refused() {
    let scratch = Scratch::new("second");
    let (out, arm) = (scratch.directory("out"), scratch.directory("arm"));
    fs::write(arm.join("a.mcap"), episode(1, 10)).unwrap();
    let here = endpoint();
    let (collector, heard) = collect(&here, &out);
    let forwarder = forward(&here, "arm", &arm, false);
    heard.recv_timeout(LONG).unwrap();
    let (other, _) = collect(&endpoint(), &out);
    assert!(matches!(
        other.thread.join().unwrap(),
        Err(FleetError::Busy(_))
    ));
    let other = forward(&here, "arm", &arm, false);
    assert!(matches!(
        other.thread.join().unwrap(),
        Err(FleetError::Busy(_))
    ));
    forwarder.end();
    collector.end();
}

fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
}

/// Any message that arrives is as it was written and says when and what it was. How long it took is printed, not judged.
#[test]
fn records_arrive_while_they_are_written() {
    let scratch = Scratch::new("live");
    let (endpoint, arm) = (endpoint(), scratch.directory("arm"));
    let (collector, _) = collect(&endpoint, &scratch.directory("out"));
    let forwarder = forward(&endpoint, "arm", &arm, false);
    let watcher = Network {
        connect: vec![endpoint.clone()],
        ..Network::default()
    };
    let config = watcher.robot().unwrap();
    let session = loop {
        // The collector may not listen yet.
        if let Ok(session) = visuomotor_fleet::network::open(&config) {
            break session;
        }
    };
    let (said, heard) = mpsc::channel();
    let _subscriber = session
        .declare_subscriber("visuomotor/arm/live/**")
        .callback(move |sample| {
            let _ = said.send((sample, now_ns()));
        })
        .wait()
        .unwrap();

    // Written as a recorder does: flushed every 50 ms.
    let open = arm.join("a.mcap.open");
    let file = fs::File::create_new(&open).unwrap();
    file.lock().unwrap();
    let mut writer = mcap::WriteOptions::new()
        .compression(Some(mcap::Compression::Lz4))
        .disable_seeking(true)
        .create(mcap::write::NoSeek::new(&file))
        .unwrap();
    let schema = writer
        .add_schema("test_msgs/msg/Count", "ros2msg", b"uint32 count")
        .unwrap();
    let channel = writer
        .add_channel(schema, "/joint_states", "cdr", &BTreeMap::new())
        .unwrap();
    let (mut late_us, mut sequence) = (Vec::new(), 0u32);
    let mut expected = 0;
    while late_us.len() < 2000 {
        for _ in 0..50 {
            let header = mcap::records::MessageHeader {
                channel_id: channel,
                sequence,
                log_time: now_ns(),
                publish_time: 7,
            };
            writer
                .write_to_known_channel(&header, &sequence.to_le_bytes())
                .unwrap();
            sequence += 1;
            thread::sleep(Duration::from_millis(1));
        }
        writer.flush().unwrap();
        for (sample, arrived) in heard.try_iter() {
            assert_eq!(
                sample.key_expr().as_str(),
                "visuomotor/arm/live/joint_states"
            );
            assert_eq!(
                sample.encoding().to_string(),
                "application/cdr;test_msgs/msg/Count"
            );
            let stamp = sample.attachment().unwrap().to_bytes();
            let stamp: serde_json::Value = serde_json::from_slice(&stamp).unwrap();
            let number = stamp["sequence"].as_u64().unwrap();
            assert_eq!(
                sample.payload().to_bytes(),
                (number as u32).to_le_bytes().as_slice()
            );
            assert_eq!(
                (&stamp["publish_time"], &stamp["episode"]),
                (&7.into(), &"a.mcap".into())
            );
            assert!(number >= expected, "in order, each once");
            expected = number + 1;
            late_us.push((arrived - stamp["log_time"].as_u64().unwrap()) / 1000);
        }
        assert!(sequence < 60_000, "{} arrived", late_us.len());
    }
    let schemas = session
        .get("visuomotor/arm/schema/test_msgs/msg/Count")
        .wait()
        .unwrap();
    let schema = schemas.recv().unwrap();
    assert_eq!(
        schema.result().unwrap().payload().to_bytes(),
        b"uint32 count".as_slice()
    );
    late_us.sort_unstable();
    let at = |share: f64| late_us[(share * (late_us.len() - 1) as f64) as usize];
    let written = format!(
        "live, from record to subscriber, flushed every 50 ms: p50 {} us, p99 {} us, max {} us, {} of {sequence} records\n",
        at(0.5),
        at(0.99),
        at(1.0),
        late_us.len()
    );
    std::io::stderr().write_all(written.as_bytes()).unwrap();
    forwarder.end();
    collector.end();
}
