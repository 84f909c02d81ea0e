//! `/apihelp`: the methods that `/apibeta` takes.

use super::super::state::Shared;
use super::layout::{Page, render};
use crate::thrift;
use maud::html;
use tide::Request;

pub(in super::super) async fn methods(request: Request<Shared>) -> tide::Result {
    let build = |_: &_| {
        let body = html! {
            h1 { "Methods" small { (thrift::Request::METHODS.len()) } }
            p {
                "Each takes " code { "POST /apibeta/METHOD" } " with a JSON object of its parameters by "
                "name, or nothing, and answers with a response as JSON."
            }
            ul { @for method in thrift::Request::METHODS { li { code { (method) } } } }
        };
        Page {
            status: 200,
            title: "Methods".to_owned(),
            crumbs: Vec::new(),
            body,
        }
    };
    render(request, build).await
}
