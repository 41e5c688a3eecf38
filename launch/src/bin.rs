//! `visuomotor bin`: how far a policy empties bins of many unseen objects, one pick after the other, in simulated time.
//!
//! The protocol is section 5 of QT-Opt (Kalashnikov et al. 2018, arXiv:1806.10293). Responsible for the order of the
//! picks and for their statistics. Not responsible for a pick itself ([`crate::rig`]).

use crate::cli::BinArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::film::Observer;
use crate::jobs::{self, Event};
use crate::output;
use crate::policy::{self, Pictures};
use crate::report::{Class, wilson95};
use crate::rig::Rig;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use visuomotor_drivers::sim::{SceneConfig, Split};

/// The objects fall into the middle of the tray: the square of this half width, m.
const SPAWN_HALF_WIDTH_M: f64 = 0.08;
/// The paper's figures are those of so many first picks.
const FIRST_PICKS: [usize; 3] = [10, 20, 30];

/// One bin: how many objects lay in it, what became of each pick, and how many objects were left.
struct Bin {
    objects_at_start: usize,
    picks: Vec<Class>,
    objects_left: usize,
}

/// Every figure of the run; its field names are those of `bin --json`.
#[derive(Debug, PartialEq, Serialize)]
struct Report {
    bins: usize,
    /// The last bin was left before its end.
    interrupted: bool,
    picks: usize,
    /// Of all picks.
    success_rate: f64,
    /// `first_<n>`: success rate of the first n picks of all bins together, fewer of bins that were empty before.
    #[serde(flatten)]
    rates: BTreeMap<String, f64>,
    /// Wilson score intervals of the rates at 95 %: [low, high].
    wilson95: BTreeMap<String, [f64; 2]>,
    /// Bins with nothing left in them.
    emptied: usize,
    /// Objects that lie in a bin, and not beside it, before its first pick and after its last.
    objects_at_start_mean: f64,
    objects_left_mean: f64,
    /// Failed picks per class; classes without any are absent.
    failures: BTreeMap<Class, usize>,
}

struct Unobserved;

impl Observer for Unobserved {}

pub fn run(args: &BinArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let mut launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    if let Some(scene) = &mut launch.scene {
        fill(scene, args.objects_in_bin, args.wall_height_m);
    }
    let policy = policy::open(&launch, args.policy.as_ref(), Pictures::Scene)
        .map_err(CommandError::input)?;
    let mut rig =
        Rig::new(&launch, Split::Test, policy.policy, None).map_err(CommandError::input)?;
    let (_sender, events) = jobs::interruptible();
    let interrupted = || matches!(events.try_recv(), Ok(Event::Interrupted));
    let mut bins = Vec::new();
    let mut whole = true;
    for seed in (args.seed..).take(args.repeats as usize) {
        let bin = empty(&mut rig, seed, args.picks as usize, &interrupted)?;
        whole = bin.objects_left == 0 || bin.picks.len() == args.picks as usize;
        bins.push(bin);
        if !whole {
            break;
        }
    }
    let report = Report::of(&bins, args.picks as usize, !whole);
    output::report(&report, &report, args.json.as_deref())?;
    let good = whole && bins.iter().any(|bin| bin.picks.contains(&Class::Success));
    Ok(if good { Grade::Good } else { Grade::Short })
}

/// Puts so many objects into the scene, behind such walls.
fn fill(scene: &mut SceneConfig, objects: u32, wall_height_m: f64) {
    scene.objects.count = [objects; 2];
    scene.objects.spawn_half_width_m = SPAWN_HALF_WIDTH_M;
    scene.wall_height_m = wall_height_m;
}

/// Picks until nothing is left, the picks are used up, or a person interrupts.
fn empty(
    rig: &mut Rig<'_>,
    seed: u64,
    picks: usize,
    interrupted: &dyn Fn() -> bool,
) -> Result<Bin, CommandError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let objects = rig.enter_world(seed).map_err(CommandError::failed)?;
    eprintln!("bin {seed}: {objects} objects");
    let mut bin = Bin {
        objects_at_start: objects,
        picks: Vec::new(),
        objects_left: objects,
    };
    while bin.objects_left > 0 && bin.picks.len() < picks && !interrupted() {
        let (result, left) = rig
            .pick(rng.random(), &mut Unobserved)
            .map_err(CommandError::failed)?;
        bin.picks.push(result.class);
        bin.objects_left = left;
        if bin.picks.len().is_multiple_of(10) || bin.picks.len() == picks || left == 0 {
            let (grasped, picks) = (bin.grasped(picks), bin.picks.len());
            eprintln!("bin {seed}: {picks} picks, {grasped} grasped, {left} objects left");
        }
    }
    Ok(bin)
}

impl Bin {
    /// Successes of the first `n` picks.
    fn grasped(&self, n: usize) -> usize {
        let first = self.picks.iter().take(n);
        first.filter(|&&class| class == Class::Success).count()
    }
}

impl Report {
    fn of(bins: &[Bin], picks_per_bin: usize, interrupted: bool) -> Self {
        let sum = |count: &dyn Fn(&Bin) -> usize| bins.iter().map(count).sum::<usize>();
        let mean = |sum: usize, of: usize| sum as f64 / of.max(1) as f64;
        let mut rates = BTreeMap::new();
        let mut intervals = BTreeMap::new();
        for n in FIRST_PICKS.into_iter().filter(|&n| n <= picks_per_bin) {
            let grasped = sum(&|bin| bin.grasped(n));
            let picks = sum(&|bin| bin.picks.len().min(n));
            rates.insert(format!("first_{n}"), mean(grasped, picks));
            intervals.insert(format!("first_{n}"), wilson95(grasped, picks));
        }
        let mut failures = BTreeMap::new();
        for &class in bins.iter().flat_map(|bin| &bin.picks) {
            if class != Class::Success {
                *failures.entry(class).or_insert(0) += 1;
            }
        }
        let picks = sum(&|bin| bin.picks.len());
        Self {
            bins: bins.len(),
            interrupted,
            picks,
            success_rate: mean(sum(&|bin| bin.grasped(bin.picks.len())), picks),
            rates,
            wilson95: intervals,
            emptied: sum(&|bin| usize::from(bin.objects_left == 0)),
            objects_at_start_mean: mean(sum(&|bin| bin.objects_at_start), bins.len()),
            objects_left_mean: mean(sum(&|bin| bin.objects_left), bins.len()),
            failures,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, rate), [low, high]) in self.rates.iter().zip(self.wilson95.values()) {
            let n = name.trim_start_matches("first_");
            let [rate, low, high] = [rate, low, high].map(|x| 100.0 * x);
            writeln!(
                f,
                "first {n} picks  {rate:5.1} %   95 % interval [{low:.1}, {high:.1}]"
            )?;
        }
        let interrupted = if self.interrupted {
            ", interrupted in the last"
        } else {
            ""
        };
        writeln!(
            f,
            "all picks       {:5.1} %   of {}",
            100.0 * self.success_rate,
            self.picks
        )?;
        writeln!(
            f,
            "bins            {}, {} emptied{interrupted}",
            self.bins, self.emptied
        )?;
        writeln!(
            f,
            "objects         {:.1} a bin, {:.1} left",
            self.objects_at_start_mean, self.objects_left_mean
        )?;
        for (class, count) in &self.failures {
            writeln!(f, "failure         {:20} {count:4}", class.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(picks: &[bool], objects_left: usize) -> Bin {
        let class = |&success: &bool| [Class::Dropped, Class::Success][usize::from(success)];
        Bin {
            objects_at_start: 30,
            picks: picks.iter().map(class).collect(),
            objects_left,
        }
    }

    #[test]
    fn rates_are_over_the_picks_that_were_made() {
        let long = [[true; 10], [false; 10], [true; 10]].concat();
        let report = Report::of(&[bin(&long, 10), bin(&[true; 15], 0)], 30, false);
        let rates: Vec<f64> = report.rates.values().copied().collect();
        assert_eq!(rates, [20.0 / 20.0, 25.0 / 35.0, 35.0 / 45.0]);
        assert_eq!(report.wilson95["first_30"], wilson95(35, 45));
        assert_eq!((report.picks, report.emptied), (45, 1));
        assert_eq!(report.success_rate, 35.0 / 45.0);
        assert_eq!(report.objects_left_mean, 5.0);
        assert_eq!(report.failures, [(Class::Dropped, 10)].into());
    }

    #[test]
    fn json_names_the_figures_of_the_protocol() {
        let json = serde_json::to_value(Report::of(&[bin(&[true; 20], 10)], 20, true)).unwrap();
        assert_eq!(json["first_20"], 1.0);
        assert_eq!(
            (&json["success_rate"], &json["interrupted"]),
            (&1.0.into(), &true.into())
        );
        let high = json["wilson95"]["first_10"][1].as_f64().unwrap();
        assert!((high - 1.0).abs() < 1e-12, "{high}");
        // Thirty picks were not asked for.
        assert!(json.get("first_30").is_none(), "{json}");
    }
}
