//! Defects of joints, commands and actions.
//!
//! Not responsible for when they happen: stamps stay as they are.

use super::{Draft, Random};
use crate::timeline::Measured;
use rand::RngExt;
use visuomotor_runtime::arm::ArmError;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::Intervention;

type Span = Option<(f64, f64)>;

/// 1 to 50 ticks.
pub fn not_finite(draft: &mut Draft, random: &mut Random) -> Span {
    let count = random.random_range(1..=50);
    let first = draft.some_ticks(count, random)?;
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][random.random_range(0..3)];
    let (place, share) = (random.random_range(0..4), random.random_range(0.0..1.0));
    for tick in &mut draft.timeline.ticks[first..first + count] {
        let (measured, commanded) = (tick.measured.as_mut().ok()?, tick.commanded.as_mut()?);
        let numbers: &mut [f64] = match place {
            0 => &mut measured.q,
            1 => &mut measured.dq,
            2 => &mut measured.tau,
            _ => &mut commanded.q,
        };
        let joint = (share * numbers.len() as f64) as usize;
        numbers[joint] = bad;
    }
    Some((draft.tick_s(first), draft.tick_s(first + count - 1)))
}

/// One encoder, 0.055 to 0.6 rad away for 1 to 40 ticks.
pub fn jump(draft: &mut Draft, random: &mut Random) -> Span {
    let count = random.random_range(1..=40);
    let first = draft.some_ticks(count, random)?;
    let sign = if random.random_bool(0.5) { 1.0 } else { -1.0 };
    let jump_rad = sign * random.random_range(0.055..0.6);
    let share = random.random_range(0.0..1.0);
    for tick in &mut draft.timeline.ticks[first..first + count] {
        let q = &mut tick.measured.as_mut().ok()?.q;
        let joint = (share * q.len() as f64) as usize;
        q[joint] += jump_rad;
    }
    Some((draft.tick_s(first), draft.tick_s(first + count)))
}

/// One sample again and again, for 26 to 200 ticks.
pub fn hold_sample(draft: &mut Draft, random: &mut Random) -> Span {
    let count = random.random_range(26..200);
    let first = draft.some_ticks(count, random)?;
    let held = draft.timeline.ticks[first].measured;
    for tick in &mut draft.timeline.ticks[first..first + count] {
        tick.measured = held;
    }
    Some((draft.tick_s(first), draft.tick_s(first + count - 1)))
}

pub fn fail_reads(draft: &mut Draft, random: &mut Random) -> Span {
    let count = random.random_range(22..200);
    let first = draft.some_ticks(count, random)?;
    for tick in &mut draft.timeline.ticks[first..first + count] {
        tick.measured = Err(ArmError::NoAnswer);
    }
    Some((draft.tick_s(first), draft.tick_s(first + count - 1)))
}

/// What is commanded comes 24 to 150 ms before what is measured; the other way round the camera would be late as well.
pub fn lag(draft: &mut Draft, random: &mut Random) -> Span {
    let lag = random.random_range(24..150);
    let ticks = &mut draft.timeline.ticks;
    let commanded: Vec<_> = ticks.iter().filter_map(|tick| tick.commanded).collect();
    if commanded.len() != ticks.len() {
        return None;
    }
    for (k, tick) in ticks.iter_mut().enumerate() {
        tick.commanded = commanded.get(k + lag).or(commanded.last()).copied();
    }
    Some(draft.all())
}

/// One joint, 0.011 to 0.1 rad.
pub fn offset(draft: &mut Draft, random: &mut Random) -> Span {
    let sign = if random.random_bool(0.5) { 1.0 } else { -1.0 };
    let offset_rad = sign * random.random_range(0.011..0.1);
    let share = random.random_range(0.0..1.0);
    for tick in &mut draft.timeline.ticks {
        if let Ok(Measured { q, .. }) = &mut tick.measured {
            let joint = (share * q.len() as f64) as usize;
            q[joint] += offset_rad;
        }
    }
    Some(draft.all())
}

/// 72 to 100 % of the actions, evenly.
pub fn clip(draft: &mut Draft, random: &mut Random) -> Span {
    let share = random.random_range(0.72..1.0);
    let clipped = share * draft.timeline.decisions.len() as f64;
    let count = draft.timeline.ticks.len() as f64 - 1.0;
    let before = draft.timeline.ticks.first()?.counters.clamped_actions;
    for (k, tick) in draft.timeline.ticks.iter_mut().enumerate() {
        tick.counters.clamped_actions = before + (clipped.ceil() * k as f64 / count) as u64;
    }
    (draft.timeline.decisions.len() >= 3).then(|| draft.all())
}

/// 53 to 100 % of the policy's commands.
pub fn limit(draft: &mut Draft, random: &mut Random) -> Span {
    let share = random.random_range(0.53..1.0);
    let mut commands = 0;
    for tick in &mut draft.timeline.ticks {
        let wanted = tick.phase == Phase::Policy;
        commands += usize::from(wanted);
        tick.report.intervention = match tick.report.intervention {
            Intervention::Limited | Intervention::Shrunk if wanted => Intervention::Nothing,
            intervention => intervention,
        };
        if wanted && random.random_bool(share) {
            tick.report.intervention = Intervention::Limited;
        }
    }
    (commands > 300).then(|| draft.all())
}
