//! The small program that runs one task.
//!
//! `aurora-executor --task-dir=DIR [FLAGS]` reads the order in that directory, which is otherwise named by
//! the environment's `AURORA_TASK_DIR`, detaches itself, and runs the task's
//! processes until the end. One thread, one poll loop, no name service, no TLS. It outlives whoever started
//! it; all that it has to say is in the checkpoint, and all that it is told comes by the control socket.
//!
//! Invariants: an executor that does not hold the lock of the directory does nothing; one that finds a header
//! in the checkpoint starts nothing, for another one was here; the header is on disk before the first process
//! starts. So a task is never started twice, however often somebody tries.

pub mod cage;
pub mod checkpoint;
pub mod control;
mod definition;
pub mod flags;
mod http;
mod journal;
mod json;
mod listener;
mod log_file;
pub mod logger;
mod logs;
mod main;
pub mod memory;
mod mustache;
pub mod order;
pub mod os;
pub mod paths;
mod probe;
mod runner;
pub mod states;

pub use main::main;
