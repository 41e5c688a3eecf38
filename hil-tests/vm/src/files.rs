//! Files of the workspace in the VM.

use crate::case::{Case, EVERY, Outcome};
use serde_json::json;
use std::fs;

pub const CASES: &[Case] = &[Case {
    name: "files_lie_where_they_lie_outside",
    kernels: EVERY,
    files: &["launch/robots"],
    run: lie_there,
    ..Case::DEFAULT
}];

fn lie_there() -> Outcome {
    let text = fs::read_to_string("launch/robots/sim_iiwa14.toml").expect("launch file");
    assert!(text.contains("[robot]"));
    let files = fs::read_dir("launch/robots").expect("folder").count();
    Outcome::Passed(json!({"files": files}))
}
