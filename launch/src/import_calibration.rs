//! `visuomotor import calibration`: LeRobot's calibration of a servo arm into one of ours.
//!
//! Responsible for finding out what LeRobot's file does not say, and for refusing what cannot be. Not responsible for what the
//! numbers mean ([`visuomotor_drivers::servo_bus::lerobot`]).

use crate::any_arm::{self, AnyArm};
use crate::cli::ImportCalibrationArgs;
use crate::config::{ArmConfig, Launch};
use crate::error::{CommandError, Grade};
use crate::source::{InputError, Source};
use std::fs::File;
use std::io::{ErrorKind, Write};
use visuomotor_drivers::servo_bus::Calibration;
use visuomotor_drivers::servo_bus::lerobot::{Unsaid, import_lerobot};
use visuomotor_drivers::servo_bus::tables::{MODELS, Model};

const ORIGIN: &str = "give the file that `lerobot-calibrate` wrote for this arm, unchanged, as \
    ~/.cache/huggingface/lerobot/calibration/robots/so101_follower/my_arm.json, or calibrate again";

pub fn run(args: &ImportCalibrationArgs) -> Result<Grade, CommandError> {
    match &args.launch {
        Some(launch) => any_arm::run(args, launch),
        None => import(args, None, None),
    }
}

impl AnyArm for ImportCalibrationArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let Some(ArmConfig::ServoBus(_, present)) = &launch.arm else {
            let problem = "missing; give the launch file of a servo arm, or leave --launch out and say --joints, --gripper \
                           and --models";
            let error = launch.source.error_in("arm.servo_bus", problem);
            return Err(CommandError::input(error));
        };
        import(self, Some(present), Some(N))
    }
}

fn import(
    args: &ImportCalibrationArgs,
    present: Option<&Calibration>,
    arm_joints: Option<usize>,
) -> Result<Grade, CommandError> {
    let names = Names::of(args, present)?;
    if let Some(joints) = arm_joints.filter(|&joints| joints != names.joints.len()) {
        let problem = format!(
            "--joints names {}, and the launch file's arm has {joints}: name them all, and the gripper with --gripper",
            names.joints.len()
        );
        return Err(CommandError::input(problem));
    }
    let models = models(args, present, &names)?;
    let aperture_m = aperture_m(&args.aperture_m)?;
    let source = Source::read(&args.calibration)
        .map_err(|error| CommandError::input(format!("{error}; {ORIGIN}")))?;
    let joints = names.joints.iter().map(String::as_str);
    let joints: Vec<_> = joints.zip(models.iter().copied()).collect();
    let unsaid = Unsaid {
        joints: &joints,
        gripper: (&names.gripper, models[joints.len()]),
        aperture_m,
    };
    let calibration = import_lerobot(&source.text, &unsaid).map_err(|error| {
        let error = InputError::file(&args.calibration, format!("{error}; {ORIGIN}"));
        CommandError::input(error)
    })?;
    write_new(args, &calibration)?;
    println!(
        "{}: {} joints and {}. 0 rad is the middle of each range, as in LeRobot: compare it with the URDF's 0, and the \
         directions, before the arm gets power",
        args.out.display(),
        calibration.joints.len(),
        calibration.gripper.name
    );
    Ok(Grade::Good)
}

struct Names {
    joints: Vec<String>,
    gripper: String,
}

impl Names {
    fn of(
        args: &ImportCalibrationArgs,
        present: Option<&Calibration>,
    ) -> Result<Self, CommandError> {
        let missing = |flag: &str| {
            let problem = format!(
                "LeRobot's file does not say it: give {flag}, or with --launch a launch file whose calibration says it"
            );
            CommandError::input(problem)
        };
        let present_joints = present.map(|present| {
            let names = present.joints.iter().map(|joint| joint.name.clone());
            names.collect()
        });
        let present_gripper = present.map(|present| present.gripper.name.clone());
        Ok(Self {
            joints: (args.joints.clone().or(present_joints))
                .ok_or_else(|| missing("--joints, base to tip"))?,
            gripper: (args.gripper.clone().or(present_gripper))
                .ok_or_else(|| missing("--gripper"))?,
        })
    }
}

/// Of the joints base to tip, and of the gripper.
fn models(
    args: &ImportCalibrationArgs,
    present: Option<&Calibration>,
    names: &Names,
) -> Result<Vec<&'static Model>, CommandError> {
    let known = || MODELS.each_ref().map(|model| model.name).join(", ");
    let servos = names.joints.len() + 1;
    let given = match (&args.models, present) {
        (Some(given), _) => given.clone(),
        (None, Some(present)) => {
            let joints = present.joints.iter().map(|joint| joint.model.name);
            let all = joints.chain([present.gripper.model.name]);
            all.map(str::to_owned).collect()
        }
        (None, None) => {
            let problem = format!(
                "LeRobot's file does not say which servos they are: give --models, or with --launch a launch file whose \
                 calibration says it; known are {}",
                known()
            );
            return Err(CommandError::input(problem));
        }
    };
    let given = match given.as_slice() {
        [all] => vec![all.clone(); servos],
        each if each.len() == servos => given,
        each => {
            let problem = format!(
                "{} models for {servos} servos: give --models one for all, or one for each, the gripper's last",
                each.len()
            );
            return Err(CommandError::input(problem));
        }
    };
    let models: Result<Vec<_>, _> = given
        .iter()
        .map(|name| Model::named(name).ok_or(name))
        .collect();
    let models = models.map_err(|name| {
        CommandError::input(format!(
            "--models: no table of a model {name:?}; known are {}",
            known()
        ))
    })?;
    let protocol = models[0].protocol;
    if let Some(other) = models.iter().find(|model| model.protocol != protocol) {
        let problem = format!(
            "--models: {} and {} do not speak the same protocol, and hang on one line",
            models[0].name, other.name
        );
        return Err(CommandError::input(problem));
    }
    Ok(models)
}

fn aperture_m(given: &[f64]) -> Result<[f64; 2], CommandError> {
    match given {
        &[at_min, at_max]
            if [at_min, at_max].iter().all(|m| (0.0..1.0).contains(m)) && at_min != at_max =>
        {
            Ok([at_min, at_max])
        }
        _ => {
            let problem = "--aperture-m wants two distances of 0 to 1 m that differ, at range_min and at range_max, as 0,0.1";
            Err(CommandError::input(problem))
        }
    }
}

/// What is there already may be the only calibration of an arm.
fn write_new(args: &ImportCalibrationArgs, calibration: &Calibration) -> Result<(), CommandError> {
    let text = format!(
        "# Imported from LeRobot's {:?}. 0 rad is the middle of each range: correct zero_ticks where the URDF's 0 is\n\
         # elsewhere, and direction where the URDF's joint turns the other way.\n\n{}",
        args.calibration.file_name().unwrap_or_default(),
        calibration.to_toml()
    );
    let refuse = |error: std::io::Error| {
        let problem = match error.kind() {
            ErrorKind::AlreadyExists => {
                "is there already: choose another place, or move it away".to_owned()
            }
            _ => format!("cannot be written: {error}"),
        };
        CommandError::input(InputError::file(&args.out, problem))
    };
    let mut file = File::create_new(&args.out).map_err(refuse)?;
    file.write_all(text.as_bytes()).map_err(refuse)
}
