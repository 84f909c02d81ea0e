//! What all pages share: the frame, the state of the scheduler on top, the style sheet.

use super::super::path;
use super::super::probe::is_serving;
use super::super::state::{Leadership, Shared};
use super::figures::{Counts, Mood};
use super::text;
use crate::base::clock::{self, Timestamp};
use crate::base::stamp;
use crate::model::{ScheduleStatus, TaskId};
use crate::rt;
use crate::scheduler::{OUTDATED, View};
use crate::storage::Tables;
use maud::{DOCTYPE, Markup, html};
use std::sync::Arc;
use tide::{Request, Response};

/// Where the style sheet is; the version makes browsers fetch it anew after an upgrade.
pub(in super::super) const STYLE_PATH: &str =
    concat!("/assets/aurora-", env!("CARGO_PKG_VERSION"), ".css");

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");
/// The shortest interval in which a page may ask to be loaded again, in seconds.
const REFRESH_MIN: u32 = 2;

/// What a page is made from.
pub(super) struct Context {
    pub(super) app: Shared,
    pub(super) view: Arc<View>,
    pub(super) tables: Arc<Tables>,
    pub(super) now: Timestamp,
    /// The page's own path, as it is linked.
    here: String,
    refresh: Option<u32>,
}

/// A page's title, the way to it, and what it shows.
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) title: String,
    /// Text and link, outermost first; the last has no link.
    pub(super) crumbs: Vec<(String, Option<String>)>,
    pub(super) body: Markup,
}

/// Makes a page off the reactor's thread: a large cluster's takes long enough to delay others.
pub(super) async fn render(
    request: Request<Shared>,
    build: impl FnOnce(&Context) -> Page + Send + 'static,
) -> tide::Result {
    let context = Context::new(&request);
    Ok(rt::unblock(move || {
        let page = build(&context);
        frame(&context, &page)
    })
    .await)
}

impl Context {
    fn new(request: &Request<Shared>) -> Self {
        let app = Arc::clone(request.state());
        let refresh = path::query(request, "refresh").and_then(|secs| secs.parse().ok());
        Self {
            view: app.config.source.view(),
            tables: app.config.source.tables(),
            now: clock::wall(),
            here: request.url().path().to_owned(),
            refresh: refresh.map(|secs: u32| secs.max(REFRESH_MIN)),
            app,
        }
    }

    /// A context outside of a request, for pages that need no tables.
    pub(super) fn at(app: &Shared, here: &str) -> Self {
        Self {
            app: Arc::clone(app),
            view: app.config.source.view(),
            tables: app.config.source.tables(),
            now: clock::wall(),
            here: here.to_owned(),
            refresh: None,
        }
    }

    /// A moment as its age, with the moment itself under the pointer.
    pub(super) fn ago(&self, at: Timestamp) -> Markup {
        html! { time title=(text::stamp(at)) { (text::age(self.now, at)) } }
    }

    /// A link to the page of an agent's machine.
    pub(super) fn host_link(&self, host: &str) -> Markup {
        html! { a href={ "/agents/" (path::encode(host)) } { (host) } }
    }

    /// The address of a task's page on its machine.
    pub(super) fn task_page(&self, host: &str, task: &TaskId) -> String {
        let port = self.app.config.observer_port;
        format!("http://{host}:{port}/task/{}", path::encode(task.as_str()))
    }

    /// The address of a task's sandbox on its machine.
    pub(super) fn sandbox(&self, host: &str, task: &TaskId) -> String {
        let port = self.app.config.observer_port;
        format!(
            "http://{host}:{port}/browse/{}",
            path::encode(task.as_str())
        )
    }
}

/// A state as a coloured word.
pub(super) fn chip(status: ScheduleStatus) -> Markup {
    html! { span class={ "chip " (Mood::of(status).class()) } { (status.name()) } }
}

/// A count that is quiet when it is zero and coloured when it is not.
pub(super) fn count(number: usize, mood: Mood) -> Markup {
    html! {
        @if number == 0 { span.zero { "0" } }
        @else { span class={ "count " (mood.class()) } { (number) } }
    }
}

/// Cells with counts: running, moving, pending, failed, done.
pub(super) fn count_cells(counts: &Counts) -> Markup {
    html! {
        td.number { (count(counts.good, Mood::Good)) }
        td.number { (count(counts.moving, Mood::Moving)) }
        td.number { (count(counts.waiting, Mood::Waiting)) }
        td.number { (count(counts.away + counts.failed, Mood::Bad)) }
        td.number { (count(counts.done, Mood::Done)) }
    }
}

/// The headings of [`count_cells`].
pub(super) fn count_headings() -> Markup {
    html! {
        th.number { "Running" }
        th.number title="assigned, starting, restarting, draining or being killed" { "Moving" }
        th.number title="waiting for a machine" { "Pending" }
        th.number title="failed, lost, or cut off; ended ones as far as history is kept" { "Failed" }
        th.number title="finished or killed, as far as history is kept" { "Ended" }
    }
}

/// How the active tasks are, as one bar.
pub(super) fn bar(counts: &Counts) -> Markup {
    let total = counts.active().max(1);
    let parts = [
        (counts.good, Mood::Good),
        (counts.moving, Mood::Moving),
        (counts.waiting, Mood::Waiting),
        (counts.away, Mood::Bad),
    ];
    let mut start = 0;
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.empty width="100" height="6" {}
            @for (number, mood) in parts {
                @let width = number * 100 / total;
                rect class=(mood.class()) x=(start) width=(width) height="6" {}
                @let () = { start += width; };
            }
        }
    }
}

/// A page for what is not there.
pub(super) fn missing(what: &str, crumbs: Vec<(String, Option<String>)>) -> Page {
    Page {
        status: 404,
        title: "Not found".to_owned(),
        crumbs,
        body: html! {
            div.empty-state {
                h1 { "Nothing here" }
                p { (what) }
                p { a href="/scheduler" { "All roles" } }
            }
        },
    }
}

/// The whole document of a page.
pub(super) fn frame(context: &Context, page: &Page) -> Response {
    let cluster = &context.app.config.cluster;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(secs) = context.refresh {
                    meta http-equiv="refresh" content=(secs);
                }
                title { (page.title) " \u{b7} " (cluster) " \u{b7} aurora" }
                link rel="icon" href="/favicon.ico" type="image/svg+xml";
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                header {
                    a.brand href="/scheduler" { "aurora" }
                    span.cluster { (cluster) }
                    nav {
                        a href="/scheduler" { "Jobs" }
                        a href="/agents" { "Machines" }
                        a href="/vars" { "Variables" }
                        a href="/logconfig" { "Logging" }
                    }
                    (lifecycle(context))
                }
                (notice(context))
                main {
                    (breadcrumbs(&page.crumbs))
                    (page.body)
                }
                (footer(context))
            }
        }
    };
    let mut response = Response::new(page.status);
    response.set_body(document.into_string().into_bytes());
    response.insert_header("content-type", "text/html; charset=utf-8");
    response
}

fn lifecycle(context: &Context) -> Markup {
    let serving = is_serving(context.view.lifecycle);
    let class = if serving { "chip good" } else { "chip waiting" };
    html! { span class=(class) title="the scheduler's state" { (context.view.lifecycle.name()) } }
}

/// What a reader must know before believing the page.
fn notice(context: &Context) -> Markup {
    if context.view.replica == "EMPTY" {
        return html! {
            div.notice role="alert" {
                strong { "Storage is not READY." }
                " The log of this scheduler was never initialised. Stop it, run "
                code { "aurora-log initialize --path=DIR" }
                " on its " code { "-native_log_file_path" } ", and start it again."
            }
        };
    }
    if context.view.replica == OUTDATED {
        return html! {
            div.notice role="alert" {
                strong { "A newer version has written the log." }
                " This scheduler (version " (stamp::version()) ") accepts entries, but does not apply them and does \
                 not lead. Install the newer version again."
            }
        };
    }
    if is_serving(context.view.lifecycle) && context.app.leadership() == Leadership::Here {
        return html! {};
    }
    html! {
        div.notice role="alert" {
            strong { "Storage is not READY." }
            @match context.app.leadership() {
                Leadership::Other(leader) => { " The leader is " (leader) "." },
                Leadership::Here | Leadership::Nobody => {
                    " What is shown may be old or missing until this scheduler leads."
                }
            }
        }
    }
}

fn breadcrumbs(crumbs: &[(String, Option<String>)]) -> Markup {
    html! {
        @if !crumbs.is_empty() {
            nav.crumbs aria-label="breadcrumb" {
                @for (index, (text, link)) in crumbs.iter().enumerate() {
                    @if index > 0 { span.separator { "/" } }
                    @match link {
                        Some(link) => { a href=(link) { (text) } },
                        None => { span aria-current="page" { (text) } }
                    }
                }
            }
        }
    }
}

fn footer(context: &Context) -> Markup {
    html! {
        footer {
            span { (text::stamp(context.now)) }
            span { "committed entry " (context.tables.version()) }
            @match context.refresh {
                Some(secs) => { span { "reloads every " (secs) "s \u{b7} " a href=(context.here) { "stop" } } },
                None => { span { a href={ (context.here) "?refresh=5" } { "reload every 5s" } } }
            }
            span { "aurora " (stamp::version()) }
        }
    }
}

/// The style sheet.
pub(in super::super) async fn style(_: Request<Shared>) -> tide::Result {
    Ok(asset(STYLE, "text/css; charset=utf-8"))
}

/// The icon.
pub(in super::super) async fn icon(_: Request<Shared>) -> tide::Result {
    Ok(asset(ICON, "image/svg+xml"))
}

pub(super) fn asset(text: &str, content_type: &str) -> Response {
    let mut response = Response::new(200);
    response.set_body(text.as_bytes());
    response.insert_header("content-type", content_type);
    response.insert_header("cache-control", "max-age=3600");
    response
}
