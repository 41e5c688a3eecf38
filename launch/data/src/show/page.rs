//! The report as one HTML page that needs nothing else: no network, no font, no library.
//!
//! Responsible for the page's order and tables. Not responsible for charts, lanes and film, nor for what the facts are.

use super::facts::{ActionFacts, Event, EventKind, Facts};
use super::timescale::TimeScale;
use super::{film, tracks};
use crate::markup::{Coordinate, Text};
use crate::robot::RobotModel;
use crate::timeline::Timeline;
use crate::words;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{self, Write};
use visuomotor_runtime::episode::Sha256;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A loop that is late again and again must not fill the page.
const EVENTS_MAX: usize = 500;

/// How every report begins: what does not begin so is nobody's to overwrite.
pub const BEGINNING: &str = "<!DOCTYPE html>\n<!-- visuomotor show -->\n";

/// It is XML as well, so that every parser agrees on what is a tag and what is text.
pub fn html(
    timeline: &Timeline,
    facts: &Facts,
    model: Option<&RobotModel>,
    path: &str,
) -> Result<String, fmt::Error> {
    let mut page = String::from(BEGINNING);
    head(facts, &mut page)?;
    top(timeline, facts, path, &mut page)?;
    along_the_time(timeline, facts, model, &mut page)?;
    events(&facts.events, &mut page)?;
    actions(&facts.actions, &mut page)?;
    notes(facts, &mut page)?;
    lineage(timeline, facts, &mut page)?;
    writeln!(page, "<script>{SCRIPT}</script></body></html>")?;
    Ok(page)
}

fn head(facts: &Facts, page: &mut String) -> fmt::Result {
    // Nothing is fetched and nothing else runs, whatever the episode's texts say.
    let hash = STANDARD.encode(Sha256::of(SCRIPT.as_bytes()).0);
    writeln!(
        page,
        "<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{} · episode</title>\n<style>{STYLE}</style></head><body>",
        Text(&facts.id)
    )
}

fn top(timeline: &Timeline, facts: &Facts, path: &str, page: &mut String) -> fmt::Result {
    let header = &timeline.header;
    writeln!(
        page,
        "<h1>Episode {} <small>{}</small></h1>",
        Text(&facts.id),
        Text(path)
    )?;
    let (class, verdict) = verdict(facts);
    writeln!(
        page,
        "<p class=\"verdict {class}\">{verdict}</p><p class=\"reason\">{}</p>",
        Text(reason(facts))
    )?;
    for warning in warnings(facts) {
        writeln!(page, "<p class=\"danger\">{}</p>", Text(warning))?;
    }
    let counters = &facts.counters;
    let lost = facts.outcome.map_or(0, |outcome| {
        outcome.lost_steps + outcome.lost_frames + outcome.lost_events
    });
    let counts = [
        ("missed ticks", counters.missed_ticks),
        ("failed reads", counters.failed_reads),
        ("late decisions", counters.late_decisions),
        ("clamped actions", counters.clamped_actions),
        ("refused requests", counters.refused_requests),
        ("dropped steps", counters.dropped_steps),
        ("dropped frames", counters.dropped_frames),
        ("lost records", lost),
    ];
    let policy = header
        .policy
        .as_ref()
        .map_or("none", |policy| policy.name.as_str());
    let started = facts.started_at_utc.as_deref().unwrap_or("simulated time");
    let started = started.get(..19).unwrap_or(started).replace('T', " ");
    let mut cards = vec![
        ("robot", header.robot.name.clone()),
        ("policy", policy.to_owned()),
        ("started (UTC)", started),
        ("duration", format!("{:.2} s", facts.duration_s)),
        ("ticks", facts.ticks.to_string()),
        ("actions", facts.actions.len().to_string()),
        ("frames", facts.frames.to_string()),
    ];
    if !facts.task.is_empty() {
        cards.insert(0, ("task", facts.task.clone()));
    }
    // Simulated time has none, unless it is a fault that was asked for.
    if let Some(jitter) = facts.jitter_us.filter(|jitter| jitter.max > 0.0) {
        cards.push((
            "jitter p99 / max",
            format!("{:.0} / {:.0} µs", jitter.p99, jitter.max),
        ));
    }
    if let Some(tool) = facts.tool {
        cards.push(("tool path", format!("{:.2} m", tool.path_m)));
    }
    writeln!(page, "<dl class=\"cards\">")?;
    for (name, value) in cards {
        writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", Text(value))?;
    }
    for (name, count) in counts {
        let class = if count > 0 { " class=\"alert\"" } else { "" };
        writeln!(page, "<div{class}><dt>{name}</dt><dd>{count}</dd></div>")?;
    }
    writeln!(page, "</dl>")
}

/// Class and words, with a sign for those who see no colours.
pub fn verdict(facts: &Facts) -> (&'static str, &'static str) {
    match facts.outcome {
        None => ("bad", "✗ No outcome"),
        Some(outcome) => match (outcome.success, outcome.ending) {
            (Some(true), _) => ("good", "✓ Succeeded"),
            (Some(false), "fault") => ("bad", "✗ Failed: fault"),
            (Some(false), _) => ("bad", "✗ Failed"),
            (None, "fault") => ("bad", "✗ Fault"),
            (None, _) => ("", "– Not judged"),
        },
    }
}

pub fn reason(facts: &Facts) -> String {
    let Some(outcome) = facts.outcome else {
        return "The file ends before the episode's outcome.".to_owned();
    };
    let actions = outcome.actions;
    let fault = facts
        .events
        .iter()
        .rfind(|event| event.kind == EventKind::Fault);
    match (outcome.ending, fault) {
        ("terminated", _) => format!("The policy ended it after {actions} actions."),
        ("step_limit", _) => format!("All of its {actions} actions were taken."),
        ("fault", Some(fault)) => format!(
            "At {:.3} s: {}. {actions} actions were taken.",
            fault.at_s, fault.text
        ),
        ("fault", None) => format!("A fault stopped the arm after {actions} actions."),
        _ if actions == 0 => {
            "It ended before the first action: a person stopped it, or its start pose was not reached.".to_owned()
        }
        _ => format!("A person ended it after {actions} actions."),
    }
}

/// What went wrong on the way, and what is not there that should be.
pub fn warnings(facts: &Facts) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut faults = facts
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Fault);
    let count = faults.clone().count();
    let is_the_reason = count == 1
        && facts
            .outcome
            .is_some_and(|outcome| outcome.ending == "fault");
    if let Some(first) = faults.next().filter(|_| !is_the_reason) {
        let (at_s, text) = (first.at_s, &first.text);
        warnings.push(match count {
            1 => format!("A fault at {at_s:.3} s: {text}."),
            _ => format!("{count} faults, the first at {at_s:.3} s: {text}."),
        });
    }
    if let Some(damage) = &facts.damage {
        warnings.push(format!(
            "The file is damaged or ends early: {damage}. It holds {} ticks up to {:.3} s and {} frames; all that came after that is lost.",
            facts.ticks, facts.duration_s, facts.frames
        ));
    } else if facts.outcome.is_none() {
        warnings.push(format!(
            "The file has no outcome: whoever wrote it did not finish. It holds {} ticks up to {:.3} s.",
            facts.ticks, facts.duration_s
        ));
    }
    if let Some(outcome) = facts.outcome {
        let (steps, frames, events) =
            (outcome.lost_steps, outcome.lost_frames, outcome.lost_events);
        if steps + frames + events > 0 {
            warnings.push(format!(
                "Lost while it was recorded: {steps} steps, {frames} frames, {events} observations and decisions."
            ));
        }
    }
    warnings
}

fn along_the_time(
    timeline: &Timeline,
    facts: &Facts,
    model: Option<&RobotModel>,
    page: &mut String,
) -> fmt::Result {
    let scale = TimeScale::of(timeline);
    writeln!(
        page,
        "<div id=\"bar\"><img id=\"look\" alt=\"\" hidden=\"hidden\"/><span id=\"clock\"></span><small>Point at a time to read every value; click to hold it, arrow keys to move.</small></div>\
         <div id=\"tracks\" data-from=\"{}\" data-to=\"{}\"><div id=\"cursor\"></div>",
        scale.from_s, scale.to_s
    )?;
    for fault in facts
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Fault)
    {
        let left = Coordinate(scale.column(fault.at_s) / 10.0);
        writeln!(page, "<div class=\"strike\" style=\"left:{left}%\"></div>")?;
    }
    film::write(timeline, &scale, page)?;
    axis(&scale, page)?;
    for (k, lane) in tracks::lanes(timeline).iter().enumerate() {
        lane.write(&format!("lane-{k}"), &scale, page)?;
    }
    for group in tracks::groups(timeline, &scale, model) {
        writeln!(page, "<h2>{}</h2>", group.title)?;
        for chart in &group.charts {
            chart.write(page)?;
        }
        axis(&scale, page)?;
    }
    writeln!(page, "</div>")
}

fn axis(scale: &TimeScale, page: &mut String) -> fmt::Result {
    write!(page, "<div class=\"axis\">")?;
    for mark in scale.marks() {
        let left = scale.column(mark) / 10.0;
        if (1.0..=98.5).contains(&left) {
            let label = super::chart::number(mark);
            write!(
                page,
                "<span style=\"left:{}%\">{label} s</span>",
                Coordinate(left)
            )?;
        }
    }
    writeln!(page, "</div>")
}

fn events(events: &[Event], page: &mut String) -> fmt::Result {
    writeln!(page, "<h2>Events</h2>")?;
    if events.is_empty() {
        return writeln!(page, "<p class=\"none\">None.</p>");
    }
    writeln!(
        page,
        "<div class=\"scroll\"><table><tr><th class=\"n\">s</th><th>kind</th><th>what</th></tr>"
    )?;
    for event in &events[..events.len().min(EVENTS_MAX)] {
        let (class, kind) = match event.kind {
            EventKind::Fault => ("fault", "fault"),
            EventKind::Request => ("", "request"),
            EventKind::Warning => ("warning", "warning"),
            EventKind::Log => ("", "log"),
        };
        writeln!(
            page,
            "<tr class=\"{class}\"><td class=\"n\">{:.3}</td><td>{kind}</td><td>{}</td></tr>",
            event.at_s,
            Text(&event.text)
        )?;
    }
    writeln!(page, "</table></div>")?;
    match events.len().checked_sub(EVENTS_MAX) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(
            page,
            "<p class=\"none\">And {more} more; the JSON has all.</p>"
        ),
    }
}

fn actions(actions: &[ActionFacts], page: &mut String) -> fmt::Result {
    if actions.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<details><summary>{} actions</summary><div class=\"scroll\"><table><tr>",
        actions.len()
    )?;
    for name in [
        "step",
        "decided, s",
        "frame, s",
        "x, mm",
        "y, mm",
        "z, mm",
        "yaw, °",
        "Q",
    ] {
        write!(page, "<th class=\"n\">{name}</th>")?;
    }
    writeln!(page, "<th>verb</th></tr>")?;
    for action in actions {
        write!(page, "<tr><td class=\"n\">{}</td>", action.step)?;
        for value in [action.decided_s, action.frame_s] {
            write!(page, "<td class=\"n\">{value:.3}</td>")?;
        }
        for value in [
            1e3 * action.x_m,
            1e3 * action.y_m,
            1e3 * action.z_m,
            action.yaw_rad.to_degrees(),
        ] {
            write!(page, "<td class=\"n\">{}</td>", words::decimals(value, 1))?;
        }
        let q = words::decimals(action.q_value, 3);
        writeln!(
            page,
            "<td class=\"n\">{q}</td><td>{}</td></tr>",
            action.verb
        )?;
    }
    writeln!(page, "</table></div></details>")
}

fn notes(facts: &Facts, page: &mut String) -> fmt::Result {
    if facts.annotations.is_empty() {
        return Ok(());
    }
    writeln!(page, "<h2>Annotations</h2><table>")?;
    for note in &facts.annotations {
        writeln!(
            page,
            "<tr><td>{:.2} to {:.2} s</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            note.from_s,
            note.to_s,
            Text(&note.label),
            Text(&note.note),
            Text(&note.author)
        )?;
    }
    writeln!(page, "</table>")
}

/// Everything that the file's header says, and the files that are attached to it.
fn lineage(timeline: &Timeline, facts: &Facts, page: &mut String) -> fmt::Result {
    writeln!(page, "<h2>Lineage</h2><div class=\"records\">")?;
    for (record, map) in facts.lineage.iter().filter(|(_, map)| !map.is_empty()) {
        let name = record
            .strip_prefix("visuomotor.")
            .unwrap_or(record)
            .replace('_', " ");
        writeln!(page, "<div><h3>{name}</h3><table>")?;
        for (key, value) in map {
            writeln!(
                page,
                "<tr><th>{}</th><td>{}</td></tr>",
                Text(key),
                hash_or_text(value)
            )?;
        }
        writeln!(page, "</table></div>")?;
    }
    writeln!(page, "</div><h2>Attached</h2>")?;
    for file in &timeline.attachments {
        let text = match std::str::from_utf8(&file.data) {
            Ok(text) => Text(text.to_owned()),
            Err(_) => Text("This file is no text.".to_owned()),
        };
        writeln!(
            page,
            "<details><summary>{} <small>{}, SHA-256 {}</small></summary><pre>{text}</pre></details>",
            Text(&file.name),
            words::size(file.data.len() as u64),
            words::short(&Sha256::of(&file.data).to_string())
        )?;
    }
    Ok(())
}

/// A hash by its first digits, all of it when one points at it.
fn hash_or_text(value: &str) -> String {
    let is_hash =
        matches!(value.len(), 40 | 64) && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hash {
        true => format!("<code title=\"{value}\">{}…</code>", words::short(value)),
        false => Text(value).to_string(),
    }
}
