//! Asks the coordinators of jobs whether a task may be moved away now.
//!
//! A job can name a service of its own that decides. The scheduler posts the task to it and reads one
//! truth value from the answer; anything else counts as no.

use crate::base::{clock, stats};
use crate::net::http1::Method;
use crate::net::http1::client::{ClientError, ClientLimits, Outgoing, connect};
use crate::rt;
use crate::scheduler::{Answered, Coordinators, Question, Ruling};
use crate::thrift::convert::scheduled_task_to_wire;
use crate::thrift::protocol::plain_json;
use async_channel::{Receiver, Sender, bounded};
use serde_json::Value;
use std::borrow::Cow;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// How many questions may wait; the engine asks far fewer at once.
const QUEUE: usize = 1_000;

/// The largest answer that is read.
const ANSWER_MAX: usize = 1 << 20;

/// Starts what asks coordinators. `limit` is for a whole question (`-sla_coordinator_timeout`).
pub fn start(cluster: &str, limit: Duration) -> Coordinators {
    let (questions, to_ask) = bounded(QUEUE);
    let (answer, answers) = bounded(QUEUE);
    let cluster: Arc<str> = cluster.into();
    rt::spawn("coordinators", serve(cluster, limit, to_ask, answer)).detach();
    Coordinators { questions, answers }
}

async fn serve(
    cluster: Arc<str>,
    limit: Duration,
    questions: Receiver<Question>,
    answers: Sender<Answered>,
) {
    while let Ok(question) = questions.recv().await {
        let (cluster, answers) = (Arc::clone(&cluster), answers.clone());
        let asking = async move {
            let ruling = ask(&cluster, limit, &question).await;
            let task = question.task.id.clone();
            if answers.send(Answered { task, ruling }).await.is_err() {
                log::debug!("the scheduler has ended before a coordinator answered");
            }
        };
        rt::spawn("coordinator", asking).detach();
    }
}

/// Asks and says what came of it, to the log and to the statistics.
async fn ask(cluster: &str, limit: Duration, question: &Question) -> Ruling {
    let (job, instance) = (question.task.job(), question.task.instance);
    let key = format!("{cluster}/{job}/{instance}");
    let start = clock::now();
    let answer = rt::timeout(limit, post(&key, question)).await;
    let answer = answer.unwrap_or_else(|late| Err(Failure::Unreachable(late.to_string())));
    let (ruling, counter, why) = match answer {
        Ok(true) => (Ruling::Granted, None, "yes".to_owned()),
        Ok(false) => (Ruling::Denied, None, "no".to_owned()),
        Err(Failure::Malformed(why)) => (Ruling::Malformed, Some("user_errors"), why),
        Err(Failure::Unreachable(why)) => (Ruling::Unreachable, Some("errors"), why),
    };
    if let Some(counter) = counter {
        let name = stats::clean_name(&format!("sla_coordinator_{counter}_{key}"));
        stats::global().counter(&name).increment();
    }
    let ms = clock::now().since(start).as_millis();
    let level = match counter {
        Some(_) => log::Level::Warn,
        None => log::Level::Info,
    };
    log::log!(
        level,
        "coordinator {} about {key}: {why} ({ms} ms)",
        question.url
    );
    ruling
}

#[derive(Debug)]
enum Failure {
    Malformed(String),
    Unreachable(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

async fn post(key: &str, question: &Question) -> Result<bool, Failure> {
    let place = Place::of(&question.url)?;
    let host = place.authority.clone();
    let resolved = rt::unblock(move || resolve(&host)).await;
    let address = resolved.map_err(Failure::Unreachable)?;
    let separator = match place.target.contains('?') {
        true => '&',
        false => '?',
    };
    let target = format!("{}{separator}task={key}", place.target);
    let body = body(key, question)?;
    let json = (
        Cow::Borrowed("content-type"),
        Cow::Borrowed("application/json"),
    );
    let request = Outgoing {
        method: Method::Post,
        authority: &place.authority,
        target: &target,
        headers: &[json],
        body: body.as_bytes(),
    };
    // The whole is limited, and no phase by itself.
    let phase = Duration::from_secs(3_600);
    let limits = ClientLimits {
        connect_timeout: phase,
        head_timeout: phase,
        body_timeout: phase,
        body_bytes_max: ANSWER_MAX,
        ..ClientLimits::default()
    };
    let answer = connect(address, limits).await?.call(&request).await?;
    if answer.status != 200 {
        return Err(Failure::Malformed(format!("HTTP status {}", answer.status)));
    }
    ruling(&answer.body, &question.status_key)
}

fn body(key: &str, question: &Question) -> Result<String, Failure> {
    // COMPAT: the member is called taskConfig and holds the whole task.
    let task = plain_json::to_bytes(&scheduled_task_to_wire(&question.task));
    let task: Value = serde_json::from_slice(&task)
        .map_err(|error| Failure::Unreachable(format!("the task as JSON: {error}")))?;
    let mut body = serde_json::json!({
        "taskConfig": task,
        "task": key,
    });
    if let Some(countdown) = question.countdown_ms {
        body["forceMaintenanceCountdownMs"] = countdown.to_string().into();
    }
    Ok(body.to_string())
}

/// The truth value under `key`, or under `drain` if no key is named.
fn ruling(body: &[u8], key: &str) -> Result<bool, Failure> {
    let key = match key {
        "" => "drain",
        key => key,
    };
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| Failure::Malformed(format!("its answer is no JSON: {error}")))?;
    let said = answer.get(key).and_then(Value::as_bool);
    said.ok_or_else(|| Failure::Malformed(format!("its answer has no truth value '{key}'")))
}

/// Where a coordinator is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    authority: String,
    target: String,
}

impl Place {
    fn of(url: &str) -> Result<Self, Failure> {
        let Some(rest) = url.strip_prefix("http://") else {
            let why = "its URL does not begin with http://, which is all that is supported";
            return Err(Failure::Malformed(why.to_owned()));
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        let named = !authority.is_empty() && !authority.contains('@');
        if !named || !plain(authority) || !plain(&target) {
            return Err(Failure::Malformed("its URL is malformed".to_owned()));
        }
        Ok(Self {
            authority: authority.to_owned(),
            target,
        })
    }
}

fn resolve(authority: &str) -> Result<SocketAddr, String> {
    let bracket = authority.rfind(']').unwrap_or(0);
    let found = match authority[bracket..].contains(':') {
        true => authority.to_socket_addrs(),
        false => (authority.trim_matches(['[', ']']), 80).to_socket_addrs(),
    };
    let mut found = found.map_err(|error| format!("{authority}: {error}"))?;
    found
        .next()
        .ok_or_else(|| format!("{authority} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Option<(String, String)> {
        let place = Place::of(url).ok()?;
        Some((place.authority, place.target))
    }

    #[test]
    fn urls_are_taken_apart() {
        let of = |a: &str, t: &str| Some((a.to_owned(), t.to_owned()));
        assert_eq!(place("http://c:80/a/b?x=1@2#y"), of("c:80", "/a/b?x=1@2"));
        assert_eq!(place("http://c"), of("c", "/"));
        assert_eq!(place("http://c?x=1"), of("c", "/?x=1"));
        for bad in ["https://c/", "c", "http:///x", "http://a b/", "http://u@c/"] {
            assert_eq!(place(bad), None, "{bad}");
        }
        assert!(resolve("127.0.0.1:81").is_ok_and(|a| a.port() == 81));
        assert!(resolve("[::1]").is_ok_and(|a| a.port() == 80));
    }

    #[test]
    fn only_a_truth_value_under_the_key_is_a_ruling() {
        let of = |body: &str, key: &str| ruling(body.as_bytes(), key).ok();
        assert_eq!(of(r#"{"drain": true}"#, ""), Some(true));
        assert_eq!(of(r#"{"drain": true, "k": false}"#, "k"), Some(false));
        for bad in ["", "[]", "true", "{}", r#"{"drain": "true"}"#] {
            assert_eq!(of(bad, ""), None, "{bad}");
        }
    }
}
