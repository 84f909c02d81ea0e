//! The environments that jobs may be in.

use super::Invalid;
use regex_lite::Regex;
use thiserror::Error;

const DEFAULT: &str = r"^(prod|devel|test|staging\d*)$";

/// A pattern that environments must match as a whole.
#[derive(Clone, Debug)]
pub struct EnvironmentRule {
    text: String,
    whole: Regex,
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not a pattern: {reason}")]
pub struct BadPattern {
    text: String,
    reason: String,
}

impl EnvironmentRule {
    /// The rule with this pattern.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| BadPattern {
            text: pattern.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            text: pattern.to_owned(),
            whole,
        })
    }

    /// Checks an environment.
    ///
    /// # Errors
    ///
    /// The sentence for the client.
    pub fn check(&self, environment: &str) -> Result<(), Invalid> {
        if self.whole.is_match(environment) {
            return Ok(());
        }
        Err(Invalid(format!(
            "Job environment {environment} doesn't match: {}",
            self.text
        )))
    }
}

impl Default for EnvironmentRule {
    fn default() -> Self {
        Self::new(DEFAULT).expect("the default is a pattern")
    }
}
