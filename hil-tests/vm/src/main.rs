//! The tests that run inside the VM: `vm-tests --list`, `vm-tests NAME…`.
//!
//! Responsible for naming them and for one line of JSON about each. Not responsible for the VM (`cargo xtask vm`, which
//! reads both), and useless outside of it: the tests load cameras, buses and priorities to suit themselves.

mod camera;
mod can;
mod can_arm;
mod case;
mod files;
mod gamepad;
mod killed;
mod planted;
mod product;
mod program;
mod realtime;
mod serial;
mod servo_arm;
mod v4l;

use case::{Case, Outcome};
use serde_json::{Value, json};
use std::any::Any;
use std::panic::catch_unwind;
use std::process::ExitCode;

fn cases() -> impl Iterator<Item = &'static Case> {
    let modules = [
        files::CASES,
        realtime::CASES,
        v4l::CASES,
        camera::CASES,
        can::CASES,
        can_arm::CASES,
        killed::CASES,
        gamepad::CASES,
        servo_arm::CASES,
        serial::CASES,
        product::CASES,
        planted::CASES,
    ];
    modules.into_iter().flatten()
}

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names == ["--list"] {
        for case in cases() {
            println!("{}", json!(case));
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("VISUOMOTOR_VM").is_none() {
        eprintln!("vm-tests: these run in the VM that `cargo xtask vm` boots");
        return ExitCode::from(2);
    }
    let mut good = true;
    for name in &names {
        good &= cases().filter(|case| case.name == name).all(run);
    }
    ExitCode::from(u8::from(!good))
}

fn run(case: &Case) -> bool {
    let (ok, skipped, detail, figures) = match catch_unwind(case.run) {
        Ok(Outcome::Passed(figures)) => (true, false, String::new(), figures),
        Ok(Outcome::Skipped(why)) => (true, true, why, Value::Null),
        Err(panic) => (false, false, said(&*panic), Value::Null),
    };
    let result = json!({
        "name": case.name, "ok": ok, "skipped": skipped, "detail": detail, "figures": figures,
    });
    println!("{result}");
    ok
}

/// What a panic was given.
fn said(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}
