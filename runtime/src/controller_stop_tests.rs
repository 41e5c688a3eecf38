//! Latched stops, the way back from them, and operating modes, down to the commands that leave.

use super::*;

fn stop(category: StopCategory) -> Request {
    Request::Stop(category)
}

/// Of what was commanded last, m/s.
pub(super) fn tool_speed(bench: &Bench) -> f64 {
    let twist = bench.controller.follower.chain.jacobian(&bench.q).1 * bench.dq.0;
    twist.fixed_rows::<3>(0).norm()
}

/// What leaves after the stop was asked for in motion, until long after standstill.
fn verdicts(bench: &mut Bench, category: StopCategory) -> Vec<Verdict<7>> {
    let first = bench.ask(stop(category));
    assert_eq!(first.step.phase, Phase::Stopping(category));
    let rest = (0..800).map(|_| bench.idle().verdict);
    std::iter::once(first.verdict).chain(rest).collect()
}

#[test]
fn category_0_commands_nothing_from_the_first_tick_on() {
    let mut bench = Bench::moving();
    let verdicts = verdicts(&mut bench, Zero);
    assert!(
        verdicts
            .iter()
            .all(|verdict| *verdict == Verdict::Stop(Zero))
    );
    assert_eq!(bench.controller.phase(), Phase::Stopped(Zero));
}

#[test]
fn category_1_decelerates_and_then_removes_power() {
    let mut bench = Bench::moving();
    let verdicts = verdicts(&mut bench, One);
    let last_command = verdicts
        .iter()
        .rposition(|verdict| matches!(verdict, Verdict::Move(_)))
        .expect("a deceleration");
    assert!((5..500).contains(&last_command), "{last_command}");
    let Verdict::Move(command) = verdicts[last_command] else {
        unreachable!()
    };
    assert_eq!(*command.dq(), JointVelocities::zeros());
    let after = &verdicts[last_command + 1..];
    assert!(after.iter().all(|verdict| *verdict == Verdict::Stop(One)));
    assert_eq!(bench.controller.phase(), Phase::Stopped(One));
}

#[test]
fn category_2_decelerates_and_then_holds() {
    let mut bench = Bench::moving();
    let verdicts = verdicts(&mut bench, Two);
    let rest = bench.q;
    for (tick, verdict) in verdicts.iter().enumerate() {
        let Verdict::Move(command) = verdict else {
            panic!("tick {tick}: {verdict:?}");
        };
        assert!(tick < 500 || (*command.q(), *command.dq()) == (rest, JointVelocities::zeros()));
    }
    assert_eq!(bench.controller.phase(), Phase::Stopped(Two));
}

#[test]
fn a_person_clears_a_stop_only_at_standstill_and_motion_goes_on_from_the_measured_pose() {
    for category in [Zero, One, Two] {
        let mut bench = Bench::moving();
        let before = bench.ask(stop(category)).step.counters.refused_requests;
        let mut refused = 0;
        while bench.controller.phase() == Phase::Stopping(category) {
            let moving = bench.dq.0.amax() > 0.05;
            let step = bench.ask(Request::ClearFault).step;
            assert!(!moving || step.phase.latched().is_some(), "{category:?}");
            refused += u64::from(step.phase.latched().is_some());
            assert_eq!(step.counters.refused_requests, before + refused);
            assert!(refused < 500, "{category:?}: never at standstill");
        }
        assert!(refused > 5, "{category:?}");
        assert_eq!(bench.controller.phase(), Phase::Hold, "{category:?}");

        let mut bench = Bench::moving();
        bench.ask(stop(category));
        bench.run(600);
        for request in [
            Request::Approach(pose(0.0, 0.0, 0.2, 0.0)),
            Request::StartPolicy,
            Request::Rearm,
            Request::SetMode(OperatingMode::Manual),
        ] {
            let before = bench.idle().step.counters.refused_requests;
            let step = bench.ask(request).step;
            assert_eq!(step.phase, Phase::Stopped(category), "{request:?}");
            assert_eq!(step.counters.refused_requests, before + 1, "{request:?}");
        }
        // Somebody has moved it meanwhile.
        bench.q[2] += 0.004;
        (bench.q[6], bench.dq) = (bench.q[6] - 0.02, JointVelocities::zeros());
        let measured = bench.q;
        let outputs = bench.ask(Request::ClearFault);
        assert_eq!(outputs.step.phase, Phase::Hold, "{category:?}");
        assert_eq!(
            (commanded(&outputs), bench.dq),
            (measured, JointVelocities::zeros())
        );
        assert_eq!(outputs.step.phase.latched(), None);
        bench.ask(Request::Approach(pose(0.0, 0.0, 0.2, 0.0)));
        bench.run(300);
        assert!((bench.q.0 - measured.0).amax() > 0.01, "{category:?}");
    }
}

#[test]
fn each_fault_stops_with_its_category() {
    type Harm = fn(&mut Bench) -> Outputs<7>;
    let harms: [(u16, StopCategory, Harm); 6] = [
        (1, One, |bench| {
            (0..25).map(|_| bench.hear(SILENT)).last().expect("ran")
        }),
        (2, Zero, |bench| {
            bench.hear(Err(ArmError::Drive { code: 1 }))
        }),
        (3, One, |bench| {
            let mut state = bench.state();
            state.dq[3] = f64::INFINITY;
            bench.hear(Ok(state))
        }),
        (4, One, |bench| {
            let mut state = bench.state();
            state.q[3] += 0.2;
            bench.hear(Ok(state))
        }),
        (8, Two, |bench| bench.run(600)),
        (9, Two, |bench| {
            bench.act(0, motion(f64::NAN, 0.0, 0.0, 0.0))
        }),
    ];
    for (code, category, harm) in harms {
        let mut bench = Bench::in_policy_phase();
        let step = harm(&mut bench).step;
        let fault = step.fault.expect("a fault");
        assert_eq!((fault.code(), fault.category()), (code, category));
        assert_eq!(step.phase.latched(), Some(category), "{fault}");
        bench.run(2);
        let outputs = bench.idle();
        assert_eq!(outputs.step.phase, Phase::Stopped(category), "{fault}");
        let expected = (category != Two).then_some(category);
        assert_eq!(outputs.step.stop, expected, "{fault}");
        assert_eq!(outputs.step.fault, Some(fault));
    }
}

#[test]
fn a_stricter_stop_takes_over_and_a_milder_one_changes_nothing() {
    for at_standstill in [false, true] {
        let mut bench = Bench::moving();
        let fault = bench.decide(bench.decision(0, Action::hold())).step.fault;
        assert_eq!(fault, None, "late");
        let mut latched = |request: Request| {
            let phase = bench.ask(request).step.phase;
            if at_standstill {
                bench.run(500);
            }
            let outputs = bench.idle();
            assert_eq!(outputs.step.phase.latched(), phase.latched());
            (phase.latched().expect("latched"), outputs.verdict)
        };
        assert_eq!(latched(stop(Two)).0, Two);
        let (category, verdict) = latched(stop(One));
        assert_eq!(category, One);
        assert_eq!(verdict == Verdict::Stop(One), at_standstill);
        assert_eq!(latched(stop(Two)).0, One);
        assert_eq!(latched(stop(Zero)), (Zero, Verdict::Stop(Zero)));
        assert_eq!(latched(stop(One)), (Zero, Verdict::Stop(Zero)));
        assert_eq!(bench.run(500).step.phase, Phase::Stopped(Zero));
    }
    // What comes later may be stricter, but what came first has the name.
    let mut bench = Bench::in_policy_phase();
    let first = bench.act(0, motion(f64::NAN, 0.0, 0.0, 0.0)).step.fault;
    let step = bench.hear(Err(ArmError::Drive { code: 1 })).step;
    assert_eq!((step.fault, step.fault.is_some()), (first, true));
    assert_eq!(step.phase, Phase::Stopping(Zero));
    // Nor does it matter whether a fault or a person was first.
    let mut bench = Bench::holding();
    assert_eq!(bench.ask(stop(Zero)).step.fault, None);
    let step = bench.hear(Err(ArmError::Drive { code: 1 })).step;
    assert_eq!(step.fault, Some(Fault::Drive { code: 1 }));
}

#[test]
fn the_end_keeps_a_stricter_stop() {
    for category in [Zero, One, Two] {
        let mut bench = Bench::moving();
        bench.ask(Request::End);
        bench.ask(stop(category));
        for _ in 0..500 {
            bench.ask(Request::End);
        }
        let outputs = bench.ask(Request::End);
        assert_eq!(outputs.step.phase, Phase::Stopped(category));
        assert!(outputs.step.is_stopped());
    }
}

#[test]
fn a_hold_comes_to_rest_ahead_and_does_not_turn_back() {
    let mut bench = Bench::moving();
    let asked_at = bench.controller.follower.tool(&bench.q).position_m.z;
    let outputs = bench.ask(Request::Hold);
    let goal = outputs.step.goal.position_m.z;
    let braking_m = asked_at - goal;
    assert!((0.005..0.03).contains(&braking_m), "{braking_m} m");
    let mut lowest = asked_at;
    for _ in 0..600 {
        bench.idle();
        lowest = lowest.min(bench.controller.follower.tool(&bench.q).position_m.z);
    }
    let end = bench.controller.follower.tool(&bench.q).position_m.z;
    assert!((end - goal).abs() < 2e-4, "{end} {goal}");
    assert!(end - lowest < 2e-4, "turned back by {} m", end - lowest);
    // And then the command rests exactly.
    let before = bench.q;
    let outputs = bench.idle();
    assert!(outputs.step.is_stopped());
    assert_eq!((bench.q, bench.dq), (before, JointVelocities::zeros()));
}

#[test]
fn re_arming_needs_a_hold_at_rest_and_begins_at_the_measured_pose() {
    let mut bench = Bench::moving();
    let mut refused = 0;
    for _ in 0..5 {
        let step = bench.ask(Request::Rearm).step;
        refused += 1;
        assert_eq!(step.phase, Phase::Approach);
        assert_eq!(step.counters.refused_requests, refused);
    }
    bench.ask(Request::Hold);
    let step = bench.ask(Request::Rearm).step;
    assert_eq!(
        (step.phase, step.counters.refused_requests),
        (Phase::Hold, 6)
    );
    assert!(bench.dq.0.amax() > 0.05, "still decelerating");
    bench.run(600);
    for _ in 0..3 {
        // The arm gave way a little, and whoever holds it has turned the tool.
        bench.q[5] += 0.003;
        bench.q[6] += 0.05;
        let measured = bench.q;
        let outputs = bench.ask(Request::Rearm);
        assert_eq!(outputs.step.phase, Phase::Hold);
        assert_eq!(
            (commanded(&outputs), bench.dq),
            (measured, JointVelocities::zeros())
        );
        let goal = outputs.step.goal;
        assert_eq!(
            goal,
            bench.controller.follower.tool(&measured),
            "goal and arm agree"
        );
        bench.run(50);
        assert_eq!(bench.q, measured, "and nothing moves by itself");
        assert_eq!(bench.idle().step.counters.refused_requests, 6);
    }
}

#[test]
fn a_mode_changes_only_in_a_hold_at_rest_and_moves_nothing() {
    let manual = Request::SetMode(OperatingMode::Manual);
    let mut bench = Bench::moving();
    let step = bench.ask(manual).step;
    assert_eq!(
        (step.mode, step.counters.refused_requests),
        (OperatingMode::Automatic, 1)
    );
    bench.ask(Request::Hold);
    let step = bench.ask(manual).step;
    assert_eq!(
        (step.mode, step.counters.refused_requests),
        (OperatingMode::Automatic, 2)
    );
    bench.run(600);
    let rest = bench.q;
    let outputs = bench.ask(manual);
    assert_eq!(outputs.step.mode, OperatingMode::Manual);
    assert_eq!(
        (outputs.step.phase, commanded(&outputs)),
        (Phase::Hold, rest)
    );
    bench.run(100);
    assert_eq!(bench.q, rest);
}

#[test]
fn manual_mode_keeps_reduced_speed_on_the_same_path() {
    let corners = [pose(0.1, 0.1, 0.08, 0.0), pose(-0.1, -0.1, 0.25, 1.0)];
    let mut fastest = [0.0_f64; 3];
    let mut bench = Bench::holding();
    for (phase, mode) in [
        OperatingMode::Automatic,
        OperatingMode::Manual,
        OperatingMode::Automatic,
    ]
    .into_iter()
    .enumerate()
    {
        bench.ask(Request::Hold);
        bench.run(600);
        bench.ask(Request::SetMode(mode));
        for goal in corners {
            bench.ask(Request::Approach(goal));
            for _ in 0..2500 {
                let step = bench.idle().step;
                assert_eq!((step.mode, step.fault), (mode, None));
                fastest[phase] = fastest[phase].max(tool_speed(&bench));
            }
            let off =
                (bench.controller.follower.tool(&bench.q).position_m - goal.position_m).norm();
            assert!(off < 1e-3, "{mode:?}: {off} m");
        }
    }
    assert!(fastest[0] > 0.35 && fastest[2] > 0.35, "{fastest:?}");
    assert!((0.22..=0.25).contains(&fastest[1]), "{fastest:?}");
}

#[test]
fn a_policy_that_sees_only_old_frames_is_told_apart_from_a_silent_one() {
    let mut bench = Bench::in_policy_phase();
    for k in 0..500 {
        let old = Decision {
            frame_captured_at: Instant::from_ticks(bench.now.as_ticks() - 400 * MS),
            ..bench.decision(k, Action::hold())
        };
        assert_eq!(bench.decide(old).step.fault, None);
    }
    let (age_ms, limit_ms) = (400.0, 150.0);
    let fault = Fault::FrameTooOld { age_ms, limit_ms };
    assert_eq!(bench.idle().step.fault, Some(fault));
    // A fresh one in between makes both forgotten.
    let mut bench = Bench::in_policy_phase();
    bench.decide(Decision {
        frame_captured_at: Instant::from_ticks(bench.now.as_ticks() - 400 * MS),
        ..bench.decision(0, Action::hold())
    });
    bench.act(1, Action::hold());
    let fault = bench.run(501).step.fault.expect("silent");
    assert_eq!(fault.code(), 8);
}

#[test]
fn an_angle_keeps_its_turns() {
    for (angle, near, expected) in [
        (1.0, 0.9, 1.0),
        (-3.0, 3.2, TAU - 3.0),
        (3.0, -3.2, 3.0 - TAU),
        (0.1, 2.0 * TAU, 2.0 * TAU + 0.1),
        (3.0, 0.0, 3.0),
    ] {
        assert!((nearest_turn(angle, near) - expected).abs() < 1e-12);
    }
}

#[test]
fn an_arm_outside_its_limits_comes_in_only_when_a_person_asks() {
    let mut outside = home();
    outside[0] += 0.4;
    let mut bench = Bench::at(outside);
    let refused = bench.idle().step;
    assert!(matches!(
        refused.fault,
        Some(Fault::StartOutsideWorkspace { .. })
    ));
    bench.run(5);
    // Clearing alone moves nothing.
    bench.ask(Request::ClearFault);
    bench.run(5);
    assert_eq!(
        (bench.controller.phase(), bench.q),
        (Phase::Stopped(Two), outside)
    );
    let mut last = outside[0];
    let step = bench.ask(Request::Recover).step;
    assert_eq!((step.phase, step.fault), (Phase::Inward, None));
    assert_eq!(step.command.map(|(q, ..)| q), Some(outside));
    let refused = bench
        .ask(Request::StartPolicy)
        .step
        .counters
        .refused_requests;
    assert!(refused > 0);
    for tick in 0.. {
        let step = bench.idle().step;
        let q = step.command.expect("a command").0[0];
        assert!(q <= last + 1e-9 && last - q < 2e-4, "{tick}: {last} to {q}");
        last = q;
        if step.phase == Phase::Hold {
            break;
        }
        assert_eq!(step.phase, Phase::Inward);
        assert!(tick < 10_000, "not inside at {q}");
    }
    assert!((0..500).any(|_| bench.idle().step.is_stopped()));
    let q = bench.q;
    bench.ask(Request::Approach(bench.controller.follower.tool(&home())));
    for _ in 0..1000 {
        bench.idle();
    }
    assert!((bench.q.0 - q.0).amax() > 0.05);
}

#[test]
fn a_loop_that_stood_still_stops_the_motion_that_was_torn_off() {
    for (gap, stops) in [(50, false), (51, true)] {
        let mut bench = Bench::moving();
        bench.now += ms(gap - 1);
        let after = bench.idle();
        assert_eq!(after.step.phase.latched().is_some(), stops, "{gap} ms");
        if stops {
            let fault = after.step.fault.expect("latched");
            assert_eq!(fault.code(), 14);
            bench.run(500);
            assert_eq!(bench.controller.phase(), Phase::Stopped(Two));
        }
    }
}
