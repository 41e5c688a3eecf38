//! An episode as the checks see it: what several of them need is computed once.
//!
//! Not responsible for any judgement.

use super::expectations::Expectations;
use super::grey::Grey;
use super::median;
use crate::motion::{self, Pose};
use crate::picture;
use crate::timeline::Timeline;

pub struct View<'a> {
    pub timeline: &'a Timeline,
    pub expectations: Expectations,
    pub poses: Vec<Pose>,
    /// Of every pose, s from the first tick.
    pub poses_s: Vec<f64>,
    /// Of every pose: the way that the joints went since the first, rad.
    pub travelled_rad: Vec<f64>,
    /// Of every frame; `None` where it cannot be decoded.
    pub pictures: Vec<Option<Grey>>,
    /// Of every frame, s from the first tick.
    pub frames_s: Vec<f64>,
    /// The usual time between two ticks; the launch file's where there are too few.
    pub tick_period_s: Option<f64>,
    /// The usual time between two frames.
    pub frame_period_s: Option<f64>,
}

impl<'a> View<'a> {
    pub fn of(timeline: &'a Timeline) -> Self {
        let expectations = Expectations::of(timeline);
        let poses = motion::poses(timeline);
        let decode = |jpeg: &[u8]| picture::decode_jpeg(jpeg).ok();
        let pictures = timeline.frames.iter().map(|frame| decode(&frame.jpeg));
        let frames_s: Vec<f64> = timeline
            .frames
            .iter()
            .map(|frame| timeline.seconds(frame.captured_at))
            .collect();
        let ticks = timeline.ticks.windows(2);
        let periods =
            ticks.map(|pair| timeline.seconds(pair[1].due) - timeline.seconds(pair[0].due));
        let declared = expectations.tick_rate_hz.map(|rate| 1.0 / rate);
        Self {
            timeline,
            expectations,
            poses_s: poses.iter().map(|pose| timeline.seconds(pose.at)).collect(),
            travelled_rad: motion::travelled_rad(&poses),
            poses,
            pictures: pictures.map(|image| image.as_ref().map(Grey::of)).collect(),
            frame_period_s: median(frames_s.windows(2).map(|pair| pair[1] - pair[0]))
                .filter(|period| *period > 0.0),
            frames_s,
            tick_period_s: median(periods).filter(|period| *period > 0.0).or(declared),
        }
    }

    /// The whole episode.
    pub fn all(&self) -> (f64, f64) {
        (0.0, self.timeline.duration_s().max(0.0))
    }

    /// Joints and fingers at this time, interpolated between poses.
    pub fn pose_at(&self, at_s: f64) -> Option<Vec<f64>> {
        let after = self.poses_s.partition_point(|&pose_s| pose_s <= at_s);
        let b = self.poses.get(after).or(self.poses.last())?;
        let a = self.poses.get(after.saturating_sub(1)).unwrap_or(b);
        let (a_s, b_s) = (self.timeline.seconds(a.at), self.timeline.seconds(b.at));
        let share = ((at_s - a_s) / (b_s - a_s)).clamp(0.0, 1.0);
        let share = if share.is_finite() { share } else { 0.0 };
        let pairs = a.values.iter().zip(&b.values);
        Some(pairs.map(|(a, b)| a + share * (b - a)).collect())
    }

    /// How far the joints had gone at this time, rad; between poses it is interpolated.
    pub fn travelled_at(&self, at_s: f64) -> f64 {
        let after = self.poses_s.partition_point(|&pose_s| pose_s <= at_s);
        let way = |k: usize| self.travelled_rad.get(k).copied();
        let Some(before) = after.checked_sub(1) else {
            return 0.0;
        };
        let (Some(a), Some(b)) = (way(before), way(after)) else {
            return self.travelled_rad.last().copied().unwrap_or(0.0);
        };
        let span_s = self.poses_s[after] - self.poses_s[before];
        let share = (at_s - self.poses_s[before]) / span_s;
        if share.is_finite() {
            a + share.clamp(0.0, 1.0) * (b - a)
        } else {
            a
        }
    }

    /// The way of the joints between these times, rad.
    pub fn way_rad(&self, from_s: f64, to_s: f64) -> f64 {
        (self.travelled_at(to_s) - self.travelled_at(from_s)).max(0.0)
    }
}
