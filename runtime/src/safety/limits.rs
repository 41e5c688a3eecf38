//! What may never be exceeded: joint limits and the tool's workspace, read once and validated before anything moves.
//!
//! A launch file can only tighten what the robot description allows. There is no switch that turns a limit off.

use crate::exactly::exactly;
use crate::kinematics::{Chain, JointLimit};
use crate::units::{JointPositions, JointVelocities};
use nalgebra::Vector3;
use std::ops::Range;
use toml::Spanned;

/// The limits of one joint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointBounds {
    /// Lowest position, rad.
    pub lower: f64,
    /// Highest position, rad.
    pub upper: f64,
    /// Highest speed, rad/s.
    pub dq_max: f64,
    /// Highest acceleration, rad/s².
    pub ddq_max: f64,
    /// Highest jerk, rad/s³.
    pub dddq_max: f64,
}

/// The limits of every joint, base to tip. They exist only validated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits<const N: usize> {
    joints: [JointBounds; N],
}

/// Where the tool may be and how fast it may move, whatever the joints could do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolLimits {
    pub workspace: Workspace,
    /// Of the tool centre point, m/s; infinite where nothing limits it.
    pub speed_m_per_s: f64,
    /// About any axis, rad/s; infinite where nothing limits it.
    pub rotation_rad_per_s: f64,
    /// Of every point of the arm's capsules, m/s; infinite where nothing limits it.
    pub capsules_m_per_s: f64,
}

impl ToolLimits {
    /// # Errors
    /// When a number is not what a limit can be, or the workspace has no room.
    pub fn new(workspace: Workspace, config: &LimitsConfig) -> Result<Self, LimitsError> {
        workspace.validate()?;
        let speed = |key, value: Option<&Spanned<f64>>| {
            scalar(
                key,
                value,
                f64::INFINITY,
                |s| s >= SPEED_MIN,
                "at least 0.001: with less, the certificate's margins let nothing move",
            )
        };
        Ok(Self {
            workspace,
            speed_m_per_s: speed("tool_m_per_s", config.tool_m_per_s.as_ref())?,
            rotation_rad_per_s: speed("tool_rad_per_s", config.tool_rad_per_s.as_ref())?,
            capsules_m_per_s: f64::INFINITY,
        })
    }

    /// A workspace without speed limits.
    pub fn anywhere_in(workspace: Workspace) -> Self {
        Self {
            workspace,
            speed_m_per_s: f64::INFINITY,
            rotation_rad_per_s: f64::INFINITY,
            capsules_m_per_s: f64::INFINITY,
        }
    }
}

/// m/s and rad/s.
const SPEED_MIN: f64 = 1e-3;

/// The launch file's `[limits]` table. Arrays have one value per joint, base to tip.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Every joint's speed limit is the URDF's (or `velocity`'s) times this, in (0, 1].
    pub velocity_scale: Option<Spanned<f64>>,
    /// rad/s².
    pub acceleration: Values,
    /// rad/s³.
    pub jerk: Values,
    /// How far to stay inside both position limits, rad.
    pub position_margin_rad: Option<Spanned<f64>>,
    /// rad; may only raise the URDF's.
    pub lower: Option<Values>,
    /// rad; may only lower the URDF's.
    pub upper: Option<Values>,
    /// rad/s; may only lower the URDF's.
    pub velocity: Option<Values>,
    /// Speed of the tool centre point, m/s.
    pub tool_m_per_s: Option<Spanned<f64>>,
    /// Speed of the tool's rotation, rad/s.
    pub tool_rad_per_s: Option<Spanned<f64>>,
}

/// Numbers that know where in the file they stand.
pub type Values = Spanned<Vec<Spanned<f64>>>;

/// Why limits were refused, and where in the launch file that is, in bytes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct LimitsError {
    pub message: String,
    pub span: Option<Range<usize>>,
}

impl LimitsError {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            span: None,
        }
    }

    pub(super) fn at<T>(place: &Spanned<T>, message: String) -> Self {
        Self {
            message,
            span: Some(place.span()),
        }
    }
}

impl<const N: usize> Limits<N> {
    /// The URDF's limits, tightened by the launch file's.
    ///
    /// # Errors
    /// When a value is not finite or positive, an array has not `N` values, a value loosens the URDF's limit, or
    /// nothing is left between lower and upper.
    pub fn new(chain: &Chain<N>, config: &LimitsConfig) -> Result<Self, LimitsError> {
        let scale = scalar(
            "velocity_scale",
            config.velocity_scale.as_ref(),
            1.0,
            |s| s > 0.0 && s <= 1.0,
            "in (0, 1]",
        )?;
        let margin = scalar(
            "position_margin_rad",
            config.position_margin_rad.as_ref(),
            0.0,
            |m| m >= 0.0,
            "at least 0",
        )?;
        let acceleration = positive::<N>("acceleration", "rad/s²", &config.acceleration)?;
        let jerk = positive::<N>("jerk", "rad/s³", &config.jerk)?;

        let mut joints = [JointBounds {
            lower: 0.0,
            upper: 0.0,
            dq_max: 0.0,
            ddq_max: 0.0,
            dddq_max: 0.0,
        }; N];
        for (i, (bounds, urdf)) in joints.iter_mut().zip(chain.limits()).enumerate() {
            let joint = &chain.joint_names()[i];
            let tighten = |key,
                           unit,
                           values: Option<&Values>,
                           urdf_value: f64,
                           looser: fn(f64, f64) -> bool,
                           word| {
                let Some(values) = values else {
                    return Ok(urdf_value);
                };
                let value = &count::<N>(key, values)?[i];
                let x = *value.get_ref();
                if !x.is_finite() {
                    return Err(LimitsError::at(
                        value,
                        format!("limits.{key}[{i}] = {x} is not finite"),
                    ));
                }
                if looser(x, urdf_value) {
                    let message = format!(
                        "limits.{key}[{i}] = {x} {unit} is {word} {joint}'s {urdf_value:.4} {unit} in the URDF"
                    );
                    return Err(LimitsError::at(value, message));
                }
                Ok(x)
            };
            let lower = tighten(
                "lower",
                "rad",
                config.lower.as_ref(),
                urdf.lower,
                |x, u| x < u,
                "below",
            )?;
            let upper = tighten(
                "upper",
                "rad",
                config.upper.as_ref(),
                urdf.upper,
                |x, u| x > u,
                "above",
            )?;
            let velocity = tighten(
                "velocity",
                "rad/s",
                config.velocity.as_ref(),
                urdf.velocity,
                |x, u| x > u,
                "above",
            )?;
            let (lower, upper) = (lower + margin, upper - margin);
            if !(lower.is_finite() && upper.is_finite()) {
                return Err(LimitsError::new(format!(
                    "{joint} turns without end: give limits.lower and limits.upper"
                )));
            }
            if lower >= upper {
                let message = format!(
                    "{joint} has no room between {lower:.4} and {upper:.4} rad (margin included)"
                );
                let span = config
                    .upper
                    .as_ref()
                    .or(config.lower.as_ref())
                    .map(Spanned::span);
                return Err(LimitsError {
                    message,
                    span: span.or(config.position_margin_rad.as_ref().map(Spanned::span)),
                });
            }
            if velocity <= 0.0 {
                let message = format!("limits.velocity[{i}] = {velocity} rad/s is not above 0");
                let span = config.velocity.as_ref().and_then(|v| v.get_ref().get(i));
                return Err(LimitsError {
                    message,
                    span: span.map(Spanned::span),
                });
            }
            *bounds = JointBounds {
                lower,
                upper,
                dq_max: velocity * scale,
                ddq_max: acceleration[i],
                dddq_max: jerk[i],
            };
        }
        Ok(Self { joints })
    }

    pub fn joints(&self) -> &[JointBounds; N] {
        &self.joints
    }

    /// Widened where joint positions, with some room around them, lie outside.
    pub(super) fn reaching(&self, q: &JointPositions<N>, room_rad: f64) -> Self {
        let joints = std::array::from_fn(|i| {
            let of = self.joints[i];
            let lower = if q[i] < of.lower {
                q[i] - room_rad
            } else {
                of.lower
            };
            let upper = if q[i] > of.upper {
                q[i] + room_rad
            } else {
                of.upper
            };
            JointBounds { lower, upper, ..of }
        });
        Self { joints }
    }

    /// As narrow as both.
    pub(super) fn within(&self, other: &Self) -> Self {
        let joints = std::array::from_fn(|i| JointBounds {
            lower: self.joints[i].lower.max(other.joints[i].lower),
            upper: self.joints[i].upper.min(other.joints[i].upper),
            ..self.joints[i]
        });
        Self { joints }
    }

    pub fn dq_max(&self) -> JointVelocities<N> {
        std::array::from_fn(|i| self.joints[i].dq_max).into()
    }

    /// These limits in the form that [`crate::kinematics::ik::solve_pose`] takes; efforts are the chain's.
    pub fn of_chain(&self, chain: &Chain<N>) -> [JointLimit; N] {
        std::array::from_fn(|i| JointLimit {
            lower: self.joints[i].lower,
            upper: self.joints[i].upper,
            velocity: self.joints[i].dq_max,
            effort: chain.limits()[i].effort,
        })
    }
}

fn scalar(
    key: &str,
    value: Option<&Spanned<f64>>,
    default: f64,
    valid: fn(f64) -> bool,
    rule: &str,
) -> Result<f64, LimitsError> {
    let Some(value) = value else {
        return Ok(default);
    };
    let x = *value.get_ref();
    if x.is_finite() && valid(x) {
        return Ok(x);
    }
    Err(LimitsError::at(
        value,
        format!("limits.{key} = {x} must be {rule}"),
    ))
}

fn count<'a, const N: usize>(
    key: &str,
    values: &'a Values,
) -> Result<&'a [Spanned<f64>; N], LimitsError> {
    values.get_ref().as_slice().try_into().map_err(|_| {
        let message = format!(
            "limits.{key} has {} values where the arm has {N} joints",
            values.get_ref().len()
        );
        LimitsError::at(values, message)
    })
}

fn positive<const N: usize>(
    key: &str,
    unit: &str,
    values: &Values,
) -> Result<[f64; N], LimitsError> {
    let values = count::<N>(key, values)?;
    for (i, value) in values.iter().enumerate() {
        let x = *value.get_ref();
        if !(x.is_finite() && x > 0.0) {
            let message = format!("limits.{key}[{i}] = {x} {unit} must be finite and above 0");
            return Err(LimitsError::at(value, message));
        }
    }
    Ok(std::array::from_fn(|i| *values[i].get_ref()))
}

/// Where the tool centre point may be, task frame.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    #[serde(deserialize_with = "exactly")]
    pub min_m: [f64; 3],
    #[serde(deserialize_with = "exactly")]
    pub max_m: [f64; 3],
    /// The tool centre point stays above this plane, whatever `min_m` says.
    pub table_height_m: f64,
}

impl Workspace {
    /// # Errors
    /// When a number is not finite or nothing is left between minimum and maximum.
    pub fn validate(&self) -> Result<(), LimitsError> {
        for axis in 0..3 {
            let (min, max) = (self.lower()[axis], self.max_m[axis]);
            if !(self.min_m[axis].is_finite()
                && max.is_finite()
                && self.table_height_m.is_finite()
                && min < max)
            {
                let name = ["x", "y", "z"][axis];
                let message =
                    format!("the workspace has no room along {name}: from {min} to {max} m");
                return Err(LimitsError::new(message));
            }
        }
        Ok(())
    }

    /// Wider by this on all sides.
    pub(super) fn grown_by(&self, m: f64) -> Self {
        Self {
            min_m: self.min_m.map(|x| x - m),
            max_m: self.max_m.map(|x| x + m),
            table_height_m: self.table_height_m - m,
        }
    }

    /// The lowest corner, m: the box's, raised to the table.
    pub(super) fn lower(&self) -> Vector3<f64> {
        let [x, y, z] = self.min_m;
        Vector3::new(x, y, z.max(self.table_height_m))
    }

    pub(super) fn upper(&self) -> Vector3<f64> {
        Vector3::from(self.max_m)
    }

    /// How far outside a point in the task frame is, m; 0 inside.
    pub fn distance_m(&self, p: &Vector3<f64>) -> f64 {
        (self.lower() - p)
            .sup(&(p - self.upper()))
            .sup(&Vector3::zeros())
            .norm()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kinematics::chain::tests::{IIWA14, iiwa14};

    pub(crate) const IIWA14_LIMITS: &str = "
        acceleration = [15.0, 15.0, 20.0, 30.0, 30.0, 30.0, 30.0]
        jerk = [1500.0, 1500.0, 2000.0, 3000.0, 3000.0, 3000.0, 3000.0]
        position_margin_rad = 0.02
    ";

    pub(crate) fn iiwa14_limits() -> Limits<7> {
        limits(IIWA14_LIMITS).expect("valid limits")
    }

    fn limits(text: &str) -> Result<Limits<7>, LimitsError> {
        Limits::new(&iiwa14(), &toml::from_str(text).expect("a limits table"))
    }

    #[test]
    fn the_urdf_is_tightened() {
        let l = limits(&format!(
            "{IIWA14_LIMITS} velocity_scale = 0.5\n upper = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
             velocity = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]"
        ))
        .expect("valid limits");
        let j = l.joints()[3];
        assert_eq!(
            (j.upper, j.dq_max, j.ddq_max, j.dddq_max),
            (0.98, 0.5, 30.0, 3000.0)
        );
        assert!((j.lower - (20.0 - 2094.3951) * 1e-3).abs() < 1e-6);
        assert!((iiwa14_limits().dq_max()[0] - 85_f64.to_radians()).abs() < 1e-9);
    }

    #[test]
    fn refusals_name_joint_value_and_place() {
        let cases = [
            (
                "velocity = [1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0]",
                "2.0",
                "limits.velocity[3] = 2 rad/s is above joint_4's 1.3090 rad/s in the URDF",
            ),
            (
                "lower = [0.0, -2.5, 0.0, 0.0, 0.0, 0.0, 0.0]",
                "-2.5",
                "limits.lower[1] = -2.5 rad is below joint_2's -2.0944 rad",
            ),
            (
                "upper = [0.0, nan, 0.0, 0.0, 0.0, 0.0, 0.0]",
                "nan",
                "limits.upper[1] = NaN is not finite",
            ),
            (
                "upper = [0.0, 0.0]",
                "[0.0, 0.0]",
                "limits.upper has 2 values where the arm has 7 joints",
            ),
            (
                "velocity = [1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0]",
                "-1.0",
                "limits.velocity[3] = -1 rad/s is not above 0",
            ),
            (
                "velocity_scale = 1.5",
                "1.5",
                "limits.velocity_scale = 1.5 must be in (0, 1]",
            ),
        ];
        for (line, place, expected) in cases {
            let text = format!("{IIWA14_LIMITS}\n{line}");
            let error = limits(&text).expect_err(line);
            assert!(error.message.contains(expected), "{error}");
            let span = error.span.unwrap_or_else(|| panic!("{line}: no place"));
            assert_eq!(&text[span], place);
        }
        for (from, to, expected) in [
            (
                "jerk = [1500.0",
                "jerk = [-1.0",
                "limits.jerk[0] = -1 rad/s³ must be finite and above 0",
            ),
            ("_rad = 0.02", "_rad = 4.0", "joint_1 has no room between"),
            (
                "acceleration = [15.0,",
                "acceleration = [",
                "limits.acceleration has 6 values",
            ),
        ] {
            let error = limits(&IIWA14_LIMITS.replace(from, to)).expect_err(to);
            assert!(
                error.message.contains(expected) && error.span.is_some(),
                "{error}"
            );
        }
        assert!(
            toml::from_str::<LimitsConfig>(&format!("{IIWA14_LIMITS}\nenabled = false")).is_err()
        );
    }

    #[test]
    fn a_tool_speed_that_nothing_could_keep_is_refused() {
        let tool = |line: &str| {
            let text = format!("{IIWA14_LIMITS}\n{line}");
            let workspace = Workspace {
                min_m: [-1.0; 3],
                max_m: [1.0; 3],
                table_height_m: 0.0,
            };
            ToolLimits::new(workspace, &toml::from_str(&text).expect("a limits table"))
        };
        assert!(tool("tool_m_per_s = 0.001").is_ok());
        for line in [
            "tool_m_per_s = 1e-12",
            "tool_m_per_s = nan",
            "tool_rad_per_s = 5e-324",
        ] {
            let error = tool(line).expect_err(line);
            let key = line.split(' ').next().expect("a key");
            assert!(
                error.message.contains(key) && error.span.is_some(),
                "{error}"
            );
        }
    }

    #[test]
    fn an_endless_joint_needs_limits() {
        let chain = Chain::<7>::from_urdf(
            &IIWA14.replacen("revolute", "continuous", 1),
            "base_link",
            "tcp",
        );
        let config = toml::from_str(IIWA14_LIMITS).expect("a limits table");
        let error = Limits::new(&chain.expect("a chain"), &config).expect_err("no position limits");
        assert!(
            error.message.contains("joint_1 turns without end"),
            "{error}"
        );
    }

    #[test]
    fn workspaces_without_room_are_refused() {
        let good = Workspace {
            min_m: [-0.1, -0.1, 0.0],
            max_m: [0.1, 0.1, 0.3],
            table_height_m: 0.01,
        };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(good.lower().z, 0.01);
        assert!((good.distance_m(&Vector3::new(0.4, 0.0, -0.39)) - 0.5).abs() < 1e-12);
        for bad in [
            Workspace {
                table_height_m: 0.3,
                ..good
            },
            Workspace {
                table_height_m: f64::NAN,
                ..good
            },
            Workspace {
                min_m: [0.1, -0.1, 0.0],
                ..good
            },
            Workspace {
                max_m: [f64::INFINITY, 0.1, 0.3],
                ..good
            },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
