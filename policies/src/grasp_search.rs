//! The cross-entropy method over absolute grasp poses, for a critic that values a pose and no verb.
//!
//! Such a landscape has a peak at every object, so the elites that count are those near the best one. Works on any
//! critic, given as a closure; allocates only in its constructor.

use crate::cem::CemConfig;
use crate::features::wrap_yaw;
use crate::random::{Rng, normal, uniform};
use crate::task::Workspace;
use visuomotor_runtime::policy::PolicyError;

/// x, y, z in m, yaw in rad, task frame.
pub type GraspPose = [f32; 4];

/// A spread of 1 stands for this much: x, y, z in m, yaw in rad.
const UNIT: GraspPose = [0.12, 0.12, 0.04, std::f32::consts::FRAC_PI_2];
/// Share of the first population that is drawn near the gripper.
const NEAR_SHARE: usize = 4;
/// Standard deviation of that share: x and y in m, yaw in rad.
const NEAR_SPREAD: [f64; 2] = [0.02, 0.16];
/// Elites farther than this from the best one belong to another object, m.
const SAME_PEAK_M: f32 = 0.03;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestGrasp {
    /// Yaw in (-π/2, π/2].
    pub pose: GraspPose,
    pub value: f32,
    /// Value of the pose that the caller asked about as well.
    pub previous_value: Option<f32>,
}

/// See the module.
pub struct GraspSearch {
    config: CemConfig,
    workspace: Workspace,
    poses: Vec<GraspPose>,
    values: Vec<[f32; 1]>,
    order: Vec<usize>,
}

impl GraspSearch {
    /// `config` has no [`CemConfig::problem`].
    pub fn new(config: CemConfig, workspace: Workspace) -> Self {
        assert!(config.problem().is_none(), "{config:?}");
        Self {
            config,
            workspace,
            poses: vec![[0.0; 4]; config.samples],
            values: vec![[0.0]; config.samples],
            order: (0..config.samples).collect(),
        }
    }

    pub fn config(&self) -> &CemConfig {
        &self.config
    }

    /// Searches with `score`, which writes the value of each pose. `goal` is where the gripper is sent now; `previous`
    /// is a pose to be valued along the way.
    pub fn search(
        &mut self,
        rng: &mut Rng,
        goal: GraspPose,
        previous: Option<GraspPose>,
        mut score: impl FnMut(&[GraspPose], &mut [[f32; 1]]) -> Result<(), PolicyError>,
    ) -> Result<BestGrasp, PolicyError> {
        self.draw_first(rng, goal);
        if let Some(previous) = previous {
            self.poses[0] = previous;
        }
        let mut best: Option<BestGrasp> = None;
        let mut previous_value = None;
        for iteration in 0..self.config.iterations {
            score(&self.poses, &mut self.values)?;
            if self
                .values
                .as_flattened()
                .iter()
                .any(|value| !value.is_finite())
            {
                return Err(PolicyError::NotFinite);
            }
            if iteration == 0 {
                previous_value = previous.map(|_| self.values[0][0]);
            }
            let leader = self.sort_elites();
            if best.is_none_or(|b| leader.value > b.value) {
                best = Some(leader);
            }
            if iteration + 1 < self.config.iterations {
                self.draw_next(rng, best.unwrap_or(leader).pose);
            }
        }
        best.map(|b| BestGrasp {
            previous_value,
            ..b
        })
        .ok_or(PolicyError::NotFinite)
    }

    fn draw_first(&mut self, rng: &mut Rng, goal: GraspPose) {
        let spread = f64::from(self.config.initial_spread);
        let near = self.poses.len() / NEAR_SHARE;
        for i in 0..self.poses.len() {
            let z = self.workspace.z_min_m + uniform(rng, 0.0, spread * f64::from(UNIT[2]));
            let [x, y, yaw] = if i < near {
                let [xy, yaw] = NEAR_SPREAD;
                [
                    f64::from(goal[0]) + xy * normal(rng),
                    f64::from(goal[1]) + xy * normal(rng),
                    f64::from(goal[3]) + yaw * normal(rng),
                ]
            } else {
                [0, 1, 3].map(|k| spread * f64::from(UNIT[k]) * uniform(rng, -1.0, 1.0))
            };
            self.poses[i] = self.inside([x, y, z, yaw].map(|v| v as f32));
        }
    }

    fn draw_next(&mut self, rng: &mut Rng, best: GraspPose) {
        let near = |pose: &GraspPose| (pose[0] - best[0]).hypot(pose[1] - best[1]) < SAME_PEAK_M;
        // Offsets from the best pose, so that yaw does not wrap between elites.
        let offset = |pose: &GraspPose| {
            let turn = wrap_yaw(f64::from(pose[3] - best[3])) as f32;
            [
                pose[0] - best[0],
                pose[1] - best[1],
                pose[2] - best[2],
                turn,
            ]
        };
        let elites = || {
            self.order[..self.config.elites]
                .iter()
                .map(|&i| &self.poses[i])
                .filter(|p| near(p))
                .map(offset)
        };
        let count = elites().count().max(1) as f32;
        let mean: GraspPose = std::array::from_fn(|k| elites().map(|o| o[k]).sum::<f32>() / count);
        let spread: GraspPose = std::array::from_fn(|k| {
            let variance = elites().map(|o| (o[k] - mean[k]).powi(2)).sum::<f32>() / count;
            variance.sqrt() + self.config.min_spread * UNIT[k]
        });
        for i in 0..self.poses.len() {
            let noise: [f32; 4] = std::array::from_fn(|_| normal(rng) as f32);
            self.poses[i] = match i {
                0 => self.inside(std::array::from_fn(|k| best[k] + mean[k])),
                1 => best,
                _ => self.inside(std::array::from_fn(|k| {
                    best[k] + mean[k] + spread[k] * noise[k]
                })),
            };
        }
    }

    fn inside(&self, [x, y, z, yaw]: GraspPose) -> GraspPose {
        let xy = self.workspace.xy_max_m as f32;
        let z = z.clamp(self.workspace.z_min_m as f32, self.workspace.z_max_m as f32);
        [
            x.clamp(-xy, xy),
            y.clamp(-xy, xy),
            z,
            wrap_yaw(f64::from(yaw)) as f32,
        ]
    }

    /// Brings the elites to the front of `order`, and gives the first.
    fn sort_elites(&mut self) -> BestGrasp {
        let Self {
            values,
            order,
            config,
            ..
        } = self;
        // The index breaks ties, so that a search is reproducible.
        let compare = |a: &usize, b: &usize| values[*b][0].total_cmp(&values[*a][0]).then(a.cmp(b));
        order.select_nth_unstable_by(config.elites - 1, compare);
        order[..config.elites].sort_unstable_by(compare);
        BestGrasp {
            pose: self.poses[self.order[0]],
            value: self.values[self.order[0]][0],
            previous_value: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeedableRng;
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    const CONFIG: CemConfig = CemConfig {
        samples: 256,
        iterations: 4,
        elites: 10,
        initial_spread: 1.0,
        min_spread: 0.03,
    };

    fn landscape(
        peaks: Vec<(GraspPose, f32)>,
    ) -> impl Fn(&[GraspPose], &mut [[f32; 1]]) -> Result<(), PolicyError> {
        move |poses, values| {
            for (pose, value) in poses.iter().zip(values) {
                let at = |(peak, height): &(GraspPose, f32)| {
                    let (x, y) = (pose[0] - peak[0], pose[1] - peak[1]);
                    let turn = wrap_yaw(f64::from(pose[3] - peak[3])) as f32;
                    height
                        * (-(x * x + y * y) / 0.004
                            - turn * turn / 2.0
                            - (pose[2] - peak[2]).powi(2) / 0.002)
                            .exp()
                };
                value[0] = peaks.iter().map(at).fold(0.0, f32::max);
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_the_higher_of_two_peaks(
            x in -0.1f32..-0.03,
            y in -0.1f32..0.1,
            yaw in -1.57f32..1.57,
            seed in any::<u64>(),
        ) {
            let peaks = vec![([x, y, 0.02, yaw], 1.0), ([-x, -y, 0.02, 0.5], 0.5)];
            let mut search = GraspSearch::new(CONFIG, Workspace::default());
            let found = search.search(&mut Rng::seed_from_u64(seed), [0.0, 0.0, 0.2, 0.0], None, landscape(peaks)).unwrap();
            prop_assert!((found.pose[0] - x).hypot(found.pose[1] - y) < 0.02, "{:?}", found);
            prop_assert!(wrap_yaw(f64::from(found.pose[3] - yaw)).abs() < 0.5, "{:?}", found);
        }

        #[test]
        fn every_candidate_is_inside_the_workspace(
            goal in proptest::array::uniform4(-0.2f32..0.2),
            seed in any::<u64>(),
        ) {
            let w = Workspace::default();
            let mut search = GraspSearch::new(CONFIG, w);
            let edge = landscape(vec![([0.3, 0.3, 0.02, 1.57], 1e6)]);
            let score = |poses: &[GraspPose], values: &mut [[f32; 1]]| {
                for p in poses {
                    let p = p.map(f64::from);
                    assert!(p[0].abs() <= w.xy_max_m + 1e-6 && p[1].abs() <= w.xy_max_m + 1e-6);
                    assert!(p[2] >= w.z_min_m - 1e-6 && p[2] <= w.z_max_m && p[3].abs() <= 1e-6 + std::f64::consts::FRAC_PI_2);
                }
                edge(poses, values)
            };
            search.search(&mut Rng::seed_from_u64(seed), goal, None, score).unwrap();
        }
    }

    #[test]
    fn values_the_previous_pose() {
        let previous = [0.05, 0.05, 0.02, 0.3];
        let mut search = GraspSearch::new(CONFIG, Workspace::default());
        let peaks = landscape(vec![(previous, 0.7)]);
        let found = search
            .search(&mut Rng::seed_from_u64(3), [0.0; 4], Some(previous), peaks)
            .unwrap();
        assert_eq!(found.previous_value, Some(0.7));
        assert_eq!(found.pose, previous);
    }

    #[test]
    fn a_value_that_is_not_finite_is_an_error() {
        let mut search = GraspSearch::new(CONFIG, Workspace::default());
        let score = |_: &[GraspPose], values: &mut [[f32; 1]]| {
            values.fill([f32::NAN]);
            Ok(())
        };
        assert_eq!(
            search.search(&mut Rng::seed_from_u64(0), [0.0; 4], None, score),
            Err(PolicyError::NotFinite)
        );
    }
}
