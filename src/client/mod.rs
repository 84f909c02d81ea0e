//! The command line client.

pub mod jobfile;
