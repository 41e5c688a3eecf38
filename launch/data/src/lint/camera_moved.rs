//! Whether the camera still looks where it looked in the episodes before.
//!
//! The background of an episode is the median of its frames: arm and objects that move are not in it. Two backgrounds are laid
//! upon each other by the directions of their edges, which neither the lamp's brightness nor the colour of the table changes
//! (a gradient's angle is doubled, so that light on dark and dark on light are the same). What lies differently from episode to
//! episode, the objects, votes for no shift in particular; the last few episodes vote together.
//!
//! Not responsible for a mount that creeps: less than [`SHIFT_MIN_PX`] in [`KEPT`] episodes is not seen.

use super::exposure::shows_something;
use super::grey::Grey;
use super::{Finding, Kind, View};
use std::collections::{BTreeMap, VecDeque};

/// Backgrounds are medians of so many frames, taken evenly.
const FRAMES_MAX: usize = 25;
const FRAMES_MIN: usize = 3;
/// Shifts are looked for this far, each way, in pixels of the small picture.
const SHIFT_MAX_PX: isize = 10;
/// A moved camera, in the same pixels: more than a mount of 1 cm of play makes here, less than a policy notices.
const SHIFT_MIN_PX: f64 = 1.5;
/// Episodes that are remembered for each camera.
const KEPT: usize = 7;
/// Backgrounds that agree less than this at their best have no edges in common.
const AGREEMENT_MIN: f64 = 0.15;
/// Gradients, in levels a pixel, from which on an edge counts half.
const EDGE_LEVELS: f32 = 6.0;

/// What every camera saw in its last episodes.
#[derive(Debug, Default)]
pub struct Cameras {
    seen: BTreeMap<String, VecDeque<Seen>>,
}

#[derive(Debug)]
struct Seen {
    edges: Edges,
    /// Where the background lies, compared with the first episode of this camera.
    at_px: (f64, f64),
}

impl Cameras {
    pub fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let background = background(view)?;
        let header = &view.timeline.header;
        let (width, height) = (background.width, background.height);
        let camera = format!("{} {:?} {width} {height}", header.robot.name, header.camera);
        let seen = self.seen.entry(camera).or_default();
        let edges = Edges::of(&background);
        let Some(last) = seen.back() else {
            let at_px = (0.0, 0.0);
            seen.push_back(Seen { edges, at_px });
            return None;
        };
        let votes: Vec<(f64, f64)> = seen
            .iter()
            .filter_map(|before| {
                let (x, y) = before.edges.shift_to(&edges)?;
                Some((before.at_px.0 + x, before.at_px.1 + y))
            })
            .collect();
        let x = super::median(votes.iter().map(|vote| vote.0))?;
        let y = super::median(votes.iter().map(|vote| vote.1))?;
        let (dx, dy) = (x - last.at_px.0, y - last.at_px.1);
        let moved = dx.hypot(dy) > SHIFT_MIN_PX;
        let at_px = if moved { (x, y) } else { last.at_px };
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(Seen { edges, at_px });
        let scale = view
            .pictures
            .iter()
            .flatten()
            .next()
            .map_or(1, |grey| grey.scale) as f64;
        let finding = Finding::new(Kind::CameraMoved, view.all());
        let finding = finding.measured("shift_x_px", dx * scale);
        moved.then(|| finding.measured("shift_y_px", dy * scale))
    }
}

/// The median of the frames, all of one size.
fn background(view: &View<'_>) -> Option<Grey> {
    let pictures = view.pictures.iter().flatten();
    let pictures: Vec<&Grey> = pictures.filter(|grey| shows_something(grey)).collect();
    let first = *pictures.first()?;
    let alike = |grey: &&&Grey| (grey.width, grey.height) == (first.width, first.height);
    let step = pictures.len().div_ceil(FRAMES_MAX);
    let chosen: Vec<&Grey> = pictures
        .iter()
        .filter(alike)
        .step_by(step)
        .copied()
        .collect();
    if chosen.len() < FRAMES_MIN {
        return None;
    }
    let mut column = Vec::with_capacity(chosen.len());
    let middle = |k: usize| {
        column.clear();
        column.extend(chosen.iter().map(|grey| grey.levels[k]));
        *column.select_nth_unstable(chosen.len() / 2).1
    };
    let levels = (0..first.levels.len()).map(middle).collect();
    Some(Grey {
        levels,
        ..first.clone()
    })
}

/// Of every pixel the direction of its edge, as a vector of twice the angle that is longer where the edge is clearer.
#[derive(Debug)]
struct Edges {
    width: isize,
    height: isize,
    directions: Vec<[f32; 2]>,
}

impl Edges {
    fn of(grey: &Grey) -> Self {
        let (width, height) = (grey.width as isize, grey.height as isize);
        let level = |x: isize, y: isize| {
            let (x, y) = (x.clamp(0, width - 1), y.clamp(0, height - 1));
            f32::from(grey.levels[(y * width + x) as usize])
        };
        let mut directions = Vec::with_capacity(grey.levels.len());
        for y in 0..height {
            for x in 0..width {
                // Sobel's operator, in levels a pixel.
                let across = |d: isize| level(x + 1, y + d) - level(x - 1, y + d);
                let along = |d: isize| level(x + d, y + 1) - level(x + d, y - 1);
                let gx = (across(-1) + 2.0 * across(0) + across(1)) / 8.0;
                let gy = (along(-1) + 2.0 * along(0) + along(1)) / 8.0;
                let square = gx * gx + gy * gy;
                let clear = square / (square + EDGE_LEVELS * EDGE_LEVELS);
                let length = clear / square.max(f32::MIN_POSITIVE);
                directions.push([(gx * gx - gy * gy) * length, 2.0 * gx * gy * length]);
            }
        }
        Self {
            width,
            height,
            directions,
        }
    }

    /// By how many pixels, to the right and down, `other` lies beside this; `None` where they have too little in common.
    fn shift_to(&self, other: &Self) -> Option<(f64, f64)> {
        let mut best = (f64::NEG_INFINITY, 0, 0);
        for dy in -SHIFT_MAX_PX..=SHIFT_MAX_PX {
            for dx in -SHIFT_MAX_PX..=SHIFT_MAX_PX {
                let agreement = self.agreement(other, dx, dy);
                if agreement > best.0 {
                    best = (agreement, dx, dy);
                }
            }
        }
        let (peak, dx, dy) = best;
        if peak < AGREEMENT_MIN {
            return None;
        }
        // The top of a parabola through the peak and its neighbours.
        let top = |before: f64, after: f64| {
            let bend = before - 2.0 * peak + after;
            if bend < 0.0 {
                (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
            } else {
                0.0
            }
        };
        let x = top(
            self.agreement(other, dx - 1, dy),
            self.agreement(other, dx + 1, dy),
        );
        let y = top(
            self.agreement(other, dx, dy - 1),
            self.agreement(other, dx, dy + 1),
        );
        Some((dx as f64 + x, dy as f64 + y))
    }

    /// From -1 to 1: how well the edges agree where both pictures are.
    fn agreement(&self, other: &Self, dx: isize, dy: isize) -> f64 {
        let columns = 0.max(-dx)..self.width.min(self.width - dx);
        let rows = 0.max(-dy)..self.height.min(self.height - dy);
        if columns.is_empty() {
            return 0.0;
        }
        let (mut both, mut a_square, mut b_square) = (0.0_f32, 0.0_f32, 0.0_f32);
        for y in rows {
            let line = |y: isize, shift: isize| {
                let first = y * self.width + columns.start + shift;
                first as usize..(first + columns.end - columns.start) as usize
            };
            let here = &self.directions[line(y, 0)];
            let there = &other.directions[line(y + dy, dx)];
            for (a, b) in here.iter().zip(there) {
                both += a[0] * b[0] + a[1] * b[1];
                a_square += a[0] * a[0] + a[1] * a[1];
                b_square += b[0] * b[0] + b[1] * b[1];
            }
        }
        let agreement = f64::from(both) / f64::from(a_square * b_square).sqrt();
        if agreement.is_finite() {
            agreement
        } else {
            0.0
        }
    }
}
