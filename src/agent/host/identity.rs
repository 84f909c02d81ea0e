//! What an agent knows of itself and of its leaders: its id and the highest ballot.

use super::durable;
use super::error::HostError;
use crate::base::frame;
use crate::base::rng::Rng;
use crate::model::AgentId;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const AGENT_ID: &str = "agent_id";
const FENCE: &str = "fence";
const FENCE_BYTES_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
enum FenceEnvelope {
    /// The highest ballot. Frozen.
    V1(u64),
}

pub(super) fn file_error(path: &Path) -> impl Fn(io::Error) -> HostError + '_ {
    move |source| HostError::File {
        path: path.to_owned(),
        source,
    }
}

/// Reads the id, or makes it the first time.
pub(super) fn open_agent_id(work_dir: &Path) -> Result<AgentId, HostError> {
    let path = work_dir.join(AGENT_ID);
    if let Some(bytes) = durable::read(&path).map_err(file_error(&path))? {
        let text = String::from_utf8(bytes).unwrap_or_default();
        let text = text.trim();
        if text.is_empty() || text.len() > 255 || text.contains(char::is_whitespace) {
            let what = "it does not hold an agent's id".to_owned();
            return Err(HostError::Damaged { path, what });
        }
        return Ok(AgentId::new(text));
    }
    let id = Rng::from_os().uuid();
    let bytes = format!("{id}\n").into_bytes();
    durable::write(work_dir, AGENT_ID, &bytes).map_err(file_error(&path))?;
    Ok(AgentId::new(&id))
}

/// The highest ballot that was stored; zero if none was.
pub(super) fn read_fence(work_dir: &Path) -> Result<u64, HostError> {
    let path = work_dir.join(FENCE);
    let Some(bytes) = durable::read(&path).map_err(file_error(&path))? else {
        return Ok(0);
    };
    let decoded = match frame::decode(&bytes, 0, FENCE_BYTES_MAX) {
        Ok(Some((payload, end))) if end == bytes.len() => postcard::take_from_bytes(payload).ok(),
        Ok(_) | Err(_) => None,
    };
    match decoded {
        Some((FenceEnvelope::V1(ballot), [])) => Ok(ballot),
        _ => Err(HostError::Damaged {
            path,
            what: "it does not hold a ballot".to_owned(),
        }),
    }
}

/// Stores a ballot durably.
pub(super) fn write_fence(work_dir: &Path, ballot: u64) -> Result<(), HostError> {
    let payload = postcard::to_stdvec(&FenceEnvelope::V1(ballot))
        .expect("plain values serialize into memory");
    let mut bytes = Vec::new();
    frame::encode(&payload, &mut bytes);
    let path: PathBuf = work_dir.join(FENCE);
    durable::write(work_dir, FENCE, &bytes).map_err(file_error(&path))
}
