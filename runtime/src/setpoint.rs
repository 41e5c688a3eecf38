//! From a 4 Hz goal to a 1 kHz reference.
