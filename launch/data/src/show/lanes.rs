//! Lanes along the time line: spans and moments with a name, one row for each kind of thing.
//!
//! Not responsible for what they say ([`super::tracks`]).

use super::decimate::merge;
use super::timescale::{COLUMNS, TimeScale};
use crate::markup::{Coordinate, Text};
use std::fmt::{self, Write};

/// A row: spans of one name, or labelled spans one after the other.
pub struct Lane {
    pub name: String,
    /// How it looks; see the page's style.
    pub class: &'static str,
    pub content: Content,
}

pub enum Content {
    /// All mean the same: those that a pixel cannot tell apart become one. s.
    Same(Vec<(f64, f64)>),
    /// Each has its own class and label.
    Labelled(Vec<Labelled>),
}

pub struct Labelled {
    pub from_s: f64,
    pub to_s: f64,
    pub class: &'static str,
    pub label: String,
}

impl Lane {
    pub fn same(name: impl Into<String>, class: &'static str, spans: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            class,
            content: Content::Same(spans),
        }
    }

    pub fn labelled(name: impl Into<String>, spans: Vec<Labelled>) -> Self {
        Self {
            name: name.into(),
            class: "",
            content: Content::Labelled(spans),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Same(spans) => spans.is_empty(),
            Content::Labelled(spans) => spans.is_empty(),
        }
    }

    pub fn write(&self, id: &str, scale: &TimeScale, page: &mut String) -> fmt::Result {
        let (name, class) = (Text(&self.name), self.class);
        writeln!(
            page,
            "<section class=\"lane\"><h3>{name} <b id=\"{id}\"></b></h3><div class=\"box\">"
        )?;
        writeln!(
            page,
            "<svg viewBox=\"0 0 {COLUMNS} 1\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}\">"
        )?;
        match &self.content {
            Content::Same(spans) => {
                let columns = spans
                    .iter()
                    .map(|(from, to)| (scale.column(*from), scale.column(*to)));
                for (from, to) in merge(columns.collect()) {
                    rect(class, id, &self.name, from, to, page)?;
                }
                writeln!(page, "</svg>")?;
            }
            Content::Labelled(spans) => {
                for span in spans {
                    let (from, to) = (scale.column(span.from_s), scale.column(span.to_s));
                    rect(span.class, id, &span.label, from, to.max(from + 1.0), page)?;
                }
                writeln!(page, "</svg>")?;
                for span in spans {
                    let (from, to) = (
                        scale.column(span.from_s) / 10.0,
                        scale.column(span.to_s) / 10.0,
                    );
                    // What has no room for its name tells it under the cursor.
                    if to - from > 3.0 {
                        writeln!(
                            page,
                            "<span class=\"label\" style=\"left:{}%;width:{}%\">{}</span>",
                            Coordinate(from),
                            Coordinate(to - from),
                            Text(&span.label)
                        )?;
                    }
                }
            }
        }
        writeln!(page, "</div></section>")
    }
}

fn rect(class: &str, id: &str, name: &str, from: f64, to: f64, page: &mut String) -> fmt::Result {
    let (x, width) = (Coordinate(from), Coordinate(to - from));
    let name = Text(name);
    writeln!(
        page,
        "<rect class=\"{class}\" data-key=\"{id}\" data-name=\"{name}\" x=\"{x}\" y=\"0\" width=\"{width}\" height=\"1\"><title>{name}</title></rect>"
    )
}

/// Spans of time in which `is` holds, from ticks in order; each reaches to the next tick.
pub fn spans(ticks: impl Iterator<Item = (f64, bool)>) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = Vec::new();
    let mut is_open = false;
    for (at, holds) in ticks {
        if is_open && let Some(last) = spans.last_mut() {
            last.1 = at;
        }
        if holds && !is_open {
            spans.push((at, at));
        }
        is_open = holds;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_reach_to_the_tick_that_ends_them() {
        let holds = [false, true, true, false, true];
        let ticks = holds
            .iter()
            .enumerate()
            .map(|(at, holds)| (at as f64, *holds));
        assert_eq!(spans(ticks), [(1.0, 3.0), (4.0, 4.0)]);
    }

    #[test]
    fn one_tick_is_seen_and_hostile_names_are_text() {
        let scale = TimeScale {
            from_s: 0.0,
            to_s: 1e4,
        };
        let labelled = Labelled {
            from_s: f64::NAN,
            to_s: 8e3,
            class: "policy",
            label: "<script>".into(),
        };
        for lane in [
            Lane::same("\"><script>", "limited", vec![(5.0, 5.001)]),
            Lane::labelled("a", vec![labelled]),
        ] {
            let mut page = String::new();
            lane.write("lane-0", &scale, &mut page).unwrap();
            let document = roxmltree::Document::parse(&page).unwrap();
            let rect = document
                .descendants()
                .find(|node| node.has_tag_name("rect"))
                .unwrap();
            let width: f64 = rect.attribute("width").unwrap().parse().unwrap();
            assert!(width >= 1.0 || rect.attribute("data-name") == Some("<script>"));
            assert!(
                !document
                    .descendants()
                    .any(|node| node.has_tag_name("script"))
            );
        }
    }
}
