//! The collector's end without a network: honest robots, careless ones and hostile ones.

use super::*;
use crate::archive::INDEX;
use crate::scratch::Directory;
use crate::shelf::Shelf;
use proptest::prelude::*;

fn robot(name: &str) -> Robot {
    name.parse().unwrap()
}

fn open(root: &Path) -> Inbox {
    open_bounded(root, Bounds::default())
}

fn open_bounded(root: &Path, bounds: Bounds) -> Inbox {
    let archive = Archive::open(Shelf::Directory(root.to_owned()), &root.join(INDEX)).unwrap();
    let staging = root.join(".incoming");
    fs::create_dir_all(&staging).unwrap();
    Inbox::open(&staging, archive, bounds).unwrap()
}

/// An episode of this many bytes, whole as far as a collector looks.
fn episode(seed: u8, bytes: usize) -> Vec<u8> {
    let inside = (0..bytes).map(|at| seed.wrapping_add((at * 7 % 251) as u8));
    [mcap::MAGIC, &inside.collect::<Vec<_>>(), mcap::MAGIC].concat()
}

fn offer(name: &str, bytes: &[u8], offset: u64) -> Offer {
    Offer {
        name: name.parse().unwrap(),
        sha256: Digest::of(bytes),
        bytes: bytes.len() as u64,
        offset,
    }
}

/// Sends the block from `start` to `end`.
fn send(inbox: &Inbox, from: &str, name: &str, bytes: &[u8], start: usize, end: usize) -> Answer {
    let offer = offer(name, bytes, start as u64);
    inbox.take(&robot(from), &offer, &bytes[start..end]).0
}

fn send_all(inbox: &Inbox, from: &str, name: &str, bytes: &[u8]) -> Answer {
    send(inbox, from, name, bytes, 0, bytes.len())
}

fn stored(at: &str, new: bool) -> Answer {
    Answer::Stored {
        at: at.to_owned(),
        new,
    }
}

fn records(root: &Path) -> Vec<Record> {
    let index = fs::read_to_string(root.join(INDEX)).unwrap();
    index
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn parts(root: &Path) -> usize {
    fs::read_dir(root.join(".incoming")).unwrap().count()
}

#[test]
fn blocks_become_an_episode_and_only_then_have_its_name() {
    let out = Directory::new("blocks");
    let inbox = open(out.path());
    let bytes = episode(1, 100);
    assert_eq!(send(&inbox, "a", "x.mcap", &bytes, 0, 0), Answer::Want(0));
    assert_eq!(send(&inbox, "a", "x.mcap", &bytes, 0, 60), Answer::Want(60));
    assert!(
        !out.path().join("a").exists(),
        "nothing looks like an episode"
    );
    assert_eq!(
        send(&inbox, "a", "x.mcap", &bytes, 60, bytes.len()),
        stored("a/x.mcap", true)
    );
    assert_eq!(fs::read(out.path().join("a/x.mcap")).unwrap(), bytes);
    assert_eq!((parts(out.path()), inbox.partials()), (0, 0));
    let record = &records(out.path())[0];
    assert!(
        record.complete && record.stored_as == "a/x.mcap" && record.sha256 == Digest::of(&bytes)
    );
}

#[test]
fn blocks_out_of_place_change_nothing() {
    let out = Directory::new("place");
    let inbox = open(out.path());
    let bytes = episode(1, 100);
    assert_eq!(send(&inbox, "a", "x.mcap", &bytes, 0, 50), Answer::Want(50));
    for (start, end) in [(0, 50), (0, 100), (49, 60), (51, 60), (90, 116)] {
        assert_eq!(
            send(&inbox, "a", "x.mcap", &bytes, start, end),
            Answer::Want(50)
        );
    }
    assert_eq!(inbox.received().blocks_out_of_place, 5);
    assert_eq!(
        send(&inbox, "a", "x.mcap", &bytes, 50, 116),
        stored("a/x.mcap", true)
    );
    assert_eq!(fs::read(out.path().join("a/x.mcap")).unwrap(), bytes);
}

#[test]
fn a_restart_at_any_byte_goes_on_from_there() {
    let bytes = episode(3, 20);
    for at in 0..bytes.len() {
        let out = Directory::new("restart");
        assert_eq!(
            send(&open(out.path()), "a", "x.mcap", &bytes, 0, at),
            Answer::Want(at as u64)
        );
        let inbox = open(out.path());
        assert_eq!(
            send(&inbox, "a", "x.mcap", &bytes, 0, 0),
            Answer::Want(at as u64)
        );
        assert_eq!(
            send(&inbox, "a", "x.mcap", &bytes, at, bytes.len()),
            stored("a/x.mcap", true)
        );
        let inbox = open(out.path());
        assert_eq!(
            send(&inbox, "a", "x.mcap", &bytes, 0, 0),
            stored("a/x.mcap", false)
        );
    }
}

#[test]
fn a_power_cut_that_spoils_a_part_costs_only_that_part() {
    let out = Directory::new("spoilt");
    let bytes = episode(3, 100);
    send(&open(out.path()), "a", "x.mcap", &bytes, 0, 50);
    let part = out
        .path()
        .join(".incoming")
        .join(format!("a.{}.part", Digest::of(&bytes)));
    // Lengths may reach the disk before contents do.
    fs::write(&part, [0; 70]).unwrap();
    let inbox = open(out.path());
    assert_eq!(send(&inbox, "a", "x.mcap", &bytes, 0, 0), Answer::Want(70));
    let answer = send(&inbox, "a", "x.mcap", &bytes, 70, bytes.len());
    assert!(
        matches!(answer, Answer::Refused { again: true, .. }),
        "{answer:?}"
    );
    assert!(!out.path().join("a").exists());
    assert_eq!(send(&inbox, "a", "x.mcap", &bytes, 0, 0), Answer::Want(0));
    assert_eq!(
        send_all(&inbox, "a", "x.mcap", &bytes),
        stored("a/x.mcap", true)
    );
}

#[test]
fn bytes_that_do_not_have_their_hash_are_never_stored() {
    let out = Directory::new("hash");
    let inbox = open(out.path());
    let (said, sent) = (episode(1, 50), episode(2, 50));
    let (answer, record) = inbox.take(&robot("a"), &offer("x.mcap", &said, 0), &sent);
    assert!(matches!(answer, Answer::Refused { again: true, .. }) && record.is_none());
    assert!(!out.path().join("a").exists() && parts(out.path()) == 0);
}

#[test]
fn equal_bytes_are_stored_once_and_nothing_is_replaced() {
    let out = Directory::new("once");
    let inbox = open(out.path());
    let (one, two) = (episode(1, 50), episode(2, 50));
    assert_eq!(
        send_all(&inbox, "a", "x.mcap", &one),
        stored("a/x.mcap", true)
    );
    assert_eq!(
        send_all(&inbox, "a", "x.mcap", &one),
        stored("a/x.mcap", false)
    );
    assert_eq!(
        send(&inbox, "b", "y.mcap", &one, 0, 0),
        stored("a/x.mcap", false)
    );
    // Another robot that calls itself the same.
    let other = format!("a/{}-x.mcap", Digest::of(&two).short());
    assert_eq!(send_all(&inbox, "a", "x.mcap", &two), stored(&other, true));
    assert_eq!(fs::read(out.path().join("a/x.mcap")).unwrap(), one);
    assert_eq!(fs::read(out.path().join(other)).unwrap(), two);
    assert_eq!(records(out.path()).len(), 2);
}

#[test]
fn a_file_of_somebody_else_is_not_replaced_either() {
    let out = Directory::new("foreign");
    let inbox = open(out.path());
    fs::create_dir(out.path().join("a")).unwrap();
    fs::write(out.path().join("a/x.mcap"), "mine").unwrap();
    let bytes = episode(1, 50);
    let beside = format!("a/{}-x.mcap", Digest::of(&bytes).short());
    assert_eq!(
        send_all(&inbox, "a", "x.mcap", &bytes),
        stored(&beside, true)
    );
    assert_eq!(fs::read(out.path().join("a/x.mcap")).unwrap(), b"mine");
}

#[test]
fn what_is_not_whole_cannot_be_taken_for_it() {
    let out = Directory::new("whole");
    let inbox = open(out.path());
    let whole = episode(1, 50);
    let mut renamed = episode(2, 50);
    renamed.pop();
    for (name, bytes, at) in [
        ("open.mcap.open", whole.as_slice(), "a/open.mcap.open"),
        ("short.mcap", &renamed, "a/short.mcap.open"),
        ("magic.mcap", mcap::MAGIC, "a/magic.mcap.open"),
        ("empty.mcap", b"", "a/empty.mcap.open"),
    ] {
        assert_eq!(send_all(&inbox, "a", name, bytes), stored(at, true));
    }
    assert!(records(out.path()).iter().all(|record| !record.complete));
    // The same after the index is lost.
    drop(inbox);
    fs::remove_file(out.path().join(INDEX)).unwrap();
    open(out.path());
    assert!(records(out.path()).iter().all(|record| !record.complete));
}

#[test]
fn the_index_is_mended_from_the_directory() {
    let out = Directory::new("index");
    let inbox = open(out.path());
    let all: Vec<_> = (0..3).map(|seed| episode(seed, 50)).collect();
    for (seed, bytes) in all.iter().enumerate() {
        send_all(&inbox, "a", &format!("{seed}.mcap"), bytes);
    }
    drop(inbox);
    let whole = fs::read(out.path().join(INDEX)).unwrap();
    for length in 0..=whole.len() {
        fs::write(out.path().join(INDEX), &whole[..length]).unwrap();
        let inbox = open(out.path());
        for bytes in &all {
            assert!(inbox.archive.find(&Digest::of(bytes)).is_some(), "{length}");
        }
        assert_eq!(records(out.path()).len(), 3);
    }
    fs::remove_file(out.path().join("a/1.mcap")).unwrap();
    fs::write(out.path().join("a/2.mcap"), "changed").unwrap();
    let inbox = open(out.path());
    let found: Vec<_> = all
        .iter()
        .map(|bytes| inbox.archive.find(&Digest::of(bytes)).is_some())
        .collect();
    assert_eq!(
        found,
        [true, false, false],
        "only what is there is said to be there"
    );
    assert_eq!(
        send_all(&inbox, "a", "1.mcap", &all[1]),
        stored("a/1.mcap", true)
    );
}

#[test]
fn a_crash_between_the_name_and_the_index_stores_nothing_twice() {
    let out = Directory::new("crash");
    let bytes = episode(1, 50);
    drop(open(out.path()));
    let part = out
        .path()
        .join(".incoming")
        .join(format!("a.{}.part", Digest::of(&bytes)));
    fs::write(&part, &bytes).unwrap();
    fs::create_dir(out.path().join("a")).unwrap();
    fs::hard_link(&part, out.path().join("a/x.mcap")).unwrap();
    let inbox = open(out.path());
    assert_eq!(
        send(&inbox, "a", "x.mcap", &bytes, 0, 0),
        stored("a/x.mcap", false)
    );
    assert_eq!((parts(out.path()), records(out.path()).len()), (0, 1));
}

#[test]
fn a_disk_that_refuses_is_a_reason_to_ask_again() {
    let out = Directory::new("full");
    let inbox = open(out.path());
    let bytes = episode(1, 50);
    send(&inbox, "a", "x.mcap", &bytes, 0, 10);
    let (staging, away) = (out.path().join(".incoming"), out.path().join("away"));
    fs::rename(&staging, &away).unwrap();
    for start in [10, 0, 0] {
        let answer = send(&inbox, "a", "x.mcap", &bytes, start, 66);
        assert!(
            matches!(answer, Answer::Refused { again: true, .. }),
            "{answer:?}"
        );
    }
    fs::rename(&away, &staging).unwrap();
    // What lies there is not what this process appended.
    let answer = send_all(&inbox, "a", "x.mcap", &bytes);
    assert!(
        matches!(answer, Answer::Refused { again: true, .. }),
        "{answer:?}"
    );
    assert_eq!(
        send_all(&inbox, "a", "x.mcap", &bytes),
        stored("a/x.mcap", true)
    );
    assert_eq!(fs::read(out.path().join("a/x.mcap")).unwrap(), bytes);
}

#[test]
fn a_part_that_somebody_else_changes_is_begun_anew() {
    let out = Directory::new("changed");
    let inbox = open(out.path());
    let bytes = episode(1, 50);
    let part = out
        .path()
        .join(".incoming")
        .join(format!("a.{}.part", Digest::of(&bytes)));
    for change in [
        |part: &Path| fs::remove_file(part),
        |part: &Path| fs::write(part, "x"),
    ] {
        send(&inbox, "a", "x.mcap", &bytes, 0, 10);
        change(&part).unwrap();
        let answer = send(&inbox, "a", "x.mcap", &bytes, 10, 66);
        assert!(
            matches!(answer, Answer::Refused { again: true, .. }),
            "{answer:?}"
        );
        assert_eq!(send(&inbox, "a", "x.mcap", &bytes, 0, 0), Answer::Want(0));
    }
    assert_eq!(
        send_all(&inbox, "a", "x.mcap", &bytes),
        stored("a/x.mcap", true)
    );
}

#[test]
fn hostile_numbers_are_refused() {
    let out = Directory::new("numbers");
    let inbox = open(out.path());
    let bytes = episode(1, 50);
    let mut lie = offer("x.mcap", &bytes, 0);
    lie.bytes = 10;
    let (answer, _) = inbox.take(&robot("a"), &lie, &bytes);
    assert!(
        matches!(answer, Answer::Refused { again: false, .. }),
        "{answer:?}"
    );
    lie.bytes = u64::MAX;
    let (answer, _) = inbox.take(&robot("a"), &lie, &[]);
    assert!(
        matches!(answer, Answer::Refused { again: false, .. }),
        "{answer:?}"
    );
    lie.bytes = EPISODE_BYTES_MAX;
    let (answer, _) = inbox.take(&robot("a"), &lie, &vec![0; BLOCK_BYTES_MAX + 1]);
    assert!(
        matches!(answer, Answer::Refused { again: false, .. }),
        "{answer:?}"
    );
    lie.offset = u64::MAX;
    assert_eq!(inbox.take(&robot("a"), &lie, &[1]).0, Answer::Want(0));
    // A lie about the length spoils the liar's own part only.
    lie.offset = 0;
    assert_eq!(inbox.take(&robot("a"), &lie, &bytes).0, Answer::Want(66));
    assert_eq!(
        send_all(&inbox, "b", "x.mcap", &bytes),
        stored("b/x.mcap", true)
    );
}

#[test]
fn one_robot_cannot_spoil_what_another_one_has_begun() {
    let out = Directory::new("spoil");
    let inbox = open(out.path());
    let bytes = episode(1, 50);
    send(&inbox, "a", "x.mcap", &bytes, 0, 10);
    inbox.take(&robot("b"), &offer("x.mcap", &bytes, 0), &[9; 10]);
    inbox.take(&robot("b"), &offer("x.mcap", &bytes, 10), &[9; 20]);
    assert_eq!(
        send(&inbox, "a", "x.mcap", &bytes, 10, 66),
        stored("a/x.mcap", true)
    );
    assert_eq!(
        send(&inbox, "b", "x.mcap", &bytes, 30, 66),
        stored("a/x.mcap", false)
    );
    assert_eq!(parts(out.path()), 0);
}

#[test]
fn what_was_begun_is_bounded_also_across_restarts() {
    let out = Directory::new("bounded");
    let bounds = Bounds {
        partials_max: 5,
        partials_of_robot_max: 2,
    };
    for _ in 0..2 {
        let inbox = open_bounded(out.path(), bounds);
        for seed in 0..9 {
            for from in ["a", "b", "c", "d"] {
                send(&inbox, from, "x.mcap", &episode(seed, 50), 0, 10);
                assert!(inbox.partials() <= 5 && parts(out.path()) <= 5);
            }
        }
        // Who was served last goes on.
        assert_eq!(
            send(&inbox, "d", "x.mcap", &episode(8, 50), 0, 0),
            Answer::Want(10)
        );
    }
}

#[test]
fn many_at_once_store_each_content_once() {
    let out = Directory::new("at-once");
    let inbox = open(out.path());
    let all: Vec<_> = (0..6).map(|seed| episode(seed, 5000)).collect();
    std::thread::scope(|scope| {
        for from in ["a", "b", "c", "d"] {
            let (inbox, all) = (&inbox, &all);
            scope.spawn(move || {
                for (number, bytes) in all.iter().enumerate() {
                    let name = format!("{number}.mcap");
                    let mut at = 0;
                    loop {
                        let end = bytes.len().min(at + 700);
                        match send(inbox, from, &name, bytes, at, end) {
                            Answer::Want(wanted) => at = wanted as usize,
                            Answer::Stored { .. } => break,
                            Answer::Refused { again, why } => assert!(again, "{why}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!((records(out.path()).len(), parts(out.path())), (6, 0));
    for record in records(out.path()) {
        let bytes = fs::read(out.path().join(&record.stored_as)).unwrap();
        assert_eq!(Digest::of(&bytes), record.sha256);
    }
}

#[test]
fn an_object_store_keeps_each_content_once_too() {
    let staging = Directory::new("objects");
    let store = std::sync::Arc::new(object_store::memory::InMemory::new());
    let index = staging.path().join(INDEX);
    let open = || {
        let shelf = Shelf::objects(store.clone(), "fleet/one").unwrap();
        let archive = Archive::open(shelf, &index).unwrap();
        let incoming = staging.path().join(".incoming");
        fs::create_dir_all(&incoming).unwrap();
        Inbox::open(&incoming, archive, Bounds::default()).unwrap()
    };
    let (one, two) = (episode(1, 5000), episode(2, 5000));
    assert_eq!(
        send_all(&open(), "a", "x.mcap", &one),
        stored("a/x.mcap", true)
    );
    assert_eq!(
        send_all(&open(), "b", "x.mcap", &one),
        stored("a/x.mcap", false)
    );
    // The collector's own memory is lost: the object is recognised.
    fs::remove_file(&index).unwrap();
    assert_eq!(
        send_all(&open(), "a", "x.mcap", &one),
        stored("a/x.mcap", true)
    );
    let beside = format!("a/{}-x.mcap", Digest::of(&two).short());
    assert_eq!(
        send_all(&open(), "a", "x.mcap", &two),
        stored(&beside, true)
    );
    assert_eq!(parts(staging.path()), 0);
    // In several parts.
    let large = episode(3, (33 << 20) + 5);
    let inbox = open();
    for (at, block) in large.chunks(BLOCK_BYTES_MAX).enumerate() {
        let offer = offer("large.mcap", &large, (at * BLOCK_BYTES_MAX) as u64);
        inbox.take(&robot("a"), &offer, block);
    }
    assert_eq!(
        send(&inbox, "a", "large.mcap", &large, 0, 0),
        stored("a/large.mcap", false)
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (at, bytes) in [
        ("a/x.mcap", &one),
        (beside.as_str(), &two),
        ("a/large.mcap", &large),
    ] {
        use object_store::ObjectStoreExt;
        let key = object_store::path::Path::from(format!("fleet/one/{at}"));
        let there = runtime.block_on(async { store.get(&key).await?.bytes().await });
        assert_eq!(there.unwrap(), bytes.as_slice(), "{at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Blocks in any order, repeated, too long, of the wrong bytes, from two robots, across restarts: what is stored has
    /// its hash, and an honest sender gets through afterwards.
    #[test]
    fn nothing_but_the_right_bytes_is_ever_stored(
        steps in proptest::collection::vec((0usize..3, 0u64..120, 0usize..120, 0u8..8), 0..40),
    ) {
        let out = Directory::new("any");
        let bytes = episode(1, 84);
        let mut inbox = open(out.path());
        for (who, offset, length, kind) in steps {
            let from = robot(["a", "b", "c"][who]);
            let start = bytes.len().min(offset as usize);
            let end = bytes.len().min(start + length);
            let mut block = bytes[start..end].to_vec();
            match kind {
                0 => inbox = open(out.path()),
                1 => block.extend([7; 30]),
                2 => block.iter_mut().for_each(|byte| *byte ^= 1),
                _ => {}
            }
            let (answer, _) = inbox.take(&from, &offer("x.mcap", &bytes, offset), &block);
            if let Answer::Stored { at, .. } = answer {
                prop_assert_eq!(&fs::read(out.path().join(at)).unwrap(), &bytes);
            }
        }
        let mut at = 0;
        for _ in 0..4 {
            match send(&inbox, "a", "x.mcap", &bytes, at, bytes.len()) {
                Answer::Want(wanted) => at = wanted as usize,
                Answer::Refused { again, why } => {
                    prop_assert!(again, "{}", why);
                    at = 0;
                }
                Answer::Stored { .. } => break,
            }
        }
        let there: Vec<_> = records(out.path()).into_iter().map(|record| record.sha256).collect();
        prop_assert_eq!(there, vec![Digest::of(&bytes)]);
    }
}
