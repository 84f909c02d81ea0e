//! What the cores stand on.

#[path = "../../../src/base/clock.rs"]
pub mod clock;
#[path = "../../../src/base/frame.rs"]
pub mod frame;
#[path = "../../../src/base/mistake.rs"]
pub mod mistake;
#[path = "../../../src/base/rng.rs"]
pub mod rng;
