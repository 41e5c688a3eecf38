//! How far a batch of episodes is: a bar on a terminal, a line per tenth elsewhere, always on standard error.

use crate::report::EpisodeResult;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

pub struct Progress {
    bar: Option<ProgressBar>,
    total: u32,
    done: u32,
    successes: u32,
}

impl Progress {
    pub fn new(total: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(total));
        Self {
            bar,
            total,
            done: 0,
            successes: 0,
        }
    }

    pub fn add(&mut self, result: &EpisodeResult) {
        self.done += 1;
        self.successes += u32::from(result.success());
        match &self.bar {
            Some(bar) => {
                bar.set_message(self.message());
                bar.inc(1);
            }
            None if self.is_worth_a_line() => {
                eprintln!(
                    "{} of {} episodes, {}",
                    self.done,
                    self.total,
                    self.message()
                );
            }
            None => {}
        }
    }

    fn message(&self) -> String {
        let rate = 100.0 * f64::from(self.successes) / f64::from(self.done.max(1));
        format!("{} grasped = {rate:.0} %", self.successes)
    }

    /// True ten times, evenly, the last time at the end.
    fn is_worth_a_line(&self) -> bool {
        let tenths = |done: u32| u64::from(done) * 10 / u64::from(self.total.max(1));
        tenths(self.done) > tenths(self.done - 1)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn bar(total: u32) -> ProgressBar {
    let template = "{bar:32.cyan/blue} {pos}/{len} episodes  {msg}  {elapsed} (eta {eta})";
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(u64::from(total));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_whatever_the_number_of_episodes() {
        for (total, lines) in [(1, 1), (7, 7), (10, 10), (300, 10)] {
            let mut progress = Progress {
                bar: None,
                total,
                done: 0,
                successes: 0,
            };
            let mut seen = 0;
            for done in 1..=total {
                progress.done = done;
                seen += u32::from(progress.is_worth_a_line());
            }
            assert_eq!(seen, lines, "{total}");
            assert!(progress.is_worth_a_line());
        }
    }
}
