//! What older versions of the schema wrote, as messages and metadata of the present one.
//!
//! Version 3 did not name the task, the solver, the policy's manifest or whose objects a scene had, nor did it keep what the
//! policy looked at without loss.
//! Version 2 did not say what a tick depended on besides the arm's state: such episodes cannot be replayed. Version 1 had
//! no operating mode and no refused requests, only stops of category 2, and one number for "a stop is latched", whether
//! the arm still moved or not.

use super::cdr::{self, CdrError};
use super::messages::{Inputs, Step};
use super::{Header, TextMap};
use std::collections::BTreeMap;

const STOPPED: u8 = 4;
const NONE: u8 = 255;
const CATEGORY_TWO: u8 = 2;

/// Fields that later versions have more stand at the end.
pub fn step(data: &[u8], metadata: &BTreeMap<String, TextMap>) -> Result<Step, CdrError> {
    let version = Header::schema_version(metadata);
    if !matches!(version, Some(1 | 2)) {
        return cdr::decode(data);
    }
    let mut data = data.to_vec();
    if version == Some(1) {
        cdr::append(&0_u64, &mut data);
        cdr::append(&NONE, &mut data);
        cdr::append(&0_u8, &mut data);
    }
    let unknown = Inputs {
        write_error: NONE,
        request: NONE,
        ..Inputs::default()
    };
    cdr::append(&unknown, &mut data);
    let mut step: Step = cdr::decode(&data)?;
    if step.measured {
        step.inputs.read_error = NONE;
    }
    if version == Some(1) && step.phase == STOPPED {
        step.latched = CATEGORY_TWO;
    }
    Ok(step)
}

/// The metadata, with what versions before 4 did not say as what they meant by that.
pub fn records(records: &BTreeMap<String, TextMap>) -> BTreeMap<String, TextMap> {
    let mut records = records.clone();
    if Header::schema_version(&records).is_none_or(|version| version > 3) {
        return records;
    }
    for (record, key, value) in [
        ("visuomotor.episode", "launch", ""),
        ("visuomotor.episode", "task", ""),
        ("visuomotor.policy", "manifest", ""),
        ("visuomotor.scene", "split", "test"),
        ("visuomotor.scene", "objects", ""),
    ] {
        if let Some(map) = records.get_mut(record) {
            map.insert(key.into(), value.into());
        }
    }
    records.entry("visuomotor.solver".into()).or_default();
    records
}

#[cfg(test)]
mod tests {
    use crate::arm::ArmError;
    use crate::controller::Inputs;
    use crate::episode::{Episode, samples};
    use crate::phase::Phase;
    use crate::safety::{OperatingMode, StopCategory};
    use crate::step::Step;

    #[test]
    fn a_file_of_version_1_is_read() {
        let file = include_bytes!("../../tests/episode_of_schema_1.mcap");
        let episode = Episode::<7>::read(&file[..]).unwrap();
        assert_eq!(episode.header.origin.schema_version, 1);
        assert_eq!((episode.damage, episode.steps.len()), (None, 35));
        for (step, i) in episode.steps.into_iter().zip(0..) {
            let mut expected = samples::step(i);
            expected.phase = [
                Phase::Idle,
                Phase::Hold,
                Phase::Approach,
                Phase::Policy,
                Phase::Stopped(StopCategory::Two),
            ][i as usize % 5];
            expected.mode = OperatingMode::Automatic;
            expected.counters.refused_requests = 0;
            assert_eq!(step, without_inputs(expected));
        }
    }

    #[test]
    fn a_file_of_version_2_is_read() {
        let file = include_bytes!("../../tests/episode_of_schema_2.mcap");
        let episode = Episode::<7>::read(&file[..]).unwrap();
        assert_eq!(episode.header.origin.schema_version, 2);
        let expected = (0..35).map(|i| {
            let mut expected = samples::step(i);
            expected.phase = [
                Phase::Idle,
                Phase::Hold,
                Phase::Approach,
                Phase::Policy,
                Phase::Stopped(StopCategory::Two),
                Phase::Stopping(StopCategory::Zero),
                Phase::Stopped(StopCategory::One),
                Phase::Ending,
                Phase::Inward,
            ][i as usize % 9];
            without_inputs(expected)
        });
        assert!(episode.steps.into_iter().eq(expected));
    }

    #[test]
    fn a_file_of_version_3_is_read() {
        let file = include_bytes!("../../tests/episode_of_schema_3.mcap");
        let episode = Episode::<7>::read(&file[..]).unwrap();
        let header = episode.header;
        assert_eq!(header.origin.schema_version, 3);
        let (origin, scene) = (header.origin, header.scene.unwrap());
        assert_eq!((origin.task.as_str(), origin.launch.as_str()), ("", ""));
        assert_eq!((scene.seed, scene.split.as_str()), (11, "test"));
        assert!(header.solver.is_empty() && header.derivation.is_none());
        assert!(episode.steps.into_iter().eq((0..35).map(samples::step)));
        assert_eq!(episode.observations, [samples::observation(0)]);
        assert!(episode.observed.is_empty());
    }

    fn without_inputs(step: Step<7>) -> Step<7> {
        Step {
            missed: 0,
            inputs: Inputs {
                arm: step.inputs.arm.map_err(|_| ArmError::NoAnswer),
                write_error: None,
                decision: None,
                request: None,
            },
            ..step
        }
    }
}
