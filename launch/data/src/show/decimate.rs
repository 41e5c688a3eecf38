//! Thousands of ticks on a thousand columns of pixels, so that nothing that stands out is lost: a spike of one tick, a gap, a
//! span of one tick.
//!
//! Not responsible for what is drawn.

/// Points in order of time, without a gap between them: horizontally in columns, vertically in the value's unit.
pub type Run = Vec<(f64, f64)>;

/// Of each column and run the first, the lowest, the highest and the last sample, in their order: the line through them
/// covers the same pixels as the line through all. What is not finite is a gap, and so is a distance of more than
/// `gap_columns`.
pub fn decimate(samples: impl IntoIterator<Item = (f64, f64)>, gap_columns: f64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut run = Run::new();
    let mut column: Option<Column> = None;
    for (x, value) in samples {
        let last_x = column.map(|column| column.last.point.0);
        let is_gap = !(x.is_finite() && value.is_finite())
            || last_x.is_some_and(|last| x - last > gap_columns);
        if is_gap && let Some(column) = column.take() {
            column.finish(&mut run);
            runs.push(std::mem::take(&mut run));
        }
        if !(x.is_finite() && value.is_finite()) {
            continue;
        }
        match &mut column {
            Some(column) if column.number == x.floor() => column.add((x, value)),
            _ => {
                if let Some(column) = column.replace(Column::of((x, value))) {
                    column.finish(&mut run);
                }
            }
        }
    }
    if let Some(column) = column {
        column.finish(&mut run);
        runs.push(run);
    }
    runs
}

#[derive(Clone, Copy)]
struct Column {
    number: f64,
    /// Counts the samples: some have the same time.
    count: usize,
    first: Sample,
    lowest: Sample,
    highest: Sample,
    last: Sample,
}

#[derive(Clone, Copy)]
struct Sample {
    order: usize,
    point: (f64, f64),
}

impl Column {
    fn of(point: (f64, f64)) -> Self {
        let sample = Sample { order: 0, point };
        Self {
            number: point.0.floor(),
            count: 1,
            first: sample,
            lowest: sample,
            highest: sample,
            last: sample,
        }
    }

    fn add(&mut self, point: (f64, f64)) {
        let sample = Sample {
            order: self.count,
            point,
        };
        self.count += 1;
        if point.1 < self.lowest.point.1 {
            self.lowest = sample;
        }
        if point.1 > self.highest.point.1 {
            self.highest = sample;
        }
        self.last = sample;
    }

    fn finish(self, run: &mut Run) {
        let mut samples = [self.first, self.lowest, self.highest, self.last];
        samples.sort_by_key(|sample| sample.order);
        let mut written = None;
        for Sample { order, point } in samples {
            if written.replace(order) != Some(order) {
                run.push(point);
            }
        }
    }
}

/// Spans in columns, sorted and merged where less than a column lies between them; none is narrower than a column.
pub fn merge(mut spans: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    spans.retain(|(from, to)| from.is_finite() && to.is_finite());
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (from, to) in spans {
        let to = to.max(from + 1.0);
        match merged.last_mut() {
            Some(last) if from - last.1 < 1.0 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_spike_of_one_tick_survives_wherever_it_is() {
        for at in (0..30_000).step_by(7) {
            let value = |tick: u32| if tick == at { 5.0 } else { 0.1 };
            let samples = (0..30_000).map(|tick| (f64::from(tick) / 30.0, value(tick)));
            let runs = decimate(samples, 10.0);
            assert_eq!(runs.len(), 1);
            let high = runs[0].iter().filter(|point| point.1 == 5.0).count();
            assert_eq!(high, 1, "spike at {at}");
            assert!(runs[0].len() <= 4 * 1000);
        }
    }

    #[test]
    fn what_is_not_finite_or_far_away_is_a_gap() {
        let samples = [
            (0.0, 1.0),
            (0.1, f64::NAN),
            (0.2, 2.0),
            (9.0, 3.0),
            (9.5, f64::INFINITY),
        ];
        let runs = decimate(samples, 5.0);
        assert_eq!(runs, [vec![(0.0, 1.0)], vec![(0.2, 2.0)], vec![(9.0, 3.0)]]);
        assert!(decimate([], 1.0).is_empty());
        assert!(decimate([(f64::NAN, 1.0)], 1.0).is_empty());
    }

    #[test]
    fn short_spans_do_not_vanish_and_neighbours_become_one() {
        let merged = merge(vec![
            (5.0, 5.001),
            (0.0, 0.1),
            (1.5, 3.0),
            (2.0, 2.5),
            (f64::NAN, 1.0),
        ]);
        assert_eq!(merged, [(0.0, 3.0), (5.0, 6.0)]);
    }

    proptest! {
        #[test]
        fn every_column_keeps_its_extremes_in_order(
            values in prop::collection::vec(prop_oneof![9 => -1e3..1e3, 1 => Just(f64::NAN)], 0..500),
            per_column in 1.0..40.0_f64,
        ) {
            let samples: Vec<_> =
                values.iter().enumerate().map(|(i, value)| (i as f64 / per_column, *value)).collect();
            let runs = decimate(samples.iter().copied(), 1e9);
            let kept: Vec<(f64, f64)> = runs.iter().flatten().copied().collect();
            prop_assert!(kept.iter().all(|point| samples.contains(point)));
            prop_assert!(kept.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            let extremes = |points: &[(f64, f64)], column: f64| {
                let inside = points.iter().filter(|p| p.0.floor() == column && p.1.is_finite());
                inside.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.1), high.max(p.1)))
            };
            for column in 0..500 {
                let column = f64::from(column);
                prop_assert_eq!(extremes(&samples, column), extremes(&kept, column));
                prop_assert!(kept.iter().filter(|p| p.0.floor() == column).count() <= samples.len().min(1 + 4 * 41));
            }
        }
    }
}
