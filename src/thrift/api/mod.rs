//! The structs, unions and enums of the scheduler's interface, with Aurora's names and numbers.
//!
//! Rust names are in Rust's style; `name()` of an enum and plain JSON have the interface's own.

mod enums;
mod job;
mod response;
mod task;
mod update;

pub use enums::*;
pub use job::*;
pub use response::*;
pub use task::*;
pub use update::*;
