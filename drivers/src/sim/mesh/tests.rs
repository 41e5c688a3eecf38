//! Meshes of every kind, good and broken.

use super::*;
use crate::sim::{SceneConfig, Split, World};

const CUBE: &str = "v 0 0 0\nv 2 0 0\nv 2 2 0\nv 0 2 0\nv 0 0 2\nv 2 0 2\nv 2 2 2\nv 0 2 2\n\
    f 1 4 3 2\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n";
const TETRAHEDRON: &str =
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n";

fn load(name: &str, bytes: &[u8]) -> Result<MeshLibrary, MeshError> {
    let directory = Directory::new();
    directory.put(name, bytes);
    MeshLibrary::load(&directory.0)
}

fn mesh(name: &str, bytes: &[u8]) -> Mesh {
    load(name, bytes).unwrap().meshes.remove(0)
}

/// Gone at the end of its test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("visuomotor-mesh-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The tetrahedron of [`TETRAHEDRON`].
fn facets() -> Vec<[[f32; 3]; 3]> {
    let surface = obj::parse(TETRAHEDRON.as_bytes()).unwrap();
    let corner = |index: usize| surface.vertices[index].map(|x| x as f32).into();
    surface.groups[0]
        .iter()
        .map(|face| face.map(corner))
        .collect()
}

fn stl_text() -> String {
    let mut text = "solid  é\n".to_owned();
    for facet in facets() {
        text += "facet normal 0 0 0\nouter loop\n";
        for [x, y, z] in facet {
            text += &format!("  vertex {x} {y} {z:e}\n");
        }
        text += "endloop\nendfacet\n";
    }
    text + "endsolid\n"
}

fn stl_binary() -> Vec<u8> {
    let mut bytes = b"solid, but binary".to_vec();
    bytes.resize(80, b' ');
    bytes.extend((facets().len() as u32).to_le_bytes());
    for facet in facets() {
        bytes.extend([0; 12]);
        bytes.extend(facet.as_flattened().iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend([0; 2]);
    }
    bytes
}

#[test]
fn every_format_gives_the_same_body() {
    let obj = mesh("a.obj", TETRAHEDRON.as_bytes());
    assert_eq!(obj.pieces[0].vertices.len(), 4);
    let backwards = TETRAHEDRON
        .replace(
            "f 1 3 2",
            "# f\nf -4/1/1 -2//7 -3/5 # last\nusemtl red\r\nvn 0 0 1",
        )
        .replace("v 1 0 0", "v 1.0e0 0 -0 0.5 0.5 0.5");
    let variants = [
        ("a.OBJ", backwards.into_bytes()),
        ("a.stl", stl_text().into_bytes()),
        ("a.STL", stl_text().replace('\n', "\r\n").into_bytes()),
        ("b.stl", stl_binary()),
    ];
    for (name, bytes) in variants {
        let mut other = mesh(name, &bytes).pieces.remove(0).vertices;
        for vertex in &obj.pieces[0].vertices {
            let nearest = other.iter().position(|v| (v - vertex).norm() < 1e-6);
            other.swap_remove(nearest.unwrap_or_else(|| panic!("{name}: {vertex}")));
        }
        assert!(other.is_empty(), "{name}");
    }
}

#[test]
fn a_body_is_normalised_about_its_centre_of_mass() {
    let cube = mesh("a.obj", CUBE.as_bytes());
    for vertex in &cube.pieces[0].vertices {
        assert!(
            (vertex.abs() - Vector3::repeat(0.5)).norm() < 1e-12,
            "{vertex}"
        );
    }
    assert!((cube.edge_max_m - GRASP_WIDTH_MAX_M).abs() < 1e-9);
    // Two bricks of equal density: the centre divides their distance by their volumes.
    let second = CUBE.replace("v 0", "v 6").replace("v 2", "v 10");
    let second = [
        "f 1 4 3 2",
        "f 5 6 7 8",
        "f 1 2 6 5",
        "f 2 3 7 6",
        "f 3 4 8 7",
        "f 4 1 5 8",
    ]
    .iter()
    .fold(second, |text, face| {
        let shifted = face
            .split(' ')
            .skip(1)
            .map(|i| i.parse::<u32>().unwrap() + 8);
        let shifted: Vec<_> = shifted.map(|i| i.to_string()).collect();
        text.replace(face, &format!("f {}", shifted.join(" ")))
    });
    let body = mesh(
        "a.obj",
        format!("o one\n{CUBE}o none\no two\n{second}").as_bytes(),
    );
    assert_eq!(body.pieces.len(), 2);
    let lowest = body
        .pieces
        .iter()
        .flat_map(|piece| &piece.vertices)
        .map(|v| v.x);
    let expected = -(1.0 + 2.0 * 8.0) / 3.0 / 10.0;
    assert!((lowest.fold(0.0, f64::min) - expected).abs() < 1e-9);
}

/// Every way to rest leaves a side for the fingers, and a larger body of this shape would not.
#[test]
fn wide_bodies_shrink_to_the_fingers() {
    let regular = "v 1 1 1\nv 1 -1 -1\nv -1 1 -1\nv -1 -1 1\nf 1 2 3\nf 1 4 2\nf 1 3 4\nf 2 4 3\n";
    // Its edges are √2 of the bounding box's, its faces √(3/2); five degrees off, less than 5 % wider.
    let edge_m = mesh("a.obj", regular.as_bytes()).edge_max_m;
    let ratio = GRASP_WIDTH_MAX_M / edge_m / 1.5_f64.sqrt();
    assert!((0.999..1.05).contains(&ratio), "{ratio}");
}

#[test]
fn convexity_is_seen() {
    let dented = TETRAHEDRON.to_owned() + "v 0.2 0.2 0.2\n";
    let dented = dented.replace("f 2 3 4\n", "") + "f 2 3 5\nf 3 4 5\nf 4 2 5\n";
    let cases = [
        (CUBE.to_owned(), true),
        (TETRAHEDRON.to_owned(), true),
        (dented, false),
        (CUBE.replace("f 5 6 7 8\n", ""), false),
    ];
    for (text, convex) in cases {
        let surface = obj::parse(text.as_bytes()).unwrap();
        let faces = &surface.groups[0];
        let hull = hull_of(&surface, faces, FLATNESS).unwrap();
        assert_eq!(is_convex(&surface, faces, &hull), convex, "{text}");
    }
}

#[test]
fn groups_that_are_only_sides_make_one_piece() {
    let sides = CUBE.replace('f', "g side\nf");
    assert_eq!(mesh("a.obj", sides.as_bytes()).pieces.len(), 1);
}

#[test]
fn broken_meshes_are_refused_at_their_place() {
    let with = |line: &str| format!("{TETRAHEDRON}{line}\n").into_bytes();
    let stl = stl_text();
    let binary = stl_binary();
    let mut nan = binary.clone();
    nan[84 + 50 + 12..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut many = binary.clone();
    many[80..84].copy_from_slice(&1_000_000_u32.to_le_bytes());
    let mut million = many.clone();
    million.resize(84 + 50_000_000, 0);
    let triangles = "f 1 2 3\n".repeat(TRIANGLES_MAX);
    let grid: String = (0..33).map(|i| format!("o {i}\n{TETRAHEDRON}")).collect();
    let flat = TETRAHEDRON.replace("v 0 0 1", "v 0.1 0.1 0.001");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "a.obj",
            with("v 1 nan 2"),
            "a.obj:9: a vertex at (1, NaN, 2)",
        ),
        ("a.obj", with("v 1 -inf 2"), "a.obj:9: a vertex"),
        ("a.obj", with("v 1 1e300 2"), "a.obj:9: a vertex"),
        ("a.obj", with("v 1 2"), "a.obj:9: a vertex has three"),
        ("a.obj", with("v 1 two 3"), "a.obj:9: \"two\""),
        (
            "a.obj",
            with("f 1 2 5"),
            "a.obj:9: index 5 is out of range: 4 vertices",
        ),
        ("a.obj", with("f 1 2 0"), "a.obj:9: index 0"),
        ("a.obj", with("f 1 2 -5"), "a.obj:9: index -5"),
        (
            "a.obj",
            with("f 1 2 -9223372036854775808"),
            "a.obj:9: index",
        ),
        (
            "a.obj",
            with("f 1 2 99999999999999999999"),
            "a.obj:9: \"99999",
        ),
        ("a.obj", with("f 1 2"), "a.obj:9: a face with 2 corners"),
        ("a.obj", with("f 1 2 x"), "a.obj:9: \"x\""),
        ("a.obj", with("f 1 2 /3"), "a.obj:9: \"/3\""),
        (
            "a.obj",
            with("\u{1}\u{2}"),
            "a.obj:9: \"\\u{1}\\u{2}\" is no OBJ",
        ),
        (
            "a.obj",
            binary.iter().map(|b| b ^ 0xa5).collect(),
            "a.obj:1: ",
        ),
        ("a.obj", with(&triangles), "a.obj:200005: more than"),
        (
            "a.obj",
            "v 0 0 0\nv 1 0 0\nv 0 1 0\n".into(),
            "a.obj: has no faces",
        ),
        ("a.obj", vec![], "a.obj: has no faces"),
        ("a.obj", flat.into(), "a.obj: is flat"),
        ("a.obj", "v 3 3 3\nf 1 1 1\n".into(), "a.obj: is flat"),
        ("a.obj", grid.into(), "a.obj: has 33 objects"),
        ("a.stl", vec![], "a.stl, byte 0: ends after 0 bytes"),
        ("a.stl", binary[..83].to_vec(), "a.stl"),
        ("a.stl", b"\0".repeat(60), "a.stl, byte 60: ends"),
        ("a.stl", b"\0".repeat(84), "a.stl: has no faces"),
        (
            "a.stl",
            b"\xff".repeat(500),
            "a.stl, byte 80: the header promises 4294967295",
        ),
        (
            "a.stl",
            binary[17..].to_vec(),
            "a.stl, byte 80: the header promises",
        ),
        (
            "a.stl",
            many[17..].to_vec(),
            "a.stl, byte 80: the header promises",
        ),
        ("a.stl", million, "a.stl, byte 80: 1000000 triangles"),
        ("a.stl", nan, "a.stl, byte 134: a vertex at (NaN"),
        (
            "a.stl",
            stl.replace("endsolid", "").into(),
            "a.stl:31: the file ends",
        ),
        ("a.stl", stl[..stl.len() / 2].into(), "a.stl:"),
        (
            "a.stl",
            stl.replacen("vertex", "vertx", 1).into(),
            "a.stl:4: \"vertx\"",
        ),
        (
            "a.stl",
            stl.replacen("vertex 0", "vertex inf", 1).into(),
            "a.stl:4: a vertex",
        ),
        (
            "a.stl",
            stl.replacen("endloop\n", "", 1).into(),
            "a.stl:13: a facet with 6",
        ),
        (
            "a.stl",
            b"solid nothing\nendsolid\n".to_vec(),
            "a.stl: has no faces",
        ),
        ("a.ply", CUBE.into(), ": has no .obj or .stl file"),
    ];
    for (name, bytes, expected) in cases {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        match load(name, &bytes) {
            Err(error) => assert!(error.to_string().contains(expected), "{expected}: {error}"),
            Ok(_) => panic!("{expected}: accepted {start:?}"),
        }
    }
    let error = MeshLibrary::load(Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere: cannot be read"), "{error}");
}

#[test]
fn the_first_broken_file_is_named_among_good_ones() {
    let directory = Directory::new();
    directory.put("a.obj", CUBE.as_bytes());
    directory.put("b.stl", b"");
    directory.put("notes.txt", b"");
    fs::create_dir(directory.0.join("c.obj")).unwrap();
    let error = MeshLibrary::load(&directory.0).unwrap_err();
    assert_eq!(error.path, directory.0.join("b.stl"));
}

/// Any bytes are a mesh or an error.
#[test]
fn damaged_files_never_panic() {
    use rand::SeedableRng;
    let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
    for round in 0..300 {
        let mut files = [
            ("a.obj", CUBE.as_bytes().to_vec()),
            ("a.stl", stl_text().into_bytes()),
            ("a.stl", stl_binary()),
        ];
        let (name, bytes) = &mut files[round % 3];
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let path = Path::new(name);
        let parsed = match Format::of(path) {
            Some(Format::Stl) => stl::parse(bytes),
            _ => obj::parse(bytes),
        };
        if let Ok(mesh) = parsed.and_then(|surface| Mesh::of(&surface, path)) {
            let _ = mesh.try_in_physics();
        }
    }
}

#[test]
fn a_scene_of_meshes_settles_in_the_tray_and_repeats() {
    let directory = Directory::new();
    directory.put("a.obj", CUBE.as_bytes());
    directory.put("b.stl", &stl_binary());
    let mut config = SceneConfig::default();
    config.objects.load(&directory.0).unwrap();
    for seed in 0..6 {
        let build = || World::build(&config, Split::Test, seed).unwrap();
        let world = build();
        let mjcf = world.scene().mjcf();
        assert_eq!(mjcf, build().scene().mjcf());
        assert!(mjcf.contains(r#"type="mesh""#) && !mjcf.contains(r#"class="object" type="#));
        let mut truth = Default::default();
        world.truth(&mut truth);
        for object in &truth.objects {
            // It lies on the floor, or at most on another.
            let points = &object.points_m;
            assert!(
                (-0.002..0.08).contains(&object.bottom_m),
                "seed {seed}: {object:?}"
            );
            assert!(
                points.iter().all(|p| p.xy().amax() < 0.16),
                "seed {seed}: {object:?}"
            );
            let lowest = points.iter().map(|p| p.z).fold(f64::INFINITY, f64::min);
            assert_eq!(lowest, object.bottom_m);
        }
    }
}

#[test]
fn unloaded_meshes_are_refused() {
    let config: SceneConfig = toml::from_str("[objects]\nmeshes = \"a\"").unwrap();
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("scene.objects.meshes"), "{error}");
}
