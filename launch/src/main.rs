mod cli;
mod config;
mod contact_sheet;
mod drawing;
mod jobs;
mod progress;
mod report;
mod source;
mod status;
mod video;
fn main() {}
