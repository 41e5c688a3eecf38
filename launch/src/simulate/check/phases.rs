//! The state machine: every change of phase can be explained by events that this tick can have had.

use super::{Found, Pair, demand};
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::phase::{Answer, Event, Phase};
use visuomotor_runtime::safety::StopCategory;

pub fn check(pair: Pair<'_>) -> Found {
    let Pair { last, step } = pair;
    demand(step.tick == last.tick + 1, "phases", || {
        format!("tick {} follows {}", step.tick, last.tick)
    })?;
    demand(reachable(pair), "phases", || {
        format!(
            "{:?} became {:?} with {:?}",
            last.phase, step.phase, step.inputs.request
        )
    })
}

fn reachable(pair: Pair<'_>) -> bool {
    let Pair { last, step } = pair;
    let mut events = vec![Event::Armed, Event::ArmedOutside, Event::Inside];
    if last.is_stopped() {
        events.push(Event::Standstill);
    }
    let resting = last.is_stopped();
    match step.inputs.request {
        Some(Request::Hold) => events.push(Event::Hold),
        Some(Request::Approach(_)) => events.push(Event::Approach),
        Some(Request::StartPolicy) => events.push(Event::StartPolicy),
        Some(Request::Jog(_)) => events.push(Event::Jog),
        Some(Request::Rearm) => events.push(Event::Rearm { resting }),
        Some(Request::SetMode(_)) => events.push(Event::SetMode { resting }),
        Some(Request::Stop(category)) => events.push(Event::Stop(category)),
        Some(Request::ClearFault | Request::Recover) => events.push(Event::Clear),
        Some(Request::End) => events.push(Event::End),
        None => {}
    }
    if step
        .inputs
        .decision
        .is_some_and(|decision| decision.action.verb == Verb::Terminate)
    {
        events.push(Event::Terminate);
    }
    if step.fault.is_some() {
        let categories = [StopCategory::Zero, StopCategory::One, StopCategory::Two];
        events.extend(categories.map(Event::Stop));
    }
    let mut reached = vec![last.phase];
    let mut next = 0;
    while next < reached.len() {
        let from: Phase = reached[next];
        next += 1;
        for event in &events {
            if let Answer::Next(phase) = from.on(*event)
                && !reached.contains(&phase)
            {
                reached.push(phase);
            }
        }
    }
    reached.contains(&step.phase)
}
