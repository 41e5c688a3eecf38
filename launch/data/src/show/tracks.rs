//! What is drawn along the time line: which lanes and which charts an episode has, and from which of its records.
//!
//! Not responsible for how a lane or a chart looks.

use super::chart::{Chart, Curve, Style};
use super::lanes::{Labelled, Lane, spans};
use super::timescale::TimeScale;
use crate::robot::RobotModel;
use crate::timeline::{Tick, Timeline};
use crate::words;
use std::f64::consts::{PI, TAU};
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{Intervention, LimitSet, OperatingMode};

/// Ticks that are further apart, s, have something missing between them.
const TICK_GAP_S: f64 = 0.02;
/// Observations and actions come a few times a second.
const ACTION_GAP_S: f64 = 2.0;

const BLUE: usize = 0;
const ORANGE: usize = 1;
const GREEN: usize = 2;

pub fn lanes(timeline: &Timeline) -> Vec<Lane> {
    let mut lanes = vec![phases(timeline), verbs(timeline)];
    let ticks = |is: &dyn Fn(&Tick) -> bool| {
        spans(
            timeline
                .ticks
                .iter()
                .map(|tick| (timeline.seconds(tick.due), is(tick))),
        )
    };
    lanes.push(Lane::same(
        "fingers commanded closed",
        "closed",
        ticks(&|tick| {
            tick.commanded
                .is_some_and(|command| command.fingers == Fingers::Closed)
        }),
    ));
    for (intervention, name, class) in [
        (
            Intervention::Limited,
            "limiter: clamped joint by joint",
            "limited",
        ),
        (
            Intervention::Shrunk,
            "limiter: pulled toward the stop",
            "shrunk",
        ),
        (Intervention::Stopping, "limiter: stopping", "stopping"),
        (
            Intervention::Stopped,
            "limiter: at rest after a stop",
            "stopped",
        ),
    ] {
        lanes.push(Lane::same(
            name,
            class,
            ticks(&|tick| tick.report.intervention == intervention),
        ));
    }
    for bit in 0..u16::BITS {
        let limit = LimitSet(1 << bit);
        let name = format!("limit: {}", limit.to_string().replace('_', " "));
        lanes.push(Lane::same(
            name,
            "limit",
            ticks(&|tick| tick.report.limits.contains(limit)),
        ));
    }
    lanes.push(Lane::same(
        "stopped without command",
        "off",
        ticks(&|tick| tick.stop.is_some()),
    ));
    lanes.push(Lane::same(
        "fault latched",
        "fault",
        ticks(&|tick| tick.fault.is_some()),
    ));
    lanes.push(Lane::same(
        "arm not read",
        "fault",
        ticks(&|tick| tick.measured.is_err()),
    ));
    lanes.push(Lane::same(
        "manual mode",
        "manual",
        ticks(&|tick| tick.mode == OperatingMode::Manual),
    ));
    lanes.push(Lane::same(
        "moved by hand",
        "manual",
        ticks(&|tick| matches!(tick.request, Some(Request::Jog(_)))),
    ));
    let missed = timeline.ticks.iter().filter(|tick| tick.missed > 0);
    lanes.push(Lane::same(
        "deadlines missed",
        "fault",
        moments(timeline, missed.map(|tick| tick.due)),
    ));
    let frames = timeline.frames.iter().map(|frame| frame.captured_at);
    lanes.push(Lane::same(
        "frames captured",
        "moment",
        moments(timeline, frames),
    ));
    let looks = timeline
        .observations
        .iter()
        .map(|record| record.observed_at);
    lanes.push(Lane::same(
        "policy looked",
        "moment",
        moments(timeline, looks),
    ));
    lanes.push(annotations(timeline));
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

fn moments(
    timeline: &Timeline,
    times: impl Iterator<Item = visuomotor_runtime::clock::Instant>,
) -> Vec<(f64, f64)> {
    let seconds = times.map(|at| timeline.seconds(at));
    seconds.map(|at| (at, at)).collect()
}

fn phases(timeline: &Timeline) -> Lane {
    let mut labelled: Vec<Labelled> = Vec::new();
    for tick in &timeline.ticks {
        let (at, label) = (timeline.seconds(tick.due), words::phase(tick.phase));
        if let Some(last) = labelled.last_mut() {
            last.to_s = at;
            if last.label == label {
                continue;
            }
        }
        labelled.push(Labelled {
            from_s: at,
            to_s: at,
            class: phase_class(tick.phase),
            label: label.to_owned(),
        });
    }
    Lane::labelled("phase", labelled)
}

fn phase_class(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle | Phase::Ending => "idle",
        Phase::Hold => "hold",
        Phase::Approach => "approach",
        Phase::Policy => "policy",
        Phase::Inward => "inward",
        Phase::Teleop => "manual",
        Phase::Stopping(_) => "stopping",
        Phase::Stopped(_) => "stopped",
    }
}

/// From each decision to the next one.
fn verbs(timeline: &Timeline) -> Lane {
    let decisions = &timeline.decisions;
    let spans = decisions.iter().enumerate().map(|(k, record)| {
        let from_s = timeline.seconds(record.decided_at);
        let next = decisions
            .get(k + 1)
            .map(|next| timeline.seconds(next.decided_at));
        let verb = record.decision.action.verb;
        Labelled {
            from_s,
            // The last one lasts as long as the policy's usual period does.
            to_s: next.unwrap_or(from_s + 0.2),
            class: match verb {
                Verb::Move => "move",
                Verb::Close => "closed",
                Verb::Open => "open",
                Verb::Terminate => "terminate",
            },
            label: words::verb(verb).to_owned(),
        }
    });
    Lane::labelled("action", spans.collect())
}

fn annotations(timeline: &Timeline) -> Lane {
    let spans = timeline.annotations.iter().map(|annotation| Labelled {
        from_s: timeline.seconds(annotation.from),
        to_s: timeline.seconds(annotation.to),
        class: "manual",
        label: annotation.label.clone(),
    });
    Lane::labelled("annotation", spans.collect())
}

pub struct Group {
    pub title: &'static str,
    pub charts: Vec<Chart>,
}

pub fn groups(timeline: &Timeline, scale: &TimeScale, model: Option<&RobotModel>) -> Vec<Group> {
    let mut groups = vec![
        Group {
            title: "Policy",
            charts: policy(timeline, scale),
        },
        Group {
            title: "Tool, task frame",
            charts: tool(timeline, scale, model),
        },
        Group {
            title: "Joints",
            charts: joints(timeline, scale, model),
        },
        Group {
            title: "Loop",
            charts: timing(timeline, scale),
        },
    ];
    for group in &mut groups {
        group
            .charts
            .retain(|chart| chart.curves.iter().any(|curve| !curve.is_empty()));
    }
    groups.retain(|group| !group.charts.is_empty());
    groups
}

fn chart(
    id: impl Into<String>,
    title: impl Into<String>,
    unit: &'static str,
    curves: Vec<Curve>,
) -> Chart {
    Chart {
        id: id.into(),
        title: title.into(),
        unit,
        is_small: false,
        curves,
        shows: Vec::new(),
        lines: Vec::new(),
    }
}

fn policy(timeline: &Timeline, scale: &TimeScale) -> Vec<Chart> {
    let steps =
        |name: &str, colour, value: &dyn Fn(&visuomotor_runtime::policy::Decision) -> f64| {
            let samples = timeline.decisions.iter();
            let samples = samples
                .map(|record| (timeline.seconds(record.decided_at), value(&record.decision)));
            Curve::new(name, colour, Style::Steps, scale, ACTION_GAP_S, samples)
        };
    let q = chart(
        "q",
        "Q of the action",
        "",
        vec![steps("Q", BLUE, &|decision| decision.q_value)],
    );
    let moves = vec![
        steps("x", 0, &|decision| 1e3 * decision.action.translation_m.x),
        steps("y", 1, &|decision| 1e3 * decision.action.translation_m.y),
        steps("z", 2, &|decision| 1e3 * decision.action.translation_m.z),
    ];
    let turn = steps("yaw", 3, &|decision| decision.action.yaw_rad.to_degrees());
    let age = timeline.decisions.iter().map(|record| {
        let at = timeline.seconds(record.decided_at);
        let frame = timeline.seconds(record.decision.frame_captured_at);
        (at, 1e3 * (at - frame))
    });
    let age = Curve::new("age", ORANGE, Style::Steps, scale, ACTION_GAP_S, age);
    let mut age = chart(
        "age",
        "Age of the frame when the policy decided",
        "ms",
        vec![age],
    );
    age.shows = vec![0.0];
    age.is_small = true;
    vec![
        q,
        chart("move", "Action: displacement of the goal", "mm", moves),
        chart("turn", "Action: turn of the goal", "°", vec![turn]),
        age,
    ]
}

fn tool(timeline: &Timeline, scale: &TimeScale, model: Option<&RobotModel>) -> Vec<Chart> {
    let ticks = || {
        timeline
            .ticks
            .iter()
            .map(|tick| (timeline.seconds(tick.due), tick))
    };
    let measured: Vec<(f64, TcpPose)> = match model {
        Some(model) => {
            let pose = |(at, tick): (f64, &Tick)| {
                let pose = model.tool(&tick.measured.ok()?.q)?;
                Some((at, nearest_turn(pose, &tick.reference)))
            };
            ticks().filter_map(pose).collect()
        }
        // Without a model there are still the poses that the policy saw.
        None => {
            let records = timeline.observations.iter();
            let pose = |record: &visuomotor_runtime::episode::ObservationRecord| {
                let gripper = &record.gripper;
                (timeline.seconds(gripper.sampled_at), gripper.measured)
            };
            records.map(pose).collect()
        }
    };
    let gap_s = if model.is_some() {
        TICK_GAP_S
    } else {
        ACTION_GAP_S
    };
    let axes: [(&str, &str, &'static str, Axis); 4] = [
        ("tcp-x", "x", "mm", |pose| 1e3 * pose.position_m.x),
        ("tcp-y", "y", "mm", |pose| 1e3 * pose.position_m.y),
        ("tcp-z", "z", "mm", |pose| 1e3 * pose.position_m.z),
        ("tcp-yaw", "yaw", "°", |pose| pose.yaw_rad.to_degrees()),
    ];
    let mut charts: Vec<Chart> = axes
        .into_iter()
        .map(|(id, title, unit, axis)| {
            let goal = ticks().map(|(at, tick)| (at, axis(&tick.goal)));
            let reference = ticks().map(|(at, tick)| (at, axis(&tick.reference)));
            let measured = measured.iter().map(|(at, pose)| (*at, axis(pose)));
            let curves = vec![
                Curve::new("goal", GREEN, Style::Line, scale, TICK_GAP_S, goal),
                Curve::new("measured", BLUE, Style::Line, scale, gap_s, measured),
                Curve::new(
                    "reference",
                    ORANGE,
                    Style::Dashed,
                    scale,
                    TICK_GAP_S,
                    reference,
                ),
            ];
            chart(id, title, unit, curves)
        })
        .collect();
    let aperture =
        ticks().filter_map(|(at, tick)| Some((at, 1e3 * tick.measured.ok()?.aperture_m)));
    let aperture = Curve::new("measured", BLUE, Style::Line, scale, TICK_GAP_S, aperture);
    let mut aperture = chart("aperture", "Gripper aperture", "mm", vec![aperture]);
    aperture.shows = vec![0.0];
    charts.push(aperture);
    charts
}

/// One number of a pose, in a chart's unit.
type Axis = fn(&TcpPose) -> f64;

/// References are not wrapped, measured yaw is: the turn that is nearest.
fn nearest_turn(pose: TcpPose, to: &TcpPose) -> TcpPose {
    let turns = ((to.yaw_rad - pose.yaw_rad + PI) / TAU).floor();
    TcpPose {
        yaw_rad: pose.yaw_rad + turns * TAU,
        ..pose
    }
}

fn joints(timeline: &Timeline, scale: &TimeScale, model: Option<&RobotModel>) -> Vec<Chart> {
    let names = &timeline.header.robot.joint_names.0;
    let ticks = || {
        timeline
            .ticks
            .iter()
            .map(|tick| (timeline.seconds(tick.due), tick))
    };
    let mut charts = Vec::new();
    for (joint, name) in names.iter().enumerate() {
        let measured = ticks().filter_map(|(at, tick)| Some((at, tick.measured.ok()?.q[joint])));
        let commanded = ticks().filter_map(|(at, tick)| Some((at, tick.commanded?.q[joint])));
        let curves = vec![
            Curve::new("measured", BLUE, Style::Line, scale, TICK_GAP_S, measured),
            Curve::new(
                "commanded",
                ORANGE,
                Style::Dashed,
                scale,
                TICK_GAP_S,
                commanded,
            ),
        ];
        let range = model.and_then(|model| model.joints.get(joint));
        charts.push(Chart {
            is_small: true,
            lines: range
                .map(|range| vec![range.lower, range.upper])
                .unwrap_or_default(),
            ..chart(format!("q-{joint}"), name, "rad", curves)
        });
    }
    let limit = |joint: usize| model.and_then(|model| Some(model.joints.get(joint)?.velocity));
    let speeds = names.iter().enumerate().map(|(joint, name)| {
        let scaled = limit(joint).map_or(1.0, |limit| 100.0 / limit);
        let speed =
            ticks().filter_map(|(at, tick)| Some((at, tick.measured.ok()?.dq[joint] * scaled)));
        Curve::new(name, joint, Style::Line, scale, TICK_GAP_S, speed)
    });
    let speeds = speeds.collect();
    charts.push(match model {
        Some(_) => Chart {
            lines: vec![-100.0, 100.0],
            ..chart(
                "dq",
                "Measured speed, share of each joint's limit",
                "%",
                speeds,
            )
        },
        None => chart("dq", "Measured speed", "rad/s", speeds),
    });
    let lags = names.iter().enumerate().map(|(joint, name)| {
        let lag = ticks().filter_map(|(at, tick)| {
            Some((
                at,
                1e3 * (tick.commanded?.q[joint] - tick.measured.ok()?.q[joint]),
            ))
        });
        Curve::new(name, joint, Style::Line, scale, TICK_GAP_S, lag)
    });
    charts.push(chart(
        "lag",
        "Command minus measured, same tick",
        "mrad",
        lags.collect(),
    ));
    charts
}

fn timing(timeline: &Timeline, scale: &TimeScale) -> Vec<Chart> {
    // In simulated time every tick is on time, unless a fault was asked for.
    let is_late = timeline.ticks.iter().any(|tick| tick.jitter.as_ticks() > 0);
    let jitter = timeline.ticks.iter().filter(|_| is_late);
    let jitter = jitter.map(|tick| {
        (
            timeline.seconds(tick.due),
            tick.jitter.as_ticks() as f64 * 1e-3,
        )
    });
    let health = |value: fn(&visuomotor_runtime::health::Health) -> Option<f64>| {
        let records = timeline.health.iter();
        records
            .filter_map(move |record| Some((timeline.seconds(record.due), value(&record.health)?)))
    };
    let compute = health(|health| Some(health.compute.as_ticks() as f64 * 1e-3));
    let delay = health(|health| Some(health.run_delay?.as_ticks() as f64 * 1e-3));
    let curve = |name: &str, colour, samples: &mut dyn Iterator<Item = (f64, f64)>| {
        Curve::new(name, colour, Style::Line, scale, TICK_GAP_S, samples)
    };
    let switches = health(|health| Some(f64::from(health.involuntary_switches)));
    let faults = health(|health| Some(f64::from(health.minor_faults + health.major_faults)));
    let mut charts = vec![
        chart(
            "jitter",
            "Jitter: wake-up minus deadline",
            "µs",
            vec![curve("jitter", BLUE, &mut { jitter })],
        ),
        chart(
            "compute",
            "Of each tick",
            "µs",
            vec![
                curve("own work", BLUE, &mut { compute }),
                curve("ready without a CPU", ORANGE, &mut { delay }),
            ],
        ),
        chart(
            "switches",
            "Of each tick",
            "",
            vec![
                curve("preemptions", BLUE, &mut { switches }),
                curve("page faults", ORANGE, &mut { faults }),
            ],
        ),
    ];
    for chart in &mut charts {
        chart.shows = vec![0.0, 1.0];
    }
    charts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_yaw_turns_to_its_reference() {
        let pose = |yaw_rad| TcpPose {
            position_m: nalgebra::Vector3::zeros(),
            yaw_rad,
        };
        for (measured, reference, expected) in [
            (3.1, 3.2, 3.1),
            (-3.1, 3.2, TAU - 3.1),
            (3.1, -3.2, 3.1 - TAU),
            (0.1, 0.0, 0.1),
        ] {
            let turned = nearest_turn(pose(measured), &pose(reference)).yaw_rad;
            assert!(
                (turned - expected).abs() < 1e-12,
                "{measured} {reference}: {turned}"
            );
        }
    }
}
