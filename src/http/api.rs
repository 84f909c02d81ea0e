//! The API's door: `/api` and `/apibeta`.

use super::door::{self, Hangup};
use super::state::Shared;
use crate::api::Api;

pub use crate::api::ApiReply;
use std::future::Future;
use std::pin::Pin;
use tide::{Request, Response};

/// A future in a box, as traits that are used as objects need it.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// The Content-Type header.
    pub content_type: Option<&'a str>,
    /// The Accept header; `None` also when there is more than one.
    pub accept: Option<&'a str>,
    /// The X-Aurora-Request-Id header.
    pub request_id: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// The Thrift services, as far as HTTP is concerned.
pub trait ApiDoor: Send + Sync + 'static {
    /// Answers a Thrift message in any of its encodings.
    fn serve<'a>(&'a self, call: ApiCall<'a>) -> Boxed<'a, ApiReply>;

    /// Answers a method by name with parameters as a JSON object.
    fn serve_json<'a>(&'a self, method: &'a str, call: ApiCall<'a>) -> Boxed<'a, ApiReply>;
}

impl ApiDoor for Api {
    fn serve<'a>(&'a self, call: ApiCall<'a>) -> Boxed<'a, ApiReply> {
        let ApiCall {
            content_type,
            accept,
            request_id,
            body,
        } = call;
        Box::pin(Self::serve(self, content_type, accept, request_id, body))
    }

    fn serve_json<'a>(&'a self, method: &'a str, call: ApiCall<'a>) -> Boxed<'a, ApiReply> {
        Box::pin(self.serve_beta(method, call.body))
    }
}

pub(super) async fn thrift(request: Request<Shared>) -> tide::Result {
    let incoming = door::incoming(&request);
    let call = call_of(&incoming);
    let app = request.state();
    let mut response = answer(app.config.api.serve(call).await);
    // Tells our client that a change which broke off may be sent again under its id.
    response.insert_header("X-Aurora-Request-Id", "kept");
    allow_others(&mut response, app);
    Ok(response)
}

/// What may be asked of `/api`: a page of another site is told so before it asks.
pub(super) async fn options(request: Request<Shared>) -> tide::Result {
    let mut response = Response::new(200);
    response.insert_header("Allow", "GET, HEAD, POST, OPTIONS");
    allow_others(&mut response, request.state());
    Ok(response)
}

/// Lets pages of the sites of `-enable_cors_for` read an answer.
fn allow_others(response: &mut Response, app: &Shared) {
    if let Some(origin) = &app.config.cors_origin {
        response.insert_header("Access-Control-Allow-Origin", origin);
        response.insert_header(
            "Access-Control-Allow-Methods",
            "DELETE,GET,HEAD,OPTIONS,POST,PUT",
        );
        response.insert_header(
            "Access-Control-Allow-Headers",
            "Accept,Content-Type,Origin,X-Requested-With",
        );
    }
}

/// `GET /apibeta`.
pub(super) async fn to_help(_: Request<Shared>) -> tide::Result {
    let mut response = Response::new(303);
    response.insert_header("location", "/apihelp/index.html");
    Ok(response)
}

pub(super) async fn json(request: Request<Shared>) -> tide::Result {
    let incoming = door::incoming(&request);
    let method = super::path::parameter(&request, "method")?;
    let api = &request.state().config.api;
    Ok(answer(api.serve_json(&method, call_of(&incoming)).await))
}

fn call_of(incoming: &door::Incoming) -> ApiCall<'_> {
    let headers = &incoming.headers;
    let mut accepts = headers.all("accept");
    ApiCall {
        content_type: headers.first("content-type"),
        accept: accepts.next().filter(|_| accepts.next().is_none()),
        request_id: headers.first("x-aurora-request-id"),
        body: &incoming.body,
    }
}

fn answer(reply: ApiReply) -> Response {
    let mut response = Response::new(reply.status);
    if reply.close {
        response.insert_ext(Hangup);
        return response;
    }
    response.set_body(reply.body);
    response.insert_header("content-type", reply.content_type);
    response
}
