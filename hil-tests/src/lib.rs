//! Whole-system tests of visuomotor live in `tests/`.
