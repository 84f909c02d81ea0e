//! What is known of a cluster without asking it.

use super::command::Given;
use super::{Admin, Ran, fail};
use crate::base::secret::hide;
use serde_json::{Map, Value};

pub(super) fn get_scheduler(admin: &mut Admin<'_, '_>) -> Ran {
    let uri = admin.session.cluster(&admin.cluster)?.scheduler_uri()?;
    let uri = hide(uri.trim_end_matches('/')).into_owned();
    admin.print(&format!("Found leading scheduler at: {uri}"));
    Ok(())
}

pub(super) fn get_cluster_config(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let (sh, export) = (given.is_on("sh"), given.is_on("export"));
    if export && !sh {
        return Err(fail("--export goes with --sh only"));
    }
    let properties = admin.session.cluster(&admin.cluster)?.properties.clone();
    if sh {
        let mut lines = Vec::new();
        assignments("AURORA_CLUSTER", &properties, &mut lines);
        let prefix = if export { "export " } else { "" };
        for line in lines {
            admin.print(&format!("{prefix}{line}"));
        }
        return Ok(());
    }
    // COMPAT: without a line end.
    let text = Value::Object(properties).to_string();
    admin.session.world.print_bare(&text);
    Ok(())
}

fn assignments(prefix: &str, properties: &Map<String, Value>, out: &mut Vec<String>) {
    for (name, value) in properties {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        let name = format!("{prefix}_{}", name.to_uppercase());
        match value {
            Value::Object(inner) => assignments(&name, inner, out),
            Value::String(text) => out.push(format!("{name}={}", quoted(text))),
            Value::Null => out.push(format!("{name}=''")),
            other => out.push(format!("{name}={}", quoted(&other.to_string()))),
        }
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\"'\"'")),
    }
}
