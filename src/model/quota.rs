//! What a role may use for production jobs.

use super::resources::Resources;

/// A role's quota. Only processor time, memory and disk count.
pub type Quota = Resources;
