//! The bench of the kernel's cameras: the driver over an emulated device that does everything wrong that real ones do.

use super::camera::{CameraBench, Seen, check};
use super::ensure;
use crate::testkit::emulate::camera::{EmulatedCamera, EmulatedPort, Plan, Truth};
use crate::v4l::{Counters, V4lCamera, V4lConfig};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::{Duration, Instant};

const CAPTURES: u32 = 80;

pub struct V4lBench {
    pub device: EmulatedCamera,
    pub camera: V4lCamera<EmulatedPort>,
    pub plan: Plan,
}

/// What a launch file would say of this camera.
pub fn config(plan: &Plan) -> V4lConfig {
    let rate_hz = 1e9 / plan.period.as_ticks() as f64;
    V4lConfig {
        output_px: Some([16, 12]),
        ..V4lConfig::new("/dev/video0", plan.size_px, rate_hz)
    }
}

impl V4lBench {
    /// # Errors
    /// When the driver does not take this camera's pictures.
    pub fn new(plan: Plan, config: &V4lConfig) -> Result<Self, String> {
        let device = EmulatedCamera::new(plan.clone());
        let (port, stream) = device.plug_in();
        let camera = V4lCamera::over(port, stream, config).map_err(|error| error.to_string())?;
        Ok(Self {
            device,
            camera,
            plan,
        })
    }
}

impl CameraBench for V4lBench {
    type Camera = V4lCamera<EmulatedPort>;

    fn camera(&mut self) -> &mut V4lCamera<EmulatedPort> {
        &mut self.camera
    }

    fn now(&self) -> Instant {
        self.device.now()
    }

    fn pass(&mut self, time: Duration) {
        self.device.pass(time);
    }

    fn timeout(&self) -> Duration {
        self.camera.timeout()
    }

    fn period(&self) -> Duration {
        self.plan.period
    }

    fn truth(&self, image: &Image) -> Option<(Instant, u64)> {
        self.device.taken(image)
    }

    fn calm_down(&mut self) {
        self.device.calm_down();
    }

    /// Two openings that are under way or fail, with the longest wait before each.
    fn recovers_within(&self) -> Duration {
        (self.plan.opening_max + Duration::from_secs(2)) * 2 + Duration::from_secs(1)
    }
}

/// Every buffer of the driver's is accounted for, and everything that was injected and can be seen is counted.
///
/// # Errors
/// With the counter that does not tell the truth.
pub fn counted(counters: &Counters, truth: &Truth) -> Result<(), String> {
    let Counters {
        frames,
        skipped,
        error_frames,
        corrupt,
        ..
    } = *counters;
    let broken = truth.short + truth.corrupt;
    for (what, holds) in [
        (
            "buffers",
            frames + skipped + error_frames + corrupt == truth.dequeued,
        ),
        ("drops", counters.dropped_by_driver == truth.lost),
        ("error frames", error_frames == truth.damaged),
        // A broken JPEG that was skipped was never decoded.
        ("corrupt", (truth.short..=broken).contains(&corrupt)),
        ("corrupt", skipped > 0 || corrupt == broken),
        ("stamps", counters.restamped <= truth.wrong_stamps),
        ("failures", counters.failures == truth.failures),
        ("disconnects", counters.disconnects == truth.gone),
        ("streams", counters.reopened + 1 == truth.streams),
    ] {
        ensure(holds, || {
            format!("{what} are not counted right: {counters:?} {truth:?}")
        })?;
    }
    Ok(())
}

/// One schedule of faults, as the seed draws it.
///
/// # Errors
/// With the promise that the driver breaks.
pub fn schedule(seed: u64) -> Result<(Seen, Counters, Truth), String> {
    let plan = Plan::of_seed(seed);
    let config = config(&plan);
    let mut bench = V4lBench::new(plan, &config)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(!seed);
    let seen = check(&mut bench, CAPTURES, &mut rng)?;
    let (counters, truth) = (bench.camera.counters(), bench.device.truth());
    ensure(seen.frames == counters.frames, || {
        format!("{} frames came, and counted are {counters:?}", seen.frames)
    })?;
    counted(&counters, &truth)?;
    Ok((seen, counters, truth))
}
