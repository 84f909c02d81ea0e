//! What roles use, by the rules of quota.

use super::tables::Tables;
use crate::domain::quota::Consumption;
use crate::model::InstanceConfig;

impl Tables {
    /// What a role's jobs use now, cron templates among them.
    pub fn consumption(&self, role: &str) -> Consumption {
        let mut sum = Consumption::default();
        for (job, tasks) in self.tasks_of_role(role) {
            if self.cron_job(job).is_some() {
                continue;
            }
            // Looking at every task of a role for each job that it adds would be work without end.
            let Some(update) = self.updates().active_of(job) else {
                sum.merge(tasks.usage());
                continue;
            };
            for task in self.active_tasks_of_job(job) {
                if !update.update().names(task.instance) {
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
