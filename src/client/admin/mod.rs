//! The operators' client: `aurora_admin COMMAND ...`.
//!
//! Commands, their options, what they print and their statuses are those of upstream's tool: everything
//! that fails ends with status 1. What it tells on the way goes to stderr.

mod cluster;
mod command;
mod drain;
mod hosts;
mod quota;
mod recovery;
mod safety;
mod tasks;
#[cfg(test)]
mod tests;

use super::exit::{CommandError, Exit};
use super::http::HttpTransport;
use super::scheduler::{Repeat, Transport, details};
use super::session::{Connect, Session};
use super::world::{RealTime, Settings, World};
use crate::base::rng::Rng;
use crate::thrift::api::{Response, ResponseCode, ResponseResult};
use crate::thrift::service::Request;
use command::{Given, Invocation};
use std::io::Write;

/// What a command gives: nothing, or what ended it.
type Ran = Result<(), CommandError>;

/// Something that ends a command.
fn fail(message: impl Into<String>) -> CommandError {
    CommandError::new(Exit::Failure, message)
}

/// Runs the tool as a program: `args` without the program's name, everything else from the environment.
/// Gives the exit status.
pub fn main(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut world = World::new(out, err, &RealTime, Settings::from_env());
    let connect = |uri: &str, settings: &Settings| -> Box<dyn Transport> {
        Box::new(HttpTransport::new(uri, settings))
    };
    run(args, &mut world, &connect)
}

/// Runs the tool in a given world. Gives the exit status.
pub fn run(args: &[String], world: &mut World<'_>, connect: Connect<'_>) -> u8 {
    let ended = match command::read(args) {
        Ok(Invocation::Say { text, exit }) => {
            world.print(&text);
            return exit.code();
        }
        Ok(Invocation::Run(given)) => {
            world.verbose = given.is_on("v");
            world.quiet = given.is_on("q");
            world.settings.bypass_leader_redirect = given.is_on("bypass_leader_redirect");
            obey(world, connect, &given)
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => Exit::Ok.code(),
        Err(error) => {
            if !error.message.is_empty() {
                world.complain(&format!("FATAL] {}", error.message));
            }
            Exit::Failure.code()
        }
    }
}

fn obey(world: &mut World<'_>, connect: Connect<'_>, given: &Given) -> Ran {
    let session = Session::start(world, connect, Rng::from_os())?;
    let cluster = given.word(0).to_owned();
    session.cluster(&cluster)?;
    let mut admin = Admin { session, cluster };
    match given.command {
        "get_cluster_config" => cluster::get_cluster_config(&mut admin, given),
        "get_scheduler" => cluster::get_scheduler(&mut admin),
        "host_activate" => hosts::activate(&mut admin, given),
        "host_deactivate" => hosts::deactivate(&mut admin, given),
        "host_drain" => drain::host_drain(&mut admin, given),
        "host_status" => hosts::status(&mut admin, given),
        "increase_quota" => quota::increase(&mut admin, given),
        "prune_tasks" => tasks::prune(&mut admin, given),
        "query" => tasks::query(&mut admin, given),
        "reconcile_tasks" => tasks::reconcile(&mut admin, given),
        "scheduler_backup_now" => recovery::backup_now(&mut admin),
        "scheduler_commit_recovery" => recovery::commit(&mut admin),
        "scheduler_delete_recovery_tasks" => recovery::delete_tasks(&mut admin, given),
        "scheduler_list_backups" => recovery::list_backups(&mut admin),
        "scheduler_print_recovery_tasks" => recovery::print_tasks(&mut admin),
        "scheduler_restore" => recovery::restore(&mut admin, given),
        "scheduler_snapshot" => recovery::snapshot(&mut admin),
        "scheduler_stage_recovery" => recovery::stage(&mut admin, given),
        "scheduler_unload_recovery" => recovery::unload(&mut admin),
        "set_quota" => quota::set(&mut admin, given),
        "sla_host_drain" => hosts::sla_drain(&mut admin, given),
        "sla_list_safe_domain" => safety::list_safe_domain(&mut admin, given),
        "sla_probe_hosts" => safety::probe_hosts(&mut admin, given),
        other => Err(fail(format!("{other} is not there"))),
    }
}

/// A command at work on a cluster.
struct Admin<'w, 'a> {
    session: Session<'w, 'a>,
    cluster: String,
}

impl Admin<'_, '_> {
    /// Calls the scheduler, says what it answered, and lets only an OK pass.
    fn call(
        &mut self,
        request: &Request,
        repeat: Repeat,
    ) -> Result<Option<ResponseResult>, CommandError> {
        self.call_for_all(request, repeat)
            .map(|response| response.result)
    }

    /// As [`Admin::call`], for those who want more of the answer than its payload.
    fn call_for_all(
        &mut self,
        request: &Request,
        repeat: Repeat,
    ) -> Result<Response, CommandError> {
        let response = self.session.call(&self.cluster, request, repeat)?;
        let code = response.response_code;
        let name = code.map_or("none", ResponseCode::name);
        let said = format!(
            "Response from scheduler: {name} (message: {})",
            details(&response)
        );
        match code {
            Some(ResponseCode::Ok) => {
                self.session.world.info(&said);
                Ok(response)
            }
            _ => Err(fail(said)),
        }
    }

    fn print(&mut self, text: &str) {
        self.session.world.print(text);
    }

    fn info(&mut self, text: &str) {
        self.session.world.info(text);
    }

    fn warn(&mut self, text: &str) {
        self.session.world.warn(text);
    }
}
