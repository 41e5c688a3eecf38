//! The filter: from a requested joint motion to the only commands an arm accepts.
//!
//! It holds a command state and, per joint, a stored stop that keeps every limit. Each tick it looks for a new state
//! whose own stop keeps every limit too, as close to the request as it can; when there is none it executes the next
//! sample of the stored stop. So a safe next command exists after every request, whatever it is.
//!
//! Not responsible for choosing a good motion: whoever requests does that ([`crate::kinematics::ik`]).

use super::certificate::Certificate;
use super::joint::Track;
use super::limits::{Limits, LimitsError, Workspace};
use super::report::{Intervention, LimitSet, SafetyReport};
use super::{SafeCommand, StopCategory};
use crate::arm::{ArmState, Fingers};
use crate::clock::Duration;
use crate::fault::Fault;
use crate::kinematics::Chain;
use crate::units::{JointAccelerations, JointPositions, JointVelocities};
use nalgebra::Isometry3;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<const N: usize> {
    /// Move with this velocity and acceleration. Any value is legal, infinities and NaN included.
    Motion {
        dq: JointVelocities<N>,
        ddq: JointAccelerations<N>,
    },
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

pub struct Safety<const N: usize> {
    chain: Chain<N>,
    limits: Limits<N>,
    certificate: Certificate<N>,
    /// How fast each joint converges to the requested velocity, 1/s.
    bandwidth: [f64; N],
    dt: f64,
    /// `None` until armed.
    tracks: Option<[Track; N]>,
}

impl<const N: usize> Safety<N> {
    /// Disarmed: nothing moves before [`Safety::arm`].
    ///
    /// # Errors
    /// When the workspace has no room, its pose is not finite, or the period is zero.
    pub fn new(
        chain: Chain<N>,
        limits: Limits<N>,
        workspace: Workspace,
        t_base_task: Isometry3<f64>,
        period: Duration,
    ) -> Result<Self, LimitsError> {
        workspace.validate()?;
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
        let certificate = Certificate::new(&chain, workspace, &t_base_task, limits.joints(), dt);
        // Leaving full acceleration, the critically damped law asks for a jerk of ddq_max·w/e: beyond dddq_max it would
        // overshoot. And it is a sampled law, stable and smooth only well below the tick rate.
        let bandwidth = limits
            .joints()
            .map(|j| (2.5 * j.dddq_max / j.ddq_max).min(0.2 / dt));
        Ok(Self {
            chain,
            limits,
            certificate,
            bandwidth,
            dt,
            tracks: None,
        })
    }

    pub fn limits(&self) -> &Limits<N> {
        &self.limits
    }

    /// What was commanded last; `None` until armed.
    pub fn command(&self) -> Option<CommandState<N>> {
        self.tracks.map(|tracks| CommandState {
            q: std::array::from_fn(|i| tracks[i].state.q).into(),
            dq: std::array::from_fn(|i| tracks[i].state.v).into(),
            ddq: std::array::from_fn(|i| tracks[i].state.a).into(),
        })
    }

    /// The command state becomes the measured pose at rest: the next command starts where the arm is.
    ///
    /// # Errors
    /// A fault, and disarmed, when the measured pose is not finite or outside joint limits or workspace.
    pub fn arm(&mut self, measured: &ArmState<N>) -> Result<(), Fault> {
        self.tracks = None;
        let q = &measured.q;
        for (i, bounds) in self.limits.joints().iter().enumerate() {
            let joint = i as u8;
            if !(q[i].is_finite() && measured.dq[i].is_finite()) {
                return Err(Fault::EncoderNotFinite { joint });
            }
            if !(bounds.lower..=bounds.upper).contains(&q[i]) {
                let (lower_rad, upper_rad) = (bounds.lower, bounds.upper);
                return Err(Fault::StartOutsideLimits {
                    joint,
                    q_rad: q[i],
                    lower_rad,
                    upper_rad,
                });
            }
        }
        let distance_m = self.certificate.distance_m(&self.chain, q);
        if distance_m > 0.0 {
            return Err(Fault::StartOutsideWorkspace { distance_m });
        }
        let joints = self.limits.joints();
        self.tracks = Some(std::array::from_fn(|i| Track::at_rest(q[i], &joints[i])));
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
        let mut report = SafetyReport::default();
        let next = match request {
            Request::Motion { dq, ddq } if dq.is_finite() && ddq.is_finite() => {
                self.certified(&tracks, &dq, &ddq, &mut report)
            }
            Request::Motion { .. } => {
                report.limits.insert(LimitSet::NOT_FINITE);
                None
            }
            Request::Stop => None,
        };
        let next = next.unwrap_or_else(|| {
            let resting = tracks.iter().all(|track| track.remaining_s() <= 0.0);
            report.intervention = if resting {
                Intervention::Stopped
            } else {
                Intervention::Stopping
            };
            tracks.map(|track| track.follow(self.dt))
        });
        self.tracks = Some(next);
        let command = SafeCommand {
            q: std::array::from_fn(|i| next[i].state.q).into(),
            dq: std::array::from_fn(|i| next[i].state.v).into(),
            fingers,
        };
        (Verdict::Move(command), report)
    }

    /// The next tracks nearest to the request whose stop is certified; `None` when only the stored stop is.
    fn certified(
        &self,
        tracks: &[Track; N],
        dq: &JointVelocities<N>,
        ddq: &JointAccelerations<N>,
        report: &mut SafetyReport,
    ) -> Option<[Track; N]> {
        const SHRINKS: usize = 4;
        const SHRINK: f64 = 0.4;
        let joints = self.limits.joints();
        let mut wanted = *tracks;
        for i in 0..N {
            let (s, w) = (&tracks[i].state, self.bandwidth[i]);
            // Finite, however large the request: a product that overflows is clamped to the jerk limit.
            let jerk = w * w * (dq[i] - s.v) + 2.0 * w * (ddq[i] - s.a);
            let jerk = if jerk.is_nan() { 0.0 } else { jerk };
            let (track, limits) = tracks[i].propose(&joints[i], jerk, self.dt);
            if limits != LimitSet::default() {
                report.limits.insert(limits);
                report.joints |= 1 << i;
                report.intervention = Intervention::Limited;
            }
            wanted[i] = track;
        }
        match self.certificate.check(&self.chain, &wanted) {
            Ok(()) => return Some(wanted),
            Err(limit) => report.limits.insert(limit),
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
            if self.certificate.check(&self.chain, &shrunk).is_ok() {
                return Some(shrunk);
            }
        }
        None
    }
}
