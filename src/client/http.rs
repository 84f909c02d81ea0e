//! Thrift's binary protocol over HTTP POST.

use super::netrc;
use super::scheduler::{Reply, Transport, TransportError};
use super::world::Settings;
use crate::base::secret::hide;
use crate::thrift::api::Response;
use crate::thrift::message::{self, Protocol};
use crate::thrift::service::Request;
use std::io;
use std::time::Duration;
use ureq::http::{self, HeaderValue, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// The media type of the binary protocol.
const BINARY: &str = "application/vnd.apache.thrift.binary";
/// Names a change; a repeat with the same id is done once.
pub const REQUEST_ID: &str = "X-Aurora-Request-Id";
/// The largest reply that is read: a million tasks.
const MAX_REPLY: u64 = 1 << 31;
const MAX_REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
const REPLY: Duration = Duration::from_secs(120);

/// Calls to the schedulers of one cluster, and to the leader that they name.
pub struct HttpTransport {
    agent: ureq::Agent,
    /// Where calls may go: each ends in `/api`.
    endpoints: Vec<String>,
    /// The one that was of use last.
    current: usize,
    settings: Settings,
    sequence: i32,
    /// Why no call can be made at all.
    unusable: Option<String>,
}

impl HttpTransport {
    /// Prepares calls to the scheduler whose pages are below `uri`, or to several, separated by commas.
    /// Nothing is sent yet.
    pub fn new(uri: &str, settings: &Settings) -> Self {
        let (roots, unusable) = match roots(settings) {
            Ok(roots) => (roots, None),
            Err(reason) => (RootCerts::WebPki, Some(reason)),
        };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(REPLY))
            // A connection that the scheduler closed meanwhile would make a call's fate unknown.
            .max_idle_connections(0)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .user_agent("Aurora V2");
        if uri.split(',').all(is_local) {
            config = config.proxy(None);
        }
        Self {
            agent: config.build().new_agent(),
            endpoints: uri.split(',').map(|uri| format!("{uri}api")).collect(),
            current: 0,
            settings: settings.clone(),
            sequence: 0,
            unusable,
        }
    }

    fn post(
        &self,
        url: &str,
        id: Option<&str>,
        body: &[u8],
    ) -> Result<http::Response<ureq::Body>, TransportError> {
        let mut request = self
            .agent
            .post(url)
            .header(header::CONTENT_TYPE, BINARY)
            .header(header::ACCEPT, BINARY);
        if let Some(id) = id {
            request = request.header(REQUEST_ID, id);
        }
        if self.settings.bypass_leader_redirect {
            request = request.header("Bypass-Leader-Redirect", "true");
        }
        if let Some(login) = host_of(url).and_then(|host| netrc::login(&self.settings, &host)) {
            request = request.header(header::AUTHORIZATION, format!("Basic {login}"));
        }
        request.send(body).map_err(|error| classify(&error))
    }
}

impl Transport for HttpTransport {
    fn exchange(&mut self, request: &Request, id: Option<&str>) -> Result<Reply, TransportError> {
        if let Some(reason) = &self.unusable {
            return Err(TransportError::Refused(reason.clone()));
        }
        self.sequence = self.sequence.wrapping_add(1);
        let body = message::encode_call(Protocol::Binary, self.sequence, request);
        let mut last = None;
        for _ in 0..self.endpoints.len() {
            match self.follow(request, id, &body) {
                // By its meaning nothing was done: another scheduler may lead.
                Err(TransportError::NotSent(reason)) => {
                    last = Some(TransportError::NotSent(reason));
                }
                Err(broken @ TransportError::Broken(_)) => {
                    // Unknown what was done; who asks again asks another one.
                    self.current = (self.current + 1) % self.endpoints.len();
                    return Err(broken);
                }
                result => return result,
            }
            self.current = (self.current + 1) % self.endpoints.len();
        }
        Err(last.expect("there is at least one endpoint, and each has failed"))
    }
}

impl HttpTransport {
    /// Calls the current scheduler, or where it sends us.
    fn follow(
        &self,
        request: &Request,
        id: Option<&str>,
        body: &[u8],
    ) -> Result<Reply, TransportError> {
        let mut url = self.endpoints[self.current].clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut response = self.post(&url, id, body)?;
            let status = response.status();
            if status.is_redirection() {
                url = redirect(&url, response.headers().get(header::LOCATION))?;
                continue;
            }
            check_status(status)?;
            let keeps_ids = keeps_ids(response.headers());
            let bytes = response
                .body_mut()
                .with_config()
                .limit(MAX_REPLY)
                .read_to_vec()
                .map_err(|error| TransportError::Broken(error.to_string()))?;
            return Ok(Reply {
                response: decode(&bytes, request, self.sequence)?,
                keeps_ids,
            });
        }
        Err(TransportError::NotSent(format!(
            "more than {MAX_REDIRECTS} redirections; is a leader being elected?"
        )))
    }
}

fn decode(bytes: &[u8], request: &Request, sequence: i32) -> Result<Response, TransportError> {
    let refused = |reason: String| TransportError::Refused(reason);
    let reply = message::decode_reply(Protocol::Binary, bytes)
        .map_err(|error| refused(error.to_string()))?;
    if reply.method != request.name() || reply.seqid != sequence {
        let (method, number) = (reply.method, reply.seqid);
        return Err(refused(format!(
            "a reply to another call: {method}, number {number}"
        )));
    }
    reply
        .outcome
        .map_err(|exception| refused(exception.to_string()))
}

/// Our scheduler names itself, or echoes the id.
fn keeps_ids(headers: &http::HeaderMap) -> bool {
    let server = headers.get(header::SERVER).and_then(|v| v.to_str().ok());
    headers.contains_key(REQUEST_ID) || server.is_some_and(|s| s.starts_with("aurora"))
}

/// The certificates that vouch for schedulers.
fn roots(settings: &Settings) -> Result<RootCerts, String> {
    let Some(path) = &settings.ca_bundle else {
        return Ok(RootCerts::WebPki);
    };
    let named = |reason: String| format!("certificates of {}: {reason}", path.display());
    let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| named(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(named("there are none".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn check_status(status: http::StatusCode) -> Result<(), TransportError> {
    let said = || format!("HTTP status {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        401 | 403 => Err(TransportError::Denied(said())),
        // By its meaning nothing was done: there is no leader, or too much work.
        503 => Err(TransportError::NotSent(said())),
        400..=499 => Err(TransportError::Refused(said())),
        _ => Err(TransportError::Broken(said())),
    }
}

fn redirect(from: &str, location: Option<&HeaderValue>) -> Result<String, TransportError> {
    let bad = || TransportError::Refused("a redirection without a usable address".to_owned());
    let location = location.and_then(|v| v.to_str().ok()).ok_or_else(bad)?;
    if location.starts_with("https://") {
        return Ok(location.to_owned());
    }
    if location.starts_with("http://") {
        // What was to be secret stays so.
        return if from.starts_with("http://") {
            Ok(location.to_owned())
        } else {
            Err(bad())
        };
    }
    let (scheme, rest) = from.split_once("://").ok_or_else(bad)?;
    if let Some(host) = location.strip_prefix("//") {
        return Ok(format!("{scheme}://{host}"));
    }
    let host = rest.split('/').next().unwrap_or(rest);
    if !location.starts_with('/') {
        return Err(bad());
    }
    Ok(format!("{scheme}://{host}{location}"))
}

/// Tells a call that never left from one whose fate is unknown.
fn classify(error: &ureq::Error) -> TransportError {
    let text = plain(error);
    match error {
        ureq::Error::Io(io) if is_refusal(io.kind()) => TransportError::NotSent(text),
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            TransportError::NotSent(text)
        }
        ureq::Error::Http(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Protocol(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_) => TransportError::Refused(text),
        _ => TransportError::Broken(text),
    }
}

fn is_refusal(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
    )
}

fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        ureq::Error::Io(io) => io.to_string(),
        // Some of them repeat the address.
        other => hide(&other.to_string()).into_owned(),
    }
}

fn host_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    uri.host().map(str::to_owned)
}

fn is_local(uri: &str) -> bool {
    let host = host_of(uri).unwrap_or_default();
    let bare = host.trim_matches(['[', ']']);
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_to_other_hosts_and_paths() {
        let to = |location: &str| {
            redirect(
                "http://a:1/api",
                Some(&HeaderValue::from_str(location).unwrap()),
            )
        };
        assert_eq!(to("https://b/api").unwrap(), "https://b/api");
        assert_eq!(to("//b:2/api").unwrap(), "http://b:2/api");
        assert_eq!(to("/other").unwrap(), "http://a:1/other");
        assert!(to("other").is_err() && redirect("http://a", None).is_err());
        let plain = HeaderValue::from_static("http://b/api");
        assert!(redirect("https://a/api", Some(&plain)).is_err());
    }

    #[test]
    fn only_this_machine_is_local() {
        for local in [
            "http://localhost:1/",
            "http://127.0.0.9/",
            "http://[::1]:8081/",
        ] {
            assert!(is_local(local), "{local}");
        }
        assert!(!is_local("http://localhost.example:1/") && !is_local("http://10.0.0.1/"));
    }
}
