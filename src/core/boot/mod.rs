//! Deciding which domUs may be started at boot (design: "start only what is safe").
//!
//! * [`decide`](decide()): one domU, from one look: fault, exists, migrated, ignored, claim, or wait.
//! * [`claim`]: the deeds of a claim, and what must be seen between them.
//! * [`timer`]: when to look again.
//! * [`diary`]: what was decided when, for whoever asks later.

pub mod claim;
mod decide;
pub mod diary;
pub mod timer;

pub use decide::{Case, Decision, Seen, decide};
