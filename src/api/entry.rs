//! The services between bytes and bytes: `/api` in Thrift's encodings, `/apibeta` in plain JSON.

use super::{Api, Outcome, media, respond};
use crate::thrift::api::{Response, ResponseCode};
use crate::thrift::message::{ApplicationException, encode_exception, encode_reply};
use crate::thrift::protocol::plain_json::{self, PlainJsonInput};
use crate::thrift::{Protocol, Request, message};

/// What to send back over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiReply {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Close the connection without any answer: the outcome of a change is unknown, and whatever is said
    /// could make the caller do it twice or not at all.
    pub close: bool,
}

impl ApiReply {
    fn text(status: u16, text: String) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: text.into_bytes(),
            close: false,
        }
    }

    fn thrift(protocol: Protocol, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: media::name(protocol),
            body,
            close: false,
        }
    }

    fn json(status: u16, response: &Response) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: plain_json::to_bytes(response),
            close: false,
        }
    }

    fn unknown() -> Self {
        Self {
            status: 500,
            content_type: "text/plain",
            body: Vec::new(),
            close: true,
        }
    }
}

impl Api {
    /// The answer to a call, unless it must not get one.
    ///
    /// With a request id it gets "try again" where the outcome is unknown: the repeat gets the first
    /// answer, and nothing is done twice.
    async fn response(&self, request_id: Option<&str>, request: Request) -> Option<Response> {
        let request_id = request_id.filter(|id| !id.is_empty());
        match self.call(request_id, request).await {
            Outcome::Answer(response) => Some(*response),
            Outcome::Unknown => request_id.map(|_| Response {
                server_info: Some(self.server_info()),
                ..*respond::transient("the outcome is not known yet").0
            }),
        }
    }

    /// Answers a Thrift message: `POST` (or `GET`) `/api`, with the headers Content-Type, Accept and
    /// X-Aurora-Request-Id.
    pub async fn serve(
        &self,
        content_type: Option<&str>,
        accept: Option<&str>,
        request_id: Option<&str>,
        body: &[u8],
    ) -> ApiReply {
        let Some(incoming) = media::incoming(content_type) else {
            let given = content_type.unwrap_or_default();
            return ApiReply::text(415, format!("Unsupported Content-Type: {given}"));
        };
        let call = match message::decode_call(incoming, body) {
            Ok(call) => call,
            Err(error) => return ApiReply::text(500, format!("malformed Thrift: {error}\n")),
        };
        let outgoing = media::outgoing(accept);
        let Some(request) = call.request else {
            let exception = ApplicationException::unknown_method(&call.method);
            let body = encode_exception(outgoing, &call.method, call.seqid, &exception);
            return ApiReply::thrift(outgoing, body);
        };
        match self.response(request_id, request).await {
            Some(response) => {
                let body = encode_reply(outgoing, &call.method, call.seqid, &response);
                ApiReply::thrift(outgoing, body)
            }
            None => ApiReply::unknown(),
        }
    }

    /// Answers a call in plain JSON: `POST /apibeta/METHOD` with a body that is an object of
    /// parameters by name, or empty.
    pub async fn serve_beta(&self, method: &str, body: &[u8]) -> ApiReply {
        if !Request::METHODS.contains(&method) {
            let shown: String = method.chars().take(100).collect();
            let message = format!("Method {shown} does not exist.");
            return ApiReply::json(404, &respond::error(message).0);
        }
        let body = body.trim_ascii();
        let body = if body.is_empty() { b"{}" } else { body };
        if let Err(error) = plain_json::check(body) {
            let said = ["Request must be valid JSON".to_owned(), error.to_string()];
            return ApiReply::json(400, &respond::with(ResponseCode::Error, said));
        }
        if !body.starts_with(b"{") {
            let message = "Request data must be a JSON object of method parameters.";
            return ApiReply::json(400, &respond::error(message).0);
        }
        let request = match Request::read(method, &mut PlainJsonInput::new(body)) {
            Ok(Some(request)) => request,
            Ok(None) => return ApiReply::json(404, &respond::unsupported(method).0),
            Err(error) => {
                let message = format!("Failed to parse parameter {}: {error}", error.path());
                return ApiReply::json(400, &respond::error(message).0);
            }
        };
        match self.response(None, request).await {
            Some(response) => ApiReply::json(200, &response),
            None => ApiReply::unknown(),
        }
    }
}
