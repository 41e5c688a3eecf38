//! One boot: QEMU is started, watched line by line, and ended when it says nothing for too long.
//!
//! Responsible for what happened to each test. Not responsible for what that means for the run.

use super::catalogue::{Boot, End, Mode, Test};
use super::setup::{Kernel, Setup};
use super::{at, libraries};
use crate::{Failure, process};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A boot takes some ten seconds; on a busy host a multiple.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// With which QEMU ends when the VM's first process came to its end: 2 * 1 + 1 (isa-debug-exit). QEMU's own errors are 1.
const FINISHED: i32 = 3;

const MANY: [&str; 4] = ["-accel", "tcg,thread=multi", "-smp", "2"];
/// With more than one processor QEMU 7.2 hangs where instructions are counted.
const ONE: [&str; 4] = ["-accel", "tcg,thread=single", "-smp", "1"];
/// An instruction takes 2^shift ns, and idle time is skipped.
const COUNTED: [&str; 2] = ["-icount", "shift=2,sleep=off,align=off"];
const COUNTED_FAST: [&str; 2] = ["-icount", "shift=0,sleep=off,align=off"];

const CONSOLE: &str = "console.log";

/// What one test did.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub test: Test,
    /// How it ended, unless it passed or was skipped.
    pub end: Option<End>,
    pub skipped: bool,
    pub detail: String,
    pub figures: serde_json::Value,
    pub took: Duration,
    /// What it printed beside its result.
    pub said: Vec<String>,
}

/// What one boot did.
#[derive(Debug, Default)]
pub struct Watched {
    pub seen: Vec<Seen>,
    /// Guest's seconds until the first process, and until all modules were loaded.
    pub booted: Option<(f64, f64)>,
    /// Why it ended early.
    pub trouble: Option<String>,
}

/// The lines that count; everything else is text of the running test.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Booted {
        booted_s: f64,
        loaded_s: f64,
    },
    Started {
        started: String,
    },
    Result {
        name: String,
        ok: bool,
        skipped: bool,
        detail: String,
        figures: serde_json::Value,
    },
    Ended {
        ended: String,
        code: i32,
    },
    Finished {
        finished: bool,
    },
}

/// Runs the boot's tests, in `folder`, where the file system and the logs lie.
pub fn run(
    setup: &Setup,
    kernel: &Kernel,
    boot: &Boot,
    memory_mb: u32,
    folder: &Path,
) -> Result<Watched, Failure> {
    let log = folder.join("qemu.log");
    let errors = File::create(&log).map_err(|e| at(&log, e))?;
    let mut command = qemu(setup, kernel, boot)?;
    command.args(["-m", &format!("{memory_mb}M")]);
    command.current_dir(folder).stderr(errors);
    let mut watched = watch(&mut command, &boot.tests, BOOT_LIMIT)?;
    if let Some(trouble) = &mut watched.trouble {
        for (name, lines) in [("qemu.log", 5), (CONSOLE, 20)] {
            *trouble += &tail(&folder.join(name), lines);
        }
    }
    Ok(watched)
}

fn qemu(setup: &Setup, kernel: &Kernel, boot: &Boot) -> Result<Command, Failure> {
    // So that no VM outlives us, however we end.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    command.arg(setup.qemu.join("usr/bin/qemu-system-x86_64"));
    for folder in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
        command.arg("-L").arg(setup.qemu.join(folder));
    }
    command.env("LD_LIBRARY_PATH", libraries::search_path(&[&setup.qemu])?);
    match boot.mode {
        Mode::Tcg => command.args(MANY),
        Mode::Icount => command.args(ONE).args(COUNTED),
        Mode::IcountFast => command.args(ONE).args(COUNTED_FAST),
    };
    command.args(["-cpu", "max"]);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ]);
    let console = format!("file:{CONSOLE}");
    command.args(["-serial", &console, "-serial", "stdio"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    for device in &boot.devices {
        command.args(device.emulated());
    }
    command
        .arg("-kernel")
        .arg(kernel.image())
        .args(["-initrd", "initrd"]);
    // A panic restarts at once, which ends QEMU. The processor's own flaws are not emulated, so nothing has to be mended.
    let line = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off";
    command.args(["-append", line]);
    Ok(command)
}

/// Starts the command and follows what it prints.
fn watch(command: &mut Command, tests: &[Test], boot_limit: Duration) -> Result<Watched, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let spawned = command.spawn();
    let line = process::line(command);
    let mut child = spawned.map_err(|e| Failure::Unready(format!("{line}: {e}")))?;
    let lines = lines_of(child.stdout.take());
    let mut watch = Watch {
        watched: Watched::default(),
        running: None,
        deadline: Instant::now() + boot_limit,
        finished: false,
    };
    let timed_out = loop {
        let left = watch.deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => watch.take(&line, tests, boot_limit),
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    let code = end(&mut child, timed_out)?;
    Ok(watch.close(timed_out, code))
}

/// Lines as they come, from a thread that ends with the stream.
fn lines_of(stream: Option<ChildStdout>) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let stream = stream
            .into_iter()
            .flat_map(|s| BufReader::new(s).split(b'\n'));
        for line in stream.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// Only ever the process that we started.
fn end(child: &mut Child, kill: bool) -> Result<Option<i32>, Failure> {
    let unready = |e: std::io::Error| Failure::Unready(format!("QEMU: {e}"));
    if kill {
        child.kill().map_err(unready)?;
    }
    Ok(child.wait().map_err(unready)?.code())
}

struct Watch {
    watched: Watched,
    running: Option<(Seen, Instant)>,
    deadline: Instant,
    finished: bool,
}

impl Watch {
    fn take(&mut self, line: &str, tests: &[Test], boot_limit: Duration) {
        match serde_json::from_str(line) {
            Ok(Line::Booted { booted_s, loaded_s }) => {
                self.watched.booted = Some((booted_s, loaded_s));
            }
            Ok(Line::Started { started }) => {
                let Some(test) = tests.iter().find(|test| test.name == started) else {
                    return;
                };
                let now = Instant::now();
                self.deadline = now + Duration::from_secs(test.limit_s);
                self.running = Some((before(test), now));
            }
            Ok(Line::Result {
                name,
                ok,
                skipped,
                detail,
                figures,
            }) => {
                if let Some((seen, _)) = self.running.as_mut().filter(|(s, _)| s.test.name == name)
                {
                    seen.end = (!ok).then_some(End::Failed);
                    seen.skipped = skipped;
                    seen.detail = detail;
                    seen.figures = figures;
                }
            }
            Ok(Line::Ended { ended, code }) => {
                self.deadline = Instant::now() + boot_limit;
                let Some((mut seen, since)) = self.running.take() else {
                    return;
                };
                seen.took = since.elapsed();
                if seen.end == Some(End::Crashed) || seen.test.name != ended {
                    seen.detail = format!("ended without a result, exit code {code}");
                }
                self.watched.seen.push(seen);
            }
            Ok(Line::Finished { finished }) => self.finished = finished,
            Err(_) => match &mut self.running {
                Some((seen, _)) => seen.said.push(line.to_owned()),
                None => println!("vm: {line}"),
            },
        }
    }

    fn close(mut self, timed_out: bool, code: Option<i32>) -> Watched {
        if self.finished && !timed_out && code == Some(FINISHED) {
            return self.watched;
        }
        let (end, text) = match timed_out {
            true => (End::TimedOut, "took too long".to_owned()),
            false => (
                End::VmEnded,
                format!("the VM ended by itself (QEMU: {code:?})"),
            ),
        };
        if let Some((mut seen, since)) = self.running.take() {
            seen.took = since.elapsed();
            seen.end = Some(end);
            seen.detail.clone_from(&text);
            self.watched.seen.push(seen);
        }
        self.watched.trouble = Some(text);
        self.watched
    }
}

/// Until it says otherwise, it crashed.
fn before(test: &Test) -> Seen {
    Seen {
        test: test.clone(),
        end: Some(End::Crashed),
        skipped: false,
        detail: String::new(),
        figures: serde_json::Value::Null,
        took: Duration::ZERO,
        said: Vec::new(),
    }
}

fn tail(log: &Path, lines: usize) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let indented = last.iter().map(|line| format!("\n    {}", line.trim_end()));
    match last.is_empty() {
        true => String::new(),
        false => format!("\n  end of {name}:{}", indented.collect::<String>()),
    }
}

#[cfg(test)]
#[path = "boot_tests.rs"]
mod tests;
