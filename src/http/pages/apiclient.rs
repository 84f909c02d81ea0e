//! `/apiclient`: the API for programs in browsers, and its documentation, from the one description that the
//! server itself reads and writes by.
//!
//! Pages load Apache Thrift's `thrift.js`, then `api_types.js` and the services they call; the names are
//! those of the files that upstream generates.

use super::super::path;
use super::super::state::Shared;
use super::layout::{Page, asset, render};
use crate::thrift::api::{
    ACTIVE_JOB_UPDATE_STATES, ACTIVE_STATES, AURORA_EXECUTOR_NAME,
    AWAITING_PULSE_JOB_UPDATE_STATES, BYPASS_LEADER_REDIRECT_HEADER_NAME, JobUpdateStatus,
    LIVE_STATES, SLAVE_ASSIGNED_STATES, ScheduleStatus, TASK_FILESYSTEM_MOUNT_POINT,
    TERMINAL_STATES,
};
use crate::thrift::catalog::{FieldDoc, ServiceDoc, StructDoc, TypeDoc, services, types};
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;
use tide::{Request, Response};

const RUNTIME: &str = include_str!("thrift_client.js");

const SCRIPT: &str = "application/javascript; charset=utf-8";

/// What identifiers look like, as clients check them.
const GOOD_IDENTIFIER: &str = r"^[\w\-\.]+$";

/// The page that explains the files.
pub(in super::super) async fn to_documentation(_: Request<Shared>) -> tide::Result {
    let mut response = Response::new(302);
    response.insert_header("location", "/apiclient/api.html");
    Ok(response)
}

/// One of the files; 404 for any other.
pub(in super::super) async fn file(request: Request<Shared>) -> tide::Result {
    let name = path::parameter(&request, "file")?;
    if name == "api.html" {
        return render(request, |_| documentation()).await;
    }
    let script = match name.strip_suffix(".js") {
        Some("api_types") => Some(type_script()),
        Some(name) => services()
            .iter()
            .find(|service| service.name == name)
            .map(service_script),
        None => None,
    };
    Ok(match script {
        Some(text) => asset(&text, SCRIPT),
        None => Response::new(404),
    })
}

/// The type of a field as the runtime reads it.
fn field_type(field: &FieldDoc) -> Value {
    let of = match field.of {
        TypeDoc::Bool => "bool",
        TypeDoc::Double => "double",
        TypeDoc::Enum(_) | TypeDoc::I32 => "i32",
        TypeDoc::I64 => "i64",
        TypeDoc::String => "string",
        TypeDoc::Struct(doc) => doc.name(),
    };
    match field.collection {
        Some(kind) => json!([kind.name(), of]),
        None => json!(of),
    }
}

fn fields(doc: &StructDoc) -> Value {
    let field = |field: &FieldDoc| json!([field.id, field.name, field_type(field)]);
    doc.fields.iter().map(field).collect()
}

/// Constants of the interface.
fn constants() -> Map<String, Value> {
    let tasks = |states: &[ScheduleStatus]| -> Value {
        states.iter().map(|status| status.number()).collect()
    };
    let updates = |states: &[JobUpdateStatus]| -> Value {
        states.iter().map(|status| status.number()).collect()
    };
    let all = [
        (
            "ACTIVE_JOB_UPDATE_STATES",
            updates(ACTIVE_JOB_UPDATE_STATES),
        ),
        ("ACTIVE_STATES", tasks(ACTIVE_STATES)),
        ("AURORA_EXECUTOR_NAME", AURORA_EXECUTOR_NAME.into()),
        // So it is spelt.
        (
            "AWAITNG_PULSE_JOB_UPDATE_STATES",
            updates(AWAITING_PULSE_JOB_UPDATE_STATES),
        ),
        (
            "BYPASS_LEADER_REDIRECT_HEADER_NAME",
            BYPASS_LEADER_REDIRECT_HEADER_NAME.into(),
        ),
        ("GOOD_IDENTIFIER_PATTERN", GOOD_IDENTIFIER.into()),
        ("GOOD_IDENTIFIER_PATTERN_JVM", GOOD_IDENTIFIER.into()),
        ("GOOD_IDENTIFIER_PATTERN_PYTHON", GOOD_IDENTIFIER.into()),
        ("LIVE_STATES", tasks(LIVE_STATES)),
        ("SLAVE_ASSIGNED_STATES", tasks(SLAVE_ASSIGNED_STATES)),
        (
            "TASK_FILESYSTEM_MOUNT_POINT",
            TASK_FILESYSTEM_MOUNT_POINT.into(),
        ),
        ("TERMINAL_STATES", tasks(TERMINAL_STATES)),
    ];
    let named = all.into_iter();
    named
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn type_script() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let types = types();
        let enums = types.enums.iter().map(|(name, doc)| {
            let members = doc.members.iter();
            let members: Map<String, Value> = members
                .map(|(name, number)| ((*name).to_owned(), (*number).into()))
                .collect();
            ((*name).to_owned(), Value::Object(members))
        });
        let names: Map<String, Value> = enums.chain(constants()).collect();
        let mut text = format!("{RUNTIME}AuroraThrift.names({});\n", Value::Object(names));
        for (name, doc) in &types.structs {
            text += &format!("AuroraThrift.struct({}, {});\n", json!(name), fields(doc));
        }
        text
    });
    text.clone()
}

fn service_script(service: &ServiceDoc) -> String {
    let methods = service.methods.iter().filter_map(|method| {
        let TypeDoc::Struct(arguments) = method.arguments else {
            return None;
        };
        Some(json!([method.name, fields(arguments)]))
    });
    let (name, methods) = (service.name, methods.collect::<Value>());
    let parent = json!(service.extends);
    format!(
        "AuroraThrift.service({}, {parent}, {methods});\n",
        json!(name)
    )
}

/// A type for people, with a link to where it is explained.
fn type_name(field: &FieldDoc) -> Markup {
    let of = html! {
        @match field.of {
            TypeDoc::Bool => { "bool" },
            TypeDoc::Double => { "double" },
            TypeDoc::I32 => { "i32" },
            TypeDoc::I64 => { "i64" },
            TypeDoc::String => { "string" },
            TypeDoc::Enum(doc) => { a href={ "#" (doc.name) } { (doc.name) } },
            TypeDoc::Struct(doc) => { a href={ "#" (doc.name()) } { (doc.name()) } },
        }
    };
    html! {
        @match field.collection {
            Some(kind) => { (kind.name()) " of " (of) },
            None => { (of) },
        }
    }
}

fn documentation() -> Page {
    let (types, services) = (types(), services());
    let body = html! {
        h1 { "API" }
        p {
            "Calls go to " code { "/api" } " as Thrift. For programs in browsers, load Apache Thrift's "
            code { "thrift.js" } ", then " a href="/apiclient/api_types.js" { code { "api_types.js" } }
            " and of"
            @for service in &services {
                " " a href={ "/apiclient/" (service.name) ".js" } { code { (service.name) ".js" } }
            }
            " as far as they are called, in this order."
        }
        @for service in &services {
            h2 id=(service.name) {
                (service.name)
                @if let Some(parent) = service.extends { small { "has all of " (parent) } }
            }
            ul { @for method in &service.methods {
                li { code { (method.name) } "("
                    @if let TypeDoc::Struct(arguments) = method.arguments {
                        @for (i, field) in arguments.fields.iter().enumerate() {
                            @if i > 0 { ", " }
                            (field.id) " " (field.name) ": " (type_name(field))
                        }
                    }
                ")" }
            } }
        }
        h2 { "Structs" }
        @for (name, doc) in &types.structs {
            h3 id=(name) { (name) @if doc.is_union { small { "exactly one of" } } }
            ul { @for field in doc.fields {
                li { (field.id) " " code { (field.name) } ": " (type_name(field)) }
            } }
        }
        h2 { "Enums" }
        @for (name, doc) in &types.enums {
            h3 id=(name) { (name) }
            ul { @for (member, number) in doc.members { li { code { (member) } " " (number) } } }
        }
    };
    Page {
        status: 200,
        title: "API".to_owned(),
        crumbs: Vec::new(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift;

    #[test]
    fn the_scripts_have_every_method_and_every_type_that_is_named_is_defined() {
        let text = type_script();
        let scripts: Vec<String> = services().iter().map(service_script).collect();
        for method in thrift::Request::METHODS {
            let found = scripts
                .iter()
                .filter(|s| s.contains(&format!("[\"{method}\",[")));
            assert_eq!(found.count(), 1, "{method}");
        }
        let types = types();
        assert!(
            types.structs.len() > 70 && types.enums.len() == 8,
            "{types:?}"
        );
        for (name, doc) in &types.structs {
            assert!(
                text.contains(&format!("AuroraThrift.struct(\"{name}\", ")),
                "{name}"
            );
            for field in doc.fields {
                if let TypeDoc::Struct(other) = field.of {
                    assert!(
                        types.structs.contains_key(other.name()),
                        "{name}.{}",
                        field.name
                    );
                }
            }
        }
        let job_key =
            r#"("JobKey", [[1,"role","string"],[2,"environment","string"],[3,"name","string"]]);"#;
        assert!(text.contains(job_key));
        assert!(text.contains(r#"[22,"taskLinks",["map","string"]]"#));
        assert!(text.contains(r#""ScheduleStatus":{"#) && text.contains(r#""PARTITIONED":18"#));
        assert!(scripts[1].starts_with(
            r#"AuroraThrift.service("AuroraSchedulerManager", "ReadOnlyScheduler", "#
        ));
        let kill = r#"["killTasks",[[4,"job","JobKey"],[5,"instances",["set","i32"]],[6,"message","string"]]]"#;
        assert!(scripts[1].contains(kill));
    }
}
