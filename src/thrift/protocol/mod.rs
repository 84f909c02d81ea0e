//! The four encodings, each as an [`Output`](super::Output) and an [`Input`](super::Input).

pub mod binary;
pub mod compact;
mod frames;
pub mod plain_json;
mod scanner;
pub mod tagged_json;
mod text;
