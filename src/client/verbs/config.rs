//! `aurora config`.

use crate::client::args::ConfigList;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::jobfile;
use crate::client::session::{JobSource, Session};

/// Lists the jobs of a file.
pub fn list(session: &mut Session<'_, '_>, args: &ConfigList) -> Outcome {
    let source = JobSource {
        file: &args.config_file,
        bind: &args.bind,
        read_json: args.read_json,
    };
    let request = session.load_request(&source, None);
    let keys = jobfile::list(&request).map_err(|error| {
        let message = format!("Error loading configuration file: {error}");
        CommandError::new(Exit::CommandFailure, message)
    })?;
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    session.world.print(&format!("jobs=[{}]", keys.join(", ")));
    Ok(Exit::Ok)
}
