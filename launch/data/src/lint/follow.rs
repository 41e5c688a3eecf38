//! How the measured joints follow the commanded ones: by how much later, and how far beside.
//!
//! Not responsible for single jumps ([`super::joints`]).
//!
//! For each joint `measured - commanded = offset - lag * commanded velocity`, by least squares over the episode. The lag is
//! the middle one of the joints that move: it is the way to the drive and back, and one bad encoder must not make it.

use super::{Finding, Kind, View, median};

/// Several control periods, and a tenth of what a policy that decides 4 times a second has.
const LAG_MAX_S: f64 = 0.020;
/// What a load bends stays below; 1 cm at the end of an arm of 1 m.
const OFFSET_MAX_RAD: f64 = 0.01;
/// Farther apart it is no following; the runtime's watchdog on tracking has its say about that.
const APART_MAX_RAD: f64 = 0.5;
/// Variance of a joint's commanded speed below which its motion cannot tell a lag, rad²/s².
const MOTION_MIN: f64 = 1e-3;
const TICKS_MIN: usize = 200;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let ticks = view.timeline.ticks.iter();
    let pairs: Vec<_> = ticks
        .filter_map(|tick| Some((tick.measured.ok()?, tick.commanded?)))
        .collect();
    if pairs.len() < TICKS_MIN {
        return Vec::new();
    }
    // (error, commanded speed) of every tick, a list for each joint.
    let mut joints: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut lags_s = Vec::new();
    for joint in 0..pairs[0].0.q.len() {
        let of_joint = pairs.iter().filter_map(|(measured, commanded)| {
            let error = measured.q.get(joint)? - commanded.q.get(joint)?;
            let speed = *commanded.dq.get(joint)?;
            (error.abs() < APART_MAX_RAD && speed.is_finite()).then_some((error, speed))
        });
        let of_joint: Vec<_> = of_joint.collect();
        let count = of_joint.len().max(1) as f64;
        let mean_error = of_joint.iter().map(|(error, _)| error).sum::<f64>() / count;
        let mean_speed = of_joint.iter().map(|(_, speed)| speed).sum::<f64>() / count;
        let (mut both, mut square) = (0.0, 0.0);
        // Centred: then the offset falls out of the fit.
        for (error, speed) in &of_joint {
            both += (error - mean_error) * (speed - mean_speed) / count;
            square += (speed - mean_speed).powi(2) / count;
        }
        if square > MOTION_MIN {
            lags_s.push(-both / square);
        }
        joints.push(of_joint);
    }
    let lag_s = median(lags_s).unwrap_or(0.0);
    if lag_s.abs() > LAG_MAX_S {
        let finding = Finding::new(Kind::FollowerLag, view.all());
        // What is out of step is beside nothing in particular.
        return vec![finding.measured("lag_ms", 1e3 * lag_s)];
    }
    let mut findings = Vec::new();
    for (joint, of_joint) in joints.into_iter().enumerate() {
        let beside = of_joint
            .into_iter()
            .map(|(error, speed)| error + lag_s * speed);
        let offset = median(beside).unwrap_or(0.0);
        if offset.abs() > OFFSET_MAX_RAD {
            let finding = Finding::new(Kind::FollowerOffset, view.all()).with("joint", joint + 1);
            findings.push(finding.measured("offset_rad", offset));
        }
    }
    findings
}
