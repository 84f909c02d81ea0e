//! Resolves the references of a job and gives its values their types.

use super::node::{Misfit, Node, unexpected, wanted};
use super::pyjson;
use super::refs::{Component, Piece, Ref, escaped, pieces, unescape};
use super::schema::Kind;
use serde_json::{Map, Value};

const MAX_PASSES: usize = 100;
const MAX_REPLACEMENTS: usize = 20_000;

/// Names that are bound to text, the first wins.
pub(super) type Bindings = Vec<(Ref, String)>;

/// A reference without a value.
#[derive(Debug)]
pub(super) struct Open {
    /// The reference.
    pub reference: Ref,
    /// The field it stands in.
    pub field: String,
    /// Whether the field holds text, where it may stay.
    pub in_text: bool,
}

/// Renders one job.
pub(super) struct Renderer<'a> {
    bindings: &'a Bindings,
    /// What was left open.
    pub open: Vec<Open>,
}

/// The structs around a value, outermost first.
type Around<'a> = Vec<&'a Node>;

impl<'a> Renderer<'a> {
    pub(super) fn new(bindings: &'a Bindings) -> Self {
        Self {
            bindings,
            open: Vec::new(),
        }
    }

    /// The value of a node as JSON of the right types, keys sorted.
    pub(super) fn render<'n>(
        &mut self,
        node: &'n Node,
        around: &Around<'n>,
        field: &str,
    ) -> Result<Value, Misfit> {
        match node {
            Node::Leaf(kind, raw) => self.leaf(*kind, raw, around, field),
            Node::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    values.push(self.render(item, around, &format!("{field}[{at}]"))?);
                }
                Ok(Value::Array(values))
            }
            Node::Map(members) => {
                let mut values = Map::new();
                for (key, member) in members {
                    let inner = format!("{field}[{key}]");
                    let text = Value::from(key.as_str());
                    let key = self.leaf(Kind::Text, &text, around, &inner)?;
                    let value = self.render(member, around, &inner)?;
                    values.insert(key.as_str().unwrap_or_default().to_owned(), value);
                }
                values.sort_keys();
                Ok(Value::Object(values))
            }
            Node::Struct(schema, members) => {
                let mut inside = around.clone();
                inside.push(node);
                let mut values = Map::new();
                for declared in schema.fields {
                    let inner = format!("{field}.{}", declared.name);
                    if let Some(member) = members.get(declared.name) {
                        let value = self.render(member, &inside, &inner)?;
                        values.insert(declared.name.to_owned(), value);
                    } else if declared.required {
                        return Err(Misfit::new(inner, "is required and not set"));
                    }
                }
                values.sort_keys();
                Ok(Value::Object(values))
            }
        }
    }

    fn leaf(
        &mut self,
        kind: Kind,
        raw: &Value,
        around: &Around<'_>,
        field: &str,
    ) -> Result<Value, Misfit> {
        let at = |mut misfit: Misfit| {
            field.clone_into(&mut misfit.field);
            misfit
        };
        let Value::String(text) = raw else {
            return typed(kind, raw).ok_or_else(|| at(unexpected(&wanted(kind), raw)));
        };
        let (text, left) = self
            .resolve(text, around, 0)
            .map_err(|message| Misfit::new(field, message))?;
        let stays = !left.is_empty();
        let in_text = matches!(kind, Kind::Text);
        self.open.extend(left.into_iter().map(|reference| Open {
            reference,
            field: field.to_owned(),
            in_text,
        }));
        let text = Value::from(unescape(&text));
        if stays && !in_text {
            // Refused by the caller, who knows of all that was left open.
            return Ok(text);
        }
        typed(kind, &text).ok_or_else(|| at(unexpected(&wanted(kind), &text)))
    }

    /// Replaces what can be replaced, again and again; returns what is left over too.
    fn resolve(
        &self,
        text: &str,
        around: &Around<'_>,
        depth: usize,
    ) -> Result<(String, Vec<Ref>), String> {
        let mut text = text.to_owned();
        let mut replaced = 0;
        for _ in 0..MAX_PASSES {
            let (mut next, mut left, mut last) = (String::new(), Vec::new(), None);
            for piece in pieces(&text) {
                let token = match piece {
                    Piece::Plain(plain) => {
                        next.push_str(plain);
                        continue;
                    }
                    Piece::Token(token) => token,
                };
                let mut keep = || next.push_str(&format!("{{{{{token}}}}}"));
                if escaped(token).is_some() {
                    keep();
                    continue;
                }
                let reference = Ref::parse(token)?;
                match self.find(&reference, around, depth)? {
                    None => {
                        keep();
                        left.push(reference);
                    }
                    Some(found) => {
                        next.push_str(&found);
                        replaced += 1;
                        last = Some(reference);
                    }
                }
            }
            match last {
                None => return Ok((text, left)),
                Some(reference) if replaced > MAX_REPLACEMENTS => return Err(endless(&reference)),
                Some(_) => text = next,
            }
        }
        Err("the references lead back to themselves".to_owned())
    }

    /// The text that stands for a reference.
    fn find(
        &self,
        reference: &Ref,
        around: &Around<'_>,
        depth: usize,
    ) -> Result<Option<String>, String> {
        let components = reference.0.as_slice();
        let is = |name: &str| matches!(components.first(), Some(Component::Name(n)) if n == name);
        for level in (0..around.len()).rev() {
            let own = is("self").then(|| descend(around, level, &components[1..]));
            let found = own.flatten().or_else(|| descend(around, level, components));
            if let Some((node, inside)) = found {
                return self.text_of(reference, node, &inside, depth).map(Some);
            }
        }
        let bound = self.bindings.iter().find(|(name, _)| name == reference);
        if let Some((_, text)) = bound {
            return Ok(Some(text.clone()));
        }
        if is("super") {
            for level in 0..around.len().saturating_sub(1) {
                if let Some((node, inside)) = descend(around, level, &components[1..]) {
                    return self.text_of(reference, node, &inside, depth).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn text_of(
        &self,
        reference: &Ref,
        node: &Node,
        around: &Around<'_>,
        depth: usize,
    ) -> Result<String, String> {
        let Node::Leaf(kind, raw) = node else {
            return Err(format!("{{{{{reference}}}}} is not text"));
        };
        if depth >= MAX_PASSES {
            return Err(endless(reference));
        }
        let Value::String(text) = raw else {
            return Ok(pyjson::text(
                &typed(*kind, raw).unwrap_or_else(|| raw.clone()),
            ));
        };
        let (text, left) = self.resolve(text, around, depth + 1)?;
        if !left.is_empty() {
            return Ok(text);
        }
        let value = Value::from(text);
        Ok(pyjson::text(&typed(*kind, &value).unwrap_or(value)))
    }
}

fn endless(reference: &Ref) -> String {
    format!("{{{{{reference}}}}} leads back to itself")
}

/// Follows components from one of the structs around; the node and the structs around it.
fn descend<'n>(
    around: &Around<'n>,
    level: usize,
    components: &[Component],
) -> Option<(&'n Node, Around<'n>)> {
    let mut inside = around[..level].to_vec();
    let mut node = *around.get(level)?;
    for component in components {
        if matches!(node, Node::Struct(..)) {
            inside.push(node);
        }
        node = node.part(component)?;
    }
    Some((node, inside))
}

/// A leaf in its type, as Python's `str`, `int` and `float` would have it.
fn typed(kind: Kind, raw: &Value) -> Option<Value> {
    match kind {
        Kind::Whole => whole(raw).map(Value::from),
        Kind::Number => {
            let number = match raw {
                Value::String(text) => text.trim().parse::<f64>().ok()?,
                Value::Bool(flag) => f64::from(u8::from(*flag)),
                _ => raw.as_f64()?,
            };
            serde_json::Number::from_f64(number).map(Value::Number)
        }
        Kind::Flag => match raw {
            Value::Bool(_) => Some(raw.clone()),
            Value::String(text) => match text.to_lowercase().as_str() {
                "true" | "1" => Some(Value::Bool(true)),
                "false" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            _ => raw.as_f64().map(|number| Value::Bool(number != 0.0)),
        },
        Kind::Word(words) => raw
            .as_str()
            .filter(|text| words.contains(text))
            .map(Value::from),
        Kind::Text | Kind::List(_) | Kind::Map | Kind::Struct(_) | Kind::Choice(_) => {
            Some(Value::from(pyjson::text(raw)))
        }
    }
}

fn whole(raw: &Value) -> Option<i64> {
    match raw {
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::String(text) => text.trim().parse().ok(),
        _ => raw.as_i64().or_else(|| {
            let number = raw.as_f64()?.trunc();
            // 2^53: up to there every whole number has a float of its own.
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            (number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
        }),
    }
}
