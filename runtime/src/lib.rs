//! The part of visuomotor that runs on every arm: the control loop, the safety filter, kinematics, time, and the
//! episode log.
//!
//! Responsible for everything between "encoders and a frame were read" and "this joint command may be sent".
//! Not responsible for any device (`visuomotor-drivers`), for neural networks (`visuomotor-policies`) or for wiring
//! them together (`visuomotor`, in `launch/`): the outside world enters through the three traits in [`arm`],
//! [`camera`] and [`policy`].
//!
//! Start reading at [`control_loop`]: one tick, on one screen.

pub mod action;
pub mod arm;
pub mod camera;
pub mod camera_loop;
pub mod clock;
pub mod control_loop;
pub mod controller;
pub mod episode;
pub mod exactly;
pub mod fault;
pub mod follow;
pub mod goal;
pub mod handoff;
pub mod health;
pub mod kinematics;
pub mod observation;
pub mod pace;
pub mod phase;
pub mod planted;
pub mod policy;
pub mod policy_loop;
pub mod realtime;
pub mod replay;
pub mod safety;
pub mod setpoint;
pub mod step;
pub mod units;
pub mod watchdogs;
