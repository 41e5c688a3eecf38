//! A scene without physics for the tests of the scripted policies: boxes on a floor, a tool that reaches every goal,
//! and a grasp that holds when a box is between the fingers.
//!
//! Not a simulator: whether a grasp works in physics is judged with the drivers' one.

use crate::random::{Rng, SeedableRng, uniform};
use crate::task::{APERTURE_MAX_M, FINGER_WIDTH_M, SUCCESS_HEIGHT_M, Workspace};
use nalgebra::{Rotation2, Vector2, Vector3};
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::observation::{
    GripperObservation, ObjectTruth, Observation, SceneTruth, TcpPose,
};
use visuomotor_runtime::policy::Policy;

pub struct ToyScene {
    truth: SceneTruth,
    goal: TcpPose,
    fingers: Fingers,
    aperture_m: f64,
    held: Option<usize>,
    /// The first closes that fail whatever is between the fingers.
    pub slips: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub success: bool,
    pub steps: u32,
    pub closes: u32,
}

impl ToyScene {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::seed_from_u64(seed);
        let mut truth = SceneTruth::default();
        let mut centres: Vec<Vector2<f64>> = vec![];
        for _ in 0..4 {
            let centre = loop {
                let c = Vector2::new(uniform(&mut rng, -0.1, 0.1), uniform(&mut rng, -0.1, 0.1));
                if centres.iter().all(|other| (c - other).norm() > 0.075) {
                    break c;
                }
            };
            centres.push(centre);
            let half: [f64; 3] = std::array::from_fn(|_| uniform(&mut rng, 0.01, 0.03));
            let turn = Rotation2::new(uniform(&mut rng, -3.0, 3.0));
            let points_m = (0..8)
                .map(|corner| {
                    let sign = |bit: u32| if corner >> bit & 1 == 1 { 1.0 } else { -1.0 };
                    let xy = centre + turn * Vector2::new(sign(0) * half[0], sign(1) * half[1]);
                    Vector3::new(xy.x, xy.y, half[2] * (1.0 + sign(2)))
                })
                .collect();
            truth.objects.push(ObjectTruth {
                points_m,
                bottom_m: 0.0,
                near_gripper: false,
            });
        }
        let goal = TcpPose {
            position_m: Vector3::new(
                uniform(&mut rng, -0.1, 0.1),
                uniform(&mut rng, -0.1, 0.1),
                0.2,
            ),
            yaw_rad: uniform(&mut rng, -1.5, 1.5),
        };
        Self {
            truth,
            goal,
            fingers: Fingers::Open,
            aperture_m: APERTURE_MAX_M,
            held: None,
            slips: 0,
        }
    }

    pub fn observation<'a>(&'a self, frame: &'a Frame, step: u32) -> Observation<'a> {
        let gripper = GripperObservation {
            sampled_at: Instant::from_ticks(0),
            measured: self.goal,
            goal: self.goal,
            fingers: self.fingers,
            aperture_m: self.aperture_m,
        };
        Observation {
            frame,
            gripper,
            step,
            truth: Some(&self.truth),
        }
    }

    pub fn run(&mut self, policy: &mut dyn Policy, seed: u64, steps_max: u32) -> Outcome {
        policy.reset(seed);
        let frame = Frame::default();
        let mut closes = 0;
        for step in 0..steps_max {
            let action = policy
                .decide(&self.observation(&frame, step))
                .unwrap()
                .action;
            if action.verb == Verb::Terminate {
                return Outcome {
                    success: self.success(),
                    steps: step,
                    closes,
                };
            }
            closes += u32::from(self.apply(&action));
        }
        Outcome {
            success: self.success(),
            steps: steps_max,
            closes,
        }
    }

    fn success(&self) -> bool {
        self.held
            .is_some_and(|i| self.truth.objects[i].bottom_m > SUCCESS_HEIGHT_M)
    }

    /// True when the fingers closed.
    fn apply(&mut self, action: &Action) -> bool {
        let workspace = Workspace::default();
        let before = self.goal;
        let p = &mut self.goal.position_m;
        *p += action.translation_m;
        p.x = p.x.clamp(-workspace.xy_max_m, workspace.xy_max_m);
        p.y = p.y.clamp(-workspace.xy_max_m, workspace.xy_max_m);
        p.z = p.z.clamp(workspace.z_min_m, workspace.z_max_m);
        let yaw_rad = self.goal.yaw_rad + action.yaw_rad;
        self.goal.yaw_rad = yaw_rad.clamp(-workspace.yaw_max_rad, workspace.yaw_max_rad);
        let mut closed = false;
        match action.verb {
            Verb::Close if self.fingers == Fingers::Open => {
                self.fingers = Fingers::Closed;
                self.close();
                closed = true;
            }
            Verb::Open => {
                self.fingers = Fingers::Open;
                self.aperture_m = APERTURE_MAX_M;
                self.held = None;
            }
            _ => {}
        }
        if let Some(i) = self.held {
            let moved = self.goal.position_m - before.position_m;
            let object = &mut self.truth.objects[i];
            object.points_m.iter_mut().for_each(|point| *point += moved);
            object.bottom_m += moved.z;
        }
        closed
    }

    fn close(&mut self) {
        let (sin, cos) = self.goal.yaw_rad.sin_cos();
        let (u, v) = (Vector2::new(-sin, cos), Vector2::new(cos, sin));
        let between = |object: &ObjectTruth| {
            let offsets = || {
                object
                    .points_m
                    .iter()
                    .map(|p| p.xy() - self.goal.position_m.xy())
            };
            let range = |axis: Vector2<f64>| {
                offsets()
                    .map(|o| o.dot(&axis))
                    .fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)))
            };
            let (u, v) = (range(u), range(v));
            let top_m = object.points_m.iter().map(|p| p.z).fold(0.0, f64::max);
            let inside = u.0 > -0.5 * APERTURE_MAX_M && u.1 < 0.5 * APERTURE_MAX_M;
            let centred =
                (v.0 + v.1).abs() < FINGER_WIDTH_M && top_m > self.goal.position_m.z + 0.008;
            (inside && centred).then_some(u.1 - u.0)
        };
        let hit = self
            .truth
            .objects
            .iter()
            .enumerate()
            .find_map(|(i, object)| Some((i, between(object)?)));
        match hit {
            Some((i, width_m)) if self.slips == 0 => {
                self.held = Some(i);
                self.aperture_m = width_m;
                self.truth.objects[i].near_gripper = true;
            }
            _ => {
                self.slips = self.slips.saturating_sub(1);
                self.aperture_m = 0.0;
            }
        }
    }
}
