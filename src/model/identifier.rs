//! Names that may stand in a job key.

use thiserror::Error;

/// Why a text may not stand in a job key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not a valid {what}: 1 to 255 letters, digits, '_', '-' or '.'")]
pub struct IdentifierError {
    what: &'static str,
    text: String,
}

/// Whether `text` is 1 to 255 ASCII letters, digits, `_`, `-` or `.`.
pub fn is_identifier(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=255).contains(&text.len()) && text.bytes().all(good)
}

/// Refuses a text that may not stand as `what` in a job key.
///
/// # Errors
///
/// Names the text (cut to a readable length) and the rule.
pub fn check_identifier(what: &'static str, text: &str) -> Result<(), IdentifierError> {
    if is_identifier(text) {
        return Ok(());
    }
    Err(IdentifierError {
        what,
        text: text.chars().take(80).collect(),
    })
}
