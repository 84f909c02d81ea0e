//! A job as it stands in a file, shaped by the schema: defaults filled in, references not yet resolved.

use super::schema::{Field, Kind, Schema};
use serde_json::Value;
use std::collections::BTreeMap;

/// A value that fits no schema, with the path from where it was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Path, such as `.task.resources`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Misfit {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }

    fn inside(mut self, step: &str) -> Self {
        self.field.insert_str(0, step);
        self
    }
}

/// A value with its kind.
#[derive(Debug)]
pub(super) enum Node {
    /// Text, a number or a boolean.
    Leaf(Kind, Value),
    /// A list.
    List(Vec<Self>),
    /// Names with values, in the order of the file.
    Map(Vec<(String, Self)>),
    /// A struct; what is not set is not there.
    Struct(&'static Schema, BTreeMap<&'static str, Self>),
}

impl Node {
    /// Shapes a value; required attributes may still be missing.
    pub(super) fn shape(value: &Value, kind: Kind) -> Result<Self, Misfit> {
        match kind {
            Kind::Text | Kind::Whole | Kind::Number | Kind::Flag | Kind::Word(_) => {
                leaf(value, kind)
            }
            Kind::List(item) => match value {
                Value::Array(values) => values
                    .iter()
                    .enumerate()
                    .map(|(at, value)| {
                        Self::shape(value, *item)
                            .map_err(|misfit| misfit.inside(&format!("[{at}]")))
                    })
                    .collect::<Result<_, _>>()
                    .map(Self::List),
                _ => Err(unexpected("a list", value)),
            },
            Kind::Map => match value {
                Value::Object(members) => members
                    .iter()
                    .map(|(key, value)| match leaf(value, Kind::Text) {
                        Ok(node) => Ok((key.clone(), node)),
                        Err(misfit) => Err(misfit.inside(&format!("[{key}]"))),
                    })
                    .collect::<Result<_, _>>()
                    .map(Self::Map),
                _ => Err(unexpected("an object", value)),
            },
            Kind::Struct(schema) => Self::shape_struct(value, schema),
            Kind::Choice(alternatives) => choose(value, alternatives),
        }
    }

    fn shape_struct(value: &Value, schema: &'static Schema) -> Result<Self, Misfit> {
        let Value::Object(given) = value else {
            return Err(unexpected(&format!("a {}", schema.name), value));
        };
        for name in given.keys() {
            if !schema.fields.iter().any(|field| field.name == name) {
                return Err(Misfit::new(
                    format!(".{name}"),
                    format!("{} has no attribute '{name}'", schema.name),
                ));
            }
        }
        let mut members = BTreeMap::new();
        for field in schema.fields {
            let node = match (given.get(field.name), field.default) {
                (Some(value), _) => Self::shape(value, field.kind),
                (None, Some(json)) => Self::shape(&default_of(json), field.kind),
                (None, None) => continue,
            };
            let step = format!(".{}", field.name);
            members.insert(field.name, node.map_err(|misfit| misfit.inside(&step))?);
        }
        Ok(Self::Struct(schema, members))
    }

    /// The part that one component of a reference leads to.
    pub(super) fn part(&self, component: &super::refs::Component) -> Option<&Self> {
        use super::refs::Component;
        match (self, component) {
            (Self::Struct(_, members), Component::Name(name)) => members.get(name.as_str()),
            (Self::Map(members), Component::Index(name)) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, node)| node),
            (Self::List(items), Component::Index(index)) => items.get(index.parse::<usize>().ok()?),
            _ => None,
        }
    }

    fn missing(&self) -> Option<&'static str> {
        let Self::Struct(schema, members) = self else {
            return None;
        };
        let absent = |field: &&Field| field.required && !members.contains_key(field.name);
        schema.fields.iter().find(absent).map(|field| field.name)
    }
}

fn default_of(json: &str) -> Value {
    serde_json::from_str(json).expect("the defaults of the schema are JSON")
}

fn leaf(value: &Value, kind: Kind) -> Result<Node, Misfit> {
    match value {
        Value::String(text) => {
            if let Kind::Word(words) = kind
                && !text.contains("{{")
                && !words.contains(&text.as_str())
            {
                return Err(unexpected(&wanted(kind), value));
            }
            Ok(Node::Leaf(kind, value.clone()))
        }
        Value::Number(_) | Value::Bool(_) if !matches!(kind, Kind::Word(_)) => {
            Ok(Node::Leaf(kind, value.clone()))
        }
        _ => Err(unexpected(&wanted(kind), value)),
    }
}

fn choose(value: &Value, alternatives: &[&'static Schema]) -> Result<Node, Misfit> {
    let mut reasons = Vec::new();
    for schema in alternatives {
        let reason = match Node::shape_struct(value, schema) {
            Ok(node) => match node.missing() {
                None => return Ok(node),
                Some(name) => format!("{name} is not set"),
            },
            Err(misfit) => format!("{}: {}", misfit.field, misfit.message),
        };
        reasons.push(format!("no {}: {reason}", schema.name));
    }
    let names: Vec<_> = alternatives.iter().map(|schema| schema.name).collect();
    Err(Misfit::new(
        "",
        format!(
            "expected one of {} ({})",
            names.join(", "),
            reasons.join("; ")
        ),
    ))
}

/// A kind of leaf in words.
pub(super) fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Whole => "a whole number".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Flag => "True or False".to_owned(),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        Kind::Text | Kind::List(_) | Kind::Map | Kind::Struct(_) | Kind::Choice(_) => {
            "text".to_owned()
        }
    }
}

/// The error of a value that is something else.
pub(super) fn unexpected(wanted: &str, value: &Value) -> Misfit {
    let mut shown = value.to_string();
    if shown.len() > 60 {
        let end = (0..=57).rev().find(|at| shown.is_char_boundary(*at));
        shown.truncate(end.unwrap_or(0));
        shown.push_str("...");
    }
    Misfit::new("", format!("expected {wanted}, got {shown}"))
}
