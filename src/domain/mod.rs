//! The scheduler's decisions, without input or output.
