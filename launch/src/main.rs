mod contact_sheet;
mod drawing;
mod report;
mod video;
fn main() {}
