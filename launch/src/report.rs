//! What an evaluation says: the result of each episode, the classes of failure, and their summary.
//!
//! Not responsible for running episodes, nor for deciding in the physics whether an object is held.

use crate::quantiles::nearest_rank;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use visuomotor_runtime::episode;

/// A report for people names so many faults.
const FAULTS_SHOWN: usize = 5;

/// How an episode ended: success, or the first thing that went wrong for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Success,
    /// A fault was latched.
    Faulted,
    /// No object was left where the tool can go.
    ObjectOutOfReach,
    /// The policy ended the episode before it ever closed the fingers.
    TerminatedEarly,
    /// The steps ran out before the fingers were ever closed.
    NeverClosed,
    /// The policy ended the episode with an object in the fingers, below the height.
    HeldTooLow,
    /// The steps ran out with an object in the fingers, below the height.
    Timeout,
    /// An object was held, and lost.
    Dropped,
    /// The fingers closed, and never held anything.
    ClosedOnNothing,
    /// Nobody could judge: there is no simulator behind a physical arm.
    Unjudged,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::Success => "success",
            Class::Faulted => "faulted",
            Class::ObjectOutOfReach => "object_out_of_reach",
            Class::TerminatedEarly => "terminated_early",
            Class::NeverClosed => "never_closed",
            Class::HeldTooLow => "held_too_low",
            Class::Timeout => "timeout",
            Class::Dropped => "dropped",
            Class::ClosedOnNothing => "closed_on_nothing",
            Class::Unjudged => "unjudged",
        }
    }
}

/// How the objects fare, by the physics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judged {
    /// An object is held above the height.
    pub success: bool,
    /// The fingers hold an object.
    pub held: bool,
    /// Lowest point of the held object above the tray's floor, m; 0 when none is held.
    pub held_height_m: f64,
    /// At least one object lies where the tool can go.
    pub reachable: bool,
}

/// What the physics and the controller say about a finished episode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// An object is held above the height at the end, in the physics.
    pub success: bool,
    pub faulted: bool,
    /// The policy ended the episode itself.
    pub terminated: bool,
    /// How often the fingers were told to close while they were open.
    pub closes: u32,
    /// The fingers hold an object at the end.
    pub held_at_end: bool,
    /// The fingers held an object at any time.
    pub held_ever: bool,
    /// At least one object lies where the tool can go at the end.
    pub reachable: bool,
}

impl Evidence {
    pub fn class(&self) -> Class {
        match self {
            Evidence { faulted: true, .. } => Class::Faulted,
            Evidence { success: true, .. } => Class::Success,
            Evidence {
                held_at_end: true,
                terminated: true,
                ..
            } => Class::HeldTooLow,
            Evidence {
                held_at_end: true, ..
            } => Class::Timeout,
            Evidence {
                reachable: false, ..
            } => Class::ObjectOutOfReach,
            Evidence {
                closes: 0,
                terminated: true,
                ..
            } => Class::TerminatedEarly,
            Evidence { closes: 0, .. } => Class::NeverClosed,
            Evidence {
                held_ever: true, ..
            } => Class::Dropped,
            _ => Class::ClosedOnNothing,
        }
    }
}

/// One finished episode. Every number is finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeResult {
    /// The only source of randomness of the episode: scene, start pose, noise, policy.
    pub seed: u64,
    pub class: Class,
    /// What was latched, where the class is [`Class::Faulted`].
    pub fault: Option<String>,
    /// Actions taken.
    pub steps: u32,
    /// How often the fingers were told to close while they were open.
    pub closes: u32,
    /// The policy ended the episode itself.
    pub terminated: bool,
    /// Lowest point of the held object above the tray's floor at the end, m; 0 when none is held.
    pub held_height_m: f64,
    /// The same, its largest value during the episode.
    pub max_held_height_m: f64,
    /// CPU time of each of the policy's decisions, ms.
    pub policy_tick_ms: Vec<f32>,
    /// Simulated time, s.
    pub sim_s: f64,
    /// Time that it took, s.
    pub wall_s: f64,
    /// SHA-256, hex, over the exact bytes of the actions, in their order.
    pub actions_sha256: String,
}

impl EpisodeResult {
    pub fn success(&self) -> bool {
        self.class == Class::Success
    }

    /// Whether it succeeded, where somebody could tell.
    pub fn judged(&self) -> Option<bool> {
        (self.class != Class::Unjudged).then_some(self.success())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f32,
    pub p99: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeenFault {
    pub seed: u64,
    pub fault: String,
}

/// The summary of an evaluation; its field names are those of `eval --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Fewer than were asked for when a person interrupted.
    pub episodes: usize,
    pub interrupted: bool,
    pub successes: usize,
    pub success_rate: f64,
    /// Wilson score interval of the success rate at 95 %: [low, high].
    pub wilson95: [f64; 2],
    pub steps_mean: f64,
    /// Failed episodes per class; classes without any are absent.
    pub failures: BTreeMap<Class, usize>,
    /// What was latched in which episode, in seed order.
    pub faults: Vec<SeenFault>,
    pub policy_tick_ms: Percentiles,
    /// Simulated seconds per second of one process.
    pub realtime_factor: f64,
    pub closes_mean: f64,
    /// SHA-256, hex, over the actions of all episodes in seed order: equal for equal seeds, whatever `--jobs`.
    pub actions_sha256: String,
    pub failed_seeds: Vec<u64>,
}

impl Report {
    /// Sorts the results by seed, so their order does not matter. Zero episodes give zeros and the interval [0, 1].
    pub fn of(mut results: Vec<EpisodeResult>, interrupted: bool) -> Self {
        results.sort_by_key(|r| r.seed);
        let episodes = results.len();
        let mean = |sum: f64| {
            if episodes == 0 {
                0.0
            } else {
                sum / episodes as f64
            }
        };
        let successes = results.iter().filter(|r| r.success()).count();
        let failed = || results.iter().filter(|r| !r.success());
        let mut failures = BTreeMap::new();
        for result in failed() {
            *failures.entry(result.class).or_insert(0) += 1;
        }
        let mut ticks: Vec<f32> = results
            .iter()
            .flat_map(|r| r.policy_tick_ms.clone())
            .collect();
        ticks.sort_by(f32::total_cmp);
        let wall_s: f64 = results.iter().map(|r| r.wall_s).sum();
        let sim_s: f64 = results.iter().map(|r| r.sim_s).sum();
        let mut actions = Sha256::new();
        for result in &results {
            actions.update(result.seed.to_le_bytes());
            actions.update(result.actions_sha256.as_bytes());
        }
        Self {
            episodes,
            interrupted,
            successes,
            success_rate: mean(successes as f64),
            wilson95: wilson95(successes, episodes),
            steps_mean: mean(results.iter().map(|r| f64::from(r.steps)).sum()),
            failures,
            faults: results
                .iter()
                .filter_map(|r| {
                    let fault = r.fault.clone()?;
                    Some(SeenFault {
                        seed: r.seed,
                        fault,
                    })
                })
                .collect(),
            policy_tick_ms: Percentiles {
                p50: nearest_rank(&ticks, 0.50),
                p99: nearest_rank(&ticks, 0.99),
            },
            realtime_factor: if wall_s > 0.0 { sim_s / wall_s } else { 0.0 },
            closes_mean: mean(results.iter().map(|r| f64::from(r.closes)).sum()),
            actions_sha256: episode::Sha256(actions.finalize().into()).to_string(),
            failed_seeds: failed().map(|r| r.seed).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            writeln!(f, "interrupted   after {} episodes", self.episodes)?;
        }
        let [low, high] = self.wilson95.map(|x| 100.0 * x);
        writeln!(
            f,
            "success       {} of {} = {:.1} %   95 % interval [{low:.1}, {high:.1}]",
            self.successes,
            self.episodes,
            100.0 * self.success_rate,
        )?;
        writeln!(
            f,
            "steps         {:.1} an episode, {:.2} closes",
            self.steps_mean, self.closes_mean
        )?;
        writeln!(
            f,
            "policy tick   {:.1} ms median, {:.1} ms 99th percentile",
            self.policy_tick_ms.p50, self.policy_tick_ms.p99
        )?;
        writeln!(
            f,
            "speed         {:.1} x real time a process",
            self.realtime_factor
        )?;
        writeln!(f, "actions       sha256 {}", &self.actions_sha256[..16])?;
        for (class, count) in &self.failures {
            let share = 100.0 * *count as f64 / self.episodes as f64;
            writeln!(
                f,
                "failure       {:20} {count:4}  {share:5.1} %",
                class.name()
            )?;
        }
        for SeenFault { seed, fault } in self.faults.iter().take(FAULTS_SHOWN) {
            writeln!(f, "fault         seed {seed}: {fault}")?;
        }
        if let hidden @ 1.. = self.faults.len().saturating_sub(FAULTS_SHOWN) {
            writeln!(f, "              and {hidden} more; --json has them all")?;
        }
        Ok(())
    }
}

/// Wilson score interval at 95 % of `successes` of `trials`: E. B. Wilson, JASA 22 (1927) 209.
pub fn wilson95(successes: usize, trials: usize) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    if trials == 0 {
        return [0.0, 1.0];
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [
        ((centre - half) / scale).max(0.0),
        ((centre + half) / scale).min(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn result(seed: u64, class: Class) -> EpisodeResult {
        EpisodeResult {
            seed,
            class,
            fault: (class == Class::Faulted).then(|| "joint 3 lags".to_owned()),
            steps: 10,
            closes: 1,
            terminated: true,
            held_height_m: 0.1,
            max_held_height_m: 0.12,
            policy_tick_ms: vec![1.0, 2.0, 30.0],
            sim_s: 2.5,
            wall_s: 0.1,
            actions_sha256: format!("{seed:064x}"),
        }
    }

    #[test]
    fn wilson_bounds_are_one_score_deviation_from_the_estimate() {
        for (successes, trials) in [(1, 2), (270, 300), (3, 40), (7, 10)] {
            let estimate = successes as f64 / trials as f64;
            let [low, high] = wilson95(successes, trials);
            assert!(low < estimate && estimate < high);
            for bound in [low, high] {
                let deviation = (estimate - bound) / (bound * (1.0 - bound) / trials as f64).sqrt();
                assert!(
                    (deviation.abs() - 1.96).abs() < 1e-4,
                    "{successes}/{trials}: {deviation}"
                );
            }
        }
        assert_eq!(wilson95(0, 0), [0.0, 1.0]);
        assert_eq!(wilson95(0, 10)[0], 0.0);
        assert!(wilson95(10, 10)[1] > 0.999_999);
    }

    #[test]
    fn each_kind_of_end_has_its_class() {
        let open = Evidence {
            reachable: true,
            ..Default::default()
        };
        let closed = Evidence { closes: 1, ..open };
        for (evidence, class) in [
            (
                Evidence {
                    success: true,
                    held_at_end: true,
                    ..closed
                },
                Class::Success,
            ),
            (
                Evidence {
                    success: true,
                    faulted: true,
                    ..closed
                },
                Class::Faulted,
            ),
            (
                Evidence {
                    held_at_end: true,
                    terminated: true,
                    ..closed
                },
                Class::HeldTooLow,
            ),
            (
                Evidence {
                    held_at_end: true,
                    ..closed
                },
                Class::Timeout,
            ),
            (
                Evidence {
                    reachable: false,
                    ..closed
                },
                Class::ObjectOutOfReach,
            ),
            (
                Evidence {
                    terminated: true,
                    ..open
                },
                Class::TerminatedEarly,
            ),
            (open, Class::NeverClosed),
            (
                Evidence {
                    held_ever: true,
                    ..closed
                },
                Class::Dropped,
            ),
            (closed, Class::ClosedOnNothing),
        ] {
            assert_eq!(evidence.class(), class, "{evidence:?}");
        }
    }

    #[test]
    fn report_has_the_promised_names_and_does_not_depend_on_order() {
        let results = vec![
            result(1, Class::Success),
            result(2, Class::Dropped),
            result(3, Class::Success),
            result(4, Class::Dropped),
        ];
        let report = Report::of(results.clone(), false);
        assert_eq!(
            report,
            Report::of(results.into_iter().rev().collect(), false)
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["episodes"], 4);
        assert_eq!(json["successes"], 2);
        assert_eq!(json["success_rate"], 0.5);
        assert_eq!(json["failures"], serde_json::json!({"dropped": 2}));
        assert_eq!(
            json["policy_tick_ms"],
            serde_json::json!({"p50": 2.0, "p99": 30.0})
        );
        assert_eq!(json["steps_mean"], 10.0);
        assert_eq!(json["realtime_factor"], 25.0);
        assert_eq!(json["wilson95"].as_array().unwrap().len(), 2);
        assert_eq!(json["failed_seeds"], serde_json::json!([2, 4]));
    }

    #[test]
    fn faults_are_named_with_their_seeds() {
        let report = Report::of(
            (0..7).map(|seed| result(seed, Class::Faulted)).collect(),
            false,
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["faults"].as_array().unwrap().len(), 7);
        assert_eq!(
            json["faults"][6],
            serde_json::json!({"seed": 6, "fault": "joint 3 lags"})
        );
        let text = report.to_string();
        assert!(text.contains("seed 4: joint 3 lags") && text.contains("and 2 more"));
    }

    #[test]
    fn actions_hash_tells_different_actions_apart() {
        let mut changed = result(1, Class::Success);
        changed.actions_sha256 = "0".repeat(64);
        let a = Report::of(vec![result(1, Class::Success)], false);
        assert_ne!(
            a.actions_sha256,
            Report::of(vec![changed], false).actions_sha256
        );
    }

    #[test]
    fn no_episodes_is_a_report_too() {
        let report = Report::of(Vec::new(), true);
        assert_eq!((report.success_rate, report.wilson95), (0.0, [0.0, 1.0]));
        assert!(report.to_string().contains("0 of 0"));
        assert!(report.to_string().contains("interrupted"));
    }

    #[test]
    fn class_names_are_those_of_the_json() {
        let classes = [
            Class::Success,
            Class::ObjectOutOfReach,
            Class::ClosedOnNothing,
        ];
        for class in classes {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }
}
