//! The filter: from a requested joint motion to the only commands an arm accepts.
//!
//! It holds a command state and, per joint, a stored stop that keeps every limit. Each tick it looks for a new state
//! whose own stop keeps every limit too, as close to the request as it can; when there is none it executes the next
//! sample of the stored stop. So a safe next command exists after every request, whatever it is.
//!
//! Not responsible for choosing a good motion: whoever requests does that ([`crate::kinematics::ik`]).

use super::certificate::Certificate;
use super::collision::{Around, Collision};
use super::inward::Widened;
use super::joint::Track;
use super::limits::{Limits, LimitsError, ToolLimits};
use super::mode::{NotAtRest, OperatingMode};
use super::report::{Intervention, LimitSet, SafetyReport};
use super::steer::{Range, Steering};
use super::stop_plan::{Extent, JointState};
use super::{SafeCommand, StopCategory};
use crate::arm::{ArmState, Fingers};
use crate::clock::Duration;
use crate::fault::Fault;
use crate::kinematics::Chain;
use crate::units::{JointAccelerations, JointPositions, JointVelocities};
use nalgebra::{Isometry3, SVector};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An arm faster than this is not at rest: a first command without velocity would tear its motion off.
pub(crate) const REST_DQ_MAX_RAD_PER_S: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<const N: usize> {
    /// Move with this velocity and acceleration. Any value is legal, infinities and NaN included.
    Motion {
        dq: JointVelocities<N>,
        ddq: JointAccelerations<N>,
    },
    /// Start with these jerks, rad/s³: what an optimiser of one's own answered. Any value is legal, as above.
    Jerk(SVector<f64, N>),
    /// Come to rest as fast as the limits allow, and stay.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict<const N: usize> {
    Move(SafeCommand<N>),
    Stop(StopCategory),
}

/// What was commanded last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CommandState<const N: usize> {
    pub q: JointPositions<N>,
    pub dq: JointVelocities<N>,
    pub ddq: JointAccelerations<N>,
}

impl<const N: usize> CommandState<N> {
    fn of(joints: [JointState; N]) -> Self {
        Self {
            q: joints.map(|joint| joint.q).into(),
            dq: joints.map(|joint| joint.v).into(),
            ddq: joints.map(|joint| joint.a).into(),
        }
    }
}

#[derive(Clone)]
pub struct Safety<const N: usize> {
    pub(super) chain: Chain<N>,
    pub(super) limits: Limits<N>,
    /// Of the launch file; the certificate and the steering have those of the operating mode.
    pub(super) tool: ToolLimits,
    pub(super) mode: OperatingMode,
    pub(super) certificate: Certificate<N>,
    pub(super) steering: Steering,
    lag: Lag<N>,
    /// While the arm comes in from outside its limits.
    pub(super) widened: Option<Widened<N>>,
    /// How fast each joint converges to the requested velocity, 1/s.
    bandwidth: [f64; N],
    dt: f64,
    /// `None` until armed.
    tracks: Option<[Track; N]>,
    /// Those of the tick before, for who wants to know what lies between.
    before: Option<[Track; N]>,
}

/// How far each joint's command leads the measured position, as a share of what it may.
#[derive(Clone, Copy, Debug)]
struct Lag<const N: usize> {
    shares: SVector<f64, N>,
}

impl<const N: usize> Default for Lag<N> {
    fn default() -> Self {
        Self {
            shares: SVector::zeros(),
        }
    }
}

impl<const N: usize> Lag<N> {
    /// How much of a motion may be made, in [0, 1], and for which joint's sake: less the further it takes a command that
    /// leads already. All joints slow down together, so that the tool stays on its path.
    fn pace(&self, dq: &JointVelocities<N>) -> (f64, usize) {
        const FREE: f64 = 0.5;
        const MOST: f64 = 0.9;
        let mut slowest = (1.0, 0);
        for i in (0..N).filter(|&i| dq[i] * self.shares[i] > 0.0) {
            let pace = ((MOST - self.shares[i].abs()) / (MOST - FREE)).clamp(0.0, 1.0);
            if pace < slowest.0 {
                slowest = (pace, i);
            }
        }
        slowest
    }
}

impl<const N: usize> Safety<N> {
    /// Disarmed: nothing moves before [`Safety::arm`].
    ///
    /// # Errors
    /// When the workspace has no room, its pose is not finite, or the period is zero.
    pub fn new(
        chain: Chain<N>,
        limits: Limits<N>,
        tool: ToolLimits,
        collision: Collision<N>,
        t_base_task: Isometry3<f64>,
        period: Duration,
    ) -> Result<Self, LimitsError> {
        tool.workspace.validate()?;
        let dt = period.as_ticks() as f64 * 1e-9;
        if dt <= 0.0 {
            return Err(LimitsError::new(
                "the control period must be above 0".to_owned(),
            ));
        }
        if !t_base_task.to_homogeneous().iter().all(|x| x.is_finite()) {
            return Err(LimitsError::new(
                "the task frame's pose in the base frame is not finite".to_owned(),
            ));
        }
        let certificate = Certificate::new(&chain, tool, collision, &t_base_task, &limits, dt);
        // Leaving full acceleration, an error that fades at rate w asks for a jerk of ddq_max·w: beyond dddq_max it would
        // overshoot. And it is a sampled law, smooth only well below the tick rate.
        let bandwidth = limits
            .joints()
            .map(|j| (j.dddq_max / j.ddq_max).min(0.1 / dt));
        Ok(Self {
            chain,
            limits,
            tool,
            mode: OperatingMode::default(),
            certificate,
            steering: Steering::new(tool, &t_base_task, dt),
            lag: Lag::default(),
            widened: None,
            bandwidth,
            dt,
            tracks: None,
            before: None,
        })
    }

    pub fn limits(&self) -> &Limits<N> {
        &self.limits
    }

    pub fn mode(&self) -> OperatingMode {
        self.mode
    }

    /// From now on the limits of this mode count: those of the launch file, or tighter ones.
    ///
    /// # Errors
    /// While the arm moves: its stored stop may break a tighter limit.
    pub fn set_mode(&mut self, mode: OperatingMode) -> Result<(), NotAtRest> {
        if self.stop_s() > 0.0 {
            return Err(NotAtRest);
        }
        self.mode = mode;
        self.keep(mode.limits(&self.tool));
        Ok(())
    }

    /// From now on these limits of the tool count.
    pub(super) fn keep(&mut self, tool: ToolLimits) {
        (self.certificate.tool, self.steering.tool) = (tool, tool);
    }

    /// What was commanded last; `None` until armed.
    pub fn command(&self) -> Option<CommandState<N>> {
        self.tracks
            .map(|tracks| CommandState::of(tracks.map(|track| track.state)))
    }

    /// Where the command was at a share, in [0, 1], of the last tick; `None` until armed.
    pub fn during_last_tick(&self, share: f64) -> Option<CommandState<N>> {
        let t = share * self.dt;
        let between = |old: &Track, new: &Track| match old.jerk_to(new, self.dt) {
            None => old.ahead(t),
            Some(jerk) => old.state.advance(jerk, t),
        };
        self.over_last_tick(between).map(CommandState::of)
    }

    /// What each joint passed through in the last tick; `None` until armed.
    pub fn extents_of_last_tick(&self) -> Option<[Extent; N]> {
        self.over_last_tick(|old, new| match old.jerk_to(new, self.dt) {
            None => old.extent_ahead(0.0, self.dt),
            Some(jerk) => {
                let mut extent = Extent::of(&old.state);
                extent.add(&old.state, jerk, self.dt);
                extent
            }
        })
    }

    fn over_last_tick<T>(&self, look: impl Fn(&Track, &Track) -> T) -> Option<[T; N]> {
        let (old, new) = (self.before.as_ref()?, self.tracks.as_ref()?);
        Some(std::array::from_fn(|i| look(&old[i], &new[i])))
    }

    /// How long the arm still moves if it stops, s; 0 until armed.
    pub fn stop_s(&self) -> f64 {
        let tracks = self.tracks.as_ref().map_or(&[][..], |tracks| tracks);
        tracks.iter().map(Track::remaining_s).fold(0.0, f64::max)
    }

    /// The command state becomes the measured pose at rest: the next command starts where the arm is.
    ///
    /// # Errors
    /// A fault, and disarmed, when the measured pose is not finite, not at rest, outside joint limits or workspace, or
    /// touches what it must not.
    pub fn arm(&mut self, measured: &ArmState<N>) -> Result<(), Fault> {
        self.start_at(measured)?;
        self.admits(&measured.q, 0.0)?;
        self.rest_at(&measured.q);
        Ok(())
    }

    /// Whether the launch file's limits hold at `q`, with this room inside the workspace, m.
    pub(super) fn admits(&self, q: &JointPositions<N>, room_m: f64) -> Result<(), Fault> {
        for (i, bounds) in self.limits.joints().iter().enumerate() {
            if !(bounds.lower..=bounds.upper).contains(&q[i]) {
                return Err(Fault::StartOutsideLimits {
                    joint: i as u8,
                    q_rad: q[i],
                    lower_rad: bounds.lower,
                    upper_rad: bounds.upper,
                });
            }
        }
        let within = self.tool.workspace.grown_by(-room_m);
        let distance_m = self.certificate.distance_m(&within, &self.chain, q);
        if distance_m > 0.0 {
            return Err(Fault::StartOutsideWorkspace { distance_m });
        }
        let nearest = self.certificate.collision.nearest(&self.chain, q);
        if let Some((pair, distance_m)) = nearest
            && distance_m < 0.0
        {
            return Err(Fault::StartsInCollision {
                pair: pair as u8,
                depth_m: -distance_m,
            });
        }
        Ok(())
    }

    /// Disarms, with the limits of the launch file and the mode, and refuses a measurement that no motion can start from.
    pub(super) fn start_at(&mut self, measured: &ArmState<N>) -> Result<(), Fault> {
        self.tracks = None;
        self.lag = Lag::default();
        self.widened = None;
        self.certificate.collision.yield_nothing();
        self.keep(self.mode.limits(&self.tool));
        for i in 0..N {
            if !(measured.q[i].is_finite() && measured.dq[i].is_finite()) {
                return Err(Fault::EncoderNotFinite { joint: i as u8 });
            }
        }
        let joint = measured.dq.0.iamax();
        if measured.dq[joint].abs() > REST_DQ_MAX_RAD_PER_S {
            return Err(Fault::StartsMoving {
                joint: joint as u8,
                dq_rad_per_s: measured.dq[joint],
                limit_rad_per_s: REST_DQ_MAX_RAD_PER_S,
            });
        }
        Ok(())
    }

    pub(super) fn rest_at(&mut self, q: &JointPositions<N>) -> [Track; N] {
        let joints = self.present_limits().joints();
        let tracks = std::array::from_fn(|i| Track::at_rest(q[i], &joints[i]));
        (self.tracks, self.before) = (Some(tracks), Some(tracks));
        self.steering.reset();
        tracks
    }

    /// Nothing is commanded any more, until [`Safety::arm`].
    pub fn disarm(&mut self) {
        self.tracks = None;
    }

    /// Tells where the arm is: it may lag the command by so much and no more. Motion that would take the command further
    /// from it slows down from half of that on, so that an arm that something holds is not pulled at ever harder.
    ///
    /// # Errors
    /// A fault when a joint lags by more.
    pub fn note_measured(&mut self, q: &JointPositions<N>, lag_max_rad: f64) -> Result<(), Fault> {
        let Some(command) = self.command() else {
            return Ok(());
        };
        self.lag = Lag {
            shares: (command.q.0 - q.0) / lag_max_rad,
        };
        let joint = self.lag.shares.iamax();
        if self.lag.shares[joint].abs() > 1.0 {
            return Err(Fault::Tracking {
                joint: joint as u8,
                error_rad: self.lag.shares[joint].abs() * lag_max_rad,
                limit_rad: lag_max_rad,
            });
        }
        Ok(())
    }

    /// Decides one tick. Disarmed, the verdict is a stop.
    pub fn filter(&mut self, request: Request<N>, fingers: Fingers) -> (Verdict<N>, SafetyReport) {
        let Some(tracks) = self.tracks else {
            let report = SafetyReport {
                intervention: Intervention::Stopped,
                ..SafetyReport::default()
            };
            return (Verdict::Stop(StopCategory::Two), report);
        };
        self.follow_inward(&tracks);
        let mut report = SafetyReport::default();
        // Whatever goes wrong while a better motion is sought, the stop that is stored remains.
        let sought = catch_unwind(AssertUnwindSafe(|| {
            self.seek(&tracks, &request, &mut report)
        }));
        let next = sought.unwrap_or_else(|_| {
            self.steering.reset();
            report = SafetyReport::default();
            report.limits.insert(LimitSet::NO_ANSWER);
            None
        });
        let next = next.unwrap_or_else(|| {
            let resting = tracks.iter().all(|track| track.remaining_s() <= 0.0);
            report.intervention = if resting {
                Intervention::Stopped
            } else {
                Intervention::Stopping
            };
            tracks.map(|track| track.follow(self.dt))
        });
        self.before = Some(tracks);
        self.tracks = Some(next);
        let command = SafeCommand {
            q: std::array::from_fn(|i| next[i].state.q).into(),
            dq: std::array::from_fn(|i| next[i].state.v).into(),
            ddq: std::array::from_fn(|i| next[i].state.a).into(),
            fingers,
        };
        (Verdict::Move(command), report)
    }

    /// The next tracks nearest to the request whose stop is certified; `None` when only the stored stop is, or is asked for.
    fn seek(
        &mut self,
        tracks: &[Track; N],
        request: &Request<N>,
        report: &mut SafetyReport,
    ) -> Option<[Track; N]> {
        let q = std::array::from_fn(|i| tracks[i].state.q).into();
        let around = |safety: &Self| safety.certificate.collision.around(&safety.chain, &q);
        match request {
            Request::Motion { dq, ddq } if dq.is_finite() && ddq.is_finite() => {
                let around = around(self);
                let (share, lagging) = self.lag.pace(dq);
                if share < 1.0 {
                    report.limit(LimitSet::TRACKING, 1 << lagging);
                }
                let (dq, ddq) = (dq.0 * share, ddq.0 * share);
                let jerk = self.jerk(tracks, &around, &dq, &ddq, report);
                self.certified(tracks, &around, &jerk, report)
            }
            Request::Jerk(jerk) if jerk.iter().all(|x| x.is_finite()) => {
                self.certified(tracks, &around(self), jerk, report)
            }
            Request::Motion { .. } | Request::Jerk(_) => {
                report.limits.insert(LimitSet::NOT_FINITE);
                None
            }
            Request::Stop => None,
        }
    }

    /// The next tracks nearest to these jerks whose stop is certified; `None` when only the stored stop is.
    fn certified(
        &self,
        tracks: &[Track; N],
        around: &Around<N>,
        jerk: &SVector<f64, N>,
        report: &mut SafetyReport,
    ) -> Option<[Track; N]> {
        const SHRINKS: usize = 4;
        const SHRINK: f64 = 0.4;
        let joints = self.present_limits().joints();
        let mut wanted = *tracks;
        for i in 0..N {
            let (track, limits) = tracks[i].propose(&joints[i], jerk[i], self.dt);
            if limits != LimitSet::default() {
                report.limit(limits, 1 << i);
            }
            wanted[i] = track;
        }
        match self.certificate.check(&self.chain, around, tracks, &wanted) {
            Ok(()) => return Some(wanted),
            Err(limit) => {
                if let Some(together) = self.stopping_together(around, tracks, &wanted) {
                    return Some(together);
                }
                report.limits.insert(limit);
            }
        }
        report.intervention = Intervention::Shrunk;
        let mut share = 1.0;
        for _ in 0..SHRINKS {
            share *= SHRINK;
            let shrunk = std::array::from_fn(|i| {
                let stored = tracks[i].follow(self.dt);
                let stopping = tracks[i].mean_jerk(&stored, self.dt);
                let jerk = stopping + share * (tracks[i].mean_jerk(&wanted[i], self.dt) - stopping);
                tracks[i]
                    .attempt(&joints[i], jerk, self.dt)
                    .unwrap_or(stored)
            });
            if self
                .certificate
                .check(&self.chain, around, tracks, &shrunk)
                .is_ok()
            {
                return Some(shrunk);
            }
            if let Some(together) = self.stopping_together(around, tracks, &shrunk) {
                return Some(together);
            }
        }
        None
    }

    /// The jerks that bring the joints to the requested motion, bent around what limits them.
    fn jerk(
        &mut self,
        tracks: &[Track; N],
        around: &Around<N>,
        dq: &SVector<f64, N>,
        ddq: &SVector<f64, N>,
        report: &mut SafetyReport,
    ) -> SVector<f64, N> {
        let joints = self.present_limits().joints();
        let dq = meant(*dq, |i| joints[i].dq_max);
        let ddq = meant(*ddq, |i| joints[i].ddq_max);
        let wanted = SVector::from_fn(|i, _| {
            let (s, w) = (&tracks[i].state, self.bandwidth[i]);
            // The acceleration after this tick from which the velocity's error fades at rate w. A request that can be
            // followed is so followed without lag: behind a motion at its limits nothing could catch up.
            let error = dq[i] - s.v - 0.5 * self.dt * s.a;
            let next = (ddq[i] + w * error) / (1.0 + 0.5 * w * self.dt);
            (next - s.a) / self.dt
        });
        let ranges: [Range; N] = std::array::from_fn(|i| tracks[i].jerk_range(&joints[i], self.dt));
        for (i, range) in ranges.iter().enumerate() {
            if let Some(limit) = range.against(wanted[i]) {
                report.limit(limit, 1 << i);
            }
        }
        let state = CommandState::of(tracks.map(|track| track.state));
        let collision = &self.certificate.collision;
        let (jerk, limits) =
            self.steering
                .bend(&self.chain, collision, around, &state, &ranges, &wanted);
        if limits != LimitSet::default() {
            report.limit(limits, 0);
        }
        jerk
    }

    /// The same states, where all joints come to rest at about the same time, if that is certified. When each stops as
    /// fast as it can, the tool leaves its path; so close to a border only stopping together may keep it inside.
    fn stopping_together(
        &self,
        around: &Around<N>,
        old: &[Track; N],
        tracks: &[Track; N],
    ) -> Option<[Track; N]> {
        let duration_s = tracks
            .iter()
            .fold(0.0, |t: f64, track| t.max(track.remaining_s()));
        let joints = self.present_limits().joints();
        let together = std::array::from_fn(|i| tracks[i].stopping_in(&joints[i], duration_s));
        self.certificate
            .check(&self.chain, around, old, &together)
            .is_ok()
            .then_some(together)
    }
}

/// A request cut to twice what the joints can do: all together, so that it points where it did.
fn meant<const N: usize>(request: SVector<f64, N>, most: impl Fn(usize) -> f64) -> SVector<f64, N> {
    let beyond = (0..N).fold(1.0, |x: f64, i| x.max(0.5 * request[i].abs() / most(i)));
    request / beyond
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "obstacle_tests.rs"]
mod obstacle_tests;
