//! Tests of all checks together.
