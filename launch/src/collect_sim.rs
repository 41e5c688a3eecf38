//! `visuomotor collect-sim`: simulated episodes as training data.

use crate::batch;
use crate::cli::{CollectArgs, Share};
use crate::collect::ShardWriter;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::policy::{self, OpenPolicy, Pictures, PolicyChoice};
use crate::report::{EpisodeResult, Report};
use crate::rig::Rig;
use visuomotor_runtime::episode::Sha256;

const EPISODES_PER_SHARD: usize = 200;

pub fn run(args: &CollectArgs) -> Result<Grade, CommandError> {
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    output::directory(&args.out)?;
    let all = Share {
        first: args.seed,
        count: args.episodes,
    };
    let share = args.worker.share.unwrap_or(all);
    let mut collector = Collector::new(args, &launch, share)?;
    if args.worker.share.is_some() {
        batch::work(share, &mut |seed| collector.episode(seed))?;
        collector.shards.flush().map_err(CommandError::failed)?;
        return Ok(Grade::Good);
    }
    let outcome = batch::run(all, args.jobs, &mut |seed| collector.episode(seed))?;
    collector.shards.flush().map_err(CommandError::failed)?;
    let interrupted = outcome.interrupted;
    let report = Report::of(outcome.results, interrupted);
    output::report(&report, &report, args.json.as_deref())?;
    Ok(if interrupted {
        Grade::Short
    } else {
        Grade::Good
    })
}

struct Collector<'a> {
    args: &'a CollectArgs,
    rig: Rig<'a>,
    shards: ShardWriter,
}

impl<'a> Collector<'a> {
    fn new(args: &'a CollectArgs, launch: &'a Launch, share: Share) -> Result<Self, CommandError> {
        let OpenPolicy { policy, identity } =
            policy::open(launch, args.policy.as_ref(), Pictures::Scene)
                .map_err(CommandError::input)?;
        let split = args.split.into();
        let rig = Rig::new(launch, split, policy, None).map_err(CommandError::input)?;
        let meta = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "launch_sha256": Sha256::of(launch.source.text.as_bytes()).to_string(),
            "urdf_sha256": Sha256::of(launch.urdf_text.as_bytes()).to_string(),
            "policy": identity.name,
            "policy_sha256": identity.manifest_sha256.to_string(),
            "policy_settings": identity.settings,
            "explore": args.explore,
            "split": format!("{:?}", args.split).to_lowercase(),
            "first_seed": share.first,
            "action_scale": launch.action,
            "action_rate_hz": launch.task.action_rate_hz,
        });
        let (seed, scale) = (share.first, launch.action);
        let shards = ShardWriter::new(&args.out, seed, scale, EPISODES_PER_SHARD, meta)
            .map_err(CommandError::input)?;
        Ok(Self { args, rig, shards })
    }

    fn episode(&mut self, seed: u64) -> Result<EpisodeResult, CommandError> {
        let turn = (seed - self.args.seed) as usize % self.args.explore.len();
        let level = self.args.explore[turn];
        self.rig.explore(level);
        let result = self
            .rig
            .episode(seed, 0.0, &mut self.shards)
            .map_err(CommandError::failed)?;
        let greedy = level == 0.0 && self.args.policy != Some(PolicyChoice::Weak);
        let id = i64::try_from(seed).map_err(CommandError::failed)?;
        self.shards
            .end_episode(id, result.success(), greedy)
            .map_err(CommandError::failed)?;
        Ok(result)
    }
}
