//! Frozen copies of orders to drain machines.

use super::config::SlaPolicyV1;
use crate::base::clock::Timestamp;
use crate::model::MaintenanceRequest;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MaintenanceV1 {
    host: String,
    default_policy: SlaPolicyV1,
    timeout_secs: i64,
    created_ms: i64,
}

impl MaintenanceV1 {
    pub(super) fn of(request: &MaintenanceRequest) -> Self {
        Self {
            host: request.host.clone(),
            default_policy: SlaPolicyV1::of(&request.default_policy),
            timeout_secs: request.timeout_secs,
            created_ms: request.created.0,
        }
    }

    pub(super) fn into_model(self) -> MaintenanceRequest {
        MaintenanceRequest {
            host: self.host,
            default_policy: self.default_policy.into_model(),
            timeout_secs: self.timeout_secs,
            created: Timestamp(self.created_ms),
        }
    }
}
