//! Values of the interface and values of the model: the only place that knows both.
//!
//! Reading checks types and nothing else: whether a job is sensible is for validation to say. Sets lose
//! repeated members; resources are summed up, so who cares about repeats looks before.

mod from_wire;
mod to_wire;
mod update;

pub use from_wire::{
    ConvertError, instance_ids, job_configuration, job_key, resource_amounts, schedule_status,
    sla_policy, task_config,
};
pub use to_wire::{
    job_configuration_to_wire, job_key_to_wire, quota_to_wire, scheduled_task_to_wire,
    status_to_wire, task_config_to_wire,
};

pub use update::{
    instance_event_to_wire, metadata, ranges_to_wire, update_event_to_wire,
    update_instructions_to_wire, update_key, update_key_to_wire, update_settings,
    update_state_to_wire, update_status, update_status_to_wire, update_summary_to_wire,
};

#[cfg(test)]
mod tests;
