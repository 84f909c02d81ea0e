//! Quotas.

use super::command::Given;
use super::{Admin, Ran, fail};
use crate::client::exit::CommandError;
use crate::client::scheduler::Repeat;
use crate::thrift::api::{Resource, ResourceAggregate, ResponseResult};
use crate::thrift::service::{GetQuota, Request, SetQuota};

/// Processor time in cores, memory and disk in MB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Amounts {
    cpu: f64,
    ram_mb: i64,
    disk_mb: i64,
}

impl Amounts {
    fn given(given: &Given) -> Result<Self, CommandError> {
        let cpu: f64 = given.word(2).parse().unwrap_or(f64::NAN);
        if !cpu.is_finite() {
            let text = given.word(2);
            return Err(fail(format!("{text}: expected a number of cores")));
        }
        Ok(Self {
            cpu,
            ram_mb: megabytes(given.word(3))?,
            disk_mb: megabytes(given.word(4))?,
        })
    }
}

/// An amount of data in MB: a number with k, m, g or t, each also with b; in bytes without.
pub(super) fn megabytes(text: &str) -> Result<i64, CommandError> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &lower[digits.len()..];
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return Err(bad_size(text)),
    };
    let number: i64 = digits.parse().map_err(|_| bad_size(text))?;
    let bytes = i128::from(number) << shift;
    i64::try_from(bytes >> 20).map_err(|_| bad_size(text))
}

fn bad_size(text: &str) -> CommandError {
    fail(format!(
        "{text}: expected an amount such as 512MB, 20G or 1TB"
    ))
}

pub(super) fn set(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let amounts = Amounts::given(given)?;
    store(admin, given.word(1), amounts)
}

pub(super) fn increase(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let more = Amounts::given(given)?;
    let role = given.word(1);
    let request = Request::GetQuota(Box::new(GetQuota {
        owner_role: Some(role.to_owned()),
    }));
    let Some(ResponseResult::GetQuotaResult(found)) = admin.call(&request, Repeat::Always)? else {
        return Err(fail("the scheduler's reply holds no quota"));
    };
    let mut sum = more;
    for resource in found.quota.map(|quota| quota.resources).unwrap_or_default() {
        match resource {
            Resource::NumCpus(cores) => sum.cpu += cores,
            Resource::RamMb(mb) => sum.ram_mb = sum.ram_mb.saturating_add(mb),
            Resource::DiskMb(mb) => sum.disk_mb = sum.disk_mb.saturating_add(mb),
            Resource::NamedPort(_) | Resource::NumGpus(_) => {}
        }
    }
    let Amounts {
        cpu,
        ram_mb,
        disk_mb,
    } = sum;
    admin.info(&format!(
        "Setting quota for user:{role} cpu:{cpu:?} ram:{ram_mb} disk:{disk_mb}"
    ));
    store(admin, role, sum)
}

fn store(admin: &mut Admin<'_, '_>, role: &str, amounts: Amounts) -> Ran {
    let request = Request::SetQuota(Box::new(SetQuota {
        owner_role: Some(role.to_owned()),
        quota: Some(ResourceAggregate {
            resources: vec![
                Resource::NumCpus(amounts.cpu),
                Resource::RamMb(amounts.ram_mb),
                Resource::DiskMb(amounts.disk_mb),
            ],
        }),
    }));
    admin.call(&request, Repeat::Always).map(|_| ())
}
