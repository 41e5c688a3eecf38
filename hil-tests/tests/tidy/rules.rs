//! What the rules are.

use crate::source::{File, Tree, lines_with};

type Example = &'static [(&'static str, &'static str)];

pub struct Rule {
    pub says: &'static str,
    /// One line for every breach: path, line, what is wrong.
    pub check: fn(&Tree) -> Vec<String>,
    pub bad: &'static [Example],
    pub good: &'static [Example],
}

pub const RULES: &[Rule] = &[
    Rule {
        says: "a file has at most 600 lines without its tests, and half of the files have fewer than 200",
        check: length,
        bad: &[
            &[("runtime/src/a.rs", LINES_601)],
            &[("a.rs", ""), ("b.rs", LINES_200), ("c.rs", LINES_200)],
        ],
        good: &[&[("a.rs", ""), ("b.rs", ""), ("c.rs", LINES_200)]],
    },
    Rule {
        says: "a module opens with `//!`: what it is responsible for and what it is not",
        check: opens_with_doc,
        bad: &[
            &[("runtime/src/a.rs", "use b;\n//! Late.")],
            &[("launch/src/a.rs", "")],
        ],
        good: &[&[("a.rs", "#![cfg(unix)]\n\n//! Does this, not that.\nuse b;")]],
    },
    Rule {
        says: "only runtime/src/clock/ reads the clock or sleeps: elsewhere time is an argument",
        check: no_clock,
        bad: &[
            &[("runtime/src/a.rs", "let t = Instant::now();")],
            &[("runtime/src/a.rs", "use std::time::Instant;")],
            &[("drivers/src/a.rs", "std::thread::sleep(d);")],
            &[("policies/src/a.rs", "SystemTime::now()")],
            &[("launch/src/a.rs", "libc::clock_gettime(c, &mut t)")],
        ],
        good: &[&[
            ("runtime/src/clock/linux.rs", "Instant::now()"),
            (
                "runtime/src/a.rs",
                "// not Instant::now\n#[cfg(test)]\nmod tests { fn a() { Instant::now(); } }",
            ),
            ("launch/xtask/src/a.rs", "Instant::now()"),
        ]],
    },
    Rule {
        says: "randomness is an argument: a generator that was seeded from a number",
        check: no_entropy,
        bad: &[
            &[("policies/src/a.rs", "let mut r = rand::rng();")],
            &[("launch/src/a.rs", "Rng::from_os_rng()")],
        ],
        good: &[&[(
            "policies/src/a.rs",
            "Xoshiro256PlusPlus::seed_from_u64(seed)",
        )]],
    },
    Rule {
        says: "arrows run one way: launch -> {drivers, policies} -> runtime",
        check: arrows,
        bad: &[
            &[("runtime/Cargo.toml", "visuomotor-drivers.workspace = true")],
            &[("runtime/Cargo.toml", "ort = { version = \"2\" }")],
            &[("runtime/Cargo.toml", "[dependencies.visuomotor-policies]")],
            &[(
                "drivers/Cargo.toml",
                "p = { package = \"visuomotor-policies\" }",
            )],
            &[("policies/src/a.rs", "use visuomotor_drivers::sim;")],
            &[("policies/src/a.rs", "let a = visuomotor::b();")],
            &[("drivers/Cargo.toml", "visuomotor-fleet.workspace = true")],
            &[("runtime/src/a.rs", "use zenoh::Session;")],
            &[("launch/fleet/src/a.rs", "use visuomotor_runtime::arm;")],
        ],
        good: &[&[
            ("launch/Cargo.toml", "visuomotor-drivers.workspace = true"),
            (
                "drivers/Cargo.toml",
                "visuomotor-runtime.workspace = true\ndescription = \"for visuomotor\"",
            ),
            (
                "drivers/src/a.rs",
                "use visuomotor_runtime::arm::Arm; // not visuomotor_policies",
            ),
        ]],
    },
    Rule {
        says: "an error is a value in the runtime and the drivers: nothing panics on the control path",
        check: no_panic,
        bad: &[
            &[("runtime/src/a.rs", "b.unwrap();")],
            &[("runtime/src/a/b.rs", "c.expect(\"d\")")],
            &[("drivers/src/a.rs", "panic!(\"b\")")],
            &[("drivers/src/a.rs", "todo!()")],
            &[("runtime/src/a.rs", "unimplemented!()")],
        ],
        good: &[&[
            (
                "runtime/src/a.rs",
                "/// b.unwrap()\nassert!(c);\nd.unwrap_or(1);\n#[cfg(test)]\nfn e() { f.unwrap(); }",
            ),
            ("runtime/tests/a.rs", "b.unwrap();"),
            ("launch/src/a.rs", "b.expect(\"c\")"),
        ]],
    },
    Rule {
        says: "the control loop has no `?`: every failure is a value that flows to safety",
        check: straight_loop,
        bad: &[&[("runtime/src/control_loop.rs", "let s = arm.read(now)?;")]],
        good: &[&[(
            "runtime/src/control_loop.rs",
            "fn a<T: ?Sized>() {} // really?",
        )]],
    },
    Rule {
        says: "only safety/ can make a SafeCommand",
        check: safe_command,
        bad: &[
            &[(
                "runtime/src/safety/mod.rs",
                "pub struct SafeCommand { pub q: f64 }",
            )],
            &[(
                "runtime/src/safety/mod.rs",
                "pub struct SafeCommand<const N: usize> {\n    pub(crate) q: f64,\n}",
            )],
            &[(
                "runtime/src/safety/mod.rs",
                "#[derive(Clone, Default)]\npub struct SafeCommand { q: f64 }",
            )],
            &[(
                "runtime/src/safety/mod.rs",
                "pub struct SafeCommand(pub f64);",
            )],
            &[("runtime/src/arm.rs", "pub struct SafeCommand { q: f64 }")],
        ],
        good: &[&[(
            "runtime/src/safety/mod.rs",
            "#[derive(Default)]\npub struct Other { pub q: f64 }\n/// pub\n#[derive(Clone)]\npub struct SafeCommand { q: f64 }",
        )]],
    },
    Rule {
        says: "unsafe code stays in the few files that talk to the system or to a C library",
        check: no_unsafe,
        bad: &[&[("runtime/src/controller.rs", "unsafe { a() }")]],
        good: &[&[
            (
                "runtime/src/controller.rs",
                "// unsafe\n#![deny(unsafe_op_in_unsafe_fn)]",
            ),
            ("runtime/src/clock/linux.rs", "unsafe { a() }"),
        ]],
    },
    Rule {
        says: "nothing is left for later in the code: an issue is the place for that",
        check: no_leftovers,
        bad: &[
            &[("README.md", "TODO: write")],
            &[("policies/train/a.py", "# FIXME")],
            &[("runtime/src/a.rs", "dbg!(b);")],
            &[("runtime/src/a.rs", "#[allow(dead_code)]\nfn a() {}")],
        ],
        good: &[&[
            ("a.sh", "mktemp a.XXXXXX"),
            ("runtime/src/a.rs", "fn hack_free() {}"),
        ]],
    },
    Rule {
        says: "a name says what a thing does: no utils, helpers, managers, commons",
        check: telling_names,
        bad: &[
            &[("runtime/src/utils.rs", "")],
            &[("policies/src/helpers/mod.rs", "")],
        ],
        good: &[&[("runtime/src/units.rs", "")]],
    },
    Rule {
        says: "the top level is a map: exactly the parts that README.md names",
        check: top_level,
        bad: &[&[("scripts/a.sh", "")], &[("rust-toolchain.toml", "")]],
        good: &[&[
            ("README.md", ""),
            ("runtime/src/lib.rs", ""),
            (".ci/run", ""),
        ]],
    },
    Rule {
        says: "no path of anybody's own machine",
        check: no_private_paths,
        bad: &[
            &[("README.md", "see /root/a")],
            &[("runtime/src/a.rs", "\"/home/me/b\"")],
        ],
        good: &[&[(
            "README.md",
            "see target/root/a and https://example.org/home",
        )]],
    },
];

const TOP_LEVEL: [&str; 14] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "drivers",
    "hil-tests",
    "launch",
    "policies",
    "runtime",
];

/// Where `unsafe` may stand, by the beginning of the path.
const UNSAFE: [&str; 13] = [
    "runtime/src/clock/",
    "runtime/src/realtime/system.rs",
    // Watches the allocator, which nothing safe can.
    "launch/src/allocations.rs",
    // Stop one thread of a process; refuse a thread its system calls.
    "launch/tests/command/tracer.rs",
    "launch/src/system_calls.rs",
    // A program of its own beside ours.
    "hil-tests/peers/copper/src/main.rs",
    "drivers/tests/no_allocation.rs",
    "drivers/tests/allocations/",
    // Asks a serial driver for its latency timer.
    "drivers/src/servo_bus/line.rs",
    "drivers/tests/camera_no_allocation.rs",
    // The kernel's requests and unions.
    "drivers/src/v4l/ioctl.rs",
    "drivers/src/v4l/kernel.rs",
    "drivers/src/v4l/probe.rs",
];

const CRATES: [&str; 4] = [
    "runtime/src/",
    "drivers/src/",
    "policies/src/",
    "launch/src/",
];

fn breach(file: &File, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", file.path)
}

/// A breach for every line of the code of these files that has one of these patterns.
fn forbid<'a>(files: impl Iterator<Item = &'a File>, patterns: &[&str]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        for pattern in patterns {
            let lines = file.lines_with(pattern);
            breaches.extend(lines.into_iter().map(|line| breach(file, line, pattern)));
        }
    }
    breaches
}

fn length(tree: &Tree) -> Vec<String> {
    let mut breaches: Vec<String> = tree
        .rust()
        .filter(|file| file.lines > 600 && !file.path.ends_with("tests.rs"))
        .map(|file| breach(file, 1, &format!("{} lines", file.lines)))
        .collect();
    let mut lengths: Vec<usize> = tree.rust().map(|file| file.lines).collect();
    lengths.sort_unstable();
    match lengths.get(lengths.len() / 2) {
        Some(median) if *median >= 200 => {
            breaches.push(format!("half of the files have {median} lines or more"))
        }
        _ => {}
    }
    breaches
}

fn opens_with_doc(tree: &Tree) -> Vec<String> {
    let opens = |file: &&File| {
        let mut lines = file.text.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with("#!["));
        first.is_some_and(|line| line.starts_with("//!"))
    };
    let without = tree.rust().filter(|file| !opens(file));
    without
        .map(|file| breach(file, 1, "does not open with `//!`"))
        .collect()
}

fn no_clock(tree: &Tree) -> Vec<String> {
    let files = tree
        .sources(&CRATES)
        .filter(|file| !file.path.starts_with("runtime/src/clock/"));
    forbid(
        files,
        &[
            "Instant::now",
            "SystemTime",
            "std::time::Instant",
            "thread::sleep",
            "park_timeout",
            "clock_gettime",
            "clock_nanosleep",
            "nanosleep",
        ],
    )
}

fn no_entropy(tree: &Tree) -> Vec<String> {
    forbid(
        tree.sources(&CRATES),
        &[
            "rand::rng",
            "thread_rng",
            "from_os_rng",
            "from_rng_os",
            "SysRng",
            "OsRng",
            "ThreadRng",
            "rand::random",
        ],
    )
}

fn arrows(tree: &Tree) -> Vec<String> {
    let forbidden: [(&str, &[&str]); 4] = [
        (
            "runtime/",
            &[
                "visuomotor",
                "visuomotor-drivers",
                "visuomotor-policies",
                "visuomotor-fleet",
                "zenoh",
                "mujoco-rs",
                "ort",
            ],
        ),
        (
            "drivers/",
            &[
                "visuomotor",
                "visuomotor-policies",
                "visuomotor-fleet",
                "zenoh",
                "ort",
            ],
        ),
        (
            "policies/",
            &[
                "visuomotor",
                "visuomotor-drivers",
                "visuomotor-fleet",
                "zenoh",
                "mujoco-rs",
            ],
        ),
        // It moves files: what an arm is stays unknown to it.
        (
            "launch/fleet/",
            &[
                "visuomotor",
                "visuomotor-runtime",
                "visuomotor-drivers",
                "visuomotor-policies",
            ],
        ),
    ];
    let mut breaches = Vec::new();
    for (folder, packages) in forbidden {
        for package in packages {
            let files = tree.rust().filter(|file| file.path.starts_with(folder));
            breaches.extend(forbid(files, &[&package.replace('-', "_")]));
            let manifests = tree
                .files
                .iter()
                .filter(|file| file.path == format!("{folder}Cargo.toml"));
            for manifest in manifests {
                let depends = |line: &str| {
                    let rest = line.trim().strip_prefix(package);
                    rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
                        || line.contains(&format!("dependencies.{package}]"))
                        || line.contains(&format!("package = \"{package}\""))
                };
                let lines = manifest
                    .text
                    .lines()
                    .zip(1..)
                    .filter(|(line, _)| depends(line));
                breaches.extend(lines.map(|(_, number)| breach(manifest, number, package)));
            }
        }
    }
    breaches
}

fn no_panic(tree: &Tree) -> Vec<String> {
    let patterns = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!"];
    forbid(tree.sources(&["runtime/src/", "drivers/src/"]), &patterns)
}

fn straight_loop(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in tree
        .rust()
        .filter(|file| file.path == "runtime/src/control_loop.rs")
    {
        let propagates = |line: &str| line.replace("?Sized", "").contains('?');
        let lines = file
            .code
            .lines()
            .zip(1..)
            .filter(|(line, _)| propagates(line));
        breaches.extend(lines.map(|(_, number)| breach(file, number, "`?`")));
    }
    breaches
}

fn safe_command(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut found = false;
    for file in tree.rust() {
        for line in file.lines_with("struct SafeCommand") {
            found = true;
            if !file.path.starts_with("runtime/src/safety/") {
                breaches.push(breach(file, line, "a SafeCommand outside safety/"));
            }
            // From the end of the item before: the attributes, then the fields.
            let start: usize = file.code.lines().take(line - 1).map(|l| l.len() + 1).sum();
            let (before, item) = file.code.split_at(start);
            let attributes = &before[before.rfind(['}', ';']).map_or(0, |end| end + 1)..];
            for derived in ["Default", "Deserialize"] {
                if !lines_with(attributes, derived).is_empty() {
                    breaches.push(breach(
                        file,
                        line,
                        &format!("anybody can make one: {derived}"),
                    ));
                }
            }
            let fields = item.split_once(['{', '(']).map_or("", |(_, rest)| rest);
            let fields = fields.split(['}', ';']).next().unwrap_or("");
            if !lines_with(fields, "pub").is_empty() {
                breaches.push(breach(file, line, "a field that is not private"));
            }
        }
    }
    let has_runtime = tree.rust().any(|file| file.path.starts_with("runtime/"));
    if has_runtime && !found {
        breaches.push("runtime/src/safety/: no `struct SafeCommand`".to_owned());
    }
    breaches
}

fn no_unsafe(tree: &Tree) -> Vec<String> {
    let elsewhere = |file: &&File| !UNSAFE.iter().any(|allowed| file.path.starts_with(allowed));
    forbid(tree.rust().filter(elsewhere), &["unsafe"])
}

/// Files that people write, but for this test itself, which must spell out what it forbids.
fn written(tree: &Tree) -> impl Iterator<Item = &File> {
    let generated = ["Cargo.lock", "LICENSE"];
    tree.files.iter().filter(move |file| {
        !generated.contains(&file.path.as_str()) && !file.path.starts_with("hil-tests/tests/tidy/")
    })
}

fn no_leftovers(tree: &Tree) -> Vec<String> {
    let mut breaches = forbid(tree.rust(), &["dbg!", "allow(dead_code)", "allow(unused"]);
    for file in written(tree) {
        for mark in ["TODO", "FIXME", "XXX", "HACK"] {
            let lines = lines_with(&file.text, mark);
            breaches.extend(lines.into_iter().map(|line| breach(file, line, mark)));
        }
    }
    breaches
}

fn telling_names(tree: &Tree) -> Vec<String> {
    let empty_words = [
        "util", "utils", "helper", "helpers", "manager", "common", "misc",
    ];
    let says_nothing = |part: &str| empty_words.contains(&part.split('.').next().unwrap_or(part));
    let files = tree
        .files
        .iter()
        .filter(|file| file.path.split('/').any(says_nothing));
    files
        .map(|file| breach(file, 1, "a name that says nothing"))
        .collect()
}

fn top_level(tree: &Tree) -> Vec<String> {
    let first = |file: &File| file.path.split('/').next().unwrap_or("").to_owned();
    let tracked = tree.files.iter().filter(|file| file.tracked);
    let mut parts: Vec<String> = tracked.map(first).collect();
    parts.sort();
    parts.dedup();
    parts.retain(|part| !TOP_LEVEL.contains(&part.as_str()));
    parts
        .iter()
        .map(|part| format!("{part}: not at the top level"))
        .collect()
}

fn no_private_paths(tree: &Tree) -> Vec<String> {
    let private = ["/root/", "/home/", "/work/", "/Users/"];
    let is_path = |line: &str, start: usize| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}".contains(c))
    };
    let mut breaches = Vec::new();
    for file in written(tree) {
        for (line, number) in file.text.lines().zip(1..) {
            for folder in private {
                if line
                    .match_indices(folder)
                    .any(|(start, _)| is_path(line, start))
                {
                    breaches.push(breach(file, number, folder));
                }
            }
        }
    }
    breaches
}

const LINES_200: &str = lines::<200>();
const LINES_601: &str = lines::<601>();

/// `N` empty lines.
const fn lines<const N: usize>() -> &'static str {
    const {
        match std::str::from_utf8(&[b'\n'; N]) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}
