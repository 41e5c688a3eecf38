//! How one joint comes to rest: three phases of constant jerk, in closed form.
//!
//! Not responsible for whether that is allowed: the plan only says where it leads ([`StopPlan::extent`]).

use super::limits::JointBounds;

/// Position, velocity and acceleration of one joint: rad, rad/s, rad/s².
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JointState {
    pub q: f64,
    pub v: f64,
    pub a: f64,
}

impl JointState {
    /// The state after `t` seconds of constant jerk.
    #[inline]
    pub fn advance(&self, jerk: f64, t: f64) -> Self {
        Self {
            q: self.q + t * (self.v + t * (0.5 * self.a + t * jerk / 6.0)),
            v: self.v + t * (self.a + 0.5 * t * jerk),
            a: self.a + t * jerk,
        }
    }
}

/// What a motion passes through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    pub lower: f64,
    pub upper: f64,
    pub speed_max: f64,
    pub acceleration_max: f64,
}

impl Extent {
    pub fn of(state: &JointState) -> Self {
        Self {
            lower: state.q,
            upper: state.q,
            speed_max: state.v.abs(),
            acceleration_max: state.a.abs(),
        }
    }

    /// Adds `t` seconds of constant jerk from `s`, without their start: the roots of velocity bound the position, the
    /// root of acceleration bounds the speed.
    #[inline]
    pub fn add(&mut self, s: &JointState, jerk: f64, t: f64) {
        let end = s.advance(jerk, t);
        self.lower = self.lower.min(end.q);
        self.upper = self.upper.max(end.q);
        self.speed_max = self.speed_max.max(end.v.abs());
        self.acceleration_max = self.acceleration_max.max(end.a.abs());
        if jerk != 0.0 {
            let still = -s.a / jerk;
            if still > 0.0 && still < t {
                self.speed_max = self.speed_max.max(s.advance(jerk, still).v.abs());
            }
            let discriminant = s.a * s.a - 2.0 * jerk * s.v;
            if discriminant > 0.0 {
                let root = discriminant.sqrt();
                self.add_turn(s, jerk, (-s.a + root) / jerk, t);
                self.add_turn(s, jerk, (-s.a - root) / jerk, t);
            }
        } else if s.a != 0.0 {
            self.add_turn(s, 0.0, -s.v / s.a, t);
        }
    }

    #[inline]
    fn add_turn(&mut self, s: &JointState, jerk: f64, turn: f64, t: f64) {
        if turn > 0.0 && turn < t {
            let q = s.advance(jerk, turn).q;
            self.lower = self.lower.min(q);
            self.upper = self.upper.max(q);
        }
    }
}

/// The fastest way to rest under acceleration and jerk limits: a trapezoid of acceleration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopPlan {
    start: JointState,
    /// Jerk of the first phase; the second has none, the third has its opposite.
    jerk: f64,
    /// Ends of the phases, s.
    ends: [f64; 3],
    second: JointState,
    third: JointState,
    rest: f64,
}

impl StopPlan {
    /// For |a| <= ddq_max the plan keeps the acceleration and jerk limits, whatever the velocity.
    #[inline]
    pub fn new(start: JointState, bounds: &JointBounds) -> Self {
        let (ddq_max, dddq_max) = (bounds.ddq_max, bounds.dddq_max);
        // The velocity that would remain if the acceleration went straight to zero gives the direction to brake in.
        let remaining = start.v + start.a * start.a.abs() / (2.0 * dddq_max);
        let sign = if remaining >= 0.0 { 1.0 } else { -1.0 };
        let (v, a) = (sign * start.v, sign * start.a);
        // Peak deceleration of a triangle; the maxima only matter to rounding.
        let mut peak = (dddq_max * v + 0.5 * a * a)
            .max(0.0)
            .sqrt()
            .max(-a)
            .max(0.0);
        let mut hold = 0.0;
        if peak > ddq_max {
            peak = ddq_max.max(-a);
            hold = ((v + a * a / (2.0 * dddq_max) - peak * peak / dddq_max) / peak).max(0.0);
        }
        let ramp = ((a + peak) / dddq_max).max(0.0);
        let release = peak / dddq_max;
        let jerk = -sign * dddq_max;
        let second = start.advance(jerk, ramp);
        let third = second.advance(0.0, hold);
        let ends = [ramp, ramp + hold, ramp + hold + release];
        Self {
            start,
            jerk,
            ends,
            second,
            third,
            rest: third.advance(-jerk, release).q,
        }
    }

    /// A gentler way to rest that takes about `duration_s`: the jerk for which a triangle, else a trapezoid, of
    /// acceleration lasts that long. Never harder than [`StopPlan::new`].
    #[inline]
    pub fn lasting(start: JointState, bounds: &JointBounds, duration_s: f64) -> Self {
        /// Below this share of the jerk limit nothing is gained: such a joint hardly moves.
        const JERK_SHARE_MIN: f64 = 0.01;
        let (t, ddq_max) = (duration_s, bounds.ddq_max);
        let remaining = start.v + start.a * start.a.abs() / (2.0 * bounds.dddq_max);
        let sign = if remaining >= 0.0 { 1.0 } else { -1.0 };
        let (v, a) = (sign * start.v, sign * start.a);
        // (t·j - a)² = 4·j·v + 2·a², from t = (a + 2·peak)/j and peak² = j·v + a²/2.
        let half = a * t + 2.0 * v;
        let triangle = (half + (half * half + t * t * a * a).sqrt()) / (t * t);
        let jerk = if triangle * v + 0.5 * a * a > ddq_max * ddq_max {
            (a + ddq_max + a * a / (2.0 * ddq_max)) / (t - v / ddq_max)
        } else {
            triangle
        };
        // What brakes already comes to rest by itself: gentler than that it would run through zero and back.
        let jerk = if a < 0.0 {
            jerk.max(a * a / (2.0 * v))
        } else {
            jerk
        };
        // Not `clamp`: a duration that is too short gives a negative or undefined jerk, and the limit is meant.
        let least = JERK_SHARE_MIN * bounds.dddq_max;
        let dddq_max = if jerk > 0.0 {
            jerk.max(least).min(bounds.dddq_max)
        } else {
            bounds.dddq_max
        };
        Self::new(
            start,
            &JointBounds {
                dddq_max,
                ..*bounds
            },
        )
    }

    pub fn duration_s(&self) -> f64 {
        self.ends[2]
    }

    /// The state `t` seconds after the start; at rest after the end.
    #[inline]
    pub fn at(&self, t: f64) -> JointState {
        if t < self.ends[0] {
            self.start.advance(self.jerk, t)
        } else if t < self.ends[1] {
            self.second.advance(0.0, t - self.ends[0])
        } else if t < self.ends[2] {
            self.third.advance(-self.jerk, t - self.ends[1])
        } else {
            JointState {
                q: self.rest,
                v: 0.0,
                a: 0.0,
            }
        }
    }

    /// Everything between start and rest, both included.
    #[inline]
    pub fn extent(&self) -> Extent {
        let mut extent = Extent::of(&self.start);
        extent.add(&self.start, self.jerk, self.ends[0]);
        extent.add(&self.second, 0.0, self.ends[1] - self.ends[0]);
        extent.add(&self.third, -self.jerk, self.ends[2] - self.ends[1]);
        extent
    }

    /// Everything between two times after the start, both included, s.
    pub fn extent_between(&self, from: f64, to: f64) -> Extent {
        let mut extent = Extent::of(&self.at(from));
        let mut begin = 0.0;
        for (end, jerk) in self.ends.into_iter().zip([self.jerk, 0.0, -self.jerk]) {
            let (first, last) = (from.max(begin), to.min(end));
            if first < last {
                extent.add(&self.at(first), jerk, last - first);
            }
            begin = end;
        }
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: JointBounds = JointBounds {
        lower: -2.0,
        upper: 2.0,
        dq_max: 1.5,
        ddq_max: 15.0,
        dddq_max: 1000.0,
    };

    fn state() -> impl Strategy<Value = JointState> {
        let v = prop_oneof![Just(0.0), -1e-6..1e-6, -3.0..3.0];
        let a = prop_oneof![Just(0.0), Just(15.0), Just(-15.0), -15.0..15.0];
        (-2.0..2.0, v, a).prop_map(|(q, v, a)| JointState { q, v, a })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_continuous_within_limits_and_ends_at_rest(start in state()) {
            let plan = StopPlan::new(start, &BOUNDS);
            let extent = plan.extent();
            let steps = 2000;
            let dt = (plan.duration_s() + 1e-3) / f64::from(steps);
            let mut last = plan.at(0.0);
            prop_assert!((last.q - start.q).abs() < 1e-12 && (last.v - start.v).abs() < 1e-9);
            for k in 1..=steps {
                let s = plan.at(f64::from(k) * dt);
                prop_assert!(s.a.abs() <= BOUNDS.ddq_max + 1e-9);
                prop_assert!((s.a - last.a).abs() <= BOUNDS.dddq_max * dt + 1e-6);
                prop_assert!((s.v - last.v).abs() <= BOUNDS.ddq_max * dt + 1e-9);
                prop_assert!((s.q - last.q - last.v * dt).abs() <= 0.5 * BOUNDS.ddq_max * dt * dt + 1e-9);
                prop_assert!((extent.lower - 1e-12..=extent.upper + 1e-12).contains(&s.q));
                prop_assert!(s.v.abs() <= extent.speed_max + 1e-12 && s.a.abs() <= extent.acceleration_max + 1e-12);
                last = s;
            }
            prop_assert_eq!((last.v, last.a), (0.0, 0.0));
        }

        /// What remains of a plan is itself a fastest stop: otherwise stopping could be put off for ever.
        #[test]
        fn what_remains_of_a_plan_is_no_longer_than_the_plan(start in state(), share in 0.0..1.0) {
            let plan = StopPlan::new(start, &BOUNDS);
            let t = share * plan.duration_s();
            let rest = StopPlan::new(plan.at(t), &BOUNDS);
            prop_assert!((rest.duration_s() - (plan.duration_s() - t)).abs() < 1e-6);
            prop_assert!((rest.at(1e3).q - plan.at(1e3).q).abs() < 1e-9);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_gentler_stop_lasts_as_long_as_asked(v in 0.05..1.5, a in -3.0..15.0, factor in 1.0..3.0) {
            let start = JointState { q: 0.0, v, a };
            let duration_s = factor * StopPlan::new(start, &BOUNDS).duration_s();
            let plan = StopPlan::lasting(start, &BOUNDS, duration_s);
            prop_assert!((plan.duration_s() - duration_s).abs() < 1e-9, "{} {duration_s}", plan.duration_s());
            prop_assert!(plan.extent().acceleration_max <= BOUNDS.ddq_max + 1e-9);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_gentler_stop_of_what_brakes_already_does_not_turn_back(
            a in -15.0..0.0, share in 0.01..1.0, factor in 1.0..30.0, sign in prop::sample::select(vec![-1.0, 1.0]),
        ) {
            // At full jerk it would come to rest in time; a share of 1 only just.
            let v = a * a / (2.0 * BOUNDS.dddq_max * share);
            let start = JointState { q: 0.0, v: sign * v, a: sign * a };
            let duration_s = factor * StopPlan::new(start, &BOUNDS).duration_s();
            let plan = StopPlan::lasting(start, &BOUNDS, duration_s);
            prop_assert!(plan.duration_s() <= duration_s + 1e-6, "{} {duration_s}", plan.duration_s());
            for k in 0..=100 {
                let speed = sign * plan.at(f64::from(k) * 0.01 * plan.duration_s()).v;
                prop_assert!((-1e-6..=v + 1e-6).contains(&speed), "{speed}");
            }
        }
    }

    #[test]
    fn extent_sees_turns_between_samples() {
        let mut extent = Extent::of(&JointState::default());
        let s = JointState {
            q: 0.0,
            v: 0.1,
            a: -1.0,
        };
        extent.add(&s, 0.0, 0.2);
        assert!(
            (extent.upper - 0.005).abs() < 1e-12 && extent.lower.abs() < 1e-12,
            "{extent:?}"
        );
        let s = JointState {
            q: 0.0,
            v: 0.0,
            a: 1.0,
        };
        extent.add(&s, -10.0, 0.2);
        assert!((extent.speed_max - 0.1).abs() < 1e-12, "{extent:?}");
    }
}
