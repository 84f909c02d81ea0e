//! What is written once per record.

use super::config::TaskConfigV1;
use crate::model::{JobKey, TaskConfig};
use crate::storage::stored::StoredError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Texts and descriptions that the ops of a record refer to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PoolV1 {
    pub(super) texts: Vec<String>,
    pub(super) configs: Vec<TaskConfigV1>,
}

/// Collects a pool while a record is written.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) pool: PoolV1,
    texts: BTreeMap<String, u32>,
    configs: BTreeMap<JobKey, Vec<(Arc<TaskConfig>, u32)>>,
}

impl Writer {
    /// The number of a text; zero is none.
    pub(super) fn optional(&mut self, text: Option<&str>) -> u32 {
        text.map_or(0, |text| self.text(text) + 1)
    }

    /// The number of a text.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let number = count(self.pool.texts.len());
        self.pool.texts.push(text.to_owned());
        self.texts.insert(text.to_owned(), number);
        number
    }

    /// The number of a description.
    pub(super) fn config(&mut self, config: &Arc<TaskConfig>) -> u32 {
        let known = self.configs.entry(config.job.clone()).or_default();
        let alike = |(c, _): &&(Arc<TaskConfig>, u32)| Arc::ptr_eq(c, config) || c == config;
        if let Some((_, number)) = known.iter().find(alike) {
            return *number;
        }
        let number = count(self.pool.configs.len());
        self.pool.configs.push(TaskConfigV1::of(config));
        known.push((Arc::clone(config), number));
        number
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("a record holds fewer parts than it may hold bytes")
}

/// Looks a pool up while a record is read.
pub(super) struct Reader {
    texts: Vec<Arc<str>>,
    configs: Vec<Arc<TaskConfig>>,
}

impl Reader {
    pub(super) fn new(pool: PoolV1) -> Result<Self, StoredError> {
        let configs: Result<_, _> = pool
            .configs
            .into_iter()
            .map(|config| config.into_model().map(Arc::new))
            .collect();
        Ok(Self {
            texts: pool.texts.into_iter().map(Into::into).collect(),
            configs: configs?,
        })
    }

    pub(super) fn text(&self, number: u32) -> Result<Arc<str>, StoredError> {
        let text = self.texts.get(number as usize).cloned();
        text.ok_or_else(|| impossible("number of a text", number))
    }

    pub(super) fn optional(&self, number: u32) -> Result<Option<Arc<str>>, StoredError> {
        number.checked_sub(1).map(|n| self.text(n)).transpose()
    }

    pub(super) fn config(&self, number: u32) -> Result<Arc<TaskConfig>, StoredError> {
        let config = self.configs.get(number as usize).cloned();
        config.ok_or_else(|| impossible("number of a description", number))
    }
}

pub(super) fn impossible(what: &'static str, value: impl ToString) -> StoredError {
    StoredError::Value {
        what,
        value: value.to_string(),
    }
}
