//! `aurora job inspect`.

use crate::client::args::Inspect;
use crate::client::convert;
use crate::client::exit::{Exit, Outcome};
use crate::client::render::inspect as render;
use crate::client::session::{JobSource, Session};

/// Loads a job and shows it.
pub fn inspect(session: &mut Session<'_, '_>, args: &Inspect) -> Outcome {
    let source = JobSource {
        file: &args.config_file,
        bind: &args.bind,
        read_json: args.read_json,
    };
    let job = session.load_job(&args.key, &source)?;
    let text = if args.raw {
        format!("{:#?}", convert::job_configuration(&job))
    } else if args.write_json {
        job.job.to_string()
    } else {
        render::text(&job.job)
    };
    session.world.print(&text);
    Ok(Exit::Ok)
}
