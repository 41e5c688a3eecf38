//! One chart along the time line: curves over a common vertical scale, with a name for each and room for its value under the
//! cursor.
//!
//! Not responsible for which values are drawn ([`super::tracks`]).

use super::decimate::{Run, decimate};
use super::timescale::{COLUMNS, TimeScale};
use crate::markup::{Coordinate, Text};
use std::fmt::{self, Write};

/// Height of every picture; the browser stretches it.
const HEIGHT: f64 = 100.0;

pub struct Chart {
    /// Unique on the page; letters, digits and `-`.
    pub id: String,
    pub title: String,
    pub unit: &'static str,
    pub is_small: bool,
    pub curves: Vec<Curve>,
    /// Values that the scale shows in any case.
    pub shows: Vec<f64>,
    /// Horizontal lines, where they are in sight.
    pub lines: Vec<f64>,
}

pub struct Curve {
    pub name: String,
    /// One of the page's seven colours.
    pub colour: usize,
    pub style: Style,
    runs: Vec<Run>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Line,
    /// What was asked for, beside what was measured.
    Dashed,
    /// Each value stays until the next one.
    Steps,
}

impl Curve {
    /// Samples in order: s, and a value in the chart's unit. Where none comes for `gap_s`, there is a gap.
    pub fn new(
        name: impl Into<String>,
        colour: usize,
        style: Style,
        scale: &TimeScale,
        gap_s: f64,
        samples: impl Iterator<Item = (f64, f64)>,
    ) -> Self {
        let columns = samples.map(|(s, value)| (scale.column(s), value));
        let runs = match style {
            Style::Steps => {
                let mut last: Option<f64> = None;
                let corners = columns.flat_map(|(x, value)| {
                    let before = last.replace(value).map(|last| (x, last));
                    before.into_iter().chain([(x, value)])
                });
                decimate(corners, gap_s * scale.columns_per_s())
            }
            Style::Line | Style::Dashed => decimate(columns, gap_s * scale.columns_per_s()),
        };
        Self {
            name: name.into(),
            colour: colour % 7,
            style,
            runs,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl Chart {
    /// Lowest and highest value of the scale.
    fn range(&self) -> (f64, f64) {
        let values = self
            .curves
            .iter()
            .flat_map(|curve| curve.runs.iter().flatten());
        let values = values
            .map(|point| point.1)
            .chain(self.shows.iter().copied());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return (0.0, 1.0);
        }
        // Halves, so that the span of the largest numbers is one too.
        let half = high / 2.0 - low / 2.0;
        let margin = (0.1 * half).max(1e-3 * high.abs().max(low.abs())).max(1e-6);
        // What cannot be below zero has a scale that begins there.
        let below = if low == 0.0 { 0.0 } else { margin };
        (
            (low - below).max(f64::MIN / 2.0),
            (high + margin).min(f64::MAX / 2.0),
        )
    }

    pub fn write(&self, page: &mut String) -> fmt::Result {
        let (low, high) = self.range();
        let y = |value: f64| HEIGHT * ((high - value) / (high - low));
        let Self {
            id, title, unit, ..
        } = self;
        let small = if self.is_small { " small" } else { "" };
        writeln!(
            page,
            "<section class=\"chart{small}\" data-low=\"{low}\" data-high=\"{high}\"><h3>{} <small>{}</small>",
            Text(title),
            Text(unit)
        )?;
        for (k, curve) in self.curves.iter().enumerate() {
            let dashed = if curve.style == Style::Dashed {
                " dashed"
            } else {
                ""
            };
            writeln!(
                page,
                "<span class=\"key c{}{dashed}\"><i></i>{} <b id=\"{id}-{k}\"></b></span>",
                curve.colour,
                Text(&curve.name)
            )?;
        }
        writeln!(
            page,
            "</h3><div class=\"box\"><svg viewBox=\"0 0 {COLUMNS} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            Text(title)
        )?;
        for line in self
            .lines
            .iter()
            .filter(|line| (low..=high).contains(*line))
        {
            let y = Coordinate(y(*line));
            writeln!(page, "<path class=\"limit\" d=\"M0 {y}H{COLUMNS}\"/>")?;
        }
        if low < 0.0 && high > 0.0 {
            writeln!(
                page,
                "<path class=\"zero\" d=\"M0 {}H{COLUMNS}\"/>",
                Coordinate(y(0.0))
            )?;
        }
        for (k, curve) in self.curves.iter().enumerate() {
            let dashed = if curve.style == Style::Dashed {
                " dashed"
            } else {
                ""
            };
            write!(
                page,
                "<path class=\"curve c{}{dashed}\" data-key=\"{id}-{k}\" d=\"",
                curve.colour
            )?;
            for run in &curve.runs {
                path(run, y, page)?;
            }
            writeln!(page, "\"/>")?;
        }
        writeln!(
            page,
            "</svg><span class=\"high\">{}</span><span class=\"low\">{}</span></div></section>",
            number(high),
            number(low)
        )
    }
}

/// Without the inner points of what is flat.
fn path(run: &Run, y: impl Fn(f64) -> f64, page: &mut String) -> fmt::Result {
    let hundredths = |value: f64| (y(value) * 100.0).round();
    let mut command = 'M';
    for (k, (x, value)) in run.iter().enumerate() {
        let here = hundredths(*value);
        let same = |neighbour: Option<&(f64, f64)>| {
            neighbour.is_some_and(|point| hundredths(point.1) == here)
        };
        if k > 0 && same(run.get(k - 1)) && same(run.get(k + 1)) {
            continue;
        }
        write!(
            page,
            "{command}{} {}",
            Coordinate(*x),
            Coordinate(y(*value))
        )?;
        command = 'L';
    }
    if run.len() == 1 {
        // A lone sample is a dot: a line as long as nothing, with round ends.
        page.push_str("h0");
    }
    Ok(())
}

/// Three digits that matter, without an exponent where that is shorter.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chart(samples: &[(f64, f64)], style: Style) -> String {
        let scale = TimeScale {
            from_s: 0.0,
            to_s: 10.0,
        };
        let curve = Curve::new(
            "<q & \"dq\">",
            3,
            style,
            &scale,
            100.0,
            samples.iter().copied(),
        );
        let chart = Chart {
            id: "a".into(),
            title: "<b>".into(),
            unit: "rad",
            is_small: false,
            curves: vec![curve],
            shows: vec![],
            lines: vec![0.5, 99.0],
        };
        let mut page = String::new();
        chart.write(&mut page).unwrap();
        page
    }

    #[test]
    fn a_spike_is_as_high_as_the_scale_and_the_flat_rest_is_short() {
        let mut samples: Vec<_> = (0..10_000).map(|k| (f64::from(k) * 1e-3, 0.0)).collect();
        samples[5003].1 = 1.0;
        let page = chart(&samples, Style::Line);
        let d = page
            .split("data-key=\"a-0\" d=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(d, "M0 100L500 100L500.3 4.76L500.9 100L999.9 100");
        assert_eq!(page.matches("class=\"limit\"").count(), 1);
    }

    #[test]
    fn steps_stay_until_the_next_value() {
        let page = chart(&[(0.0, 0.0), (5.0, 1.0), (9.0, 0.0)], Style::Steps);
        assert!(
            page.contains("M0 100L500 100L500 4.76L900 4.76L900 100\""),
            "{page}"
        );
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 1.5, -0.125, 1234.4, 12.34, 2e7, 3e-5, 100.0].map(number);
        assert_eq!(
            shown,
            [
                "0", "1.5", "-0.125", "1234", "12.3", "2.00e7", "3.00e-5", "100"
            ]
        );
    }

    proptest! {
        #[test]
        fn any_values_make_a_picture(samples in prop::collection::vec((0.0..10.0_f64, any::<f64>()), 0..50)) {
            let mut samples = samples;
            samples.sort_by(|a, b| a.0.total_cmp(&b.0));
            for style in [Style::Line, Style::Steps] {
                let page = chart(&samples, style);
                prop_assert!(roxmltree::Document::parse(&page).is_ok(), "{}", page);
                prop_assert!(!page.contains("NaN") && !page.contains("inf"), "{}", page);
            }
        }
    }
}
