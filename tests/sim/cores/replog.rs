//! The parts of the log's service that need no threads and no fibers.

#[path = "../../../src/replog/append.rs"]
mod append;
#[path = "../../../src/replog/disk.rs"]
pub mod disk;
#[path = "../../../src/replog/evidence.rs"]
pub mod evidence;
#[path = "../../../src/replog/keyspace.rs"]
pub mod keyspace;
#[path = "../../../src/replog/store.rs"]
pub mod store;
#[path = "../../../src/replog/stored.rs"]
pub mod stored;
