//! Fixes what a camera would rather choose by itself: exposure, gain, white balance, focus.
//!
//! Not responsible for what values are good; says what could not be fixed ([`Warning`]).

use super::config::V4lConfig;
use super::error::Warning;
use moq_v4l::sys;
use std::io;

/// A control as the device describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub min: i32,
    pub max: i32,
}

/// The device's controls by the kernel's numbers (V4L2_CID_*).
pub trait Controls {
    /// `None` where the device does not have it.
    fn range(&self, id: u32) -> Option<Range>;
    fn get(&self, id: u32) -> io::Result<i32>;
    fn set(&mut self, id: u32, value: i32) -> io::Result<()>;
}

/// A value, the switch that makes it automatic, and what the launch file calls it.
struct Setting {
    name: &'static str,
    key: &'static str,
    value: u32,
    /// And what stands for automatic off.
    automatic: Option<(u32, i32)>,
    /// One unit of the device in those of the launch file.
    unit: i64,
}

/// V4L2_EXPOSURE_MANUAL.
const MANUAL: i32 = 1;
/// V4L2_EXPOSURE_SHUTTER_PRIORITY: a fixed exposure time, the aperture being automatic. Some cameras have no other.
const SHUTTER_PRIORITY: i32 = 2;

const EXPOSURE: Setting = Setting {
    name: "exposure",
    key: "exposure_us",
    value: sys::V4L2_CID_EXPOSURE_ABSOLUTE,
    automatic: Some((sys::V4L2_CID_EXPOSURE_AUTO, MANUAL)),
    unit: 100,
};
const GAIN: Setting = Setting {
    name: "gain",
    key: "gain",
    value: sys::V4L2_CID_GAIN,
    automatic: Some((sys::V4L2_CID_AUTOGAIN, 0)),
    unit: 1,
};
const WHITE_BALANCE: Setting = Setting {
    name: "white balance",
    key: "white_balance_k",
    value: sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE,
    automatic: Some((sys::V4L2_CID_AUTO_WHITE_BALANCE, 0)),
    unit: 1,
};
const FOCUS: Setting = Setting {
    name: "focus",
    key: "focus",
    value: sys::V4L2_CID_FOCUS_ABSOLUTE,
    automatic: Some((sys::V4L2_CID_FOCUS_AUTO, 0)),
    unit: 1,
};
const POWER_LINE: Setting = Setting {
    name: "flicker filter",
    key: "power_line_hz",
    value: sys::V4L2_CID_POWER_LINE_FREQUENCY,
    automatic: None,
    unit: 1,
};

/// What was fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// µs
    pub exposure_us: Option<u32>,
    pub warnings: Vec<Warning>,
}

/// Applies what the launch file says.
pub fn apply(controls: &mut impl Controls, config: &V4lConfig) -> Fixed {
    let mut fixed = Fixed::default();
    let warnings = &mut fixed.warnings;
    let exposure = config.exposure_us.map(i64::from);
    if set(controls, &EXPOSURE, exposure, warnings) {
        fixed.exposure_us = config.exposure_us;
        // Else the frame rate would still follow the light.
        let _ = controls.set(sys::V4L2_CID_EXPOSURE_AUTO_PRIORITY, 0);
    }
    set(controls, &GAIN, config.gain.map(i64::from), warnings);
    let kelvin = config.white_balance_k.map(i64::from);
    set(controls, &WHITE_BALANCE, kelvin, warnings);
    set(controls, &FOCUS, config.focus.map(i64::from), warnings);
    if let Some(hz) = config.power_line_hz {
        let menu = match hz {
            50 => sys::v4l2_power_line_frequency_V4L2_CID_POWER_LINE_FREQUENCY_50HZ,
            60 => sys::v4l2_power_line_frequency_V4L2_CID_POWER_LINE_FREQUENCY_60HZ,
            _ => sys::v4l2_power_line_frequency_V4L2_CID_POWER_LINE_FREQUENCY_DISABLED,
        };
        if let Err(why) = fix(controls, &POWER_LINE, menu as i32) {
            warnings.push(not_taken(&POWER_LINE, hz.into(), why));
        }
    }
    fixed
}

/// Whether the value is fixed now.
fn set(
    controls: &mut impl Controls,
    setting: &Setting,
    wanted: Option<i64>,
    warnings: &mut Vec<Warning>,
) -> bool {
    match wanted {
        Some(wanted) => match fix(controls, setting, (wanted / setting.unit) as i32) {
            Ok(()) => return true,
            Err(why) => warnings.push(not_taken(setting, wanted, why)),
        },
        None => warnings.extend(left_automatic(controls, setting)),
    }
    false
}

fn not_taken(setting: &Setting, wanted: i64, why: String) -> Warning {
    let key = setting.key;
    Warning::NotTaken { key, wanted, why }
}

/// Switches the automatic off, sets the value, and believes only what can be read back.
fn fix(controls: &mut impl Controls, setting: &Setting, value: i32) -> Result<(), String> {
    let Some(range) = controls.range(setting.value) else {
        return Err("the camera has no such control".into());
    };
    if !(range.min..=range.max).contains(&value) {
        let [min, max] = [range.min, range.max].map(|end| i64::from(end) * setting.unit);
        return Err(format!("the camera takes {min} to {max}"));
    }
    if let Some((id, off)) = setting.automatic
        && controls.range(id).is_some()
    {
        let mut switched = controls.set(id, off);
        if switched.is_err() && id == sys::V4L2_CID_EXPOSURE_AUTO {
            switched = controls.set(id, SHUTTER_PRIORITY);
        }
        switched.map_err(|error| format!("automatic {} stays on: {error}", setting.name))?;
    }
    controls
        .set(setting.value, value)
        .map_err(|error| error.to_string())?;
    match controls.get(setting.value) {
        Ok(got) if got == value => Ok(()),
        Ok(got) => Err(format!(
            "the camera made it {}",
            i64::from(got) * setting.unit
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn left_automatic(controls: &impl Controls, setting: &Setting) -> Option<Warning> {
    let (id, off) = setting.automatic?;
    controls.range(id)?;
    let name = setting.name;
    let Ok(state) = controls.get(id) else {
        return Some(Warning::Unknown { setting: name });
    };
    let exposes_by_itself = id == sys::V4L2_CID_EXPOSURE_AUTO && state != SHUTTER_PRIORITY;
    let is_automatic = state != off && (id != sys::V4L2_CID_EXPOSURE_AUTO || exposes_by_itself);
    is_automatic.then(|| Warning::LeftAutomatic {
        setting: name,
        key: setting.key,
        now: i64::from(controls.get(setting.value).unwrap_or(0)) * setting.unit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A camera whose controls are what a usual one has.
    struct Webcam {
        values: BTreeMap<u32, (Range, i32)>,
        /// Takes only these for automatic exposure.
        exposure_modes: Vec<i32>,
        /// Rounds exposure to multiples of this.
        exposure_step: i32,
    }

    impl Webcam {
        fn new() -> Self {
            let range = |min, max| Range { min, max };
            let values = BTreeMap::from([
                (sys::V4L2_CID_EXPOSURE_AUTO, (range(0, 3), 3)),
                (sys::V4L2_CID_EXPOSURE_ABSOLUTE, (range(3, 2047), 250)),
                (sys::V4L2_CID_EXPOSURE_AUTO_PRIORITY, (range(0, 1), 1)),
                (sys::V4L2_CID_GAIN, (range(0, 255), 12)),
                (sys::V4L2_CID_AUTO_WHITE_BALANCE, (range(0, 1), 1)),
                (
                    sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE,
                    (range(2000, 6500), 4321),
                ),
                (sys::V4L2_CID_POWER_LINE_FREQUENCY, (range(0, 2), 2)),
            ]);
            Self {
                values,
                exposure_modes: vec![1, 3],
                exposure_step: 1,
            }
        }

        fn value(&self, id: u32) -> i32 {
            self.values[&id].1
        }
    }

    impl Controls for Webcam {
        fn range(&self, id: u32) -> Option<Range> {
            self.values.get(&id).map(|(range, _)| *range)
        }

        fn get(&self, id: u32) -> io::Result<i32> {
            let einval = io::Error::from_raw_os_error(libc::EINVAL);
            self.values.get(&id).map(|(_, value)| *value).ok_or(einval)
        }

        fn set(&mut self, id: u32, value: i32) -> io::Result<()> {
            let automatic = self.values[&sys::V4L2_CID_EXPOSURE_AUTO].1 == 3;
            let refused = match id {
                sys::V4L2_CID_EXPOSURE_AUTO => !self.exposure_modes.contains(&value),
                sys::V4L2_CID_EXPOSURE_ABSOLUTE => automatic,
                _ => false,
            };
            let entry = self.values.get_mut(&id).filter(|_| !refused);
            let entry = entry.ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
            entry.1 = match id {
                sys::V4L2_CID_EXPOSURE_ABSOLUTE => value - value % self.exposure_step,
                _ => value,
            };
            Ok(())
        }
    }

    fn config() -> V4lConfig {
        V4lConfig {
            exposure_us: Some(15_600),
            gain: Some(40),
            white_balance_k: Some(4600),
            power_line_hz: Some(50),
            ..V4lConfig::new("/dev/video0", [640, 480], 30.0)
        }
    }

    #[test]
    fn what_the_launch_file_says_is_fixed() {
        for modes in [vec![1, 3], vec![2, 3]] {
            let mut webcam = Webcam {
                exposure_modes: modes.clone(),
                ..Webcam::new()
            };
            let fixed = apply(&mut webcam, &config());
            assert_eq!((fixed.exposure_us, fixed.warnings), (Some(15_600), vec![]));
            let expected = [
                (sys::V4L2_CID_EXPOSURE_AUTO, modes[0]),
                (sys::V4L2_CID_EXPOSURE_ABSOLUTE, 156),
                (sys::V4L2_CID_EXPOSURE_AUTO_PRIORITY, 0),
                (sys::V4L2_CID_GAIN, 40),
                (sys::V4L2_CID_AUTO_WHITE_BALANCE, 0),
                (sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE, 4600),
                (sys::V4L2_CID_POWER_LINE_FREQUENCY, 1),
            ];
            for (id, value) in expected {
                assert_eq!(webcam.value(id), value);
            }
        }
    }

    #[test]
    fn what_stays_automatic_is_told_with_what_to_write() {
        let bare = V4lConfig::new("/dev/video0", [640, 480], 30.0);
        let fixed = apply(&mut Webcam::new(), &bare);
        let told: Vec<_> = fixed.warnings.iter().map(Warning::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("exposure_us = 25000"), "{told:?}");
        assert!(told[1].contains("white_balance_k = 4321"), "{told:?}");
    }

    #[test]
    fn what_the_camera_does_not_take_is_told() {
        let mut stubborn = Webcam {
            exposure_modes: vec![3],
            ..Webcam::new()
        };
        let wrong = V4lConfig {
            gain: Some(300),
            focus: Some(10),
            ..config()
        };
        let fixed = apply(&mut stubborn, &wrong);
        let told: Vec<_> = fixed.warnings.iter().map(Warning::to_string).collect();
        assert_eq!((fixed.exposure_us, told.len()), (None, 3), "{told:?}");
        assert!(told[0].contains("automatic exposure stays on"), "{told:?}");
        assert!(told[1].contains("takes 0 to 255"), "{told:?}");
        assert!(told[2].contains("no such control"), "{told:?}");
        let mut coarse = Webcam {
            exposure_step: 100,
            ..Webcam::new()
        };
        let told = apply(&mut coarse, &config()).warnings;
        assert!(told[0].to_string().contains("made it 10000"), "{told:?}");
    }
}
