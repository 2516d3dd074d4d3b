//! A pretend fleet of Dom0s.

/// Stands in no executable that is installed; `tests/house.rs` looks for it there.
pub const MARK: &str = "pretend fleet 7d1f";
