//! Which path leads where.

use super::state::Shared;
use super::{api, cron, graph, inspect, metrics, operate, pages, probe, tables, threads, vars};
use tide::http::Method;
use tide::{Endpoint, Request, Response, Server};

/// Paths whose answers only the leader has. Everything else every scheduler answers for itself.
const LEADER_ONLY: [&str; 14] = [
    "/agents",
    "/api",
    "/cron",
    "/maintenance",
    "/mname",
    "/offers",
    "/pendingtasks",
    "/quotas",
    "/scheduler",
    "/slaves",
    "/state",
    "/tiers",
    "/updates",
    "/utilization",
];

/// Whether the answer to this path is the leader's to give.
pub(super) fn is_leader_only(path: &str) -> bool {
    LEADER_ONLY.iter().any(|prefix| path.starts_with(prefix))
}

/// Of [`LEADER_ONLY`], those whose answers programs read: what a scheduler has that follows nobody would
/// look like an empty cluster. People get their pages, which say so, and the API says it in its own way.
const TABLES: [&str; 9] = [
    "/cron",
    "/maintenance",
    "/mname",
    "/offers",
    "/pendingtasks",
    "/quotas",
    "/state",
    "/tiers",
    "/utilization",
];

/// Whether programs read the answer to this path, which is the leader's to give.
pub(super) fn is_table(path: &str) -> bool {
    TABLES.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether monitors ask it: answered at once, from nothing that takes long.
pub(super) fn is_probe(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    ["/health", "/livez", "/readyz", "/leaderhealth"].contains(&path)
}

/// The routes, and which methods each takes: tide knows, and does not say.
pub(super) struct Routes {
    pub(super) server: Server<Shared>,
    table: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn at(&mut self, path: &'static str) -> Place<'_> {
        Place { routes: self, path }
    }

    /// The methods that the place which `path` leads to takes, as the `Allow` header lists them.
    pub(super) fn allowed(&self, path: &str) -> String {
        let there = self.table.iter().filter(|(place, _)| leads_to(path, place));
        let methods: Vec<&str> = there.map(|(_, method)| *method).collect();
        methods.join(", ")
    }
}

/// Whether `path` is one of those that `place` stands for.
fn leads_to(path: &str, place: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    for part in place.trim_matches('/').split('/') {
        let found = parts.next();
        if part.starts_with('*') {
            return found.is_some();
        }
        let fits = found.is_some_and(|found| match part.starts_with(':') {
            true => !found.is_empty(),
            false => found == part,
        });
        if !fits {
            return false;
        }
    }
    parts.next().is_none()
}

/// One place of the table, being filled.
struct Place<'a> {
    routes: &'a mut Routes,
    path: &'static str,
}

impl Place<'_> {
    /// `name` is how the `Allow` header lists the method.
    fn on(self, method: Method, name: &'static str, endpoint: impl Endpoint<Shared>) -> Self {
        self.routes.server.at(self.path).method(method, endpoint);
        self.routes.table.push((self.path, name));
        self
    }

    /// Who takes a GET takes a HEAD as well.
    fn get(self, endpoint: impl Endpoint<Shared>) -> Self {
        self.on(Method::Get, "GET, HEAD", endpoint)
    }

    fn post(self, endpoint: impl Endpoint<Shared>) -> Self {
        self.on(Method::Post, "POST", endpoint)
    }

    fn put(self, endpoint: impl Endpoint<Shared>) -> Self {
        self.on(Method::Put, "PUT", endpoint)
    }

    fn delete(self, endpoint: impl Endpoint<Shared>) -> Self {
        self.on(Method::Delete, "DELETE", endpoint)
    }

    fn options(self, endpoint: impl Endpoint<Shared>) -> Self {
        self.on(Method::Options, "OPTIONS", endpoint)
    }
}

pub(super) fn routes(app: Shared) -> Routes {
    let mut server = Routes {
        server: tide::with_state(app),
        table: Vec::new(),
    };
    server.at("/").get(to_pages);
    server.at("/index.html").get(to_pages);
    server.at("/health").get(probe::health);
    server.at("/livez").get(probe::health);
    server.at("/readyz").get(probe::ready);
    server.at("/leaderhealth").get(probe::leader_health);
    server.at("/vars").get(vars::text);
    server.at("/vars.json").get(vars::json);
    server.at("/quitquitquit").post(operate::quit);
    server.at("/abortabortabort").post(operate::abort);
    server
        .at("/logconfig")
        .get(operate::log_levels)
        .post(operate::set_log_level);
    server.at("/metrics").get(metrics::metrics);
    server.at("/graphdata").get(graph::data);
    server.at("/graphview").get(graph::view);
    server.at("/graphview/index.html").get(graph::view);
    server.at("/services").get(threads::services);
    server.at("/threads").get(threads::threads);
    server.at("/contention").get(threads::contention);
    inspecting(&mut server);
    server.at("/offers").get(tables::offers);
    server.at("/pendingtasks").get(tables::pending);
    server.at("/quotas").get(tables::quotas);
    server.at("/tiers").get(tables::tiers);
    server.at("/cron").get(cron::cron);
    server.at("/maintenance").get(tables::maintenance);
    // COMPAT: a GET is read as a call as well.
    server
        .at("/api")
        .get(api::thrift)
        .post(api::thrift)
        .options(api::options);
    server.at("/apibeta").get(api::to_help);
    server.at("/apibeta/:method").post(api::json);
    server.at("/apiclient").get(pages::to_documentation);
    server.at("/apiclient/:file").get(pages::file);
    server.at("/apihelp").get(pages::methods);
    server.at("/apihelp/index.html").get(pages::methods);
    server.at("/agents").get(pages::machines);
    server.at("/slaves").get(pages::machines);
    server.at("/agents/:host").get(pages::machine);
    server.at("/scheduler").get(pages::roles);
    server.at("/scheduler/:role").get(pages::role);
    server
        .at("/scheduler/:role/:environment")
        .get(pages::environment);
    server
        .at("/scheduler/:role/:environment/:job")
        .get(pages::job);
    server
        .at("/scheduler/:role/:environment/:job/:instance")
        .get(pages::instance);
    server
        .at("/scheduler/:role/:environment/:job/update/:id")
        .get(pages::update);
    server.at("/updates").get(pages::updates);
    server.at(pages::STYLE_PATH).get(pages::style);
    server.at("/favicon.ico").get(pages::icon);
    server
}

/// What is stored, for people who look closer.
fn inspecting(server: &mut Routes) {
    server.at("/state").get(inspect::state);
    server.at("/structdump").get(pages::struct_usage);
    server.at("/structdump/task/:task").get(pages::struct_task);
    server
        .at("/structdump/cron/:role/:environment/:job")
        .get(pages::struct_cron);
    server.at("/utilization").get(pages::utilization);
    server
        .at("/utilization/:metric")
        .get(pages::utilization_by_role);
    server
        .at("/utilization/:metric/:role")
        .get(pages::utilization_by_job);
    server.at("/mname").get(pages::mname_usage);
    for path in [
        "/mname/:role/:environment/:job/:instance",
        "/mname/:role/:environment/:job/:instance/*forward",
    ] {
        server
            .at(path)
            .get(inspect::mname)
            .put(inspect::mname)
            .post(inspect::mname)
            .delete(inspect::mname);
    }
}

async fn to_pages(_: Request<Shared>) -> tide::Result {
    let mut response = Response::new(302);
    response.insert_header("location", "/scheduler");
    Ok(response)
}
