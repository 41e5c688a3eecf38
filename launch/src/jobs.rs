//! Episodes shared between processes of the same executable.
//!
//! Simulated time has one queue per process, so parallel episodes need processes. Each child runs a range of seeds and
//! writes one [`EpisodeResult`] a line, as JSON, to its standard output. Results belong to seeds, so they do not depend
//! on the number of processes. A child ends itself when its standard input closes, so none outlives its parent.

use crate::cli::Share;
use crate::report::EpisodeResult;
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    #[error("cannot start a child process: {0}")]
    Start(#[source] io::Error),
    #[error("a child process ended with exit code {code}; its message is above")]
    Failed { code: i32 },
    #[error("a child process said something that is not a result: {0}")]
    Malformed(String),
}

/// What a child tells, and the interrupt of the person who waits for it.
#[derive(Debug)]
pub enum Event {
    Result(Box<EpisodeResult>),
    Malformed(String),
    /// Child `job` closed its output.
    Closed {
        job: usize,
    },
    Interrupted,
}

/// How the episodes ended.
#[derive(Debug)]
pub struct Outcome {
    pub results: Vec<EpisodeResult>,
    pub interrupted: bool,
}

/// Splits a range of seeds into at most `jobs` consecutive ranges whose lengths differ by one at most.
pub fn shares(all: Share, jobs: u32) -> Vec<Share> {
    let jobs = jobs.clamp(1, all.count.max(1));
    let mut first = all.first;
    let share = |job| {
        let count = all.count / jobs + u32::from(job < all.count % jobs);
        let share = Share { first, count };
        first += u64::from(count);
        share
    };
    (0..jobs).map(share).collect()
}

/// Runs one child per share with this process's own arguments and `--worker`, until all have ended or an
/// [`Event::Interrupted`] arrives. `on_result` sees each result as it comes, in any order.
pub fn run(
    shares: &[Share],
    (sender, receiver): (Sender<Event>, Receiver<Event>),
    on_result: &mut dyn FnMut(&EpisodeResult),
) -> Result<Outcome, JobsError> {
    let program = std::env::current_exe().map_err(JobsError::Start)?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut children = Children(Vec::new());
    for (job, Share { first, count }) in shares.iter().enumerate() {
        let mut child = Command::new(&program)
            .args(&arguments)
            .arg(format!("--worker={first}:{count}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(JobsError::Start)?;
        if let Some(output) = child.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || listen(job, output, &sender));
        }
        children.0.push(child);
    }
    children.gather(&receiver, on_result)
}

/// The children, none of which is left behind.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Both fail only for a child that has already ended and been waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Children {
    fn gather(
        &mut self,
        receiver: &Receiver<Event>,
        on_result: &mut dyn FnMut(&EpisodeResult),
    ) -> Result<Outcome, JobsError> {
        let mut outcome = Outcome {
            results: Vec::new(),
            interrupted: false,
        };
        let mut open = self.0.len();
        while open > 0 {
            match receiver.recv() {
                Ok(Event::Result(result)) => {
                    on_result(&result);
                    outcome.results.push(*result);
                }
                Ok(Event::Malformed(line)) => return Err(JobsError::Malformed(line)),
                Ok(Event::Closed { job }) => {
                    open -= 1;
                    let status = self.0[job].wait().map_err(JobsError::Start)?;
                    if !status.success() {
                        return Err(JobsError::Failed {
                            code: status.code().unwrap_or(-1),
                        });
                    }
                }
                Ok(Event::Interrupted) | Err(_) => {
                    outcome.interrupted = true;
                    break;
                }
            }
        }
        Ok(outcome)
    }
}

fn listen(job: usize, output: ChildStdout, sender: &Sender<Event>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let event = match serde_json::from_str(&line) {
            Ok(result) => Event::Result(Box::new(result)),
            Err(_) => Event::Malformed(line),
        };
        // The receiver is gone once an error or an interrupt has ended the waiting.
        let _ = sender.send(event);
    }
    let _ = sender.send(Event::Closed { job });
}

/// A channel on which Ctrl-C arrives as [`Event::Interrupted`].
pub fn interruptible() -> (Sender<Event>, Receiver<Event>) {
    let (sender, receiver) = unbounded();
    let interrupt = sender.clone();
    let handler = move || {
        let _ = interrupt.send(Event::Interrupted);
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!(%error, "Ctrl-C will end the process without a report");
    }
    (sender, receiver)
}

/// In a child: ends this process when the parent is gone.
pub fn end_with_parent() {
    thread::spawn(|| {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(n) if n > 0) {}
        std::process::exit(1);
    });
}

/// In a child: tells the parent one result.
pub fn tell_parent(result: &EpisodeResult) -> io::Result<()> {
    let mut line = serde_json::to_string(result)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Class;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    }

    fn gather(scripts: &[String], interrupt: bool) -> Result<Outcome, JobsError> {
        let (sender, receiver) = unbounded();
        let mut children = Children(scripts.iter().map(|script| shell(script)).collect());
        for (job, child) in children.0.iter_mut().enumerate() {
            let (output, sender) = (child.stdout.take().unwrap(), sender.clone());
            thread::spawn(move || listen(job, output, &sender));
        }
        if interrupt {
            sender.send(Event::Interrupted).unwrap();
        }
        children.gather(&receiver, &mut |_| {})
    }

    fn result(seed: u64) -> String {
        let result = EpisodeResult {
            seed,
            class: Class::Success,
            fault: None,
            steps: 9,
            closes: 1,
            terminated: true,
            held_height_m: 0.1,
            max_held_height_m: 0.1,
            policy_tick_ms: vec![1.25],
            sim_s: 2.25,
            wall_s: 0.1,
            actions_sha256: "ab".to_owned(),
        };
        format!("echo '{}'", serde_json::to_string(&result).unwrap())
    }

    #[test]
    fn shares_cover_every_seed_once() {
        for (count, jobs) in [(1, 1), (1, 4), (10, 3), (300, 7), (4, 4)] {
            let shares = shares(Share { first: 100, count }, jobs);
            assert!(shares.len() <= jobs as usize && shares.iter().all(|s| s.count > 0));
            let seeds = shares
                .iter()
                .flat_map(|s| s.first..s.first + u64::from(s.count));
            assert!(seeds.eq(100..100 + u64::from(count)), "{count} in {jobs}");
        }
    }

    #[test]
    fn results_of_all_children_arrive() {
        let scripts = [format!("{};{}", result(1), result(2)), result(3)];
        let outcome = gather(&scripts, false).unwrap();
        let mut seeds: Vec<_> = outcome.results.iter().map(|r| r.seed).collect();
        seeds.sort_unstable();
        assert_eq!((seeds, outcome.interrupted), (vec![1, 2, 3], false));
    }

    #[test]
    fn a_child_that_fails_or_babbles_is_an_error_and_ends_the_others() {
        let forever = "read line".to_owned();
        let failed = gather(&[forever.clone(), "exit 2".to_owned()], false);
        assert!(
            matches!(failed, Err(JobsError::Failed { code: 2 })),
            "{failed:?}"
        );
        let babble = gather(&[forever, "echo hello".to_owned()], false);
        assert!(matches!(babble, Err(JobsError::Malformed(line)) if line == "hello"));
    }

    #[test]
    fn an_interrupt_ends_the_waiting() {
        let outcome = gather(&["read line".to_owned()], true).unwrap();
        assert!(outcome.interrupted && outcome.results.is_empty());
    }
}
