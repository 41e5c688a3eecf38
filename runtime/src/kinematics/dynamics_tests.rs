//! The torques against textbook cases, against the gradient of the potential energy, and against Lagrange's equations.

use super::super::chain::tests::{IIWA14, iiwa14};
use super::*;
use proptest::array::{uniform3, uniform7};
use proptest::prelude::*;
use std::f64::consts::FRAC_PI_2;

const PENDULUM: &str = r#"<robot name="pendulum"><link name="a"><inertial><mass value="9"/>{I}</inertial></link>
    <link name="b"><inertial><origin xyz="0 0 -0.5"/><mass value="2"/>{I}</inertial></link>
    <link name="c"><inertial><mass value="1"/>{I}</inertial></link>
    <link name="d"><inertial><origin xyz="0.1 0 0"/><mass value="3"/>{I}</inertial></link>
    <joint name="swing" type="revolute"><parent link="a"/><child link="b"/><axis xyz="0 -1 0"/>
        <origin xyz="0 0 1"/><limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
    <joint name="slide" type="prismatic"><parent link="b"/><child link="c"/><axis xyz="0 0 -1"/>
        <limit lower="0" upper="1" velocity="1" effort="1"/></joint>
    <joint name="finger" type="prismatic"><parent link="c"/><child link="d"/><axis xyz="0 0 -1"/>
        <limit lower="0" upper="1" velocity="1" effort="1"/></joint>
    </robot>"#;

/// Every link with this inertia about each axis, kg·m².
fn pendulum(inertia: f64) -> Dynamics<2> {
    let i = format!(
        r#"<inertia ixx="{inertia}" ixy="0" ixz="0" iyy="{inertia}" iyz="0" izz="{inertia}"/>"#
    );
    let text = PENDULUM.replace("{I}", &i);
    let chain = Chain::<2>::from_urdf(&text, "a", "c").unwrap();
    Dynamics::new(&chain, &text, UPRIGHT_M_PER_S2).unwrap()
}

fn at_rest<const N: usize>(dynamics: &Dynamics<N>, q: &JointPositions<N>) -> JointTorques<N> {
    dynamics.torques(q, &JointVelocities::zeros(), &JointAccelerations::zeros())
}

#[test]
fn a_pendulum_pulls_as_the_textbook_says() {
    let (dynamics, g) = (pendulum(0.0), 9.80665);
    assert_eq!(dynamics.mass_kg(), 6.0);
    let hanging = at_rest(&dynamics, &JointPositions::from([0.0, 0.2]));
    assert!((hanging[0] - 3.0 * 0.1 * g).abs() < 1e-12, "{hanging:?}");
    assert!((hanging[1] + 4.0 * g).abs() < 1e-12, "{hanging:?}");
    // The arm is level: its masses are 0.5 m and 0.2 m away.
    let level = at_rest(&dynamics, &JointPositions::from([FRAC_PI_2, 0.2]));
    let levers = 2.0 * 0.5 + 4.0 * 0.2;
    assert!((level[0].abs() - levers * g).abs() < 1e-9, "{level:?}");
}

/// Moment of inertia, centrifugal and Coriolis force, each on top of the weight.
#[test]
fn a_pendulum_moves_as_the_textbook_says() {
    let dynamics = pendulum(0.01);
    let q = JointPositions::from([0.0, 0.2]);
    let weight = at_rest(&dynamics, &q);
    let beyond_weight = |dq: [f64; 2], ddq: [f64; 2]| {
        (dynamics.torques(&q, &dq.into(), &ddq.into()).0 - weight.0).into()
    };
    let near = |got: [f64; 2], expected: [f64; 2]| {
        let off = (got[0] - expected[0])
            .abs()
            .max((got[1] - expected[1]).abs());
        assert!(off < 1e-12, "{got:?} for {expected:?}");
    };
    let inertia = 3.0 * 0.01 + 2.0 * 0.25 + 1.0 * 0.04 + 3.0 * (0.04 + 0.01);
    // The finger's mass, 0.1 m beside the slide, resists that it is swung as well.
    near(
        beyond_weight([0.0; 2], [2.0, 0.0]),
        [2.0 * inertia, -2.0 * 3.0 * 0.1],
    );
    near(beyond_weight([0.0; 2], [0.0, 2.0]), [-2.0 * 3.0 * 0.1, 8.0]);
    // What turns pulls outward; what slides outward while it turns is carried along.
    near(beyond_weight([3.0, 0.0], [0.0; 2]), [0.0, -4.0 * 0.2 * 9.0]);
    near(
        beyond_weight([3.0, 0.5], [0.0; 2]),
        [2.0 * 4.0 * 0.2 * 3.0 * 0.5, -4.0 * 0.2 * 9.0],
    );
}

#[test]
fn masses_that_are_no_numbers_are_refused() {
    let chain = iiwa14();
    for (good, bad) in [
        (r#"mass value="3.5""#, r#"mass value="nan""#),
        (r#"mass value="3.5""#, r#"mass value="-1""#),
        (r#"ixx="0.025""#, r#"ixx="inf""#),
    ] {
        assert!(IIWA14.contains(good), "{good}");
        let text = IIWA14.replacen(good, bad, 1);
        let refused = Dynamics::new(&chain, &text, UPRIGHT_M_PER_S2).unwrap_err();
        assert!(refused.to_string().contains("link link_3"), "{refused}");
    }
}

/// Up to a constant, J.
fn potential_energy(dynamics: &Dynamics<7>, q: &JointPositions<7>) -> f64 {
    let frames = dynamics.chain.frames(q);
    let of = |i: usize| {
        let body = &dynamics.hung[i];
        let centre = frames.direction(i + 1, &body.moment)
            + frames.point(i + 1, &Vector3::zeros()) * body.mass_kg;
        -dynamics.g.dot(&centre)
    };
    (0..7).map(of).sum()
}

/// From the twists of the frames: nothing of the algorithm under test. J.
fn kinetic_energy(dynamics: &Dynamics<7>, q: &JointPositions<7>, dq: &JointVelocities<7>) -> f64 {
    let frames = dynamics.chain.frames(q);
    let of = |i: usize| {
        let body = &dynamics.hung[i];
        let frame_origin = frames.point(i + 1, &Vector3::zeros());
        let twist = dynamics.chain.jacobian_at(&frames, 0..i + 1, &frame_origin) * dq.0;
        let v = frames.direction_in(i + 1, &twist.fixed_rows::<3>(0).into_owned());
        let w = frames.direction_in(i + 1, &twist.fixed_rows::<3>(3).into_owned());
        0.5 * (body.mass_kg * v.norm_squared()
            + 2.0 * v.dot(&w.cross(&body.moment))
            + w.dot(&(body.inertia * w)))
    };
    (0..7).map(of).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn torques_at_rest_are_the_gradient_of_the_potential_energy(
        q in uniform7(-3.0..3.0), g in uniform3(-10.0..10.0),
    ) {
        let dynamics = Dynamics::new(&iiwa14(), IIWA14, g).unwrap();
        let q = JointPositions::from(q);
        let tau = at_rest(&dynamics, &q);
        for i in 0..7 {
            let (mut up, mut down) = (q, q);
            up[i] += 1e-5;
            down[i] -= 1e-5;
            let slope =
                (potential_energy(&dynamics, &up) - potential_energy(&dynamics, &down)) / 2e-5;
            prop_assert!((tau[i] - slope).abs() < 1e-5, "joint {i}: {} for {slope}", tau[i]);
        }
    }

    /// Lagrange's equations, by differences: d/dt dT/d(dq_i) - dT/dq_i + dV/dq_i.
    #[test]
    fn torques_in_motion_are_those_of_lagrange_s_equations(
        q in uniform7(-3.0..3.0), dq in uniform7(-2.0..2.0), ddq in uniform7(-20.0..20.0),
    ) {
        const H: f64 = 1e-4;
        let dynamics = Dynamics::new(&iiwa14(), IIWA14, UPRIGHT_M_PER_S2).unwrap();
        let (q, dq) = (JointPositions::from(q), JointVelocities::from(dq));
        let ddq = JointAccelerations::from(ddq);
        let tau = dynamics.torques(&q, &dq, &ddq);
        let kinetic = |q: &JointPositions<7>, dq: &JointVelocities<7>| kinetic_energy(&dynamics, q, dq);
        // T is quadratic in dq: this difference is exact.
        let momentum = |i: usize, t: f64| {
            let at = JointPositions(q.0 + dq.0 * t + ddq.0 * (0.5 * t * t));
            let mut speeds = [JointVelocities(dq.0 + ddq.0 * t); 2];
            speeds[0][i] += 1.0;
            speeds[1][i] -= 1.0;
            0.5 * (kinetic(&at, &speeds[0]) - kinetic(&at, &speeds[1]))
        };
        for i in 0..7 {
            let (mut up, mut down) = (q, q);
            up[i] += H;
            down[i] -= H;
            let lagrangian = |q: &JointPositions<7>| kinetic(q, &dq) - potential_energy(&dynamics, q);
            let slope = (lagrangian(&up) - lagrangian(&down)) / (2.0 * H);
            let expected = (momentum(i, H) - momentum(i, -H)) / (2.0 * H) - slope;
            prop_assert!((tau[i] - expected).abs() < 1e-4, "joint {i}: {} for {expected}", tau[i]);
        }
    }
}
