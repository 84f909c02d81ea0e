//! What roles use, by the rules of quota.

use super::tables::Tables;
use crate::domain::quota::Consumption;
use crate::model::InstanceConfig;

impl Tables {
    /// What a role's jobs use now, cron templates among them.
    pub fn consumption(&self, role: &str) -> Consumption {
        let mut sum = Consumption::default();
        for job in self
            .jobs_of_role(role)
            .filter(|job| self.cron_job(job).is_none())
        {
            let update = self.updates().active_of(job).map(|record| record.update());
            for task in self.active_tasks_of_job(job) {
                if !update.is_some_and(|update| update.names(task.instance)) {
                    sum.add(&task.config, 1);
                }
            }
        }
        let updates = self.updates().active().map(|record| record.update());
        for update in updates.filter(|update| update.key.job.role() == role) {
            let counted = |group: &InstanceConfig| group.count();
            let initial = update.initial.iter().map(|g| (&*g.config, counted(g)));
            let desired = update.desired.iter().map(|g| (&*g.config, counted(g)));
            sum.add_update(initial, desired);
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
