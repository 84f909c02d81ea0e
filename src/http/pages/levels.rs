//! `/logconfig`.

use super::super::state::Shared;
use super::layout::{Context, Page, frame};
use maud::html;
use tide::Response;

const WORDS: [&str; 8] = [
    "INHERIT", "OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL",
];

/// The loggers with their levels, and a form to change one.
pub(in super::super) fn log_levels(app: &Shared, levels: &[(String, String)]) -> Response {
    let body = html! {
        h1 { "Logging" }
        div.scroll {
            table {
                thead { tr { th { "Logger" } th { "Level" } } }
                tbody {
                    @for (name, level) in levels {
                        tr { td.mono { (name) } td { (level) } }
                    }
                }
            }
        }
        h2 { "Change a level" small { "until the next start" } }
        div.card {
            form.inline method="post" action="/logconfig" {
                input name="logger" value="root" aria-label="logger" required;
                select name="level" aria-label="level" {
                    @for word in WORDS { option selected[word == "INFO"] { (word) } }
                }
                button type="submit" { "Set" }
            }
        }
    };
    let page = Page {
        status: 200,
        title: "Logging".to_owned(),
        crumbs: Vec::new(),
        body,
    };
    frame(&Context::at(app, "/logconfig"), &page)
}
