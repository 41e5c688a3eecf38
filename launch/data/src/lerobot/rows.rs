//! One episode at a fixed rate.
//!
//! What a row holds, for its instant `t` and the next one `t'`:
//!
//! - **observations**: the newest sample taken at or before `t` ([`crate::resample`]): the picture by its capture time, joints
//!   by the time the encoders were sampled, the tool's pose by the time it was measured for the policy's observation;
//! - **action**: the last joint command that was sent in `[t, t')`, which is where the arm is to be when the next row is
//!   observed; where nothing was sent (a stop), the command before it, and `visuomotor.commanded` is false;
//! - **action.tcp_delta**: the sum of what the policy decided in `[t, t')`, and **action.verb** its last verb that is more than
//!   to move (0 move, 1 close, 2 open, 3 terminate; -1 where it decided nothing).
//!
//! The first row is at the first instant at which all of these have happened once, the last one not after the last tick.
//!
//! Not responsible for indices that depend on other episodes, nor for files.

use super::{
    ACTION, CAMERA, COMMANDED, DONE, EFFORT, IMAGE_NS, INSTANT_NS, REWARD, STATE, STATE_NS,
    SUCCESS, TCP, TCP_DELTA, TCP_NS, VELOCITY, VERB,
};
use crate::resample::{Grid, Residuals, median_period_ns, newest};
use crate::survey::Survey;
use crate::table::Column;
use crate::timeline::{Commanded, Measured, Timeline};
use std::collections::BTreeMap;
use std::sync::Arc;
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::episode::{DecisionRecord, FrameRecord};
use visuomotor_runtime::observation::TcpPose;

/// Without another bound, a picture may be as old as so many of the camera's own periods.
const PERIODS_MAX: u64 = 3;
/// An episode has at most so many rows; one whose stamps are damaged must not ask for all the memory there is.
const ROWS_MAX: u64 = 10_000_000;

pub struct EpisodeColumns {
    pub columns: BTreeMap<&'static str, Column>,
    pub rows: usize,
    /// By stream: `image`, `state`, `tcp`.
    pub residuals: BTreeMap<String, Residuals>,
}

/// # Errors
/// Says why the episode has no rows: a stream is missing or has a gap, a number is not finite.
pub fn of(
    timeline: &Timeline,
    survey: &Survey,
    fps: u32,
    age_ms_max: Option<u32>,
) -> Result<EpisodeColumns, String> {
    let streams = Streams::of(timeline, survey.with_policy)?;
    let grid = Grid {
        start: streams.start()?,
        fps,
    };
    let end = timeline.ticks.last().map_or(grid.start, |tick| tick.due);
    let rows = grid.rows(end);
    if rows == 0 {
        return Err("its streams have no time in common".to_owned());
    }
    if rows > ROWS_MAX {
        return Err(format!("it would have {rows} rows"));
    }
    let age_ns_max = match age_ms_max {
        Some(ms) => u64::from(ms) * 1_000_000,
        None => PERIODS_MAX * streams.frame_period_ns()?,
    };
    let mut out = Taken::new(survey, rows as usize);
    let mut shared: Vec<Option<Arc<Vec<u8>>>> = vec![None; streams.frames.samples.len()];
    for row in 0..rows {
        let (from, to) = (grid.at(row), grid.at(row + 1));
        let (frame, captured_at) = streams.frames.at(from)?;
        let (state, sampled_at) = streams.states.at(from)?;
        for (name, at) in [("picture", captured_at), ("joint state", sampled_at)] {
            let age_ns = from.as_ticks() - at.as_ticks();
            if age_ns > age_ns_max {
                return Err(format!(
                    "{:.3} s after its start the newest {name} is {:.1} ms old, more than {:.1} ms",
                    timeline.seconds(from),
                    age_ns as f64 * 1e-6,
                    age_ns_max as f64 * 1e-6
                ));
            }
        }
        let bytes = shared[frame].get_or_insert_with(|| {
            let record: &FrameRecord = streams.frames.samples[frame];
            Arc::new(record.jpeg.clone())
        });
        out.images.push(bytes.clone());
        let state: &Measured = &streams.states.samples[state];
        out.state
            .extend(state.q.iter().chain([&state.aperture_m]).map(|&x| x as f32));
        out.velocity.extend(state.dq.iter().map(|&x| x as f32));
        out.effort.extend(state.tau.iter().map(|&x| x as f32));
        out.stamp(from, captured_at, sampled_at);
        out.command(&streams.commands, from, to)?;
        if survey.with_policy {
            let (pose, measured_at) = streams.poses.at(from)?;
            out.tcp.extend(numbers(&streams.poses.samples[pose]));
            out.pose_stamp(from, measured_at);
            out.decided(streams.decided(from, to));
        }
    }
    let success = timeline.outcome.and_then(|(outcome, _)| outcome.success) == Some(true);
    let columns = out.columns(survey, success);
    finite(&columns)?;
    Ok(EpisodeColumns {
        columns: columns.0,
        rows: rows as usize,
        residuals: columns.1,
    })
}

/// Samples with the times at which they were taken, ascending.
struct Stream<T> {
    name: &'static str,
    stamps: Vec<Instant>,
    samples: Vec<T>,
}

impl<T> Stream<T> {
    fn of(name: &'static str, samples: impl Iterator<Item = (Instant, T)>) -> Self {
        let mut samples: Vec<_> = samples.collect();
        samples.sort_by_key(|(at, _)| *at);
        let (stamps, samples) = samples.into_iter().unzip();
        Self {
            name,
            stamps,
            samples,
        }
    }

    fn first(&self) -> Result<Instant, String> {
        let first = self.stamps.first().copied();
        first.ok_or_else(|| format!("it has no {}", self.name))
    }

    /// Index and stamp of the newest sample.
    fn at(&self, at: Instant) -> Result<(usize, Instant), String> {
        let index = newest(&self.stamps, at).ok_or_else(|| format!("it has no {}", self.name))?;
        Ok((index, self.stamps[index]))
    }
}

struct Streams<'a> {
    frames: Stream<&'a FrameRecord>,
    states: Stream<Measured>,
    commands: Stream<Commanded>,
    poses: Stream<TcpPose>,
    decisions: Stream<&'a DecisionRecord>,
    with_policy: bool,
}

impl<'a> Streams<'a> {
    fn of(timeline: &'a Timeline, with_policy: bool) -> Result<Self, String> {
        let ticks = || timeline.ticks.iter();
        let states = ticks().filter_map(|tick| tick.measured.ok());
        let commands = ticks().filter_map(|tick| Some((tick.due, tick.commanded?)));
        let frames = timeline.frames.iter();
        let poses = timeline.observations.iter().map(|record| &record.gripper);
        let decisions = timeline.decisions.iter();
        Ok(Self {
            frames: Stream::of("pictures", frames.map(|frame| (frame.captured_at, frame))),
            states: Stream::of(
                "joint states",
                states.map(|state| (state.sampled_at, state)),
            ),
            commands: Stream::of("joint commands", commands),
            poses: Stream::of(
                "observations of the policy",
                poses.map(|gripper| (gripper.sampled_at, gripper.measured)),
            ),
            decisions: Stream::of("decisions", decisions.map(|one| (one.decided_at, one))),
            with_policy,
        })
    }

    fn start(&self) -> Result<Instant, String> {
        let mut start = self.frames.first()?.max(self.states.first()?);
        start = start.max(self.commands.first()?);
        if self.with_policy {
            start = start.max(self.poses.first()?);
        }
        Ok(start)
    }

    fn frame_period_ns(&self) -> Result<u64, String> {
        let period = median_period_ns(&self.frames.stamps);
        period.ok_or_else(|| "it has a single picture".to_owned())
    }

    fn decided(&self, from: Instant, to: Instant) -> &[&'a DecisionRecord] {
        let stamps = &self.decisions.stamps;
        let first = stamps.partition_point(|at| *at < from);
        let end = stamps.partition_point(|at| *at < to);
        &self.decisions.samples[first..end]
    }
}

fn numbers(pose: &TcpPose) -> [f32; 4] {
    let [x, y, z] = pose.position_m.into();
    [x, y, z, pose.yaw_rad].map(|x: f64| x as f32)
}

/// The columns so far.
struct Taken {
    rows: usize,
    images: Vec<Arc<Vec<u8>>>,
    state: Vec<f32>,
    velocity: Vec<f32>,
    effort: Vec<f32>,
    action: Vec<f32>,
    commanded: Vec<bool>,
    tcp: Vec<f32>,
    tcp_delta: Vec<f32>,
    verb: Vec<i64>,
    instant_ns: Vec<i64>,
    image_ns: Vec<i64>,
    state_ns: Vec<i64>,
    tcp_ns: Vec<i64>,
    residuals: BTreeMap<String, Residuals>,
}

impl Taken {
    fn new(survey: &Survey, rows: usize) -> Self {
        let joints = rows * survey.joints.len();
        Self {
            rows,
            images: Vec::with_capacity(rows),
            state: Vec::with_capacity(joints + rows),
            velocity: Vec::with_capacity(joints),
            effort: Vec::with_capacity(joints),
            action: Vec::with_capacity(joints + rows),
            commanded: Vec::with_capacity(rows),
            tcp: Vec::new(),
            tcp_delta: Vec::new(),
            verb: Vec::new(),
            instant_ns: Vec::with_capacity(rows),
            image_ns: Vec::with_capacity(rows),
            state_ns: Vec::with_capacity(rows),
            tcp_ns: Vec::new(),
            residuals: BTreeMap::new(),
        }
    }

    fn residual(&mut self, stream: &str, at: Instant, taken_at: Instant) {
        let residuals = self.residuals.entry(stream.to_owned()).or_default();
        residuals.add(at.as_ticks() - taken_at.as_ticks());
    }

    fn stamp(&mut self, at: Instant, captured_at: Instant, sampled_at: Instant) {
        self.instant_ns.push(at.as_ticks() as i64);
        self.image_ns.push(captured_at.as_ticks() as i64);
        self.state_ns.push(sampled_at.as_ticks() as i64);
        self.residual("image", at, captured_at);
        self.residual("state", at, sampled_at);
    }

    fn pose_stamp(&mut self, at: Instant, measured_at: Instant) {
        self.tcp_ns.push(measured_at.as_ticks() as i64);
        self.residual("tcp", at, measured_at);
    }

    fn command(
        &mut self,
        commands: &Stream<Commanded>,
        from: Instant,
        to: Instant,
    ) -> Result<(), String> {
        let last = Instant::from_ticks(to.as_ticks().saturating_sub(1));
        let (index, sent_at) = commands.at(last)?;
        let command = &commands.samples[index];
        let fingers = f32::from(command.fingers == Fingers::Closed);
        let joints = command.q.iter().map(|&q| q as f32);
        self.action.extend(joints.chain([fingers]));
        self.commanded.push(sent_at >= from);
        Ok(())
    }

    fn decided(&mut self, decisions: &[&DecisionRecord]) {
        let mut sum = [0.0; 4];
        let mut verb: Option<Verb> = None;
        for record in decisions {
            let action = &record.decision.action;
            let [x, y, z] = action.translation_m.into();
            for (sum, part) in sum.iter_mut().zip([x, y, z, action.yaw_rad]) {
                *sum += part;
            }
            if verb.is_none() || action.verb != Verb::Move {
                verb = Some(action.verb);
            }
        }
        self.tcp_delta.extend(sum.map(|part| part as f32));
        self.verb.push(verb.map_or(-1, |verb| verb as i64));
    }

    fn columns(
        self,
        survey: &Survey,
        success: bool,
    ) -> (BTreeMap<&'static str, Column>, BTreeMap<String, Residuals>) {
        let rows = self.rows;
        let at_the_end = |flag: bool| (0..rows).map(|row| flag && row + 1 == rows).collect();
        let reward: Vec<bool> = at_the_end(success);
        let reward = reward.into_iter().map(f32::from).collect();
        let joints = survey.joints.len();
        let mut columns = BTreeMap::from([
            (STATE, Column::F32(joints + 1, self.state)),
            (VELOCITY, Column::F32(joints, self.velocity)),
            (EFFORT, Column::F32(joints, self.effort)),
            (CAMERA, Column::Image(self.images)),
            (ACTION, Column::F32(joints + 1, self.action)),
            (REWARD, Column::F32(1, reward)),
            (DONE, Column::Bool(at_the_end(true))),
            (SUCCESS, Column::Bool(at_the_end(success))),
            (COMMANDED, Column::Bool(self.commanded)),
            (INSTANT_NS, Column::I64(self.instant_ns)),
            (IMAGE_NS, Column::I64(self.image_ns)),
            (STATE_NS, Column::I64(self.state_ns)),
        ]);
        if survey.with_policy {
            columns.insert(TCP, Column::F32(4, self.tcp));
            columns.insert(TCP_DELTA, Column::F32(4, self.tcp_delta));
            columns.insert(VERB, Column::I64(self.verb));
            columns.insert(TCP_NS, Column::I64(self.tcp_ns));
        }
        (columns, self.residuals)
    }
}

/// A single NaN spoils the statistics of a whole data set.
fn finite(
    (columns, _): &(BTreeMap<&'static str, Column>, BTreeMap<String, Residuals>),
) -> Result<(), String> {
    for (name, column) in columns {
        if let Column::F32(width, values) = column
            && let Some(at) = values.iter().position(|value| !value.is_finite())
        {
            return Err(format!("`{name}` of row {} is not finite", at / width));
        }
    }
    Ok(())
}
