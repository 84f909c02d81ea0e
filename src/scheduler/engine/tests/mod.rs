//! The engine with a log, agents and crashes that are all made up, in one thread.

mod scenarios;
mod storm;
mod world;
