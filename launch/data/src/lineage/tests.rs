//! Tests of the whole graph: cycles, unknown parents, mixed sets, hostile names.

use super::*;
use crate::staged::Stage;
use crate::{DatasetLineage, EpisodeLineage, LINEAGE_VERSION};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use visuomotor_runtime::episode::{Derivation, Header, Sha256};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("visuomotor-lineage-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn episode(&self, name: &str, change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let mut stage = Stage {
            ticks: 3,
            ..Stage::default()
        };
        stage.header.origin.id = Path::new(name)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        change(&mut stage.header);
        let file = stage.file();
        self.write(name, &file);
        file
    }

    fn lineage(&self) -> Lineage {
        of(std::slice::from_ref(&self.0)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The checkpoint with which staged episodes are collected.
fn manifest(lineage: &str) -> String {
    format!(
        "name = \"critic\"\n[trunk]\nfile = \"trunk.onnx\"\nsha256 = \"{}\"\n[lineage]\n{lineage}\n",
        "0".repeat(64)
    )
}

fn edges(lineage: &Lineage) -> Vec<(Kind, How, Kind, usize)> {
    let kind = |id: &str| {
        lineage
            .nodes
            .iter()
            .find(|node| node.id == id)
            .unwrap()
            .kind
    };
    let mut edges: Vec<_> = lineage
        .edges
        .iter()
        .map(|edge| (kind(&edge.from), edge.how, kind(&edge.to), edge.count))
        .collect();
    edges.sort();
    edges
}

fn check(lineage: &Lineage) {
    let svg = lineage.svg();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let rects = document
        .descendants()
        .filter(|node| node.has_tag_name("rect"))
        .count();
    assert_eq!(rects, lineage.nodes.len());
    for group in document.descendants().filter(|node| node.has_tag_name("g")) {
        let number = |node: &roxmltree::Node<'_, '_>, name| -> f64 {
            node.attribute(name).unwrap().parse().unwrap()
        };
        let rect = group
            .children()
            .find(|node| node.has_tag_name("rect"))
            .unwrap();
        for text in group.children().filter(|node| node.has_tag_name("text")) {
            let (right, down) = (
                number(&text, "x") - number(&rect, "x"),
                number(&text, "y") - number(&rect, "y"),
            );
            assert!(
                (0.0..30.0).contains(&right) && (0.0..46.0).contains(&down),
                "{svg}"
            );
        }
    }
    assert!(!svg.contains("NaN"));
    let text = lineage.to_string();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    let dot = lineage.dot();
    assert_eq!(dot.matches(" -> n").count(), lineage.edges.len());
    for edge in &lineage.edges {
        assert!(
            lineage.nodes.iter().any(|node| node.id == edge.from),
            "{edge:?}"
        );
        assert!(
            lineage.nodes.iter().any(|node| node.id == edge.to),
            "{edge:?}"
        );
    }
    serde_json::to_string(lineage).unwrap();
}

#[test]
fn data_train_the_checkpoint_that_collected_them_and_nothing_loops() {
    let directory = Directory::new("cycle");
    directory.episode("a/1.mcap", |_| ());
    let second = directory.episode("a/2.mcap", |_| ());
    let hash = Sha256::of(&second);
    directory.write(
        "policy.toml",
        manifest(&format!(
            "episodes = [\"1\", \"{hash}\", \"elsewhere\"]\nshards = [\"shard-1-0\", \"shard-2-0\"]"
        )),
    );
    directory.write("launch.toml", "[robot]\nurdf = \"a.urdf\"\n");
    directory.write("bad.toml", "[[[");
    directory.write(
        "shards/shard-1-0/meta.json",
        "{\"policy\": \"weak\", \"policy_sha256\": \"7\"}",
    );
    directory.write("shards/shard-3-0.tmp/meta.json", "{}");
    let lineage = directory.lineage();
    check(&lineage);
    use How::{Collected, Trained};
    use Kind::{Checkpoint, Episodes, Shards, Unknown};
    assert_eq!(
        edges(&lineage),
        [
            (Episodes, Trained, Checkpoint, 2),
            (Checkpoint, Collected, Episodes, 2),
            (Shards, Trained, Checkpoint, 1),
            (Unknown, Collected, Shards, 1),
            (Unknown, Trained, Checkpoint, 1),
            (Unknown, Trained, Checkpoint, 1),
        ]
    );
    assert_eq!(lineage.cycles.len(), 1);
    assert_eq!(lineage.cycles[0].len(), 2);
    assert!(!lineage.is_mixed());
    let text = lineage.to_string();
    assert!(
        text.contains("goes round")
            && text.contains("(above)")
            && text.contains("2 episodes, all alike"),
        "{text}"
    );
}

#[test]
fn derived_episodes_have_their_parent_or_an_unknown_one() {
    let directory = Directory::new("derived");
    let parent = directory.episode("raw/1.mcap", |_| ());
    let derivation = |parent_id: &str, parent_sha256| {
        Some(Derivation {
            how: "trimmed".into(),
            parent_id: parent_id.into(),
            parent_sha256,
            from_ns: 0,
            to_ns: 1,
        })
    };
    directory.episode("other/renamed.mcap", |_| ());
    // Known by its bytes, whatever it was called, and whatever else is called so now.
    directory.episode("cut/1-cut.mcap", |header| {
        header.derivation = derivation("renamed", Sha256::of(&parent))
    });
    directory.episode("cut/9-cut.mcap", |header| {
        header.derivation = derivation("gone", Sha256::of(b"gone"))
    });
    let lineage = directory.lineage();
    check(&lineage);
    let derived: Vec<_> = edges(&lineage)
        .into_iter()
        .filter(|edge| edge.1 == How::Derived)
        .collect();
    assert_eq!(
        derived,
        [
            (Kind::Episodes, How::Derived, Kind::Episodes, 1),
            (Kind::Unknown, How::Derived, Kind::Episodes, 1),
        ]
    );
    let unknown = lineage
        .nodes
        .iter()
        .find(|node| node.kind == Kind::Unknown)
        .unwrap();
    assert_eq!(unknown.label, "episode gone");
    let from: Vec<&str> = lineage
        .edges
        .iter()
        .filter(|edge| edge.how == How::Derived)
        .map(|edge| edge.from.as_str())
        .collect();
    assert!(from.iter().any(|id| id.contains("/raw ")), "{from:?}");
}

#[test]
fn a_mixed_directory_names_what_differs_and_the_odd_ones() {
    let directory = Directory::new("mixed");
    for k in 0..4 {
        directory.episode(&format!("a/{k}.mcap"), |_| ());
    }
    directory.episode("a/odd.mcap", |header| {
        header.camera.insert("fovy_deg".into(), "40".into());
        header.robot.limits_sha256 = Sha256::of(b"others");
    });
    directory.episode("b/new-code.mcap", |header| {
        header.code.git_commit = "f".repeat(40)
    });
    let lineage = directory.lineage();
    check(&lineage);
    assert!(lineage.is_mixed());
    let [a, b] = &lineage.sets[..] else {
        panic!("{:?}", lineage.sets)
    };
    assert!(!b.mixed && b.episodes == 1);
    let whats: Vec<&str> = a
        .differs
        .iter()
        .map(|difference| difference.what.as_str())
        .collect();
    assert_eq!(whats, ["camera mount fovy_deg", "limits"]);
    let camera = &a.differs[0].values;
    assert_eq!((camera[0].value.as_str(), camera[0].count), ("34", 4));
    assert_eq!(
        (camera[1].value.as_str(), &camera[1].episodes[..]),
        ("40", &["odd".to_owned()][..])
    );
    let text = lineage.to_string();
    assert!(
        text.contains("MIXED") && text.contains("1 × 40: odd"),
        "{text}"
    );
}

#[test]
fn data_sets_lead_to_their_episodes_and_to_the_checkpoint_they_trained() {
    let directory = Directory::new("dataset");
    let first = directory.episode("a/1.mcap", |_| ());
    let entry = |id: &str, hash: &str, limits: &str| {
        let mut header = crate::staged::header();
        header.robot.limits_sha256 = Sha256::of(limits.as_bytes());
        let records = header.to_records().into_iter();
        EpisodeLineage {
            source_id: id.to_owned(),
            source_file: format!("{id}.mcap"),
            source_sha256: hash.to_owned(),
            ending: "terminated".to_owned(),
            success: Some(true),
            actions: 3,
            records: records.map(|(name, map)| (name.to_owned(), map)).collect(),
        }
    };
    let set = DatasetLineage {
        lineage_version: LINEAGE_VERSION,
        identity: String::new(),
        format: "lerobot-v3.0".to_owned(),
        made_by: String::new(),
        options: BTreeMap::new(),
        files: BTreeMap::new(),
        episodes: vec![
            entry("x", &Sha256::of(&first).to_string(), "l1"),
            entry("gone", "e", "l2"),
        ],
        refused: Vec::new(),
    }
    .sealed();
    let document = serde_json::to_string(&set).unwrap();
    directory.write("set/meta/visuomotor_lineage.json", document);
    directory.write(
        "policy.toml",
        manifest(&format!("datasets = [\"{}\"]", set.identity)),
    );
    let lineage = directory.lineage();
    check(&lineage);
    use How::{Collected, Exported, Trained};
    use Kind::{Checkpoint, Dataset, Episodes, Unknown};
    assert_eq!(
        edges(&lineage),
        [
            (Episodes, Exported, Dataset, 1),
            (Checkpoint, Collected, Episodes, 1),
            (Checkpoint, Collected, Unknown, 1),
            (Dataset, Trained, Checkpoint, 1),
            (Unknown, Exported, Dataset, 1),
        ]
    );
    let set = lineage
        .sets
        .iter()
        .find(|set| set.name.starts_with("data set"))
        .unwrap();
    assert!(
        set.mixed
            && set
                .differs
                .iter()
                .any(|difference| difference.what == "limits")
    );
    assert_eq!(lineage.cycles.len(), 1);
}

#[test]
fn hostile_names_and_broken_files_are_told_harmlessly() {
    let directory = Directory::new("hostile");
    let hostile = "\"];<script>\x1b[2J\\\n";
    directory.episode("a/1.mcap", |header| {
        header.origin.id = hostile.into();
        header.code.git_commit = hostile.into();
        header.checkpoints = [(hostile.to_owned(), hostile.to_owned())].into();
        header.policy.as_mut().unwrap().name = hostile.into();
    });
    directory.episode("a/2.mcap", |_| ());
    directory.write("a/3.mcap", b"nothing");
    directory.write("shard-1-0/meta.json", "{");
    directory.write("set/meta/visuomotor_lineage.json", "[]");
    let lineage = directory.lineage();
    check(&lineage);
    assert_eq!(lineage.problems.len(), 3);
    assert!(!lineage.svg().contains("<script>"));
    assert!(of(&[directory.0.join("nowhere")]).is_err());
    check(&of(&[]).unwrap());
}

#[test]
fn a_long_chain_needs_no_stack_and_its_layers_count_up() {
    let node = |k: usize| Node {
        id: k.to_string(),
        kind: Kind::Episodes,
        label: String::new(),
        count: 1,
        members: Vec::new(),
        facts: BTreeMap::new(),
    };
    let edge = |from: usize, to: usize| Edge {
        from: from.to_string(),
        to: to.to_string(),
        how: How::Derived,
        count: 1,
    };
    let count = 3000;
    let mut lineage = Lineage {
        nodes: (0..count).map(node).collect(),
        edges: (1..count).map(|k| edge(k - 1, k)).collect(),
        ..Lineage::default()
    };
    assert_eq!(layers::layers(&lineage), (0..count).collect::<Vec<_>>());
    assert!(layers::cycles(&lineage).is_empty());
    lineage.edges.push(edge(count - 1, 0));
    lineage.edges.push(edge(7, 7));
    assert_eq!(
        layers::cycles(&lineage)
            .iter()
            .map(Vec::len)
            .collect::<Vec<_>>(),
        [count]
    );
    lineage.to_string();
}
