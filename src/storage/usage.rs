//! What roles use, by the rules of quota.

use super::tables::Tables;
use crate::domain::quota::Consumption;

impl Tables {
    /// What a role's jobs use now, cron templates among them.
    pub fn consumption(&self, role: &str) -> Consumption {
        let mut sum = Consumption::default();
        for job in self
            .jobs_of_role(role)
            .filter(|job| self.cron_job(job).is_none())
        {
            for task in self.active_tasks_of_job(job) {
                sum.add(&task.config, 1);
            }
        }
        for cron in self.cron_jobs().filter(|cron| cron.job.key.role() == role) {
            let running = self
                .active_tasks_of_job(&cron.job.key)
                .map(|task| &*task.config);
            sum.add_cron(&cron.job.task, cron.job.instance_count, running);
        }
        sum
    }
}
