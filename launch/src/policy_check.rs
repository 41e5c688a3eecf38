//! `visuomotor policy check`: loads a learned policy as a robot would, and says what it is and how fast it decides.

use crate::cli::CheckArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::Quantiles;
use nalgebra::Vector3;
use serde::Serialize;
use std::fmt;
use visuomotor_policies::learned::{Learned, TickTimes, time_ticks};
use visuomotor_policies::manifest::{Manifest, test_image};
use visuomotor_policies::{CemOverrides, open_learned};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::camera::{Frame, Image};
use visuomotor_runtime::clock::linux::thread_cpu_time;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::observation::{GripperObservation, Observation, TcpPose};

/// Decisions before and during the measurement.
const WARM_UP: usize = 3;
const TICKS: usize = 30;

#[derive(Debug, Serialize)]
struct Findings {
    name: String,
    kind: String,
    manifest_sha256: String,
    opset: i64,
    rate_hz: f64,
    steps_max: u32,
    image_px: [u32; 2],
    cem_samples: usize,
    cem_iterations: usize,
    /// CPU time of one decision, median, ms.
    tick_ms: f64,
    /// CPU time of its graphs alone, median, ms.
    graphs_ms: f64,
    /// Median of the ratio of each decision to a run of its graphs beside it.
    tick_over_graphs: f64,
    lineage: toml::Table,
}

pub fn run(args: &CheckArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let manifest = Manifest::read(&args.model).map_err(CommandError::input)?;
    let mut policy =
        open_learned(manifest, &CemOverrides::default(), false).map_err(CommandError::input)?;
    let times = measure(policy.as_mut()).map_err(CommandError::failed)?;
    let findings = Findings::of(policy.as_ref(), &times);
    output::report(&findings, &findings, args.json.as_deref())?;
    Ok(Grade::Good)
}

/// Decides about the self-test's image from the middle of the workspace.
fn measure(policy: &mut dyn Learned) -> Result<TickTimes, visuomotor_runtime::policy::PolicyError> {
    let (width, height) = (
        policy.manifest().image.width,
        policy.manifest().image.height,
    );
    let image = Image {
        width,
        height,
        rgb: test_image(width, height),
    };
    let frame = Frame {
        image,
        ..Frame::default()
    };
    let pose = TcpPose {
        position_m: Vector3::new(0.0, 0.0, 0.15),
        yaw_rad: 0.0,
    };
    let gripper = GripperObservation {
        sampled_at: Instant::from_ticks(0),
        measured: pose,
        goal: pose,
        fingers: Fingers::Open,
        aperture_m: 0.084,
    };
    let observation = Observation {
        frame: &frame,
        gripper,
        step: 0,
        truth: None,
    };
    policy.reset(1);
    let cpu_time = || Instant::from_ticks(0) + thread_cpu_time();
    time_ticks(policy, &observation, WARM_UP, cpu_time)?;
    time_ticks(policy, &observation, TICKS, cpu_time)
}

impl Findings {
    fn of(policy: &dyn Learned, times: &TickTimes) -> Self {
        let median = |values: Vec<f64>| Quantiles::of(values).p50;
        let ms = |duration: &Duration| duration.as_ticks() as f64 * 1e-6;
        let pairs = times.decide.iter().zip(&times.graphs);
        let manifest = policy.manifest();
        Self {
            name: manifest.name.clone(),
            kind: format!("{:?}", manifest.kind).to_lowercase(),
            manifest_sha256: manifest.sha256.clone(),
            opset: manifest.opset,
            rate_hz: manifest.rate_hz,
            steps_max: manifest.max_steps,
            image_px: [manifest.image.width, manifest.image.height],
            cem_samples: policy.cem().samples,
            cem_iterations: policy.cem().iterations,
            tick_ms: median(times.decide.iter().map(ms).collect()),
            graphs_ms: median(times.graphs.iter().map(ms).collect()),
            tick_over_graphs: median(pairs.map(|(tick, graphs)| ms(tick) / ms(graphs)).collect()),
            lineage: manifest.lineage.clone(),
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [width, height] = self.image_px;
        writeln!(
            f,
            "{} is good: hashes, opset {}, shapes and self-test agree",
            self.name, self.opset
        )?;
        writeln!(
            f,
            "kind          critic-{}, sha256 {}",
            self.kind, self.manifest_sha256
        )?;
        writeln!(f, "image         {width} x {height}")?;
        writeln!(
            f,
            "rate          {} Hz, at most {} steps",
            self.rate_hz, self.steps_max
        )?;
        let (samples, iterations) = (self.cem_samples, self.cem_iterations);
        writeln!(
            f,
            "search        {samples} samples, {iterations} iterations"
        )?;
        writeln!(
            f,
            "tick          {:.1} ms CPU, {:.2} x its graphs alone ({:.1} ms)",
            self.tick_ms, self.tick_over_graphs, self.graphs_ms
        )?;
        for (key, value) in &self.lineage {
            match value {
                toml::Value::Array(many) => writeln!(f, "lineage       {key}: {}", many.len())?,
                one => writeln!(f, "lineage       {key} = {one}")?,
            }
        }
        Ok(())
    }
}
