//! `/structdump`: what is stored of a task or a cron job, and how its neighbours are asked.

use super::super::inspect::{dump_of, job_key};
use super::super::path;
use super::super::state::Shared;
use super::layout::{Page, render};
use crate::base::secret::hide;
use crate::model::TaskId;
use crate::thrift::convert::{job_configuration_to_wire, scheduled_task_to_wire};
use maud::{Markup, html};
use serde_json::Value;
use tide::Request;

fn page(status: u16, title: impl Into<String>, body: Markup) -> Page {
    Page {
        status,
        title: title.into(),
        crumbs: Vec::new(),
        body,
    }
}

/// A page that says which paths there are.
async fn usage(
    request: Request<Shared>,
    title: &'static str,
    paths: &'static [&str],
) -> tide::Result {
    let build = move |_: &_| {
        let body = html! {
            h1 { (title) }
            p { "Give a path such as:" }
            ul { @for path in paths { li { code { (path) } } } }
        };
        page(400, title, body)
    };
    render(request, build).await
}

pub(in super::super) async fn struct_usage(request: Request<Shared>) -> tide::Result {
    let paths = &[
        "/structdump/task/{task_id}",
        "/structdump/cron/{role}/{environment}/{job}",
    ];
    usage(request, "What is stored of a task or a cron job", paths).await
}

pub(in super::super) async fn mname_usage(request: Request<Shared>) -> tide::Result {
    let paths = &["/mname/{role}/{environment}/{job}/{instance}[/{path}]"];
    usage(request, "The web port of a running instance", paths).await
}

pub(in super::super) async fn struct_task(request: Request<Shared>) -> tide::Result {
    let name = path::parameter(&request, "task")?;
    let id = TaskId::new(&name);
    let tables = request.state().config.source.tables();
    let task = tables.task(&id);
    let found = task.map(|task| dump_of(&scheduled_task_to_wire(task)));
    dump(request, format!("Task {name}"), found).await
}

pub(in super::super) async fn struct_cron(request: Request<Shared>) -> tide::Result {
    let part = |name| path::parameter(&request, name);
    let name = format!(
        "{}/{}/{}",
        part("role")?,
        part("environment")?,
        part("job")?
    );
    let tables = request.state().config.source.tables();
    let cron = job_key(&request)?.and_then(|key| tables.cron_job(&key).cloned());
    let found = cron.map(|cron| dump_of(&job_configuration_to_wire(&cron.job)));
    dump(request, format!("Cron job {name}"), found).await
}

async fn dump(request: Request<Shared>, title: String, found: Option<Value>) -> tide::Result {
    let build = move |_: &_| {
        let body = html! {
            h1 { (title) }
            @match &found {
                Some(value) => { pre { (hide(&format!("{value:#}"))) } },
                None => { p { "Entity not found" } },
            }
        };
        // COMPAT: what is not there is said with status 200, as a test of the endpoints shows.
        page(200, title, body)
    };
    render(request, build).await
}
