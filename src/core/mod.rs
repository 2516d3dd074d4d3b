//! Decides. No I/O, no clock, no dice, no log; imports nothing but itself.
//!
//! One word per thing:
//!
//! * **Dom0**: a Xen host. **domU**: a guest. **home**: the Dom0 whose table lists the domU. **peer**: another Dom0.
//! * **away**: running on a peer, sent there by us. **visiting**: running here, sent here by a peer.
//! * **resource**, **role**, **connection state**, **disk state**: DRBD's own words; a **replica** is our end of a resource.
//! * **guard**: DRBD's own refusal to promote against a peer that is Primary or cannot be asked
//!   (`allow-two-primaries=no` with `fencing=resource-only`, at run time).
//! * **claim**: guard, promote, look again. **window**: the time two Primaries are allowed, for one migration.
//! * **table**: `migrate-tab.txt`. **record**: `migrate-status.txt`.
//! * A file has **faults**; a plan may be a **refusal** (nothing touched); a deed may be a **failure** (something may have moved).

pub mod boot;
pub mod config;
pub mod drbd;
pub mod facts;
pub mod fault;
pub mod fleet;
pub mod health;
pub mod migrate;
pub mod names;
pub mod options;
pub mod record;
pub mod request;
pub mod step;
pub mod survey;
pub mod table;
pub mod whereabouts;
pub mod xen;
