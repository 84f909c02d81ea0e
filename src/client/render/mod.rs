//! How things are written for people and scripts.

pub mod diff;
pub mod inspect;
pub mod quota;
pub mod status;
pub mod update;

use crate::thrift::Value as Thrift;
use crate::thrift::protocol::plain_json;
use serde_json::Value;

/// A Thrift value as JSON with the interface's names.
fn to_json<T: Thrift>(value: &T) -> Value {
    serde_json::from_slice(&plain_json::to_bytes(value)).unwrap_or(Value::Null)
}
