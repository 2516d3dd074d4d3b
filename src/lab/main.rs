//! `cargo run --example lab`: the pretend fleet, for newcomers and for tests.

fn main() {}
