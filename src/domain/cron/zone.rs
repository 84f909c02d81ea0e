//! Time zones by name.

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use std::fmt;
use thiserror::Error;

/// A time zone, from the data that is built in: every machine that runs one version of this program has
/// the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    pub(super) rules: TimeZone,
}

/// A name that is no time zone's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{0}' is no time zone: expected a name such as GMT, Europe/Berlin or America/New_York, or GMT+2"
)]
pub struct ZoneError(String);

impl Zone {
    /// The zone of this name: one of the tz database, in any case, or `GMT+H`, `GMT+H:MM` and the same
    /// with a minus.
    ///
    /// # Errors
    ///
    /// There is no such zone. Upstream took GMT without a word.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let unknown = || ZoneError(name.chars().take(100).collect());
        // COMPAT: the two forms of zones that Java knows.
        if let Ok(rules) = TimeZoneDatabase::bundled().get(name) {
            let known = rules.iana_name().unwrap_or(name).to_owned();
            return Ok(Self { name: known, rules });
        }
        let seconds = from_gmt(name).ok_or_else(unknown)?;
        let offset = Offset::from_seconds(seconds).map_err(|_| unknown())?;
        Ok(Self {
            name: name.to_owned(),
            rules: TimeZone::fixed(offset),
        })
    }

    /// Its name, spelt as in the tz database.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Seconds east of Greenwich of `GMT+H`, `GMT-HH:MM` and their like.
fn from_gmt(name: &str) -> Option<i32> {
    let rest = name.strip_prefix("GMT")?;
    let (sign, rest) = match rest.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, rest.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let number = |text: &str| -> Option<i32> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        (digits && text.len() <= 2).then(|| text.parse().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}
