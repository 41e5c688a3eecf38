//! The wire format against the manual's own frames, and against any bytes.

use super::*;
use proptest::prelude::*;

const DM4310: Ranges = Ranges::new(12.5, 30.0, 10.0);
const DM8009: Ranges = Ranges::new(12.5, 45.0, 54.0);

fn frame(id: u16, data: [u8; 8]) -> CanFrame {
    CanFrame { id, data, len: 8 }
}

/// Frames as the manual shows them, and what it says they mean.
#[test]
fn a_documented_exchange_means_what_the_document_says() {
    // Chapter "MIT mode": everything zero.
    let nothing = Impedance::default().encode(1, &DM4310).unwrap();
    assert_eq!(
        nothing,
        frame(1, [0x7F, 0xFF, 0x7F, 0xF0, 0x00, 0x00, 0x07, 0xFF])
    );
    // Enter, leave, zero, clear.
    let commands = [
        (Command::Enable, 0xFC),
        (Command::Disable, 0xFD),
        (Command::SetZero, 0xFE),
        (Command::ClearFault, 0xFB),
    ];
    for (command, last) in commands {
        let expected = frame(4, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, last]);
        assert_eq!(command.encode(4), expected);
        assert_eq!(Command::decode(&expected), Some(command));
        assert_eq!(Impedance::decode(&expected, &DM4310), None);
    }
    // Read register 21 (PMAX) of drive 1; it is 12.5, a little-endian float.
    let read = Access::Read {
        register: Register::PositionMax as u8,
    };
    assert_eq!(read.encode(1), frame(0x7FF, [1, 0, 0x33, 21, 0, 0, 0, 0]));
    let answer = frame(0x11, [1, 0, 0x33, 21, 0x00, 0x00, 0x48, 0x41]);
    assert_eq!(read.answer(&answer, 1).map(f32::from_le_bytes), Some(12.5));
    assert_eq!(read.answer(&answer, 2), None);
    // Write register 10 (CTRL_MODE): MIT.
    let write = Access::Write {
        register: Register::ControlMode as u8,
        value: MIT_MODE.to_le_bytes(),
    };
    assert_eq!(write.encode(1), frame(0x7FF, [1, 0, 0x55, 10, 1, 0, 0, 0]));
    // Ask for the state of drive 2; it is at zero, under power, 30 and 28 degrees warm.
    assert_eq!(
        Access::Status.encode(2),
        frame(0x7FF, [2, 0, 0xCC, 0, 0, 0, 0, 0])
    );
    let feedback = Feedback::decode(
        &frame(0x12, [0x12, 0x80, 0x00, 0x80, 0x08, 0x00, 30, 28]),
        2,
        &DM4310,
    )
    .unwrap();
    assert_eq!(
        (feedback.status, feedback.mosfet_c, feedback.coil_c),
        (Status::ENABLED, 30, 28)
    );
    assert!(
        feedback.q.abs() < 2e-4 && feedback.dq.abs() < 0.008 && feedback.tau.abs() < 0.003,
        "{feedback:?}"
    );
    // The ends of the ranges.
    let end = Feedback::decode(
        &frame(0x12, [0xD2, 0xFF, 0xFF, 0xFF, 0xF0, 0x00, 0, 0]),
        2,
        &DM8009,
    )
    .unwrap();
    assert_eq!(
        (end.status, end.q, end.dq, end.tau),
        (Status::SILENCE, 12.5, 45.0, -54.0)
    );
}

#[test]
fn what_is_not_finite_is_never_sent() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for field in 0..5 {
            let mut all = [0.0; 5];
            all[field] = bad;
            let [q, dq, kp, kd, tau] = all;
            assert_eq!(Impedance { q, dq, kp, kd, tau }.encode(1, &DM4310), None);
        }
    }
}

fn ranges() -> impl Strategy<Value = Ranges> {
    (0.5..100.0, 0.5..300.0, 0.5..300.0, 1.0..1000.0, 0.5..50.0).prop_map(
        |(p, v, t, kp_max, kd_max)| Ranges {
            kp_max,
            kd_max,
            ..Ranges::new(p, v, t)
        },
    )
}

fn any_frame() -> impl Strategy<Value = CanFrame> {
    let id = prop_oneof![Just(REGISTERS_ID), 0_u16..0x20, 0_u16..0x800];
    let byte = prop_oneof![
        Just(0xFF_u8),
        Just(READ),
        Just(WRITE),
        Just(STATUS),
        any::<u8>()
    ];
    (id, proptest::collection::vec(byte, 8), 0_u8..=8).prop_map(|(id, data, len)| CanFrame {
        id,
        data: data.try_into().unwrap(),
        len,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_impedance_survives_the_wire(r in ranges(), u in proptest::array::uniform5(-1.5_f64..1.5)) {
        let sent = Impedance {
            q: u[0] * r.p_max_rad,
            dq: u[1] * r.v_max_rad_per_s,
            kp: u[2] * r.kp_max,
            kd: u[3] * r.kd_max,
            tau: u[4] * r.t_max_nm,
        };
        let Some(frame) = sent.encode(3, &r) else {
            // Everything at the very end of its range: the price of this protocol.
            prop_assert!(u.iter().all(|u| *u > 0.99));
            return Ok(());
        };
        let got = Impedance::decode(&frame, &r).unwrap();
        let near = |got: f64, sent: f64, low: f64, high: f64, bits: i32| {
            (got - sent.clamp(low, high)).abs() <= 0.5001 * (high - low) / (2_f64.powi(bits) - 1.0)
        };
        prop_assert!(near(got.q, sent.q, -r.p_max_rad, r.p_max_rad, 16), "{sent:?} {got:?}");
        prop_assert!(near(got.dq, sent.dq, -r.v_max_rad_per_s, r.v_max_rad_per_s, 12), "{sent:?} {got:?}");
        prop_assert!(near(got.kp, sent.kp, 0.0, r.kp_max, 12), "{sent:?} {got:?}");
        prop_assert!(near(got.kd, sent.kd, 0.0, r.kd_max, 12), "{sent:?} {got:?}");
        prop_assert!(near(got.tau, sent.tau, -r.t_max_nm, r.t_max_nm, 12), "{sent:?} {got:?}");
        // What was decoded is encoded to the same bits.
        prop_assert_eq!(got.encode(3, &r).unwrap(), frame);
    }

    #[test]
    fn a_feedback_survives_the_wire(r in ranges(), u in proptest::array::uniform3(-1.5_f64..1.5), status in 0_u8..16, id in 1_u16..16) {
        let sent = Feedback {
            status: Status(status),
            q: u[0] * r.p_max_rad,
            dq: u[1] * r.v_max_rad_per_s,
            tau: u[2] * r.t_max_nm,
            mosfet_c: 40,
            coil_c: 50,
        };
        let frame = sent.encode(id, 0x20, &r);
        prop_assume!(Access::answers(&frame, id).is_none());
        let got = Feedback::decode(&frame, id, &r).unwrap();
        let below = sent.q.clamp(-r.p_max_rad, r.p_max_rad) - got.q;
        prop_assert!((-1e-9..r.resolution_rad() + 1e-9).contains(&below), "{below}");
        prop_assert_eq!((got.status, got.mosfet_c, got.coil_c), (sent.status, 40, 50));
        prop_assert_eq!(Feedback::decode(&frame, id ^ 1, &r), None);
    }

    #[test]
    fn any_frame_decodes_to_numbers_or_not_at_all(r in ranges(), frame in any_frame(), id in 1_u16..16) {
        if let Some(got) = Feedback::decode(&frame, id, &r) {
            prop_assert!(got.q.abs() <= r.p_max_rad * 1.000001 && got.dq.is_finite() && got.tau.is_finite());
            prop_assert_eq!(frame.len, 8);
        }
        if let Some(got) = Impedance::decode(&frame, &r) {
            prop_assert!(got.encode(frame.id, &r).is_some());
        }
        if let Some((to, access)) = Access::decode(&frame) {
            prop_assert_eq!(Access::decode(&access.encode(to)), Some((to, access)));
            let answered = access.answered(to, 0x11, [1, 2, 3, 4]);
            prop_assert_eq!(answered.and_then(|answer| access.answer(&answer, to)), answered.map(|_| [1, 2, 3, 4]));
        }
        let _ = (Command::decode(&frame), Access::Status.answer(&frame, id));
    }
}

#[test]
fn a_goal_at_the_end_of_every_range_is_not_sent_as_a_command() {
    let all_at = |tau| Impedance {
        q: 12.5,
        dq: 30.0,
        kp: 500.0,
        kd: 5.0,
        tau,
    };
    let step = 20.0 / 4095.0;
    let sent = |tau| all_at(tau).encode(1, &DM4310).is_some();
    assert_eq!(
        [
            10.0,
            10.0 - step,
            10.0 - 3.0 * step,
            10.0 - 4.0 * step,
            10.0 - 5.0 * step
        ]
        .map(sent),
        [true, false, false, false, true]
    );
}

#[test]
fn the_corpus_does_no_harm() {
    let mut feedbacks = 0;
    let corpus = include_str!("../../corpus/can/frames.txt");
    for line in corpus.lines().filter(|line| !line.starts_with('#')) {
        let (id, bytes) = line.split_once('#').unwrap();
        let mut data = [0; 8];
        for (i, byte) in data.iter_mut().enumerate().take(bytes.len() / 2) {
            *byte = u8::from_str_radix(&bytes[2 * i..2 * i + 2], 16).unwrap();
        }
        let frame = CanFrame {
            id: u16::from_str_radix(id, 16).unwrap(),
            data,
            len: (bytes.len() / 2) as u8,
        };
        let feedback = Feedback::decode(&frame, 1, &DM4310);
        assert!(
            feedback.is_none_or(|f| f.q.abs() <= 12.5 && f.dq.abs() <= 30.0 && f.tau.abs() <= 10.0),
            "{line}"
        );
        // An answer about a register is never taken for a position.
        assert!(
            feedback.is_none() || Access::answers(&frame, 1).is_none(),
            "{line}"
        );
        feedbacks += u32::from(feedback.is_some());
        if let Some(impedance) = Impedance::decode(&frame, &DM4310) {
            assert_eq!(impedance.encode(frame.id, &DM4310), Some(frame), "{line}");
        }
        if let Some((to, access)) = Access::decode(&frame) {
            assert_eq!(
                Access::decode(&access.encode(to)),
                Some((to, access)),
                "{line}"
            );
        }
    }
    assert!(feedbacks > 3, "{feedbacks}");
}
