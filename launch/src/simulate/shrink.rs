//! Makes a failing plan smaller: fewer faults, then shorter ones, as long as it fails alike.

use super::plan::Plan;

/// The smallest plan found that still `fails`; `plan` itself does.
pub fn shrink<E>(
    mut plan: Plan,
    mut fails: impl FnMut(&Plan) -> Result<bool, E>,
) -> Result<Plan, E> {
    let mut k = 0;
    while k < plan.len() {
        let mut fewer = plan.clone();
        fewer.remove(k);
        match fails(&fewer)? {
            true => plan = fewer,
            false => k += 1,
        }
    }
    for k in 0..plan.len() {
        while plan[k].span_ms > 1 {
            let mut shorter = plan.clone();
            shorter[k].span_ms /= 2;
            if !fails(&shorter)? {
                break;
            }
            plan = shorter;
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Choice, Kind};
    use super::*;

    #[test]
    fn what_the_failure_does_not_need_goes() {
        let text = "camera-stall@100+800:1,drive-fault@300+900:2,link-loss@500+70:3";
        let Choice::Exactly(plan) = text.parse().unwrap() else {
            panic!("three faults are a plan")
        };
        let needs = |plan: &Plan| {
            let needed = |kind, ms| plan.iter().any(|p| p.kind == kind && p.span_ms >= ms);
            Ok::<_, ()>(needed(Kind::DriveFault, 200))
        };
        let smallest = shrink(plan, needs).unwrap();
        assert_eq!(super::super::plan::text(&smallest), "drive-fault@300+225:2");
    }
}
