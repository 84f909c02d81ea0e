//! What the tool asks a running ensemble: `status --peer`, and the changes.

use super::Failure;
use super::args::{self, Whom, required};
use crate::base::clock;
use crate::net::Protocol;
use crate::net::frames::{self, Connection};
use crate::net::keys::{self, KeyKind, SecretKey};
use crate::paxos::Status;
use crate::replog::wire::{
    Answer, CONTROL_BYTES_MAX, Change, MemberStatus, NO_CHANGE, Request, Role, StatusReport,
};
use crate::rt;
use smol::net::TcpStream;
use std::io::Write;
use std::time::Duration;

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(300);
/// Most leaders that one question is sent on to.
const REDIRECTS_MAX: usize = 8;

async fn connect(address: &str, key: &SecretKey) -> Result<Connection, String> {
    let stream = rt::timeout(CONNECT_PATIENCE, TcpStream::connect(address))
        .await
        .map_err(|late| late.to_string())?
        .map_err(|error| error.to_string())?;
    frames::dial(
        stream,
        Protocol::Control,
        key,
        CONTROL_BYTES_MAX,
        CONNECT_PATIENCE,
    )
    .await
    .map_err(|error| error.to_string())
}

async fn ask(address: &str, key: &SecretKey, request: &Request) -> Result<Answer, String> {
    let mut connection = connect(address, key).await?;
    let sent = connection.writer.send(&request.encode()).await;
    sent.map_err(|error| error.to_string())?;
    let received = connection.reader.receive().await;
    let bytes = received.map_err(|error| error.to_string())?;
    Answer::decode(&bytes).map_err(|error| error.to_string())
}

fn load(whom: &Whom) -> Result<SecretKey, Failure> {
    keys::load(&whom.key, KeyKind::Replica)
        .map_err(|error| Failure(format!("{error}; name the replica key with --key=FILE")))
}

/// Asks until there is an answer, following leaders.
///
/// A leader that begins a change and ends its term cannot say how it came out: the next one is asked, and
/// if it finds nothing to change, that is what the first one has done.
async fn ask_until(whom: &Whom, key: &SecretKey, request: &Request) -> Result<Answer, Failure> {
    let deadline = clock::now() + whom.timeout;
    let mut address = whom.peer.clone();
    let mut redirects = 0;
    let mut may_be_done = false;
    loop {
        let left = deadline.since(clock::now());
        let why = match rt::timeout(left, ask(&address, key, request)).await {
            Ok(Ok(Answer::Redirect { address: leader })) if redirects < REDIRECTS_MAX => {
                redirects += 1;
                address = leader;
                continue;
            }
            Ok(Ok(Answer::Redirect { .. })) => "the replicas do not agree on who leads".to_owned(),
            Ok(Ok(Answer::Later { text })) => format!("{address}: {text}"),
            Ok(Ok(Answer::Done { text })) if may_be_done => {
                let text = text.strip_prefix(NO_CHANGE).unwrap_or(&text).to_owned();
                return Ok(Answer::Done { text });
            }
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address} does not answer"),
        };
        may_be_done = true;
        // A leader that was asked may be gone: the first one knows the next.
        address.clone_from(&whom.peer);
        redirects = 0;
        let is_status = matches!(request, Request::Status);
        if is_status || clock::now() + PAUSE >= deadline {
            return Err(Failure(why));
        }
        rt::sleep(PAUSE).await;
    }
}

/// Changes the ensemble, and says how it is then.
fn change(whom: &Whom, change: Change, out: &mut dyn Write) -> Result<(), Failure> {
    let key = load(whom)?;
    let request = Request::Change(change);
    match rt::block_on(ask_until(whom, &key, &request))? {
        Answer::Done { text } => {
            writeln!(out, "{text}")?;
            Ok(())
        }
        Answer::Failed { text } => Err(Failure(text)),
        Answer::Later { .. } | Answer::Redirect { .. } | Answer::Status(_) => {
            Err(Failure(format!("{} answers something else", whom.peer)))
        }
    }
}

/// `aurora-log add-member`.
pub(super) fn add(options: &args::AddMember, out: &mut dyn Write) -> Result<(), Failure> {
    let address = required(options.member.as_ref(), "member")?.to_owned();
    change(&options.whom()?, Change::Add { address }, out)
}

/// `aurora-log remove-member`.
pub(super) fn remove(options: &args::RemoveMember, out: &mut dyn Write) -> Result<(), Failure> {
    let member = required(options.member.as_ref(), "member")?.to_owned();
    change(&options.whom()?, Change::Remove { member }, out)
}

/// `aurora-log replace-member`.
pub(super) fn replace(options: &args::ReplaceMember, out: &mut dyn Write) -> Result<(), Failure> {
    let member = required(options.member.as_ref(), "member")?.to_owned();
    let address = required(options.with.as_ref(), "with")?.to_owned();
    change(&options.whom()?, Change::Replace { member, address }, out)
}

/// `aurora-log set-quorum`.
pub(super) fn set_quorum(options: &args::SetQuorum, out: &mut dyn Write) -> Result<(), Failure> {
    let size = options
        .size
        .ok_or_else(|| Failure("Missing required option --size".to_owned()))?;
    change(&options.whom()?, Change::Quorum { size }, out)
}

/// `aurora-log status --peer`.
pub(super) fn status(options: &args::Status, out: &mut dyn Write) -> Result<(), Failure> {
    let whom = options.whom()?;
    let key = load(&whom)?;
    let report = match rt::block_on(ask_until(&whom, &key, &Request::Status))? {
        Answer::Status(report) => report,
        Answer::Done { text } | Answer::Failed { text } | Answer::Later { text } => {
            return Err(Failure(text));
        }
        Answer::Redirect { address } => return Err(Failure(format!("ask {address}"))),
    };
    if options.json {
        writeln!(out, "{}", json(&report))?;
        return Ok(());
    }
    write!(out, "{}", table(&report))?;
    Ok(())
}

pub(super) fn status_name(status: Option<Status>) -> &'static str {
    status.map_or("UNKNOWN", Status::name)
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::Leader => "leader",
        Role::Learner => "learner",
    }
}

/// The watermark that lags are measured from.
fn furthest(report: &StatusReport) -> u64 {
    let learned = report.members.iter().map(|m| m.learned.0);
    learned.max().unwrap_or(0)
}

fn silence(member: &MemberStatus) -> String {
    match member.silent_ms {
        u64::MAX => "never heard".to_owned(),
        ms if member.is_connected => format!("heard {ms} ms ago"),
        ms => format!("gone, heard {} s ago", ms / 1000),
    }
}

fn table(report: &StatusReport) -> String {
    let formed = if report.is_formed {
        ""
    } else {
        " (not formed yet)"
    };
    let mut text = format!(
        "cluster  {:032x}{formed}\nquorum   {} of {}\n",
        report.cluster,
        report.quorum,
        report
            .members
            .iter()
            .filter(|m| m.role != Role::Learner)
            .count()
    );
    let header = [
        "ADDRESS", "REPLICA", "ROLE", "STATUS", "FIRST", "LEARNED", "LAG", "",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    let furthest = furthest(report);
    for member in &report.members {
        let asked = if member.member.id == report.asked.id {
            "this one was asked".to_owned()
        } else {
            silence(member)
        };
        rows.push([
            member.address.clone(),
            format!("{}.{}", member.member.id, member.member.incarnation.0),
            role_name(member.role).to_owned(),
            status_name(member.status).to_owned(),
            member.first.to_string(),
            member.learned.to_string(),
            furthest.saturating_sub(member.learned.0).to_string(),
            asked,
        ]);
    }
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The report as one JSON object. Written by hand: no text in it needs more than quoting.
fn json(report: &StatusReport) -> String {
    let quoted = |text: &str| {
        let safe: String = text
            .chars()
            .map(|c| match c {
                '"' | '\\' => '_',
                c if c.is_control() => '_',
                c => c,
            })
            .collect();
        format!("\"{safe}\"")
    };
    let furthest = furthest(report);
    let members = report.members.iter().map(|m| {
        let silent = match m.silent_ms {
            u64::MAX => "null".to_owned(),
            ms => ms.to_string(),
        };
        format!(
            "{{\"address\":{},\"replica\":\"{}\",\"incarnation\":{},\"role\":\"{}\",\
             \"status\":\"{}\",\"promised\":\"{}\",\"first\":{},\"learned\":{},\"end\":{},\
             \"lag\":{},\"silent_ms\":{silent},\"connected\":{}}}",
            quoted(&m.address),
            m.member.id,
            m.member.incarnation.0,
            role_name(m.role),
            status_name(m.status),
            m.promised,
            m.first,
            m.learned,
            m.end,
            furthest.saturating_sub(m.learned.0),
            m.is_connected
        )
    });
    let members: Vec<String> = members.collect();
    format!(
        "{{\"cluster\":\"{:032x}\",\"formed\":{},\"quorum\":{},\"feature_level\":{},\
         \"asked\":\"{}\",\"members\":[{}]}}",
        report.cluster,
        report.is_formed,
        report.quorum,
        report.feature_level,
        report.asked.id,
        members.join(",")
    )
}
