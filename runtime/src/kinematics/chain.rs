//! A serial chain of `N` moving joints: forward kinematics and the geometric Jacobian.
//!
//! Not responsible for reading robot descriptions ([`super::urdf`]) nor for inverse kinematics ([`super::ik`]).

use super::angles::sin_cos;
use super::frames::{Frames, Mount, Transform};
use crate::units::{JointPositions, JointVelocities};
use nalgebra::{ArrayStorage, Isometry3, SMatrix, Vector3, Vector6};
use std::ops::Range;

/// What the robot description allows one joint. For a prismatic joint read m, m/s and N.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointLimit {
    /// Lowest position, rad; minus infinity for a continuous joint.
    pub lower: f64,
    /// Highest position, rad; infinity for a continuous joint.
    pub upper: f64,
    /// Highest speed, rad/s.
    pub velocity: f64,
    /// Highest torque, N·m.
    pub effort: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    Revolute,
    Prismatic,
}

/// `N` joints between a base link and a tip link. Every joint moves about or along its own z axis: other axes are
/// folded into the fixed transforms.
#[derive(Clone, Debug)]
pub struct Chain<const N: usize> {
    /// From joint `i - 1` (after its motion; the base for `i = 0`) to joint `i` at zero.
    pub(super) fixed: [Transform; N],
    pub(super) motion: [Motion; N],
    /// From the last joint to the tip.
    pub(super) tip: Transform,
    pub(super) limits: [JointLimit; N],
    pub(super) names: [String; N],
    /// Every link that these joints move, or none, and no other joint.
    pub(super) links: Vec<(String, Mount)>,
}

impl<const N: usize> Chain<N> {
    pub fn limits(&self) -> &[JointLimit; N] {
        &self.limits
    }

    /// Base to tip.
    pub fn joint_names(&self) -> &[String; N] {
        &self.names
    }

    /// What a link of the robot description is fixed to; `None` for an unknown link and for one that other joints move.
    pub fn mount(&self, link: &str) -> Option<&Mount> {
        self.links
            .iter()
            .find_map(|(name, mount)| (name == link).then_some(mount))
    }

    /// The links that [`Self::mount`] knows.
    pub fn link_names(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(|(name, _)| name.as_str())
    }

    /// Every joint's frame at `q`.
    #[inline]
    pub fn frames(&self, q: &JointPositions<N>) -> Frames<N> {
        let mut frames = [Transform::identity(); N];
        self.last_joint(q, |i, t| frames[i] = *t);
        Frames::new(frames)
    }

    /// `T_base_tip`.
    pub fn fk(&self, q: &JointPositions<N>) -> Isometry3<f64> {
        self.last_joint(q, |_, _| ()).then(&self.tip).to_isometry()
    }

    /// Where the tip is, m, base frame.
    pub fn tip_position(&self, q: &JointPositions<N>) -> Vector3<f64> {
        let last = self.last_joint(q, |_, _| ());
        last.p + last.r * self.tip.p
    }

    /// `T_base_tip` and `J` with twist = J·dq. Rows: linear velocity of the tip's origin, then angular velocity, both
    /// in the base frame.
    pub fn jacobian(&self, q: &JointPositions<N>) -> (Isometry3<f64>, SMatrix<f64, 6, N>) {
        let mut axes = [(Vector3::zeros(), Vector3::zeros()); N];
        let last = self.last_joint(q, |i, t| axes[i] = t.axis());
        let tip = last.then(&self.tip);
        let mut columns = [[0.0; 6]; N];
        for i in 0..N {
            columns[i] = self.column(i, &axes[i], &tip.p);
        }
        let j = SMatrix::from_array_storage(ArrayStorage(columns));
        (tip.to_isometry(), j)
    }

    /// Where the tip is, m, base frame.
    #[inline]
    pub fn tip_in(&self, frames: &Frames<N>) -> Vector3<f64> {
        frames.point(N, &self.tip.p)
    }

    /// The columns of `J` of the given joints for a point (m, base frame) that they move, zero elsewhere: its motion seen
    /// from the frame that the first of them hangs from, expressed in the base frame.
    #[inline]
    pub fn jacobian_at(
        &self,
        frames: &Frames<N>,
        joints: Range<usize>,
        point: &Vector3<f64>,
    ) -> SMatrix<f64, 6, N> {
        let mut j = SMatrix::<f64, 6, N>::zeros();
        for i in joints {
            let column = self.column(i, &frames.axis(i), point);
            j.set_column(i, &column.into());
        }
        j
    }

    /// How joint `i`, with its axis and a point on that, moves a point: linear, then angular; base frame.
    #[inline]
    fn column(
        &self,
        i: usize,
        (axis, origin): &(Vector3<f64>, Vector3<f64>),
        point: &Vector3<f64>,
    ) -> [f64; 6] {
        let (linear, angular) = match self.motion[i] {
            Motion::Revolute => (axis.cross(&(point - origin)), *axis),
            Motion::Prismatic => (*axis, Vector3::zeros()),
        };
        [
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z,
        ]
    }

    /// [`Chain::reach_of`] the tip.
    pub fn reach_m(&self) -> [f64; N] {
        self.reach_of(N, &self.tip.p)
    }

    /// For each joint, a distance in m that a point moves at most per rad of that joint, in any posture (1 for a prismatic
    /// joint): the length of the unfolded chain beyond the joint's axis. The point is given in the frame that `joints`
    /// joints move; the others leave it where it is.
    ///
    /// Never less than that of a joint further out, so that it also bounds what the two do to the point together: while an
    /// arm is short, a slide's 1 exceeds the reach of the joint that turns it.
    pub fn reach_of(&self, joints: usize, point: &Vector3<f64>) -> [f64; N] {
        let mut reach = [0.0; N];
        let mut beyond_m = point.norm();
        let mut next = *point;
        for i in (0..joints).rev() {
            if self.motion[i] == Motion::Revolute {
                let after_next_m = beyond_m - next.norm();
                reach[i] = next.xy().norm() + after_next_m;
            } else {
                reach[i] = 1.0;
                if self.limits[i].upper.is_finite() {
                    beyond_m += self.limits[i].upper.abs().max(self.limits[i].lower.abs());
                }
            }
            if i + 1 < joints {
                reach[i] = reach[i].max(reach[i + 1]);
            }
            next = self.fixed[i].p;
            beyond_m += next.norm();
        }
        reach
    }

    /// The frame of the last joint after its motion; `visit` sees every joint's.
    #[inline]
    fn last_joint(
        &self,
        q: &JointPositions<N>,
        mut visit: impl FnMut(usize, &Transform),
    ) -> Transform {
        let (sines, cosines) = sin_cos(&q.0.into());
        let mut t = Transform::identity();
        for i in 0..N {
            t = if i == 0 {
                self.fixed[0]
            } else {
                t.then(&self.fixed[i])
            };
            match self.motion[i] {
                Motion::Revolute => {
                    let (s, c) = (sines[i], cosines[i]);
                    let (x, y) = (t.r.column(0).into_owned(), t.r.column(1).into_owned());
                    t.r.set_column(0, &(x * c + y * s));
                    t.r.set_column(1, &(y * c - x * s));
                }
                Motion::Prismatic => t.p += t.r.column(2) * q[i],
            }
            visit(i, &t);
        }
        t
    }
}

/// `dJ/dt · dq`: the tip's acceleration (linear, angular; base frame) while no joint accelerates.
///
/// Uses only `J`: for the columns (v, w) of joints i, k with k <= i, dv_i/dq_k = w_k × v_i and dw_i/dq_k = w_k × w_i,
/// and for k > i, dv_i/dq_k = w_i × v_k (Bruyninckx and De Schutter, "Symbolic differentiation of the velocity
/// mapping for a serial kinematic chain", 1996).
pub fn bias_acceleration<const N: usize>(
    j: &SMatrix<f64, 6, N>,
    dq: &JointVelocities<N>,
) -> Vector6<f64> {
    let linear = |i: usize| j.fixed_view::<3, 1>(0, i).into_owned();
    let angular = |i: usize| j.fixed_view::<3, 1>(3, i).into_owned();
    let mut outboard: Vector3<f64> = (0..N).map(|i| linear(i) * dq[i]).sum();
    let mut omega = Vector3::zeros();
    let mut bias_linear = Vector3::zeros();
    let mut bias_angular = Vector3::zeros();
    for i in 0..N {
        let (v, w) = (linear(i), angular(i));
        outboard -= v * dq[i];
        bias_angular += omega.cross(&w) * dq[i];
        omega += w * dq[i];
        bias_linear += (omega.cross(&v) + w.cross(&outboard)) * dq[i];
    }
    Vector6::new(
        bias_linear.x,
        bias_linear.y,
        bias_linear.z,
        bias_angular.x,
        bias_angular.y,
        bias_angular.z,
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kinematics::pose::log;
    use nalgebra::Matrix4;
    use proptest::prelude::*;

    pub(crate) const IIWA14: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../launch/robots/iiwa14.urdf"
    ));

    pub(crate) fn iiwa14() -> Chain<7> {
        Chain::from_urdf(IIWA14, "base_link", "tcp").expect("the shipped URDF")
    }

    pub(crate) fn ur5e() -> Chain<6> {
        let text = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../launch/robots/ur5e.urdf"
        ));
        Chain::from_urdf(text, "base_link", "tcp").expect("the shipped URDF")
    }

    pub(crate) fn hobby5() -> Chain<5> {
        let text = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../launch/robots/hobby5.urdf"
        ));
        Chain::from_urdf(text, "base_link", "tcp").expect("the shipped URDF")
    }

    /// `T_base_tool` of a UR5e by its published Denavit-Hartenberg parameters: the product of Rz(q)·Tz(d)·Tx(a)·Rx(alpha).
    fn ur5e_by_its_data_sheet(q: &JointPositions<6>) -> Matrix4<f64> {
        const HALF: f64 = std::f64::consts::FRAC_PI_2;
        // d, a, alpha.
        const ROWS: [(f64, f64, f64); 6] = [
            (0.1625, 0.0, HALF),
            (0.0, -0.425, 0.0),
            (0.0, -0.3922, 0.0),
            (0.1333, 0.0, HALF),
            (0.0997, 0.0, -HALF),
            (0.0996, 0.0, 0.0),
        ];
        let row = |(theta, (d, a, alpha)): (&f64, (f64, f64, f64))| {
            let ((s, c), (sa, ca)) = (theta.sin_cos(), alpha.sin_cos());
            Matrix4::new(
                c,
                -s * ca,
                s * sa,
                a * c, //
                s,
                c * ca,
                -c * sa,
                a * s, //
                0.0,
                sa,
                ca,
                d, //
                0.0,
                0.0,
                0.0,
                1.0,
            )
        };
        q.0.iter().zip(ROWS).map(row).product()
    }

    /// A skew chain with a prismatic joint and axes that are not z.
    fn skew() -> Chain<3> {
        let text = r#"<robot name="skew">
            <link name="a"/><link name="b"/><link name="c"/><link name="d"/><link name="e"/>
            <joint name="one" type="revolute"><parent link="a"/><child link="b"/>
                <origin xyz="0.1 0.2 0.3" rpy="0.3 -0.2 0.9"/><axis xyz="1 2 -0.5"/>
                <limit lower="-1" upper="1" velocity="1" effort="1"/></joint>
            <joint name="two" type="prismatic"><parent link="b"/><child link="c"/>
                <origin xyz="0 0.2 0.1" rpy="0 1 0"/><axis xyz="0 -1 0"/>
                <limit lower="-1" upper="1" velocity="1" effort="1"/></joint>
            <joint name="three" type="continuous"><parent link="c"/><child link="d"/>
                <origin xyz="0.3 0 0" rpy="1 0 0"/><axis xyz="0 0 -1"/>
                <limit velocity="1" effort="1"/></joint>
            <joint name="end" type="fixed"><parent link="d"/><child link="e"/>
                <origin xyz="0.1 0.1 0.1" rpy="0.1 0.2 0.3"/></joint>
            </robot>"#;
        Chain::from_urdf(text, "a", "e").expect("a valid URDF")
    }

    /// A short slide on a turntable.
    fn telescope() -> Chain<2> {
        let text = r#"<robot name="telescope"><link name="a"/><link name="b"/><link name="c"/>
            <joint name="turn" type="revolute"><parent link="a"/><child link="b"/><axis xyz="0 0 1"/>
                <limit lower="-1" upper="1" velocity="20" effort="1"/></joint>
            <joint name="slide" type="prismatic"><parent link="b"/><child link="c"/><axis xyz="1 0 0"/>
                <limit lower="-0.05" upper="0.05" velocity="2" effort="1"/></joint>
            </robot>"#;
        Chain::from_urdf(text, "a", "c").expect("a valid URDF")
    }

    fn differences<const N: usize>(chain: &Chain<N>, q: JointPositions<N>) -> f64 {
        const H: f64 = 1e-6;
        let (t, j) = chain.jacobian(&q);
        let mut worst = (chain.tip_position(&q) - t.translation.vector).amax();
        worst = worst.max(log(&(chain.fk(&q).inverse() * t)).amax());
        for i in 0..N {
            let (mut up, mut down) = (q, q);
            up[i] += H;
            down[i] -= H;
            let (up, down) = (chain.fk(&up), chain.fk(&down));
            let linear = (up.translation.vector - down.translation.vector) / (2.0 * H);
            let angular = (up.rotation * down.rotation.inverse()).scaled_axis() / (2.0 * H);
            worst = worst.max((j.fixed_view::<3, 1>(0, i) - linear).amax());
            worst = worst.max((j.fixed_view::<3, 1>(3, i) - angular).amax());
        }
        worst
    }

    fn bias_difference<const N: usize>(
        chain: &Chain<N>,
        q: JointPositions<N>,
        dq: JointVelocities<N>,
    ) -> f64 {
        const H: f64 = 1e-6;
        let at = |t: f64| chain.jacobian(&JointPositions(q.0 + dq.0 * t)).1 * dq.0;
        let numeric = (at(H) - at(-H)) / (2.0 * H);
        (numeric - bias_acceleration(&chain.jacobian(&q).1, &dq)).amax()
    }

    fn joints<const N: usize>(scale: f64) -> impl Strategy<Value = [f64; N]> {
        proptest::array::uniform(-scale..scale)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn jacobian_equals_finite_differences(
            q in joints::<7>(3.0), u in joints::<6>(6.2), h in joints::<5>(1.6), s in joints::<3>(1.0),
        ) {
            prop_assert!(differences(&iiwa14(), q.into()) < 1e-8);
            prop_assert!(differences(&ur5e(), u.into()) < 1e-8);
            prop_assert!(differences(&hobby5(), h.into()) < 1e-8);
            prop_assert!(differences(&skew(), s.into()) < 1e-8);
        }

        #[test]
        fn bias_acceleration_equals_finite_differences(
            q in joints::<7>(3.0), dq in joints::<7>(2.0), s in joints::<3>(1.0), ds in joints::<3>(2.0),
        ) {
            prop_assert!(bias_difference(&iiwa14(), q.into(), dq.into()) < 1e-6);
            prop_assert!(bias_difference(&skew(), s.into(), ds.into()) < 1e-6);
        }

        /// As the certificate bounds it: a joint that turns a slide bends its way more than the slide is long.
        #[test]
        fn bias_acceleration_stays_within_its_bound(
            q in joints::<7>(3.0), dq in joints::<7>(2.0), s in joints::<3>(1.0), ds in joints::<3>(2.0),
            t in joints::<2>(0.05), dt in joints::<2>(2.0),
        ) {
            fn check<const N: usize>(chain: &Chain<N>, q: [f64; N], dq: [f64; N]) -> bool {
                let bias = bias_acceleration(&chain.jacobian(&q.into()).1, &dq.into());
                let turning: f64 = dq.iter().map(|x| x.abs()).sum();
                let speed: f64 = dq.iter().zip(chain.reach_m()).map(|(x, reach)| x.abs() * reach).sum();
                bias.fixed_rows::<3>(0).norm() <= turning * speed + 1e-12
            }
            prop_assert!(check(&iiwa14(), q, dq));
            prop_assert!(check(&skew(), s, ds));
            prop_assert!(check(&telescope(), t, [8.0 * dt[0], dt[1]]));
        }

        #[test]
        fn ur5e_is_where_its_data_sheet_says(q in joints::<6>(6.2)) {
            let tool = ur5e().fk(&q.into()).to_homogeneous();
            prop_assert!((tool - ur5e_by_its_data_sheet(&q.into())).amax() < 1e-12);
        }

        #[test]
        fn no_column_is_longer_than_the_reach(
            q in joints::<7>(3.0), u in joints::<6>(6.2), h in joints::<5>(1.6), s in joints::<3>(1.0),
        ) {
            fn check<const N: usize>(chain: &Chain<N>, q: JointPositions<N>) -> bool {
                let j = chain.jacobian(&q).1;
                (0..N).all(|i| j.fixed_view::<3, 1>(0, i).norm() <= chain.reach_m()[i] + 1e-12)
            }
            prop_assert!(check(&iiwa14(), q.into()));
            prop_assert!(check(&ur5e(), u.into()));
            prop_assert!(check(&hobby5(), h.into()));
            prop_assert!(check(&skew(), s.into()));
        }
    }

    #[test]
    fn iiwa_at_zero_stands_upright() {
        let t = iiwa14().fk(&JointPositions::zeros());
        let expected = Vector3::new(0.0, 0.0, 0.36 + 0.42 + 0.40 + 0.126 + 0.20);
        assert!((t.translation.vector - expected).amax() < 1e-12, "{t}");
        assert_eq!(iiwa14().joint_names()[6], "joint_7");
        assert!((iiwa14().limits()[3].velocity.to_degrees() - 75.0).abs() < 1e-9);
    }

    /// Poses that Universal Robots' own parameters give for round joint positions, m and base frame: at zero the arm lies
    /// along -x; with shoulder and elbow at -90 degrees and the wrist turned down it holds the flange before it.
    #[test]
    fn ur5e_at_round_positions() {
        const QUARTER: f64 = std::f64::consts::FRAC_PI_2;
        let at = |q: [f64; 6]| ur5e().fk(&q.into());
        let lying = at([0.0; 6]);
        let expected = Vector3::new(-0.425 - 0.3922, -0.1333 - 0.0996, 0.1625 - 0.0997);
        assert!(
            (lying.translation.vector - expected).amax() < 1e-12,
            "{lying}"
        );
        let down = at([0.0, -QUARTER, -QUARTER, -QUARTER, QUARTER, -QUARTER]);
        let expected = Vector3::new(0.3922 + 0.0997, -0.1333, 0.1625 + 0.425 - 0.0996);
        assert!(
            (down.translation.vector - expected).amax() < 1e-12,
            "{down}"
        );
        assert!(
            (down.rotation * Vector3::z() + Vector3::z()).amax() < 1e-12,
            "{down}"
        );
        let chain = ur5e();
        assert_eq!(chain.joint_names()[2], "elbow_joint");
        for (i, limit) in chain.limits().iter().enumerate() {
            let turns = if i == 2 { 0.5 } else { 1.0 };
            assert!((limit.upper - turns * std::f64::consts::TAU).abs() < 1e-12);
            assert!((limit.lower + limit.upper).abs() < 1e-12);
            assert!((limit.velocity.to_degrees() - 180.0).abs() < 1e-9);
        }
    }

    #[test]
    fn hobby_arm_stands_as_its_description_says() {
        let t = hobby5().fk(&JointPositions::zeros());
        let expected = Vector3::new(0.03 + 0.135 + 0.061 + 0.098, 0.0, 0.06 + 0.057 + 0.117);
        assert!((t.translation.vector - expected).amax() < 1e-12, "{t}");
        assert!(
            (t.rotation * Vector3::z() - Vector3::x()).amax() < 1e-12,
            "{t}"
        );
        let down = hobby5().fk(&[0.3, 0.2, 0.1, std::f64::consts::FRAC_PI_2 - 0.3, 0.5].into());
        assert!(
            (down.rotation * Vector3::z() + Vector3::z()).amax() < 1e-12,
            "{down}"
        );
        let tcp = crate::kinematics::pose::tcp_pose(&nalgebra::Isometry3::identity(), &down);
        assert!((tcp.yaw_rad - (0.3 - 0.5)).abs() < 1e-12, "{tcp:?}");
    }

    #[test]
    fn reach_counts_only_what_an_axis_can_sweep() {
        let reach = iiwa14().reach_m();
        let expected = [1.146, 1.146, 0.726, 0.726, 0.326, 0.326, 0.0];
        for (r, e) in reach.iter().zip(expected) {
            assert!((r - e).abs() < 1e-9, "{reach:?}");
        }
    }
}
