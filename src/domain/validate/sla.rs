//! Promises about instances that stay up.

use super::{Invalid, Rules};
use crate::model::{SlaPolicy, TaskConfig};

impl Rules {
    /// Checks the promise of a job of `instances` instances, whose tier is known.
    pub(super) fn check_sla(&self, config: &TaskConfig, instances: u32) -> Result<(), Invalid> {
        let Some(policy) = &config.sla_policy else {
            return Ok(());
        };
        if !config.production && !self.sla_for_non_production {
            let tier = config.tier.as_deref().unwrap_or_default();
            return Err(Invalid(format!(
                "Tier '{tier}' does not support SlaPolicy."
            )));
        }
        let total = i64::from(instances);
        match policy {
            SlaPolicy::Coordinator { .. } => Ok(()),
            SlaPolicy::Count {
                count,
                duration_secs,
            } => {
                self.check_sla_size(instances)?;
                if total.saturating_sub(*count) < 1 {
                    return Err(Invalid(format!(
                        "Current CountSlaPolicy: count={count} leaves no instance that may be \
                         taken down. It must be less than instanceCount={instances}."
                    )));
                }
                self.check_sla_duration("CountSlaPolicy", *duration_secs)
            }
            SlaPolicy::Percentage {
                milli_percent,
                duration_secs,
            } => {
                self.check_sla_size(instances)?;
                // In thousandths of a percent of an instance.
                let stay_up = total.saturating_mul(*milli_percent);
                if (total * 100_000).saturating_sub(stay_up) < 100_000 {
                    let percentage = *milli_percent as f64 / 1000.0;
                    return Err(Invalid(format!(
                        "Current PercentageSlaPolicy: percentage={percentage:?} leaves no \
                         instance of instanceCount={instances} that may be taken down."
                    )));
                }
                self.check_sla_duration("PercentageSlaPolicy", *duration_secs)
            }
        }
    }

    fn check_sla_size(&self, instances: u32) -> Result<(), Invalid> {
        let least = self.sla_min_instances;
        if instances >= least {
            return Ok(());
        }
        Err(Invalid(format!(
            "Job with fewer than {least} instances cannot have Percentage/Count SlaPolicy."
        )))
    }

    fn check_sla_duration(&self, policy: &str, seconds: i64) -> Result<(), Invalid> {
        let most = i64::try_from(self.sla_max_duration.as_secs()).unwrap_or(i64::MAX);
        if seconds <= most {
            return Ok(());
        }
        Err(Invalid(format!(
            "{policy}: durationSecs={seconds} must be at most {most}."
        )))
    }
}
