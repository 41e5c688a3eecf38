//! Time. The only module that may read the operating system's clock or sleep.
//!
//! Everywhere else time is an argument of type [`Instant`].

/// Monotonic time since an arbitrary epoch, u64 nanoseconds.
pub type Instant = fugit::MonotonicInstant<u64, 1, 1_000_000_000>;
/// A span of time, u64 nanoseconds.
pub type Duration = fugit::Duration<u64, 1, 1_000_000_000>;
