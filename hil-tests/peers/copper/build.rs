//! Copper's macros keep the strings of log messages beside the build's other files.

fn main() {
    let directory = std::env::var("OUT_DIR").expect("Cargo sets it");
    println!("cargo:rustc-env=LOG_INDEX_DIR={directory}");
}
