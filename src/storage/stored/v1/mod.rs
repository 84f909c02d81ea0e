//! Version 1 of the stored form. Frozen: nothing in this folder changes once it has been released.
//!
//! Within a record, texts and task descriptions are written once and referred to by number, as most ops
//! of a record repeat them.

mod config;
mod cron;
mod maintenance;
mod pool;
mod record;
mod update;

pub(super) use record::{RecordV1, decode, encode};
