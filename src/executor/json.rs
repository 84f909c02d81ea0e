//! Fields of a JSON value, with their place in it for errors.

use serde_json::Value;
use std::time::Duration;
use thiserror::Error;

/// A year: no wait of a task is longer.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// A field that is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct JsonError {
    path: String,
    problem: &'static str,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    pub(super) fn new(path: &str, value: &'a Value) -> Self {
        Self {
            path: path.to_owned(),
            value,
        }
    }

    fn wrong(&self, problem: &'static str) -> JsonError {
        JsonError {
            path: self.path.clone(),
            problem,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.value.is_null()
    }

    /// A member that may be missing or null.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Self>, JsonError> {
        let member = match self.value {
            Value::Null => None,
            Value::Object(members) => members.get(name),
            Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(self.wrong("has to be an object"));
            }
        };
        Ok(member.filter(|it| !it.is_null()).map(|value| Self {
            path: format!("{}.{name}", self.path),
            value,
        }))
    }

    pub(super) fn required(&self, name: &str) -> Result<Self, JsonError> {
        self.optional(name)?.ok_or_else(|| JsonError {
            path: format!("{}.{name}", self.path),
            problem: "is missing",
        })
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, JsonError> {
        let items = self.value.as_array();
        let items = items.ok_or_else(|| self.wrong("has to be a list"))?;
        let item = |(at, value)| Self {
            path: format!("{}[{at}]", self.path),
            value,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<String, JsonError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => {
                Err(self.wrong("has to be a text"))
            }
        }
    }

    /// A number, which may be written as a text: a reference has become one.
    fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        }
    }

    pub(super) fn text_or(&self, name: &str, default: &str) -> Result<String, JsonError> {
        match self.optional(name)? {
            Some(field) => field.text(),
            None => Ok(default.to_owned()),
        }
    }

    pub(super) fn count_or(&self, name: &str, default: u32) -> Result<u32, JsonError> {
        let Some(field) = self.optional(name)? else {
            return Ok(default);
        };
        let whole = |n: &f64| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n);
        match field.number().filter(whole) {
            Some(number) => Ok(number as u32),
            None => Err(field.wrong("has to be a whole number that is not negative")),
        }
    }

    /// A whole number of at least one.
    pub(super) fn size_or(&self, name: &str, default: u64) -> Result<u64, JsonError> {
        let Some(field) = self.optional(name)? else {
            return Ok(default);
        };
        let whole = |n: &f64| n.fract() == 0.0 && (1.0..=1e18).contains(n);
        match field.number().filter(whole) {
            Some(number) => Ok(number as u64),
            None => Err(field.wrong("has to be a whole number above zero")),
        }
    }

    /// One of some names.
    pub(super) fn choice<T>(
        &self,
        name: &str,
        of_name: impl FnOnce(&str) -> Option<T>,
        problem: &'static str,
    ) -> Result<Option<T>, JsonError> {
        let Some(field) = self.optional(name)? else {
            return Ok(None);
        };
        let chosen = of_name(&field.text()?);
        chosen.map(Some).ok_or_else(|| field.wrong(problem))
    }

    pub(super) fn seconds_or(&self, name: &str, default: f64) -> Result<Duration, JsonError> {
        let Some(field) = self.optional(name)? else {
            return Ok(Duration::from_secs_f64(default));
        };
        match field.number().filter(|n| *n >= 0.0) {
            Some(number) => Ok(Duration::from_secs_f64(number.min(SECONDS_MAX))),
            None => Err(field.wrong("has to be a number of seconds that is not negative")),
        }
    }

    pub(super) fn flag_or(&self, name: &str, default: bool) -> Result<bool, JsonError> {
        let Some(field) = self.optional(name)? else {
            return Ok(default);
        };
        match field.value {
            Value::Bool(flag) => Ok(*flag),
            Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Value::Array(_) | Value::Null | Value::Object(_) | Value::String(_) => {
                Err(field.wrong("has to be true or false"))
            }
        }
    }
}

/// Replaces every text in `value`, keys excepted.
///
/// Recursion is bounded by the parser, which refuses deep nesting.
///
/// # Errors
///
/// The first that `replace` gives.
pub(super) fn map_strings<E>(
    value: &mut Value,
    replace: &mut impl FnMut(&str) -> Result<String, E>,
) -> Result<(), E> {
    match value {
        Value::String(text) => *text = replace(text)?,
        Value::Array(items) => {
            for item in items {
                map_strings(item, replace)?;
            }
        }
        Value::Object(members) => {
            for (_, member) in members.iter_mut() {
                map_strings(member, replace)?;
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
    Ok(())
}
