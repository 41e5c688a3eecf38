//! x
pub struct SerialLine;
