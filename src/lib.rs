//! Moves Xen domUs whose disks are DRBD between Dom0s, and starts them at boot only when no other host runs them.
//!
//! The map of the house. Data flows one way: **table → look → plan → record → act → look → record**.
//!
//! * [`core`] decides: no I/O, no clock, no dice, no log. It imports nothing but itself.
//! * [`adapters`] sees and does: the trait [`adapters::World`] is the one door. It imports core.
//! * [`applets`] are the front doors, one for each name of the executable. They import core and adapters.
//! * [`tongue`] puts what is said to a person into the language that the person asks for. It imports nothing.
//! * [`lab`] is a pretend fleet of Dom0s; only tests and `cargo run --example lab` use it.

pub mod adapters;
pub mod applets;
pub mod core;
pub mod lab;
pub mod tongue;
