//! Every shipped robot, with the numbers of joints that there are: nothing gets through the filter, no tick allocates,
//! poses are found, and what is kept of the tool's pose is said.

use crate::scratch::{Scratch, changed, repository, run, stderr};
use serde_json::Value;
use std::path::PathBuf;

/// Launch file, joints, and what the arm keeps of the tool's pose.
const ROBOTS: [(&str, u64, &str); 5] = [
    ("sim_iiwa14", 7, "position + 3 rotations"),
    ("ur5e", 6, "position + 3 rotations"),
    ("hobby5", 5, "position + 2 rotations"),
    ("can_arm", 7, "position + 3 rotations"),
    ("so101", 5, "position + 2 rotations"),
];

fn launch(robot: &str) -> PathBuf {
    repository().join(format!("launch/robots/{robot}.toml"))
}

/// The command's JSON, and what it said beside.
fn report(line: &str, robot: &str) -> (Value, String) {
    let output = run(&format!("{line} --json -"), &[&launch(robot)]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{robot}: {said}");
    let json = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    (json, said)
}

#[test]
fn nothing_gets_through_on_any_robot() {
    for (robot, joints, _) in ROBOTS {
        let ticks = 20_000 * joints;
        let line = format!("fuzz-safety {{}} --joint-ticks {ticks} --arm-ticks 10000 --seed 3");
        let (report, _) = report(&line, robot);
        assert_eq!(report["violations"], 0, "{robot}: {report}");
        assert_eq!(report["joint_ticks"], ticks, "{robot}");
        for limit in ["q", "dq", "ddq", "dddq"] {
            let near = report["near_limit_ticks"][limit].as_u64().expect("a count");
            assert!(near >= 100, "{robot} was never near its {limit}: {near}");
        }
        let fallback = report["fallback_share_benign"].as_f64().expect("a number");
        assert!(fallback <= 1e-3, "{robot}: {fallback}");
    }
}

#[test]
fn no_robot_s_tick_allocates() {
    for (robot, _, _) in ROBOTS {
        let (report, _) = report("bench tick {} --ticks 1000", robot);
        assert_eq!(report["allocations"], 0, "{robot}: {report}");
    }
}

#[test]
fn reachable_poses_are_found_on_every_robot_and_what_is_dropped_is_said() {
    for (robot, joints, task) in ROBOTS {
        let (report, said) = report("bench ik {} --poses 500", robot);
        assert_eq!(report["task"], task, "{robot}");
        assert_eq!(said.contains("is dropped"), joints < 6, "{robot}: {said}");
        let down = &report["straight_down"];
        for share in [
            &report["found_share"],
            &down["found_share"],
            &down["position_found_share"],
        ] {
            assert!(
                share.as_f64().expect("a number") >= 0.999,
                "{robot}: {report}"
            );
        }
        let turned = down["rotation_error_rad"]["max"]
            .as_f64()
            .expect("a number");
        assert!(turned <= 1e-3, "{robot}: {report}");
    }
}

#[test]
fn the_simulated_arm_does_not_stand_in_for_others() {
    let scratch = Scratch::new("stand-in");
    for name in ["ur5e", "hobby5"] {
        let record = scratch.path("episodes");
        let line = "run {} --policy scripted --episodes 1 --record {}";
        // A scene has its own robot, and this one is none of those.
        let text = std::fs::read_to_string(launch(name)).expect("shipped");
        let urdf = repository().join(format!("launch/robots/{name}.urdf"));
        let text = changed(&text, &format!("\"{name}.urdf\""), &format!("{urdf:?}"));
        let path = scratch.write("launch.toml", format!("{text}\n[scene]\n"));
        let output = run(line, &[&path, &record]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let problem = "scene.robot: that robot has 7 joints";
        assert!(said.contains(problem), "{said}");
    }
}
