//! One joint's command and its stored way to rest: the invariant that the whole filter is built on.
//!
//! A [`Track`] only ever comes from rest, from [`Track::attempt`] (checked), or from [`Track::follow`] (the next sample
//! of a plan that was checked). So the limits hold whatever is asked.

use super::limits::JointBounds;
use super::report::LimitSet;
use super::steer::Range;
use super::stop_plan::{Extent, JointState, StopPlan};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Track {
    pub state: JointState,
    plan: StopPlan,
    /// Of the whole plan, which includes what remains of it.
    pub extent: Extent,
    /// How far into the plan `state` is, s.
    elapsed_s: f64,
}

impl Track {
    pub fn at_rest(q: f64, bounds: &JointBounds) -> Self {
        Self::new(JointState { q, v: 0.0, a: 0.0 }, bounds)
    }

    #[inline]
    fn new(state: JointState, bounds: &JointBounds) -> Self {
        Self::with_plan(state, StopPlan::new(state, bounds))
    }

    #[inline]
    fn with_plan(state: JointState, plan: StopPlan) -> Self {
        Self {
            state,
            plan,
            extent: plan.extent(),
            elapsed_s: 0.0,
        }
    }

    /// The same state with a stop that takes about `duration_s`, where the limits allow it; else unchanged.
    #[inline]
    pub fn stopping_in(&self, bounds: &JointBounds, duration_s: f64) -> Self {
        let slow = Self::with_plan(
            self.state,
            StopPlan::lasting(self.state, bounds, duration_s),
        );
        if violated(&slow.extent, bounds).is_none() {
            slow
        } else {
            *self
        }
    }

    /// The state `t` seconds ahead if the joint stops.
    #[inline]
    pub fn ahead(&self, t: f64) -> JointState {
        self.plan.at(self.elapsed_s + t)
    }

    /// How long the joint still moves if it stops.
    pub fn remaining_s(&self) -> f64 {
        (self.plan.duration_s() - self.elapsed_s).max(0.0)
    }

    /// The next sample of the stored plan.
    #[inline]
    pub fn follow(&self, dt: f64) -> Self {
        Self {
            state: self.ahead(dt),
            elapsed_s: self.elapsed_s + dt,
            ..*self
        }
    }

    /// One period of constant jerk, if the limits hold inside it and along the stop that follows it.
    ///
    /// The present state is not checked again: it holds up to rounding, and must not bar the way back.
    #[inline]
    pub fn attempt(&self, bounds: &JointBounds, jerk: f64, dt: f64) -> Result<Self, LimitSet> {
        let mut next = self.state.advance(jerk, dt);
        if next.a.abs() > bounds.ddq_max {
            if next.a.abs() > bounds.ddq_max * (1.0 + 1e-12) {
                return Err(LimitSet::ACCELERATION);
            }
            next.a = bounds.ddq_max.copysign(next.a);
        }
        let mut tick = Extent::of(&next);
        tick.add(&self.state, jerk, dt);
        let track = Self::new(next, bounds);
        for extent in [&tick, &track.extent] {
            if let Some(limit) = violated(extent, bounds) {
                return Err(limit);
            }
        }
        Ok(track)
    }

    /// The jerks between which the limits hold, as far as bisection sees.
    ///
    /// More jerk leads to more of everything, so what lies between two that keep the limits keeps them too.
    pub fn jerk_range(&self, bounds: &JointBounds, dt: f64) -> Range {
        const BISECTIONS: usize = 6;
        let stopping = self.mean_jerk(&self.follow(dt), dt);
        let end = |by_acceleration: f64, by_jerk: f64| {
            let (outermost, mut limit) = if by_acceleration.abs() < by_jerk.abs() {
                (by_acceleration, LimitSet::ACCELERATION)
            } else {
                (by_jerk, LimitSet::JERK)
            };
            let (mut good, mut bad) = (stopping, outermost);
            for bisection in 0..=BISECTIONS {
                let tried = if bisection == 0 {
                    outermost
                } else {
                    0.5 * (good + bad)
                };
                match self.attempt(bounds, tried, dt) {
                    Ok(_) if bisection == 0 => return (outermost, limit),
                    Ok(_) => good = tried,
                    Err(violated) => (bad, limit) = (tried, violated),
                }
            }
            (good, limit)
        };
        let (a, ddq_max) = (self.state.a, bounds.ddq_max);
        let (least, below) = end((-ddq_max - a) / dt, -bounds.dddq_max);
        let (most, above) = end((ddq_max - a) / dt, bounds.dddq_max);
        Range {
            least: least.min(stopping),
            most: most.max(stopping),
            below,
            above,
        }
    }

    /// As much as possible of the way from the stored plan to `jerk`, and what limited it.
    #[inline]
    pub fn propose(&self, bounds: &JointBounds, jerk: f64, dt: f64) -> (Self, LimitSet) {
        const BISECTIONS: usize = 8;
        let mut limits = LimitSet::default();
        let within_jerk = jerk.clamp(-bounds.dddq_max, bounds.dddq_max);
        if within_jerk != jerk {
            limits.insert(LimitSet::JERK);
        }
        let (least, most) = (
            (-bounds.ddq_max - self.state.a) / dt,
            (bounds.ddq_max - self.state.a) / dt,
        );
        // Not `clamp`: rounding may leave `least` above `most` by nothing.
        let wanted = within_jerk.max(least).min(most);
        if wanted != within_jerk {
            limits.insert(LimitSet::ACCELERATION);
        }
        match self.attempt(bounds, wanted, dt) {
            Ok(track) => return (track, limits),
            Err(limit) => limits.insert(limit),
        }
        let stored = self.follow(dt);
        let stopping = self.mean_jerk(&stored, dt);
        let Ok(mut best) = self.attempt(bounds, stopping, dt) else {
            return (stored, limits);
        };
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            match self.attempt(bounds, stopping + middle * (wanted - stopping), dt) {
                Ok(track) => {
                    best = track;
                    low = middle;
                }
                Err(_) => high = middle,
            }
        }
        (best, limits)
    }

    /// What lies between two times ahead if the joint stops.
    pub fn extent_ahead(&self, from: f64, to: f64) -> Extent {
        self.plan
            .extent_between(self.elapsed_s + from, self.elapsed_s + to)
    }

    /// How far the joint still gets if it stops, in either direction.
    pub fn travel(&self) -> f64 {
        (self.extent.upper - self.state.q).max(self.state.q - self.extent.lower)
    }

    /// The constant jerk of the tick that leads to the next track; `None` where it is a piece of the stored stop, whose jerk
    /// may change.
    pub fn jerk_to(&self, next: &Self, dt: f64) -> Option<f64> {
        (self.ahead(dt) != next.state).then(|| self.mean_jerk(next, dt))
    }

    /// The constant jerk that leads to the next track's acceleration.
    pub fn mean_jerk(&self, next: &Self, dt: f64) -> f64 {
        (next.state.a - self.state.a) / dt
    }
}

/// Comparisons that NaN fails.
#[inline]
fn violated(extent: &Extent, bounds: &JointBounds) -> Option<LimitSet> {
    let keeps_velocity = extent.speed_max <= bounds.dq_max;
    let keeps_position = extent.lower >= bounds.lower && extent.upper <= bounds.upper;
    match (keeps_velocity, keeps_position) {
        (false, _) => Some(LimitSet::VELOCITY),
        (true, false) => Some(LimitSet::POSITION),
        (true, true) => None,
    }
}
