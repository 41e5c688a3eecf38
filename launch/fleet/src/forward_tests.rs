//! Robot and collector joined directly, through a way between them that loses, repeats and restarts.

use super::*;
use crate::archive::{Archive, INDEX};
use crate::inbox::{Bounds, Inbox};
use crate::scratch::Directory;
use crate::shelf::Shelf;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;

/// What becomes of one question.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// It never arrives.
    Lost,
    /// It arrives, and its answer does not.
    AnswerLost,
    /// It arrives twice.
    Twice,
    /// The collector is killed and started anew before it.
    Restarted,
}

struct Fated<'a> {
    root: &'a Path,
    robot: Robot,
    inbox: Inbox,
    /// Afterwards all is well.
    fates: VecDeque<Fate>,
}

fn collector(root: &Path) -> Inbox {
    let archive = Archive::open(Shelf::Directory(root.to_owned()), &root.join(INDEX)).unwrap();
    let staging = root.join(".incoming");
    fs::create_dir_all(&staging).unwrap();
    Inbox::open(&staging, archive, Bounds::default()).unwrap()
}

impl Link for Fated<'_> {
    fn ask(&mut self, offer: &Offer, block: &[u8]) -> Result<Answer, Away> {
        let fate = self.fates.pop_front().unwrap_or(Fate::Answered);
        let ask = || self.inbox.take(&self.robot, offer, block).0;
        match fate {
            Fate::Lost => Err(Away),
            Fate::Answered => Ok(ask()),
            Fate::AnswerLost => {
                ask();
                Err(Away)
            }
            Fate::Twice => {
                ask();
                Ok(ask())
            }
            Fate::Restarted => {
                self.inbox = collector(self.root);
                Ok(self.inbox.take(&self.robot, offer, block).0)
            }
        }
    }
}

fn round<'a>(robot: &Directory, root: &'a Path, fates: Vec<Fate>) -> Round<Fated<'a>> {
    Round {
        outbox: Outbox::new(robot.path()),
        delivered: Delivered::open(robot.path()).unwrap(),
        refused: HashMap::new(),
        hashed: None,
        link: Fated {
            root,
            robot: "arm".parse().unwrap(),
            inbox: collector(root),
            fates: fates.into(),
        },
        pace: Pace::default(),
        report: Report::default(),
    }
}

fn episode(seed: u8, bytes: usize) -> Vec<u8> {
    let inside: Vec<u8> = (0..bytes).map(|at| seed ^ (at % 253) as u8).collect();
    [mcap::MAGIC, &inside, mcap::MAGIC].concat()
}

fn go(round: &mut Round<Fated<'_>>) -> bool {
    round.go(&Stop::default(), &mut |_| {}).unwrap()
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Answered),
        2 => Just(Fate::Lost),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Restarted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_network_does_every_episode_arrives_once(
        fates in proptest::collection::vec(fate(), 0..60),
        kills in proptest::collection::vec(0usize..12, 0..3),
        sizes in proptest::collection::vec(0usize..700_000, 1..4),
    ) {
        let (robot, out) = (Directory::new("fated-robot"), Directory::new("fated-out"));
        for (number, size) in sizes.iter().enumerate() {
            robot.write(&format!("{number}.mcap"), &episode(number as u8, *size));
        }
        let mut sender = round(&robot, out.path(), fates);
        for pass in 0.. {
            prop_assert!(pass < 200, "it comes to an end");
            if kills.contains(&pass) {
                // The forwarder is killed; what it had noted is on its disk.
                let fates = sender.link.fates.clone().into();
                drop(sender);
                sender = round(&robot, out.path(), fates);
            }
            if go(&mut sender) && sender.report.waiting == 0 {
                break;
            }
        }
        drop(sender);
        let index = fs::read_to_string(out.path().join(INDEX)).unwrap();
        prop_assert_eq!(index.lines().count(), sizes.len());
        for (number, size) in sizes.iter().enumerate() {
            let there = fs::read(out.path().join(format!("arm/{number}.mcap"))).unwrap();
            prop_assert_eq!(there, episode(number as u8, *size));
        }
        // A restart asks nothing.
        let mut again = round(&robot, out.path(), vec![Fate::Lost; 9]);
        prop_assert!(go(&mut again));
        prop_assert_eq!(again.link.fates.len(), 9);
    }
}

#[test]
fn an_interruption_costs_one_block_and_not_the_file() {
    let (robot, out) = (Directory::new("cost-robot"), Directory::new("cost-out"));
    let bytes = episode(1, 6 << 20);
    robot.write("a.mcap", &bytes);
    // The offer, five blocks, then the way is cut.
    let mut fates = vec![Fate::Answered; 6];
    fates.push(Fate::Lost);
    let mut sender = round(&robot, out.path(), fates);
    assert!(!go(&mut sender));
    assert!(go(&mut sender));
    let resent = sender.report.bytes_sent - bytes.len() as u64;
    assert!(resent <= BLOCK_BYTES as u64, "{resent}");
}

const BLOCK_BYTES: usize = crate::BLOCK_BYTES_MAX;

#[test]
fn a_left_behind_file_comes_marked_and_so_does_the_episode_that_was_made_of_it() {
    let (robot, out) = (Directory::new("left-robot"), Directory::new("left-out"));
    let whole = episode(1, 5000);
    robot.write("a.mcap.open", &whole[..3000]);
    let mut sender = round(&robot, out.path(), vec![]);
    for _ in 0..8 {
        go(&mut sender);
    }
    assert!(sender.outbox.is_settled() && sender.report.delivered == 1);
    assert_eq!(
        fs::read(out.path().join("arm/a.mcap.open")).unwrap(),
        &whole[..3000]
    );
    fs::remove_file(robot.path().join("a.mcap.open")).unwrap();
    robot.write("a.mcap", &whole);
    assert!(go(&mut sender));
    assert_eq!(fs::read(out.path().join("arm/a.mcap")).unwrap(), whole);
    assert_eq!(sender.report.delivered, 2);
}

#[test]
fn the_robots_files_stay_as_they_are() {
    let (robot, out) = (Directory::new("stay-robot"), Directory::new("stay-out"));
    let bytes = episode(1, 5000);
    robot.write("a.mcap", &bytes);
    assert!(go(&mut round(&robot, out.path(), vec![])));
    assert_eq!(fs::read(robot.path().join("a.mcap")).unwrap(), bytes);
    let mut names: Vec<_> = fs::read_dir(robot.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [crate::delivered::STATE, "a.mcap"]);
}

/// Says the same to everything.
struct Stubborn(Answer, u32);

impl Link for Stubborn {
    fn ask(&mut self, _: &Offer, _: &[u8]) -> Result<Answer, Away> {
        self.1 += 1;
        Ok(self.0.clone())
    }
}

#[test]
fn a_collector_that_talks_nonsense_holds_nobody_for_ever() {
    let robot = Directory::new("nonsense");
    let bytes = episode(1, 500_000);
    robot.write("a.mcap", &bytes);
    let file = fs::File::open(robot.path().join("a.mcap")).unwrap();
    let offer = Offer {
        name: "a.mcap".parse().unwrap(),
        sha256: Digest::of(&bytes),
        bytes: bytes.len() as u64,
        offset: 0,
    };
    for wanted in [0, 7, bytes.len() as u64, bytes.len() as u64 + 1, u64::MAX] {
        let mut link = Stubborn(Answer::Want(wanted), 0);
        let outcome = upload(&mut link, &file, &offer, &mut Pace::default(), &mut 0);
        assert!(
            matches!(outcome, Outcome::Refused { again: true, .. }),
            "{wanted}: {outcome:?}"
        );
        assert!(link.1 < 20);
    }
}

#[test]
fn waiting_grows_to_a_limit_and_differs_between_robots() {
    let waits = |robot: &str| {
        let mut backoff = Backoff::new(&robot.parse().unwrap());
        (0..12).map(|_| backoff.next()).collect::<Vec<_>>()
    };
    let (a, b) = (waits("arm-1"), waits("arm-2"));
    assert!(a.is_sorted() && a[0] >= WAIT_MIN && a[11] <= WAIT_MAX * 4 / 3 && a != b);
}
