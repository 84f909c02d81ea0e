//! aurora: the Apache Aurora job scheduler as one small program.
//!
//! The layers, bottom to top; arrows point down only (`tests/tidy.rs` holds the table and checks it):
//!
//! | layer | what |
//! |---|---|
//! | [`base`], [`rt`] | clock, randomness, framing, units; the same for async |
//! | `net` | HTTP/1 codec, frames, Noise |
//! | [`model`] | plain values: job key, task, status, resources, constraint, quota |
//! | [`thrift`] | bytes and values: binary, compact, JSON; the API structs |
//! | `paxos`, `domain`, `supervise` | decisions without input or output |
//! | `replog`, `storage` | the log on disk and among peers; the state of the cluster |
//! | [`executor`], `agent`, `driver` | running tasks, and how work reaches machines |
//! | `scheduler` | the one owner of change |
//! | `api`, `http`, `client` | Thrift services, routes and pages, command line |
//! | [`daemon`] | composition: flags, logging, wiring, exit codes |
//!
//! A request's path: `http` decodes, `api` validates and submits a command, `scheduler::engine` runs one
//! step on the head tables, `replog` appends its ops, and only when they are learned do the committed
//! tables take them and replies and launches leave.

pub mod agent;
pub mod api;
pub mod base;
pub mod client;
pub mod daemon;
pub mod domain;
pub mod driver;
pub mod executor;
pub mod http;
pub mod model;
pub mod net;
pub mod paxos;
pub mod replog;
pub mod rt;
pub mod scheduler;
pub mod storage;
pub mod supervise;
pub mod thrift;

// The benchmarks' validator names the crate as those who use it do, and tests here use it too.
#[cfg(test)]
extern crate self as aurora;
