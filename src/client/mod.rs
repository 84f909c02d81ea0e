//! The command line client: `aurora NOUN VERB ...`.
//!
//! A command line becomes a [`args::Noun`], a [`session::Session`] does what it asks for, and every line
//! that it says goes to one of two streams. What the client prints, in which order, and the statuses it
//! ends with are those of upstream's client: scripts depend on them.

pub mod admin;
pub mod args;
pub mod clusters;
mod convert;
mod duration;
pub mod exit;
pub mod http;
pub mod jobfile;
pub mod key;
mod netrc;
mod progress;
mod render;
pub mod scheduler;
pub mod session;
mod uptime;
mod verbs;
mod wait;
pub mod world;

use crate::base::rng::Rng;
use exit::{CommandError, Outcome};
use http::HttpTransport;
use session::{Connect, Session};
use std::io::Write;
use world::{RealTime, Settings, World};

/// Runs the client as a program: `args` without the program's name, everything else from the
/// environment. Gives the exit status.
pub fn main(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut world = World::new(out, err, &RealTime, Settings::from_env());
    let connect = |uri: &str, settings: &Settings| -> Box<dyn scheduler::Transport> {
        Box::new(HttpTransport::new(uri, settings))
    };
    run(args, &mut world, &connect)
}

/// Runs the client in a given world. Gives the exit status.
pub fn run(args: &[String], world: &mut World<'_>, connect: Connect<'_>) -> u8 {
    match command(args, world, connect) {
        Ok(exit) => exit.code(),
        Err(error) => {
            if !error.message.is_empty() {
                world.complain(&error.message);
            }
            error.exit.code()
        }
    }
}

fn command(args: &[String], world: &mut World<'_>, connect: Connect<'_>) -> Outcome {
    match args::read(args)? {
        args::Invocation::Say(text) => {
            world.print(&text);
            Ok(exit::Exit::Ok)
        }
        args::Invocation::Run {
            noun,
            verbose,
            skip_hooks,
        } => {
            world.verbose = verbose;
            if let Some(hooks) = skip_hooks {
                world.debug(&format!(
                    "command hooks are not supported yet; nothing to skip of {hooks}"
                ));
            }
            let mut session = Session::start(world, connect, Rng::from_os())?;
            verbs::run(&mut session, &noun)
        }
    }
}

/// An error as text and status, for programs that use the client's parts.
pub type Error = CommandError;
