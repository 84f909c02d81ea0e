//! Between the codec and tide: requests and answers change their types here, and nowhere else.

use super::routes::{self, Routes};
use super::state::{App, HttpState, Leadership, Shared};
use super::{graph, gzip, probe};
use crate::base::clock::{self, Instant};
use crate::base::stats::{Registry, Sliding};
use crate::net::http1::{self, Answer, Body, Drained, Handler, Limits, Method};
use crate::rt::{self, Shutdown, Worker};
use nix::sys::resource::{Resource, getrlimit};
use std::borrow::Cow;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tide::Request;

/// The request as the codec read it; endpoints find it in the extensions of tide's.
pub(super) type Incoming = Arc<http1::Request>;

/// In the extensions of an answer: send nothing, close.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hangup;

/// How often the rates of statistics are taken.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// No page needs more than this: no scripts, no frames, nothing from elsewhere.
const PAGE_HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
];

/// Serves the scheduler's port until `shutdown` is fired, then drains. The connection cap of `limits`
/// is lowered where the process may open too few files for it.
///
/// # Errors
///
/// If the listener cannot be watched.
///
/// # Cancellation
///
/// Dropping the future cuts every connection.
pub async fn serve(
    listener: TcpListener,
    state: HttpState,
    limits: Limits,
    shutdown: Shutdown,
) -> io::Result<Drained> {
    let limits = within_files(limits);
    let app = App::new(state);
    let sampled = Arc::clone(&app);
    let sampling = rt::spawn("stats sampler", async move {
        let mut graphed = Instant::ZERO;
        loop {
            let now = clock::now();
            sampled.config.stats.sample(now);
            sampled.process.sample(now);
            if now >= graphed {
                sampled.series.sample(&sampled);
                graphed = now + graph::INTERVAL;
            }
            rt::sleep(SAMPLE_INTERVAL).await;
        }
    });
    let drained = http1::serve(listener, Arc::new(Door::new(app)), limits, shutdown).await;
    sampling.cancel().await;
    drained
}

/// Lowers the connection cap so that clients can take at most half of the files that this process may
/// open: the log must never be the one that finds none left.
fn within_files(mut limits: Limits) -> Limits {
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let half = usize::try_from(soft / 2).unwrap_or(usize::MAX).max(1);
        if half < limits.connections_max {
            log::info!("at most {half} HTTP connections: this process may open {soft} files");
            limits.connections_max = half;
        }
    }
    limits
}

/// The codec's handler: tide behind it.
pub(super) struct Door {
    app: Shared,
    routes: Arc<Routes>,
    statuses: Statuses,
    /// Where answers are made that may take long.
    worker: Option<Worker>,
}

impl Door {
    pub(super) fn new(app: Shared) -> Self {
        let statuses = Statuses::new(app.config.stats);
        Self {
            routes: Arc::new(routes::routes(Arc::clone(&app))),
            app,
            statuses,
            worker: Worker::start("http answers"),
        }
    }

    /// Whether the site that a request comes from may call the API, and the request does.
    fn invites(&self, request: &http1::Request) -> bool {
        let origin = request.headers.first("origin");
        let invited = self.app.config.cors_origin.as_deref();
        let knows = invited.is_some_and(|invited| invited == "*" || Some(invited) == origin);
        knows && request.path().trim_end_matches('/') == "/api"
    }

    /// The answer to requests that no route should see.
    fn turn_away(&self, request: &http1::Request) -> Option<http1::Response> {
        if request.headers.first("bypass-leader-redirect").is_none()
            && routes::is_leader_only(request.path())
        {
            match self.app.leadership() {
                Leadership::Other(leader) => {
                    let location = format!("http://{leader}{}", request.target);
                    return Some(http1::Response::empty(307).with("location", location));
                }
                Leadership::Nobody if routes::is_table(request.path()) => {
                    let why = "There is no leading scheduler or the leader is unknown.\n";
                    return Some(http1::Response::text(503, why).with("retry-after", "1"));
                }
                Leadership::Here | Leadership::Nobody => {}
            }
        }
        // A page of another site may make a browser post here with its user's access to this network.
        let from_elsewhere = request.headers.first("sec-fetch-site") == Some("cross-site");
        if from_elsewhere
            && !matches!(request.method, Method::Get | Method::Head | Method::Options)
            && !self.invites(request)
        {
            return Some(http1::Response::text(
                403,
                "requests from other sites are refused\n",
            ));
        }
        None
    }
}

impl Handler for Door {
    async fn handle(&self, request: http1::Request) -> Answer {
        if let Some(response) = probe::health_at_once(&self.app, &request) {
            return response.into();
        }
        if let Some(response) = self.turn_away(&request) {
            return response.into();
        }
        // As upstream does, for what is read and for what is called.
        let takes_gzip = matches!(request.method, Method::Get | Method::Post)
            && gzip::is_accepted(request.headers.first("accept-encoding"));
        // Monitors wait for two seconds and not longer, whatever else is asked.
        let is_probe = routes::is_probe(request.path());
        let request: Incoming = Arc::new(request);
        let Some(inner) = inner_request(&request) else {
            return http1::Response::text(400, "malformed target\n").into();
        };
        let answer = respond(Arc::clone(&self.routes), request, inner, takes_gzip);
        match &self.worker {
            Some(worker) if !is_probe => worker.spawn("http answer", answer).join().await,
            Some(_) | None => answer.await,
        }
    }

    fn answered(&self, status: u16, took: Duration) {
        self.statuses.record(status, took);
    }
}

async fn respond(
    routes: Arc<Routes>,
    request: Incoming,
    inner: http_types::Request,
    takes_gzip: bool,
) -> Answer {
    let routed = routes
        .server
        .respond::<_, http_types::Response>(inner)
        .await;
    match routed {
        Ok(response) => match outer_response(response).await {
            Answer::Reply(response) if response.status == 405 => response
                .with("allow", routes.allowed(request.path()))
                .into(),
            Answer::Reply(response) if takes_gzip => gzip::pack(response).await.into(),
            answer => answer,
        },
        Err(error) => {
            log::error!("a route failed: {error}");
            http1::Response::text(500, "internal error\n").into()
        }
    }
}

/// The request that the codec read.
///
/// # Panics
///
/// If the request did not come through the door.
pub(super) fn incoming(request: &Request<Shared>) -> Incoming {
    Arc::clone(
        request
            .ext::<Incoming>()
            .expect("every request comes through the door"),
    )
}

fn inner_request(request: &Incoming) -> Option<http_types::Request> {
    let method = match request.method {
        Method::Delete => http_types::Method::Delete,
        Method::Get => http_types::Method::Get,
        Method::Head => http_types::Method::Head,
        Method::Options => http_types::Method::Options,
        Method::Patch => http_types::Method::Patch,
        Method::Post => http_types::Method::Post,
        Method::Put => http_types::Method::Put,
    };
    // Routes see the target only; the authority is of no use to them, and not to be trusted.
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target.as_str(), None),
    };
    // A trailing slash means the same place.
    let path = path.trim_end_matches('/');
    let mut url = tide::http::Url::parse(&format!("http://aurora.invalid{path}")).ok()?;
    url.set_query(query);
    let mut inner = http_types::Request::new(method, url);
    inner.ext_mut().insert::<Incoming>(Arc::clone(request));
    Some(inner)
}

async fn outer_response(mut inner: http_types::Response) -> Answer {
    if inner.ext().get::<Hangup>().is_some() {
        return Answer::Hangup;
    }
    let status = u16::from(inner.status());
    let mut outer = http1::Response::empty(status);
    for (name, values) in inner.iter() {
        for value in values {
            outer.headers.push((
                Cow::Owned(name.as_str().to_owned()),
                Cow::Owned(value.as_str().to_owned()),
            ));
        }
    }
    outer = outer.with("x-content-type-options", "nosniff");
    if inner
        .content_type()
        .is_some_and(|mime| mime.essence() == "text/html")
    {
        for (name, value) in PAGE_HEADERS {
            outer = outer.with(name, value);
        }
    }
    let body = inner.take_body();
    outer.body = match body.len() {
        Some(_) => match body.into_bytes().await {
            Ok(bytes) => Body::Bytes(bytes),
            Err(error) => {
                log::error!("the body of an answer could not be read: {error}");
                return http1::Response::text(500, "internal error\n").into();
            }
        },
        None => Body::Stream(Box::pin(body)),
    };
    if let Body::Bytes(bytes) = &outer.body
        && bytes.is_empty()
        && status >= 400
    {
        let reason = http1::reason(status);
        outer.headers.retain(|(name, _)| name != "content-type");
        outer = outer.with("content-type", "text/plain; charset=utf-8");
        outer.body = Body::Bytes(format!("{status} {reason}\n").into_bytes());
    }
    outer.into()
}

/// `http_STATUS_responses` for each status, looked up once.
struct Statuses {
    registry: &'static Registry,
    known: Vec<OnceLock<Sliding>>,
}

impl Statuses {
    const FIRST: u16 = 200;
    const COUNT: usize = 400;

    fn new(registry: &'static Registry) -> Self {
        let statuses = Self {
            registry,
            known: (0..Self::COUNT).map(|_| OnceLock::new()).collect(),
        };
        // Alerts on these must find them before the first one happens.
        for status in [200, 500, 503] {
            statuses.sliding(status);
        }
        statuses
    }

    fn sliding(&self, status: u16) -> Option<&Sliding> {
        let cell = self
            .known
            .get(usize::from(status.checked_sub(Self::FIRST)?))?;
        Some(cell.get_or_init(|| {
            self.registry
                .sliding(&format!("http_{status}_responses"), "nanos")
        }))
    }

    fn record(&self, status: u16, took: Duration) {
        if let Some(sliding) = self.sliding(status) {
            sliding.record_nanos(took);
        }
    }
}
