//! Replays of a controller that everything happens to: the same bits, and every difference found.

use super::*;
use crate::replay::{NoStart, Replayed, replay};
use proptest::prelude::*;

/// What somebody may ask for, often what brings the arm back to work.
fn some_request(rng: &mut impl Rng) -> Option<Request> {
    let reach = |rng: &mut dyn FnMut() -> f64| {
        pose(0.2 * rng(), 0.2 * rng(), 0.1 + 0.1 * rng(), 4.0 * rng())
    };
    Some(match rng.random_range(0..400) {
        0..=3 => Request::Approach(reach(&mut || rng.random_range(-1.0..1.0))),
        4..=7 => Request::StartPolicy,
        8 => Request::Hold,
        9..=10 => Request::Rearm,
        11 => Request::SetMode(OperatingMode::Manual),
        12 => Request::SetMode(OperatingMode::Automatic),
        13 => Request::Stop([Zero, One, Two][rng.random_range(0..3)]),
        14..=17 => Request::Recover,
        18 => Request::ClearFault,
        19..=40 => Request::Jog(TcpVelocity {
            linear_m_per_s: reach(&mut || rng.random_range(-1.0..1.0)).position_m,
            yaw_rad_per_s: rng.random_range(-1.0..1.0),
        }),
        _ => return None,
    })
}

/// The record of so many ticks in which reads fail, commands get lost, ticks are skipped and people ask for this and that.
fn record(seed: u64, ticks: u32) -> Vec<Step<7>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut bench = Bench::at(near_home(&mut rng));
    let mut steps = Vec::new();
    for number in 0..ticks {
        let mut inputs = bench.inputs();
        inputs.request = some_request(&mut rng);
        let verb = Verb::ALL[rng.random_range(0..4)];
        let [x, y, z, yaw] = std::array::from_fn(|_| rng.random_range(-0.1..0.1));
        inputs.decision = rng.random_bool(0.01).then(|| Decision {
            action: Action {
                verb,
                ..motion(x, y, z, yaw)
            },
            ..bench.decision(number, Action::hold())
        });
        match rng.random_range(0..1_000) {
            0..=30 => inputs.arm = SILENT,
            31 => inputs.arm = Err(ArmError::Drive { code: 7 }),
            32 => inputs.arm.as_mut().unwrap().q[3] = f64::NAN,
            33..=60 => inputs.write_error = Some(ArmError::NoAnswer),
            61 => bench.now += ms(60),
            _ => {}
        }
        steps.push(bench.tick(inputs).step);
    }
    steps
}

fn replay_of(steps: &[Step<7>]) -> Result<Replayed, NoStart> {
    let mut controller = controller();
    if let Some(first) = steps.first() {
        controller.safety.set_mode(first.mode).expect("at rest");
    }
    replay(steps, controller)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_replay_gives_the_same_bits(seed: u64) {
        let steps = record(seed, 3_000);
        let expected = Replayed { ticks: 3_000, ..Replayed::default() };
        prop_assert_eq!(replay_of(&steps), Ok(expected));
        // From the first re-arming on.
        if let Ok(later) = replay_of(&steps[1..]) {
            prop_assert_eq!(later.first_difference, None);
            prop_assert_eq!(later.skipped + later.ticks, 2_999);
        }
    }
}

#[test]
fn a_recording_of_later_episodes_begins_at_the_re_arming() {
    let mut bench = Bench::holding();
    let mut steps = vec![bench.idle().step];
    for request in [Request::Approach(pose(0.05, 0.0, 0.15, 1.0)), Request::Hold] {
        steps.push(bench.ask(request).step);
        steps.extend((0..1500).map(|_| bench.idle().step));
    }
    let rearm = steps.len();
    steps.push(bench.ask(Request::Rearm).step);
    assert_eq!(steps[rearm].phase, Phase::Hold);
    assert_eq!(steps[rearm].counters.refused_requests, 0);
    steps.push(
        bench
            .ask(Request::Approach(pose(0.0, 0.05, 0.2, -1.0)))
            .step,
    );
    steps.extend((0..500).map(|_| bench.idle().step));
    let replayed = replay_of(&steps).unwrap();
    assert_eq!(
        (replayed.skipped, replayed.first_difference),
        (rearm as u64, None)
    );
    assert_eq!(replayed.ticks, 502);
    assert_eq!(replay_of(&steps[..rearm]), Err(NoStart::NeverKnown));
    assert_eq!(replay_of(&[]), Err(NoStart::Empty));
}

#[test]
fn whatever_was_changed_is_found_where_it_was_changed() {
    let steps = record(3, 2_000);
    let commanded = |step: &Step<7>| step.tick > 1_000 && step.command.is_some();
    let at = steps.iter().position(commanded).expect("a command");
    type Change = fn(&mut Step<7>);
    let changes: [(&str, Change); 5] = [
        ("goal", |step| step.goal.yaw_rad += 1e-15),
        ("counters", |step| step.counters.failed_reads += 1),
        ("reference", |step| {
            step.reference.position_m.x = -0.0 - step.reference.position_m.x
        }),
        ("phase", |step| step.phase = Phase::Ending),
        ("command", |step| step.command = None),
    ];
    for (field, change) in changes {
        let mut changed = steps.clone();
        change(&mut changed[at]);
        let difference = replay_of(&changed).unwrap().first_difference.expect(field);
        assert_eq!((difference.field, difference.tick), (field, at as u64));
    }
    let mut gap = steps.clone();
    gap.remove(at);
    let difference = replay_of(&gap).unwrap().first_difference.expect("a gap");
    assert_eq!((difference.field, difference.tick), ("tick", at as u64 + 1));
    assert_eq!(difference.replayed, at.to_string());
}
