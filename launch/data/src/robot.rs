//! What an episode's attached launch file and robot description say about the arm: its limits, and where its tool is.
//!
//! Not responsible for limits that the runtime enforced ([`visuomotor_runtime::safety`]): these are for looking at.

use crate::timeline::Timeline;
use nalgebra::Isometry3;
use toml::Value;
use visuomotor_runtime::kinematics::{Chain, pose};
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::units::JointPositions;

pub struct RobotModel {
    pub joints: Vec<Range>,
    /// `T_base_task`.
    task: Isometry3<f64>,
    chain: AnyChain,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// rad; infinite where the joint turns without end.
    pub lower: f64,
    pub upper: f64,
    /// rad/s
    pub velocity: f64,
}

enum AnyChain {
    Five(Chain<5>),
    Six(Chain<6>),
    Seven(Chain<7>),
}

impl RobotModel {
    /// `None` where the attachments are missing or do not describe this robot.
    pub fn of(timeline: &Timeline) -> Option<Self> {
        let launch: toml::Table = timeline.attached("launch.toml")?.parse().ok()?;
        let urdf = timeline.attached("robot.urdf")?;
        let robot = launch.get("robot")?;
        let base = robot.get("base_link")?.as_str()?;
        let tip = robot.get("tip_link")?.as_str()?;
        let origin = numbers(launch.get("task")?.get("origin_in_base_m")?);
        let [x, y, z] = origin.try_into().ok()?;
        let chain = match timeline.header.robot.joint_names.0.len() {
            5 => AnyChain::Five(Chain::from_urdf(urdf, base, tip).ok()?),
            6 => AnyChain::Six(Chain::from_urdf(urdf, base, tip).ok()?),
            7 => AnyChain::Seven(Chain::from_urdf(urdf, base, tip).ok()?),
            _ => return None,
        };
        Some(Self {
            joints: chain.ranges(launch.get("limits")),
            task: Isometry3::translation(x, y, z),
            chain,
        })
    }

    /// Where the tool is with these joints, task frame; `None` for another number of joints.
    pub fn tool(&self, q: &[f64]) -> Option<TcpPose> {
        let t_base_tcp = match &self.chain {
            AnyChain::Five(chain) => chain.fk(&joints(q)?),
            AnyChain::Six(chain) => chain.fk(&joints(q)?),
            AnyChain::Seven(chain) => chain.fk(&joints(q)?),
        };
        Some(pose::tcp_pose(&self.task, &t_base_tcp))
    }
}

fn joints<const N: usize>(q: &[f64]) -> Option<JointPositions<N>> {
    let q: [f64; N] = q.try_into().ok()?;
    Some(q.into())
}

/// None where there is something else.
fn numbers(value: &Value) -> Vec<f64> {
    let number = |value: &Value| {
        value
            .as_float()
            .or_else(|| Some(value.as_integer()? as f64))
    };
    let values = value.as_array().into_iter().flatten();
    values.filter_map(number).collect()
}

impl AnyChain {
    /// The description's limits and what the launch file tightens.
    fn ranges(&self, limits: Option<&Value>) -> Vec<Range> {
        let urdf = match self {
            Self::Five(chain) => &chain.limits()[..],
            Self::Six(chain) => &chain.limits()[..],
            Self::Seven(chain) => &chain.limits()[..],
        };
        let key = |key: &str| limits.and_then(|table| table.get(key));
        let values = |name: &str| key(name).map(numbers).unwrap_or_default();
        let scalar = |name: &str, default| key(name).and_then(Value::as_float).unwrap_or(default);
        let (lower, upper, velocity) = (values("lower"), values("upper"), values("velocity"));
        let (margin, scale) = (
            scalar("position_margin_rad", 0.0),
            scalar("velocity_scale", 1.0),
        );
        let range = |(joint, urdf): (usize, &visuomotor_runtime::kinematics::JointLimit)| {
            let tightened =
                |values: &[f64], otherwise| values.get(joint).copied().unwrap_or(otherwise);
            Range {
                lower: tightened(&lower, urdf.lower) + margin,
                upper: tightened(&upper, urdf.upper) - margin,
                velocity: tightened(&velocity, urdf.velocity) * scale,
            }
        };
        urdf.iter().enumerate().map(range).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::Stage;
    use nalgebra::Vector3;
    use std::io::Cursor;
    use visuomotor_runtime::episode::Attachment;

    #[test]
    fn limits_and_tool_come_from_the_attachments() {
        let mut timeline = Timeline::read(Cursor::new(Stage::default().file())).unwrap();
        assert!(
            RobotModel::of(&timeline).is_none(),
            "the staged ones say nothing"
        );
        let attachment = |name: &str, text: &str| Attachment {
            name: name.into(),
            media_type: String::new(),
            data: text.into(),
        };
        let launch = include_str!("../../robots/sim_iiwa14.toml")
            .replace("tool_m_per_s = 0.8", "velocity_scale = 0.5");
        timeline.attachments = vec![
            attachment("launch.toml", &launch),
            attachment("robot.urdf", include_str!("../../robots/iiwa14.urdf")),
        ];
        let model = RobotModel::of(&timeline).unwrap();
        assert_eq!(model.joints.len(), 7);
        let first = model.joints[0];
        assert!(
            first.velocity < 1.0 && first.lower < -2.9 && first.upper > 2.9,
            "{first:?}"
        );
        // The launch file says: 25 cm above the tray's centre.
        let home = [0.0, 0.548949, 0.0, -1.332549, 0.0, 1.260095, 0.0];
        let tool = model.tool(&home).unwrap().position_m;
        assert!(
            (tool - Vector3::new(0.0, 0.0, 0.25)).norm() < 1e-3,
            "{tool}"
        );
        assert!(model.tool(&home[..6]).is_none());
    }
}
