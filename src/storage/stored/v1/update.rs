//! Frozen copies of job updates.

use super::config::JobKeyV1;
use super::pool::{Reader, Writer, impossible};
use crate::base::clock::Timestamp;
use crate::model::{
    InstanceConfig, InstanceRange, InstanceUpdateEvent, JobUpdate, Metadata, PulseStatus,
    UpdateAction, UpdateEvent, UpdateKey, UpdateSettings, UpdateStatus, UpdateStrategy,
};
use crate::storage::answer::ReplyResult;
use crate::storage::stored::StoredError;
use crate::storage::updates::UpdateOp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UpdateKeyV1(JobKeyV1, String);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UpdateEventV1 {
    at_ms: i64,
    status: u8,
    user: u32,
    message: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InstanceEventV1 {
    instance: u32,
    at_ms: i64,
    action: u8,
    message: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct InstanceConfigV1 {
    config: u32,
    instances: Vec<(u32, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum StrategyV1 {
    Batch(i32, bool),
    Queue(i32),
    VariableBatch(Vec<i32>, bool),
}

#[derive(Debug, Serialize, Deserialize)]
struct SettingsV1 {
    strategy: StrategyV1,
    max_per_instance_failures: i32,
    max_failed_instances: i32,
    min_wait_in_running_ms: i32,
    rollback_on_failure: bool,
    only: Vec<(u32, u32)>,
    block_if_no_pulses_after_ms: i32,
    sla_aware: bool,
    group_size: i32,
    wait_for_batch_completion: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UpdateV1 {
    key: UpdateKeyV1,
    user: String,
    metadata: Vec<(String, String)>,
    initial: Vec<InstanceConfigV1>,
    desired: Option<InstanceConfigV1>,
    settings: SettingsV1,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum UpdateOpV1 {
    Event {
        key: UpdateKeyV1,
        event: UpdateEventV1,
    },
    InstanceEvents {
        key: UpdateKeyV1,
        events: Vec<InstanceEventV1>,
    },
    Remove {
        key: UpdateKeyV1,
    },
    Start {
        update: UpdateV1,
        event: UpdateEventV1,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ReplyResultV1 {
    Pulse { finished: bool },
    Update(UpdateKeyV1),
}

impl UpdateKeyV1 {
    fn of(key: &UpdateKey) -> Self {
        Self(JobKeyV1::of(&key.job), key.id.to_string())
    }

    fn into_model(self) -> Result<UpdateKey, StoredError> {
        Ok(UpdateKey {
            job: self.0.into_model()?,
            id: self.1.into(),
        })
    }
}

impl ReplyResultV1 {
    pub(super) fn of(result: &ReplyResult) -> Self {
        match result {
            ReplyResult::Pulse(status) => Self::Pulse {
                finished: *status == PulseStatus::Finished,
            },
            ReplyResult::Update(key) => Self::Update(UpdateKeyV1::of(key)),
        }
    }

    pub(super) fn into_model(self) -> Result<ReplyResult, StoredError> {
        Ok(match self {
            Self::Pulse { finished: true } => ReplyResult::Pulse(PulseStatus::Finished),
            Self::Pulse { finished: false } => ReplyResult::Pulse(PulseStatus::Ok),
            Self::Update(key) => ReplyResult::Update(key.into_model()?),
        })
    }
}

fn ranges_v1(ranges: &[InstanceRange]) -> Vec<(u32, u32)> {
    ranges.iter().map(|r| (r.first, r.last)).collect()
}

fn ranges_model(ranges: Vec<(u32, u32)>) -> Result<Vec<InstanceRange>, StoredError> {
    let range = |(first, last)| match first <= last {
        true => Ok(InstanceRange { first, last }),
        false => Err(impossible("range of instances", format!("{first}-{last}"))),
    };
    ranges.into_iter().map(range).collect()
}

impl SettingsV1 {
    fn of(settings: &UpdateSettings) -> Self {
        Self {
            strategy: match &settings.strategy {
                UpdateStrategy::Batch {
                    group_size,
                    autopause,
                } => StrategyV1::Batch(*group_size, *autopause),
                UpdateStrategy::Queue { group_size } => StrategyV1::Queue(*group_size),
                UpdateStrategy::VariableBatch {
                    group_sizes,
                    autopause,
                } => StrategyV1::VariableBatch(group_sizes.clone(), *autopause),
            },
            max_per_instance_failures: settings.max_per_instance_failures,
            max_failed_instances: settings.max_failed_instances,
            min_wait_in_running_ms: settings.min_wait_in_running_ms,
            rollback_on_failure: settings.rollback_on_failure,
            only: ranges_v1(&settings.only),
            block_if_no_pulses_after_ms: settings.block_if_no_pulses_after_ms,
            sla_aware: settings.sla_aware,
            group_size: settings.group_size,
            wait_for_batch_completion: settings.wait_for_batch_completion,
        }
    }

    fn into_model(self) -> Result<UpdateSettings, StoredError> {
        Ok(UpdateSettings {
            strategy: match self.strategy {
                StrategyV1::Batch(group_size, autopause) => UpdateStrategy::Batch {
                    group_size,
                    autopause,
                },
                StrategyV1::Queue(group_size) => UpdateStrategy::Queue { group_size },
                StrategyV1::VariableBatch(group_sizes, autopause) => {
                    UpdateStrategy::VariableBatch {
                        group_sizes,
                        autopause,
                    }
                }
            },
            max_per_instance_failures: self.max_per_instance_failures,
            max_failed_instances: self.max_failed_instances,
            min_wait_in_running_ms: self.min_wait_in_running_ms,
            rollback_on_failure: self.rollback_on_failure,
            only: ranges_model(self.only)?,
            block_if_no_pulses_after_ms: self.block_if_no_pulses_after_ms,
            sla_aware: self.sla_aware,
            group_size: self.group_size,
            wait_for_batch_completion: self.wait_for_batch_completion,
        })
    }
}

impl Writer {
    pub(super) fn update_op(&mut self, op: &UpdateOp) -> UpdateOpV1 {
        match op {
            UpdateOp::Event { key, event } => UpdateOpV1::Event {
                key: UpdateKeyV1::of(key),
                event: self.update_event(event),
            },
            UpdateOp::InstanceEvents { key, events } => UpdateOpV1::InstanceEvents {
                key: UpdateKeyV1::of(key),
                events: events.iter().map(|e| self.instance_event(e)).collect(),
            },
            UpdateOp::Remove { key } => UpdateOpV1::Remove {
                key: UpdateKeyV1::of(key),
            },
            UpdateOp::Start { update, event } => UpdateOpV1::Start {
                update: self.update(update),
                event: self.update_event(event),
            },
        }
    }

    fn update(&mut self, update: &JobUpdate) -> UpdateV1 {
        let pair = |m: &Metadata| (m.key.clone(), m.value.clone());
        UpdateV1 {
            key: UpdateKeyV1::of(&update.key),
            user: update.user.clone(),
            metadata: update.metadata.iter().map(pair).collect(),
            initial: update
                .initial
                .iter()
                .map(|group| self.instances(group))
                .collect(),
            desired: update.desired.as_ref().map(|group| self.instances(group)),
            settings: SettingsV1::of(&update.settings),
        }
    }

    fn instances(&mut self, group: &InstanceConfig) -> InstanceConfigV1 {
        InstanceConfigV1 {
            config: self.config(&group.config),
            instances: ranges_v1(&group.instances),
        }
    }

    fn update_event(&mut self, event: &UpdateEvent) -> UpdateEventV1 {
        UpdateEventV1 {
            at_ms: event.at.0,
            status: event.status as u8,
            user: self.optional(event.user.as_deref()),
            message: self.optional(event.message.as_deref()),
        }
    }

    fn instance_event(&mut self, event: &InstanceUpdateEvent) -> InstanceEventV1 {
        InstanceEventV1 {
            instance: event.instance,
            at_ms: event.at.0,
            action: event.action as u8,
            message: self.optional(event.message.as_deref()),
        }
    }
}

impl Reader {
    pub(super) fn update_op(&self, op: UpdateOpV1) -> Result<UpdateOp, StoredError> {
        Ok(match op {
            UpdateOpV1::Event { key, event } => UpdateOp::Event {
                key: key.into_model()?,
                event: self.update_event(&event)?,
            },
            UpdateOpV1::InstanceEvents { key, events } => {
                let events: Result<_, _> = events.iter().map(|e| self.instance_event(e)).collect();
                UpdateOp::InstanceEvents {
                    key: key.into_model()?,
                    events: events?,
                }
            }
            UpdateOpV1::Remove { key } => UpdateOp::Remove {
                key: key.into_model()?,
            },
            UpdateOpV1::Start { update, event } => UpdateOp::Start {
                update: Arc::new(self.update(update)?),
                event: self.update_event(&event)?,
            },
        })
    }

    fn update(&self, update: UpdateV1) -> Result<JobUpdate, StoredError> {
        let pair = |(key, value)| Metadata { key, value };
        let initial: Result<_, _> = update
            .initial
            .into_iter()
            .map(|group| self.instances(group))
            .collect();
        Ok(JobUpdate {
            key: update.key.into_model()?,
            user: update.user,
            metadata: update.metadata.into_iter().map(pair).collect(),
            initial: initial?,
            desired: update
                .desired
                .map(|group| self.instances(group))
                .transpose()?,
            settings: update.settings.into_model()?,
        })
    }

    fn instances(&self, group: InstanceConfigV1) -> Result<InstanceConfig, StoredError> {
        Ok(InstanceConfig {
            config: self.config(group.config)?,
            instances: ranges_model(group.instances)?,
        })
    }

    fn update_event(&self, event: &UpdateEventV1) -> Result<UpdateEvent, StoredError> {
        let status = UpdateStatus::from_number(i32::from(event.status));
        Ok(UpdateEvent {
            at: Timestamp(event.at_ms),
            status: status.ok_or_else(|| impossible("state of an update", event.status))?,
            user: self.optional(event.user)?,
            message: self.optional(event.message)?,
        })
    }

    fn instance_event(&self, event: &InstanceEventV1) -> Result<InstanceUpdateEvent, StoredError> {
        let action = UpdateAction::from_number(i32::from(event.action));
        Ok(InstanceUpdateEvent {
            instance: event.instance,
            at: Timestamp(event.at_ms),
            action: action.ok_or_else(|| impossible("action of an update", event.action))?,
            message: self.optional(event.message)?,
        })
    }
}
