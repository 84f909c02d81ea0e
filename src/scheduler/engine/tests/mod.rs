//! The engine with a log, agents and crashes that are all made up, in one thread.

mod admin;
mod affinity;
mod conservation;
mod cron;
mod cron_storm;
mod edges;
mod history;
mod maintenance;
mod placing;
mod preempt;
mod restore;
mod rouse;
mod scenarios;
mod storm;
mod update_storm;
mod updates;
mod words;
mod world;
