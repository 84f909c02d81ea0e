//! What the verbs share: clusters, connections to their schedulers, pages, job files.

use super::clusters::{Cluster, ClusterError, Clusters};
use super::convert;
use super::exit::{CommandError, Exit};
use super::jobfile::{self, LoadError, LoadRequest, LoadedJob, LoadedKey};
use super::key::{Binding, ClusterJob};
use super::scheduler::{self, COMMAND_FAILURE, Repeat, Scheduler, Transport};
use super::world::{Settings, World};
use crate::base::rng::Rng;
use crate::base::secret::hide;
use crate::model::JobKey;
use crate::thrift::api::{
    ACTIVE_STATES, Response, ResponseResult, ScheduleStatus, ScheduledTask, TaskQuery,
};
use crate::thrift::service::{GetTasksWithoutConfigs, NoArguments, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

impl From<ClusterError> for CommandError {
    fn from(error: ClusterError) -> Self {
        Self::new(Exit::InvalidConfiguration, error.to_string())
    }
}

/// Makes a connection to the scheduler at an address.
pub type Connect<'c> = &'c dyn Fn(&str, &Settings) -> Box<dyn Transport>;

/// One command at work.
pub struct Session<'w, 'a> {
    /// The streams, the clock, the settings.
    pub world: &'w mut World<'a>,
    clusters: Clusters,
    connect: Connect<'w>,
    open: BTreeMap<String, Scheduler>,
    rng: Rng,
}

/// Which file describes a job, and how it is read.
#[derive(Clone, Debug)]
pub struct JobSource<'s> {
    /// The file.
    pub file: &'s Path,
    /// Values for its names.
    pub bind: &'s [Binding],
    /// Whether it is JSON.
    pub read_json: bool,
}

impl<'w, 'a> Session<'w, 'a> {
    /// Reads the cluster files.
    ///
    /// # Errors
    ///
    /// A cluster file that is there and cannot be used: status 3.
    pub fn start(
        world: &'w mut World<'a>,
        connect: Connect<'w>,
        rng: Rng,
    ) -> Result<Self, CommandError> {
        let clusters = Clusters::load(&world.settings.cluster_files)?;
        Ok(Self {
            world,
            clusters,
            connect,
            open: BTreeMap::new(),
            rng,
        })
    }

    /// The cluster called `name`.
    ///
    /// # Errors
    ///
    /// There is none: status 3.
    pub fn cluster(&self, name: &str) -> Result<&Cluster, CommandError> {
        Ok(self.clusters.get(name)?)
    }

    /// The names of all clusters.
    pub fn cluster_names(&self) -> Vec<String> {
        self.clusters.all().map(|c| c.name.clone()).collect()
    }

    /// Calls the scheduler of `cluster`.
    ///
    /// # Errors
    ///
    /// No such cluster (status 3), or no reply; see [`Scheduler::call`].
    pub fn call(
        &mut self,
        cluster: &str,
        request: &Request,
        repeat: Repeat,
    ) -> Result<Response, CommandError> {
        if !self.open.contains_key(cluster) {
            let uri = self.cluster(cluster)?.scheduler_uri()?;
            let transport = (self.connect)(&uri, &self.world.settings);
            let rng = Rng::from_seed(self.rng.next_u64());
            let scheduler = Scheduler::new(transport, uri, rng);
            self.open.insert(cluster.to_owned(), scheduler);
        }
        let scheduler = self.open.get_mut(cluster).expect("it was just put there");
        scheduler.call(self.world, request, repeat)
    }

    /// Calls, and lets only an OK pass.
    ///
    /// # Errors
    ///
    /// As [`Session::call`]; a reply that is not OK: status `exit`, text under `heading`.
    pub fn demand(
        &mut self,
        cluster: &str,
        request: &Request,
        repeat: Repeat,
        (exit, heading): (Exit, &str),
    ) -> Result<Option<ResponseResult>, CommandError> {
        let response = self.call(cluster, request, repeat)?;
        scheduler::expect_ok(self.world, response, exit, heading)
    }

    /// The tasks of a job, without their executors' data; all states if `statuses` is empty.
    ///
    /// # Errors
    ///
    /// No reply, or one that is not OK: status `exit`.
    pub fn tasks(
        &mut self,
        key: &ClusterJob,
        statuses: &[ScheduleStatus],
        instances: Option<&BTreeSet<u32>>,
        exit: Exit,
    ) -> Result<Vec<ScheduledTask>, CommandError> {
        let query = task_query(&key.job, statuses, instances);
        let request = Request::GetTasksWithoutConfigs(Box::new(GetTasksWithoutConfigs {
            query: Some(query),
        }));
        let heading = (exit, COMMAND_FAILURE);
        match self.demand(&key.cluster, &request, Repeat::Always, heading)? {
            Some(ResponseResult::ScheduleStatusResult(result)) => Ok(result.tasks),
            _ => Ok(Vec::new()),
        }
    }

    /// The active tasks of a job.
    ///
    /// # Errors
    ///
    /// As [`Session::tasks`], with status 10 for a refusal.
    pub fn active_tasks(&mut self, key: &ClusterJob) -> Result<Vec<ScheduledTask>, CommandError> {
        self.tasks(key, ACTIVE_STATES, None, Exit::Api)
    }

    /// The address of a page: of the scheduler, a role, an environment or a job.
    ///
    /// # Errors
    ///
    /// No such cluster, or one without an address: status 3.
    pub fn page(&self, cluster: &str, path: &[&str]) -> Result<String, CommandError> {
        let mut url = hide(&self.cluster(cluster)?.display_uri()?).into_owned();
        url.push_str("scheduler");
        for part in path {
            url.push('/');
            url.push_str(part);
        }
        Ok(url)
    }

    /// The address of a job's page.
    ///
    /// # Errors
    ///
    /// As [`Session::page`].
    pub fn job_page(&self, key: &ClusterJob) -> Result<String, CommandError> {
        let job = &key.job;
        self.page(&key.cluster, &[job.role(), job.environment(), job.name()])
    }

    /// Opens the job's page in a browser if `wanted`.
    ///
    /// # Errors
    ///
    /// As [`Session::page`].
    pub fn open_job_page(&mut self, key: &ClusterJob, wanted: bool) -> Result<(), CommandError> {
        if wanted {
            let url = self.job_page(key)?;
            self.open_browser(&url);
        }
        Ok(())
    }

    /// Opens `url` in a browser, or shows it where there is none.
    pub fn open_browser(&mut self, url: &str) {
        let own = self.world.settings.browser.clone();
        let browser = own.unwrap_or_else(|| "xdg-open".to_owned());
        let started = Command::new(&browser)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Err(error) = started {
            self.world.warn(&format!(
                "cannot start browser {browser} ({error}); the page is {url}"
            ));
        }
    }

    /// Loads a job for a command and fills in what the scheduler's tiers say.
    ///
    /// # Errors
    ///
    /// A file or job that cannot be used, or no answer about tiers: status 3; a rule that is broken:
    /// status 1.
    pub fn load_job(
        &mut self,
        key: &ClusterJob,
        source: &JobSource<'_>,
    ) -> Result<LoadedJob, CommandError> {
        self.cluster(&key.cluster)?;
        let request = self.load_request(source, Some(key));
        let answer = jobfile::load(&request).map_err(|error| loading(&error))?;
        for warning in &answer.warnings {
            self.world.complain(warning);
        }
        let mut job = answer.jobs.into_iter().next().ok_or_else(|| {
            let file = source.file.display();
            broken_configuration(&format!("{file} does not describe {key}"))
        })?;
        let request = Request::GetTierConfigs(Box::new(NoArguments));
        let heading = (
            Exit::InvalidConfiguration,
            "The scheduler does not tell its tiers:",
        );
        let tiers = self
            .demand(&key.cluster, &request, Repeat::Always, heading)
            .map_err(|error| broken_configuration(&error.message))?;
        if let Some(ResponseResult::GetTierConfigResult(tiers)) = tiers {
            let named = tiers.tiers.into_iter();
            let named: Vec<_> = named.filter_map(|t| Some((t.name?, t.settings))).collect();
            job.apply_tiers(&tiers.default_tier_name.unwrap_or_default(), &named);
        }
        Ok(job)
    }

    /// Checks the file that a command was given for its hooks.
    ///
    /// # Errors
    ///
    /// As [`Session::load_job`].
    pub fn check_config(
        &mut self,
        key: &ClusterJob,
        file: Option<&PathBuf>,
        bind: &[Binding],
        read_json: bool,
    ) -> Result<(), CommandError> {
        if let Some(file) = file {
            self.load_job(
                key,
                &JobSource {
                    file,
                    bind,
                    read_json,
                },
            )?;
        }
        Ok(())
    }

    /// What the loader is asked.
    pub fn load_request(&self, source: &JobSource<'_>, key: Option<&ClusterJob>) -> LoadRequest {
        let pair = |b: &Binding| (b.name.clone(), b.value.clone());
        LoadRequest {
            file: source.file.to_owned(),
            bindings: source.bind.iter().map(pair).collect(),
            select: key.map(|key| LoadedKey {
                cluster: key.cluster.clone(),
                role: key.job.role().to_owned(),
                environment: key.job.environment().to_owned(),
                name: key.job.name().to_owned(),
            }),
            read_json: source.read_json,
            user: self.world.settings.user.clone(),
        }
    }
}

fn broken_configuration(reason: &str) -> CommandError {
    let message = format!("Error loading configuration: {reason}");
    CommandError::new(Exit::InvalidConfiguration, message)
}

fn loading(error: &LoadError) -> CommandError {
    if error.exit_status() == Exit::Failure.code() {
        return CommandError::new(Exit::Failure, format!("FATAL] {error}"));
    }
    broken_configuration(&error.to_string())
}

/// Asks for tasks of one job.
pub fn task_query(
    job: &JobKey,
    statuses: &[ScheduleStatus],
    instances: Option<&BTreeSet<u32>>,
) -> TaskQuery {
    TaskQuery {
        job_keys: vec![convert::job_key(job)],
        statuses: statuses.to_vec(),
        instance_ids: instances.map(wire_instances).unwrap_or_default(),
        ..TaskQuery::default()
    }
}

/// Instances as the API has them. Numbers beyond its range exist nowhere and stay out.
pub fn wire_instances(instances: &BTreeSet<u32>) -> Vec<i32> {
    instances
        .iter()
        .filter_map(|&i| i32::try_from(i).ok())
        .collect()
}

/// The instance of a task; `None` for one that no scheduler makes.
pub fn instance_of(task: &ScheduledTask) -> Option<u32> {
    u32::try_from(task.assigned_task.as_ref()?.instance_id).ok()
}

/// Instances as lists are written: `[0, 2]`.
pub fn show_instances<'i>(instances: impl IntoIterator<Item = &'i u32>) -> String {
    let numbers: Vec<String> = instances.into_iter().map(u32::to_string).collect();
    format!("[{}]", numbers.join(", "))
}
