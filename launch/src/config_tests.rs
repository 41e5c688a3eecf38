//! Launch files, good and bad: each mistake is named with its file, line and key.

use super::*;
use proptest::prelude::*;

const GOOD: &str = include_str!("../robots/sim_iiwa14.toml");

fn robots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("robots")
}

/// As if the text were the shipped launch file.
fn parse(text: &str) -> Result<Launch, InputError> {
    Launch::simulated(LaunchFile::parse(Source {
        path: robots().join("sim_iiwa14.toml"),
        text: text.to_owned(),
    })?)
}

fn scratch(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("visuomotor-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn shipped_file_is_good_and_says_what_it_means() {
    let launch = Launch::read(&robots().join("sim_iiwa14.toml")).unwrap();
    assert_eq!(launch.control_period(), Duration::from_ticks(1_000_000));
    assert_eq!(launch.action_period(), Duration::from_ticks(250_000_000));
    let tcp = launch.T_base_task().inverse() * launch.chain.fk(&launch.home());
    assert!(
        (tcp.translation.vector - Vector3::new(0.0, 0.0, 0.25)).norm() < 1e-3,
        "{tcp}"
    );
    assert!(
        (tcp.rotation * Vector3::z() + Vector3::z()).norm() < 1e-3,
        "{tcp}"
    );
}

/// Where the tool of a shipped launch file is at home, task frame; its error message where the file is refused.
fn home<const N: usize>(name: &str) -> Result<(Launch<N>, Isometry3<f64>), InputError> {
    let launch = Launch::<N>::new(LaunchFile::read(&robots().join(name))?)?;
    let tool = launch.T_base_task().inverse() * launch.chain.fk(&launch.home());
    Ok((launch, tool))
}

#[test]
fn real_time_is_required_unless_the_file_says_otherwise() {
    use visuomotor_runtime::realtime::Preference;
    let said = "real_time = \"preferred\"\n";
    assert!(GOOD.contains(said));
    let preference = |text: &str| parse(text).unwrap().control.real_time;
    assert_eq!(preference(GOOD), Preference::Preferred);
    assert_eq!(preference(&GOOD.replace(said, "")), Preference::Required);
}

#[test]
fn other_shipped_robots_start_straight_down_over_their_task() {
    let (ur5e, flange) = home::<6>("ur5e.toml").unwrap();
    let (hobby, tcp) = home::<5>("hobby5.toml").unwrap();
    assert_eq!(
        (ur5e.robot.name(), hobby.robot.name()),
        ("ur5e".into(), "hobby5".into())
    );
    for (tool, height_m) in [(flange, 0.25), (tcp, 0.04)] {
        let expected = Vector3::new(0.0, 0.0, height_m);
        assert!((tool.translation.vector - expected).norm() < 1e-3, "{tool}");
        assert!(
            (tool.rotation * Vector3::z() + Vector3::z()).norm() < 1e-3,
            "{tool}"
        );
        assert!(
            (tool.rotation * Vector3::y() + Vector3::y()).norm() < 1e-3,
            "{tool}"
        );
    }
    let error = home::<7>("ur5e.toml").unwrap_err();
    assert!(
        error
            .message
            .contains("6 values where the arm has 7 joints"),
        "{error}"
    );
}

#[test]
fn defaults_are_those_that_the_shipped_file_spells_out() {
    // Here the loop may stand still for longer than at an arm.
    let patient = "loop_gap_ms_max = 200.0";
    let spelled = parse(&GOOD.replace(patient, "loop_gap_ms_max = 20.0")).unwrap();
    let without = |table: &str, text: &str| {
        let start = text.find(&format!("[{table}]\n")).expect(table);
        let end = text[start + 1..]
            .find("\n[")
            .map_or(text.len(), |at| start + 1 + at);
        text[..start].to_owned() + &text[end..]
    };
    let tables = [
        "watchdogs",
        "scene.latency",
        "scene.objects",
        "scene.camera",
    ];
    let short = tables
        .iter()
        .fold(GOOD.to_owned(), |text, table| without(table, &text));
    let implied = parse(&short).unwrap();
    assert_eq!(
        format!("{:?}", spelled.watchdogs),
        format!("{:?}", implied.watchdogs)
    );
    #[cfg(feature = "sim")]
    assert_eq!(spelled.scene, implied.scene);
}

/// The shipped file is the one to copy: it spells out every key of a scene.
#[cfg(feature = "sim")]
#[test]
fn the_shipped_file_explains_every_key_of_a_scene() {
    let scene = visuomotor_drivers::sim::SceneConfig::default();
    let spelled: toml::Table = GOOD.parse().unwrap();
    let all = toml::Table::try_from(scene).unwrap();
    let lacks = |all: &toml::Table, spelled: &toml::Table| -> Vec<String> {
        let keys = all.keys().filter(|key| !spelled.contains_key(*key));
        keys.cloned().collect()
    };
    let spelled = spelled["scene"].as_table().unwrap();
    // Where the tray is follows from [task].
    assert_eq!(lacks(&all, spelled), ["tray_in_base_m"]);
    for table in ["objects", "camera", "latency"] {
        let [all, spelled] = [&all, spelled].map(|scene| scene[table].as_table().unwrap());
        assert_eq!(lacks(all, spelled), Vec::<String>::new(), "{table}");
    }
}

#[test]
fn bad_files_are_refused_at_the_line_that_is_wrong() {
    let with = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    };
    let eight = std::fs::read_to_string(robots().join("iiwa14.urdf"))
        .unwrap()
        .replacen(
            "</robot>",
            "<link name=\"extra\"/><joint name=\"joint_8\" type=\"revolute\"><parent link=\"tcp\"/>\
         <child link=\"extra\"/><axis xyz=\"0 0 1\"/>\
         <limit lower=\"-1\" upper=\"1\" velocity=\"1\" effort=\"1\"/></joint></robot>",
            1,
        );
    let eight = scratch("eight.urdf", &eight);
    let not_urdf = scratch("not.urdf", "<robot");
    let urdf = |path: &Path| with("iiwa14.urdf", &path.display().to_string());
    let mut cases = vec![
        (
            with("rate_hz = 1000.0", "rate_hz = 1000.0\nrat = 1"),
            "rat = 1",
            "unknown field `rat`",
        ),
        (
            with("home_rad = [0.0,", "home_rad = [1.6,"),
            "home_rad",
            "m outside [workspace]",
        ),
        (
            with("start_low_m = [", "start_low_m = [0.0, "),
            "start_low_m",
            "4 values where 3 are expected",
        ),
        (
            with("[control]", "[kontrol]"),
            "[kontrol]",
            "unknown field `kontrol`",
        ),
        (
            with("xy_m = 0.05\n", ""),
            "[action]",
            "missing field `xy_m`",
        ),
        (
            with("rate_hz = 1000.0", "rate_hz = \"fast\""),
            "\"fast\"",
            "invalid type",
        ),
        (with("rate_hz = 1000.0", "rate_hz = "), "rate_hz = ", ""),
        (
            with("rate_hz = 1000.0", "rate_hz = nan"),
            "rate_hz = nan",
            "outside",
        ),
        (
            with("real_time = \"preferred\"", "real_time = \"maybe\""),
            "\"maybe\"",
            "unknown variant `maybe`",
        ),
        (
            with("1.260095, 0.0]", "1.260095]"),
            "home_rad",
            "6 values, but the simulated arm has 7 joints",
        ),
        (
            with("posture_gain_per_s = [1.0,", "posture_gain_per_s = ["),
            "posture_gain_per_s",
            "6 values where the arm has 7 joints",
        ),
        (
            with("-1.332549", "-2.332549"),
            "home_rad",
            "outside joint_4's limits [-2.0744",
        ),
        (with("0.26]", "0.001]"), "goal_high_m", "outside"),
        (
            with("goal_low_m = [-0.115", "goal_low_m = [-0.15"),
            "goal_low_m",
            "outside [-0.14",
        ),
        (
            with("start_low_m = [-0.08", "start_low_m = [-0.8"),
            "start_low_m",
            "outside",
        ),
        (
            with("table_height_m = 0.001", "table_height_m = 0.02"),
            "goal_low_m",
            "0.004 is outside [0.02, 0.45]",
        ),
        (
            with("0.45]", "0.24]").replace("0.26]", "0.235]"),
            "home_rad",
            "there the tool is 0.010 m outside [workspace]",
        ),
        (
            with("tool_m_per_s = 0.8", "tool_m_per_s = 1e-9"),
            "1e-9",
            "limits.tool_m_per_s = 0.000000001 must be at least 0.001",
        ),
        (
            with("steps_max = 25", "steps_max = 0"),
            "steps_max",
            "outside",
        ),
        (
            with("urdf = \"iiwa14.urdf\"", "urdf = \"no.urdf\""),
            "no.urdf",
            "cannot be read",
        ),
        (
            with("\"base_link\"", "\"bse_link\""),
            "bse_link",
            "no link is named bse_link",
        ),
        (
            with("\"tcp\"", "\"tool\""),
            "\"tool\"",
            "no link is named tool",
        ),
        (
            urdf(&eight).replacen("\"tcp\"", "\"extra\"", 1),
            "home_rad =",
            "8 moving joints where 7",
        ),
        (urdf(&not_urdf), "urdf =", "not a URDF"),
    ];
    #[cfg(feature = "sim")]
    cases.extend([
        (
            with("count = [3, 5]", "count = [5, 3]"),
            "count = [5, 3]",
            "not a range",
        ),
        (
            with("fovy_deg = 34.0", "fovy_deg = 340.0"),
            "fovy_deg = 340",
            "not a range",
        ),
        (
            with("jitter_m = 0.01", "jitte_m = 0.01"),
            "jitte_m",
            "unknown field",
        ),
        (
            with("\"union\", \"union\"", "\"onion\""),
            "onion",
            "unknown variant",
        ),
        (
            with("[scene]", "[scene]\ntray_in_base_m = [0.0, 0.0, 0.0]"),
            "tray_in_base_m",
            "task.origin_in_base_m",
        ),
    ]);
    for (text, line, message) in cases {
        let Err(error) = parse(&text) else {
            panic!("accepted: {line}")
        };
        let place = error
            .place
            .clone()
            .unwrap_or_else(|| panic!("no place: {error}"));
        assert!(
            place.text.contains(line),
            "{line:?} is not the line of\n{error}"
        );
        assert!(
            error.message.contains(message),
            "{message:?} is not in\n{error}"
        );
    }
    for path in [eight, not_urdf] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn missing_file_is_named() {
    let error = Launch::read(Path::new("no/such.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no/such.toml: cannot be read"),
        "{error}"
    );
    let error = Launch::read(Path::new("/")).unwrap_err();
    assert!(
        error.to_string().starts_with("/: cannot be read"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Cuts a piece out of the good file and puts something else in.
    #[test]
    fn mutated_files_are_good_or_refused_with_the_file_named(
        start in 0..GOOD.len(),
        length in 0usize..12,
        insert in "[-0-9a-z.=\"\\[\\]{}\n\u{e9}# ]{0,4}",
    ) {
        let end = (start + length).min(GOOD.len());
        let text = [&GOOD.as_bytes()[..start], insert.as_bytes(), &GOOD.as_bytes()[end..]].concat();
        let text = String::from_utf8_lossy(&text);
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().contains("sim_iiwa14.toml"), "{}", error);
            prop_assert!(!error.message.is_empty());
        }
    }

    /// Gives one key of the good file a value that it cannot have.
    #[test]
    fn absurd_numbers_are_refused_or_harmless(
        index in 0usize..200,
        value in prop::sample::select(vec!["nan", "inf", "-inf", "-1", "1e300", "0", "9223372036854775807"]),
    ) {
        let numbers: Vec<_> = GOOD
            .match_indices(|c: char| c.is_ascii_digit())
            .map(|(at, _)| at)
            .filter(|at| !GOOD[..*at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c)))
            .filter(|at| !GOOD[..*at].rsplit('\n').next().unwrap_or("").contains(['#', '"']))
            .collect();
        let at = numbers[index % numbers.len()];
        let end = at + GOOD[at..].find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(0);
        let text = [&GOOD[..at], value, &GOOD[end..]].concat();
        if let Err(error) = parse(&text) {
            prop_assert!(error.place.is_some(), "{}", error);
        }
    }
}
