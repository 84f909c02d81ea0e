//! What is simulated: the log's decisions and its disk code, compiled from aurora's own files.
//!
//! They are compiled again, and not linked from aurora, for two reasons: fast code in a build that is
//! not optimised otherwise, and deliberate mistakes that no build of aurora itself can have.

pub mod base;
#[path = "../../../src/paxos/mod.rs"]
pub mod paxos;
pub mod replog;
