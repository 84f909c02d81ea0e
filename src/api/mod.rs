//! The Thrift services as functions: authenticate, validate, submit or read, respond.
//!
//! [`Api::call`] answers one request. [`Api::serve`] and [`Api::serve_beta`] are the same between bytes
//! and bytes, for `/api` and `/apibeta`: the caller brings headers and bodies and knows no Thrift.

mod account;
mod admin;
mod change;
mod cron;
mod entry;
mod look;
mod media;
mod query;
mod recovery;
mod respond;
mod summary;
mod update_changes;
mod update_look;
mod validate;

pub use entry::ApiReply;
pub use media::{BINARY, COMPACT, JSON};

use crate::base::clock;
use crate::domain::validate::Rules;
use crate::scheduler::update::UpdateChange;
use crate::scheduler::{Backups, Handle, request_of};
use crate::thrift::api::{Response, ServerInfo};
use crate::thrift::service::Access;
use crate::thrift::{Protocol, Request, message};

/// Who every caller is as long as nobody is asked for a name.
const UNSECURE: &str = "UNSECURE";

/// What the services say of the cluster, and what they allow.
#[derive(Clone, Debug, Default)]
pub struct ApiConfig {
    /// `-cluster_name`
    pub cluster_name: String,
    /// `-viz_job_url_prefix`
    pub stats_url_prefix: String,
    /// Which jobs are taken.
    pub rules: Rules,
}

/// The services. Cheap to share behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Api {
    scheduler: Handle,
    config: ApiConfig,
    backups: Option<Backups>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With an answer.
    Answer(Box<Response>),
    /// A change was submitted and may or may not have been made: any answer could be a lie.
    Unknown,
}

impl Api {
    /// Services of the scheduler behind `scheduler`.
    pub fn new(scheduler: Handle, config: ApiConfig) -> Self {
        query::register();
        Self {
            scheduler,
            config,
            backups: None,
        }
    }

    /// The same with backups to take and to restore.
    #[must_use]
    pub fn with_backups(mut self, backups: Backups) -> Self {
        self.backups = Some(backups);
        self
    }

    /// Answers a call. A repeat of a change with the same `request_id` gets the first answer.
    ///
    /// # Cancellation
    ///
    /// A change that was submitted is made even if the caller goes away.
    pub async fn call(&self, request_id: Option<&str>, request: Request) -> Outcome {
        let (method, access) = (request.name(), request.access());
        let start = clock::now();
        let named = request_id.filter(|_| access != Access::Open).map(|id| {
            let content = message::encode_call(Protocol::Binary, 0, &request);
            request_of(id, &content)
        });
        let outcome = self.dispatch(named.as_deref(), request).await;
        account::call(method, access, &outcome, clock::now().since(start));
        match outcome {
            Outcome::Answer(mut response) => {
                response.server_info = Some(self.server_info());
                Outcome::Answer(response)
            }
            Outcome::Unknown => Outcome::Unknown,
        }
    }

    async fn dispatch(&self, request_id: Option<&str>, request: Request) -> Outcome {
        let answer = match request {
            Request::AddInstances(args) => return self.add_instances(request_id, *args).await,
            Request::CreateJob(args) => return self.create_job(request_id, *args).await,
            Request::KillTasks(args) => return self.kill_tasks(request_id, *args).await,
            Request::RestartShards(args) => return self.restart_shards(request_id, *args).await,
            Request::GetConfigSummary(args) => self.get_config_summary(&args).await,
            Request::GetJobSummary(args) => self.get_job_summary(&args).await,
            Request::GetJobs(args) => self.get_jobs(&args).await,
            Request::GetPendingReason(args) => self.get_pending_reason(&args).await,
            Request::GetQuota(args) => self.get_quota(&args).await,
            Request::GetRoleSummary(_) => self.get_role_summary().await,
            Request::GetTasksStatus(args) => self.get_tasks_status(args.query.as_ref()).await,
            Request::GetTasksWithoutConfigs(args) => {
                self.get_tasks_without_configs(args.query.as_ref()).await
            }
            Request::GetTierConfigs(_) => Ok(self.get_tier_configs()),
            Request::PopulateJobConfig(args) => self.populate_job_config(&args),
            Request::DrainHosts(args) => return self.drain_hosts(request_id, *args).await,
            Request::EndMaintenance(args) => return self.end_maintenance(request_id, *args).await,
            Request::ForceTaskState(args) => return self.force_task_state(request_id, *args).await,
            Request::MaintenanceStatus(args) => self.maintenance_status(&args).await,
            Request::PruneTasks(args) => return self.prune_tasks(request_id, *args).await,
            Request::SetQuota(args) => return self.set_quota(request_id, *args).await,
            Request::SlaDrainHosts(args) => return self.sla_drain_hosts(request_id, *args).await,
            Request::Snapshot(_) => return self.snapshot(request_id).await,
            Request::StartMaintenance(args) => {
                return self.start_maintenance(request_id, *args).await;
            }
            Request::TriggerExplicitTaskReconciliation(args) => {
                return self.reconcile_explicitly(request_id, *args).await;
            }
            Request::TriggerImplicitTaskReconciliation(_) => {
                return self.reconcile_implicitly(request_id).await;
            }
            Request::AbortJobUpdate(args) => {
                let abort = UpdateChange::Abort;
                return self
                    .change_job_update(request_id, abort, args.key, args.message)
                    .await;
            }
            Request::PauseJobUpdate(args) => {
                let pause = UpdateChange::Pause;
                return self
                    .change_job_update(request_id, pause, args.key, args.message)
                    .await;
            }
            Request::ResumeJobUpdate(args) => {
                let resume = UpdateChange::Resume;
                return self
                    .change_job_update(request_id, resume, args.key, args.message)
                    .await;
            }
            Request::RollbackJobUpdate(args) => {
                let rollback = UpdateChange::Rollback;
                return self
                    .change_job_update(request_id, rollback, args.key, args.message)
                    .await;
            }
            Request::PulseJobUpdate(args) => {
                return self.pulse_job_update(request_id, *args).await;
            }
            Request::StartJobUpdate(args) => {
                return self.start_job_update(request_id, *args).await;
            }
            Request::GetJobUpdateDetails(args) => self.get_job_update_details(&args).await,
            Request::GetJobUpdateDiff(args) => self.get_job_update_diff(&args).await,
            Request::GetJobUpdateSummaries(args) => self.get_job_update_summaries(&args).await,
            Request::ScheduleCronJob(args) => {
                let description = args.description.as_ref();
                return self.schedule_cron_job(request_id, description, false).await;
            }
            Request::ReplaceCronTemplate(args) => {
                let config = args.config.as_ref();
                return self.schedule_cron_job(request_id, config, true).await;
            }
            Request::DescheduleCronJob(args) => {
                return self
                    .deschedule_cron_job(request_id, args.job.as_ref())
                    .await;
            }
            Request::StartCronJob(args) => {
                return self.start_cron_job(request_id, args.job.as_ref()).await;
            }
            Request::CommitRecovery(_) => return self.commit_recovery(request_id).await,
            Request::DeleteRecoveryTasks(args) => self.delete_recovery_tasks(&args),
            Request::ListBackups(_) => self.list_backups().await,
            Request::PerformBackup(_) => self.perform_backup().await,
            Request::QueryRecovery(args) => self.query_recovery(&args),
            Request::StageRecovery(args) => self.stage_recovery(&args).await,
            Request::UnloadRecovery(_) => self.unload_recovery(),
        };
        Outcome::Answer(match answer {
            Ok(response) => Box::new(response),
            Err(respond::Refusal(response)) => response,
        })
    }

    fn server_info(&self) -> ServerInfo {
        ServerInfo {
            cluster_name: Some(self.config.cluster_name.clone()),
            stats_url_prefix: Some(self.config.stats_url_prefix.clone()),
        }
    }
}

#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;
