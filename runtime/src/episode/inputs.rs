//! What a tick depended on, to and from its message; every number survives bit for bit.

use super::convert::{self, ConvertError, by_code};
use super::messages::{self, Action};
use crate::arm::{ArmError, ArmState};
use crate::controller::{Inputs, Request};
use crate::observation::{TcpPose, TcpVelocity};
use crate::safety::StopCategory;
use crate::step::Step;
use nalgebra::Vector3;

const NONE: u8 = 255;

/// All but the arm's state, which has a message of its own.
pub fn message<const N: usize>(step: &Step<N>) -> messages::Inputs {
    let inputs = &step.inputs;
    let (read_error, read_code) = error(inputs.arm.err());
    let (write_error, write_code) = error(inputs.write_error);
    let (request, request_number, request_values) = request(inputs.request);
    messages::Inputs {
        missed: step.missed,
        read_error,
        read_code,
        write_error,
        write_code,
        decided: inputs.decision.is_some(),
        decision: inputs.decision.map_or_else(Action::default, |decision| {
            convert::action(&decision, step.due)
        }),
        request,
        request_number,
        request_values,
    }
}

/// The inverse of [`message`], with the arm's state where it was read.
pub fn from_message<const N: usize>(
    message: &messages::Inputs,
    arm: Option<ArmState<N>>,
) -> Result<Inputs<N>, ConvertError> {
    let decision = message
        .decided
        .then(|| convert::from_action(&message.decision));
    let read_error = from_error("read_error", message.read_error, message.read_code)?;
    Ok(Inputs {
        arm: match (arm, read_error) {
            (Some(state), None) => Ok(state),
            (None, Some(error)) => Err(error),
            _ => {
                return Err(ConvertError::UnknownCode {
                    field: "read_error",
                    number: message.read_error.into(),
                });
            }
        },
        write_error: from_error("write_error", message.write_error, message.write_code)?,
        decision: decision.transpose()?.map(|record| record.decision),
        request: from_request(message)?,
    })
}

fn error(error: Option<ArmError>) -> (u8, u32) {
    match error {
        None => (NONE, 0),
        Some(ArmError::NoAnswer) => (0, 0),
        Some(ArmError::Malformed) => (1, 0),
        Some(ArmError::Drive { code }) => (2, code),
    }
}

fn from_error(
    field: &'static str,
    number: u8,
    code: u32,
) -> Result<Option<ArmError>, ConvertError> {
    Ok(Some(match number {
        NONE => return Ok(None),
        0 => ArmError::NoAnswer,
        1 => ArmError::Malformed,
        2 => ArmError::Drive { code },
        other => {
            return Err(ConvertError::UnknownCode {
                field,
                number: other.into(),
            });
        }
    }))
}

fn request(request: Option<Request>) -> (u8, u8, [f64; 4]) {
    let nowhere = [0.0; 4];
    match request {
        None => (NONE, 0, nowhere),
        Some(Request::Hold) => (0, 0, nowhere),
        Some(Request::Approach(pose)) => {
            let p = pose.position_m;
            (1, 0, [p.x, p.y, p.z, pose.yaw_rad])
        }
        Some(Request::StartPolicy) => (2, 0, nowhere),
        Some(Request::Rearm) => (3, 0, nowhere),
        Some(Request::SetMode(mode)) => (4, mode as u8, nowhere),
        Some(Request::Stop(category)) => (5, category as u8, nowhere),
        Some(Request::ClearFault) => (6, 0, nowhere),
        Some(Request::Recover) => (7, 0, nowhere),
        Some(Request::End) => (8, 0, nowhere),
        Some(Request::Jog(velocity)) => {
            let v = velocity.linear_m_per_s;
            (9, 0, [v.x, v.y, v.z, velocity.yaw_rad_per_s])
        }
    }
}

fn from_request(message: &messages::Inputs) -> Result<Option<Request>, ConvertError> {
    let [x, y, z, yaw_rad] = message.request_values;
    let number = message.request_number;
    let categories = [StopCategory::Zero, StopCategory::One, StopCategory::Two];
    Ok(Some(match message.request {
        NONE => return Ok(None),
        0 => Request::Hold,
        1 => Request::Approach(TcpPose {
            position_m: Vector3::new(x, y, z),
            yaw_rad,
        }),
        2 => Request::StartPolicy,
        3 => Request::Rearm,
        4 => Request::SetMode(convert::mode("request_number", number)?),
        5 => Request::Stop(by_code("request_number", number, &categories, |x| x as u8)?),
        6 => Request::ClearFault,
        7 => Request::Recover,
        8 => Request::End,
        9 => Request::Jog(TcpVelocity {
            linear_m_per_s: Vector3::new(x, y, z),
            yaw_rad_per_s: yaw_rad,
        }),
        other => {
            return Err(ConvertError::UnknownCode {
                field: "request",
                number: other.into(),
            });
        }
    }))
}
