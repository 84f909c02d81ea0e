//! Thrift: bytes and values.
//!
//! One description of the interface ([`api`], [`service`]) serves four encodings ([`protocol`]): the
//! binary and the compact protocol, Thrift's JSON, and the plain JSON of `/apibeta`. [`message`] holds
//! the envelope of calls and replies, [`convert`] the way to and from the model.
//!
//! Bytes are hostile: readers never panic, allocate in proportion to the bytes they were given, and
//! refuse with the byte and the field at which they stopped.

pub mod api;
pub mod catalog;
pub mod convert;
mod describe;
mod error;
pub mod message;
pub mod protocol;
pub mod service;
mod shape;
mod value;

pub use error::ThriftError;
pub use message::{Call, MessageKind, Protocol};
pub use service::Request;
pub use value::{FieldHead, FieldInfo, Input, Kind, MAX_DEPTH, Output, Read, Value};

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
