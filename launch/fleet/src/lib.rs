//! Episodes of many robots on their way to one place.
