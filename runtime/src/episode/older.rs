//! What older versions of the schema wrote, as messages of the present one.
//!
//! Version 1 had no operating mode and no refused requests, only stops of category 2, and one number for "a stop is
//! latched", whether the arm still moved or not.

use super::cdr::{self, CdrError};
use super::messages::Step;
use super::{Header, TextMap};
use std::collections::BTreeMap;

const STOPPED: u8 = 4;
const NONE: u8 = 255;
const CATEGORY_TWO: u8 = 2;

pub fn step(data: &[u8], metadata: &BTreeMap<String, TextMap>) -> Result<Step, CdrError> {
    if Header::schema_version(metadata) != Some(1) {
        return cdr::decode(data);
    }
    // What version 2 has more stands at the end: a u64, a category, a mode.
    const MORE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0, NONE, 0];
    let mut step: Step = cdr::decode(&[data, &MORE].concat())?;
    if step.phase == STOPPED {
        step.latched = CATEGORY_TWO;
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use crate::episode::{Episode, samples};
    use crate::phase::Phase;
    use crate::safety::{OperatingMode, StopCategory};

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
            assert_eq!(step, expected);
        }
    }
}
