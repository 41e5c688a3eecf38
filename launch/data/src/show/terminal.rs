//! The report for a terminal: phases, actions, faults, a sparkline for each joint, the way of the tool, the outcome.
//!
//! Not responsible for what the facts are.

use super::facts::{EventKind, Facts};
use super::page::{reason, verdict, warnings};
use crate::timeline::Timeline;
use crate::words::{self, printable};
use std::fmt::{self, Write};

const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARK_COLUMNS: usize = 60;

pub fn text(timeline: &Timeline, facts: &Facts) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let header = &timeline.header;
    let policy = header
        .policy
        .as_ref()
        .map_or("none", |policy| policy.name.as_str());
    let started = facts.started_at_utc.as_deref().unwrap_or("simulated time");
    writeln!(
        out,
        "episode {}  {}",
        printable(&facts.id),
        printable(&facts.task)
    )?;
    writeln!(
        out,
        "{}, policy {}, {}, {:.3} s, {} ticks, {} frames",
        printable(&header.robot.name),
        printable(policy),
        printable(started),
        facts.duration_s,
        facts.ticks,
        facts.frames
    )?;
    writeln!(
        out,
        "\n{}\n  {}",
        verdict(facts).1,
        printable(&reason(facts))
    )?;
    for warning in warnings(facts) {
        writeln!(out, "! {}", printable(&warning))?;
    }
    writeln!(out, "\nphases")?;
    for span in &facts.phases {
        writeln!(
            out,
            "  {:>8.3} to {:>8.3} s  {}",
            span.from_s, span.to_s, span.phase
        )?;
    }
    writeln!(out, "\nevents")?;
    for event in &facts.events {
        let kind = match event.kind {
            EventKind::Fault => "FAULT",
            EventKind::Request => "request",
            EventKind::Warning => "WARNING",
            EventKind::Log => "log",
        };
        writeln!(
            out,
            "  {:>8.3} s  {kind:<8} {}",
            event.at_s,
            printable(&event.text)
        )?;
    }
    actions(facts, &mut out)?;
    joints(timeline, facts, &mut out)?;
    if let Some(tool) = &facts.tool {
        let mm = |point: [f64; 3]| point.map(|x| format!("{:.0}", 1e3 * x)).join(" ");
        writeln!(
            out,
            "\ntool (mm, task frame)\n  from {} to {}, within {} and {}, path {:.3} m",
            mm(tool.start_m),
            mm(tool.end_m),
            mm(tool.lowest_m),
            mm(tool.highest_m),
            tool.path_m
        )?;
    }
    counters(facts, &mut out)?;
    Ok(out)
}

fn actions(facts: &Facts, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\nactions\n  step  decided s    x mm    y mm    z mm   yaw °       Q  verb"
    )?;
    for action in &facts.actions {
        write!(out, "  {:>4}  {:>9.3}", action.step, action.decided_s)?;
        let yaw_deg = action.yaw_rad.to_degrees();
        for value in [
            1e3 * action.x_m,
            1e3 * action.y_m,
            1e3 * action.z_m,
            yaw_deg,
        ] {
            write!(out, " {:>7}", words::decimals(value, 1))?;
        }
        writeln!(
            out,
            " {:>7}  {}",
            words::decimals(action.q_value, 3),
            action.verb
        )?;
    }
    Ok(())
}

fn joints(timeline: &Timeline, facts: &Facts, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\njoints (rad, largest lag in mrad, largest speed as a share of its limit)"
    )?;
    let names = facts.joints.iter().map(|joint| printable(&joint.name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for (k, joint) in facts.joints.iter().enumerate() {
        let values = timeline
            .ticks
            .iter()
            .map(|tick| tick.measured.map_or(f64::NAN, |state| state.q[k]));
        let number = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let share = joint.speed_share_max.map(|share| 100.0 * share);
        writeln!(
            out,
            "  {:<width$} {} {:>7} to {:>7} {:>7} {:>4} %",
            printable(&joint.name),
            sparkline(&values.collect::<Vec<_>>()),
            number(joint.lowest_rad, 3),
            number(joint.highest_rad, 3),
            number(joint.lag_rad_max.map(|lag| 1e3 * lag), 1),
            number(share, 0)
        )?;
    }
    Ok(())
}

fn counters(facts: &Facts, out: &mut String) -> fmt::Result {
    let counters = &facts.counters;
    writeln!(out, "\ncounters")?;
    for (name, count) in [
        ("missed ticks", counters.missed_ticks),
        ("failed reads", counters.failed_reads),
        ("reused samples", counters.reused_samples),
        ("late decisions", counters.late_decisions),
        ("clamped actions", counters.clamped_actions),
        ("refused requests", counters.refused_requests),
        ("dropped steps", counters.dropped_steps),
        ("dropped frames", counters.dropped_frames),
    ] {
        writeln!(out, "  {name:<17} {count}")?;
    }
    for (name, ticks) in &facts.limiter.interventions {
        writeln!(out, "  limiter {name:<9} {ticks} ticks")?;
    }
    for (name, ticks) in &facts.limiter.limits {
        writeln!(out, "  limit {:<11} {ticks} ticks", name.replace('_', " "))?;
    }
    if let Some(jitter) = facts.jitter_us {
        writeln!(
            out,
            "  jitter p50 {:.0}, p99 {:.0}, max {:.0} us",
            jitter.p50, jitter.p99, jitter.max
        )?;
    }
    let code = &facts.lineage["visuomotor.code"];
    let commit = code.get("git_commit").map_or("", String::as_str);
    let version = code.get("version").map_or("", String::as_str);
    writeln!(
        out,
        "recorded by {} ({})",
        printable(version),
        printable(words::short(commit))
    )
}

/// In each column the value that is furthest from the mean, so that spikes are seen; a blank where there is none.
fn sparkline(values: &[f64]) -> String {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let count = values.iter().filter(|value| value.is_finite()).count() as f64;
    let mean: f64 = values
        .iter()
        .filter(|value| value.is_finite())
        .map(|value| value / count)
        .sum();
    let columns = SPARK_COLUMNS.min(values.len().max(1));
    let spark = |column: usize| {
        let part = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
        let finite = part.iter().copied().filter(|value| value.is_finite());
        let furthest = finite.max_by(|a, b| (a - mean).abs().total_cmp(&(b - mean).abs()))?;
        let share = if high > low {
            (furthest - low) / (high - low)
        } else {
            0.0
        };
        SPARKS.get((share * 7.0).round() as usize).copied()
    };
    let line: String = (0..columns)
        .map(|column| spark(column).unwrap_or(' '))
        .collect();
    format!("{line:<SPARK_COLUMNS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_of_one_tick_is_seen() {
        let mut values = vec![0.0; 6000];
        values[3017] = 1.0;
        values[1] = f64::NAN;
        let line = sparkline(&values);
        assert_eq!(line.chars().count(), SPARK_COLUMNS);
        assert_eq!(line.chars().position(|c| c == '█'), Some(30));
        assert_eq!(line.matches('▁').count(), SPARK_COLUMNS - 1);
    }

    #[test]
    fn any_values_make_a_line() {
        for values in [
            vec![],
            vec![f64::NAN; 3],
            vec![1.0],
            vec![f64::MAX, f64::MIN],
            vec![f64::INFINITY, 2.0],
        ] {
            assert_eq!(
                sparkline(&values).chars().count(),
                SPARK_COLUMNS,
                "{values:?}"
            );
        }
    }
}
