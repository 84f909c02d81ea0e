//! Which path leads where.

use super::state::Shared;
use super::{api, operate, pages, probe, tables, vars};
use tide::{Request, Response, Server};

/// Paths whose answers only the leader has. Everything else every scheduler answers for itself.
const LEADER_ONLY: [&str; 11] = [
    "/agents",
    "/api",
    "/cron",
    "/maintenance",
    "/offers",
    "/pendingtasks",
    "/quotas",
    "/scheduler",
    "/slaves",
    "/state",
    "/tiers",
];

/// Whether the answer to this path is the leader's to give.
pub(super) fn is_leader_only(path: &str) -> bool {
    LEADER_ONLY.iter().any(|prefix| path.starts_with(prefix))
}

pub(super) fn server(app: Shared) -> Server<Shared> {
    let mut server = tide::with_state(app);
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
    server.at("/offers").get(tables::offers);
    server.at("/pendingtasks").get(tables::pending);
    server.at("/quotas").get(tables::quotas);
    server.at("/tiers").get(tables::tiers);
    server.at("/cron").get(tables::cron);
    server.at("/maintenance").get(tables::maintenance);
    // COMPAT: a GET is read as a call as well.
    server.at("/api").get(api::thrift).post(api::thrift);
    server.at("/apibeta/:method").post(api::json);
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
    server.at(pages::STYLE_PATH).get(pages::style);
    server.at("/favicon.ico").get(pages::icon);
    server
}

async fn to_pages(_: Request<Shared>) -> tide::Result {
    let mut response = Response::new(302);
    response.insert_header("location", "/scheduler");
    Ok(response)
}
