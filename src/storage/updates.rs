//! Job updates as they are stored: what was asked for, and all that happened since.

use super::op::ApplyError;
use crate::base::clock::Timestamp;
use crate::model::{
    InstanceId, InstanceUpdateEvent, JobKey, JobUpdate, UpdateAction, UpdateEvent, UpdateKey,
    UpdateStatus,
};
use imbl::{OrdMap, Vector};
use std::ops::Bound;
use std::sync::Arc;

/// One change of the stored updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateOp {
    /// The state of an update changes.
    Event {
        /// The update.
        key: UpdateKey,
        /// The event; its state becomes the update's.
        event: UpdateEvent,
    },
    /// Something happened to instances.
    InstanceEvents {
        /// The update.
        key: UpdateKey,
        /// What, in order.
        events: Vec<InstanceUpdateEvent>,
    },
    /// Forgets an update.
    Remove {
        /// The update.
        key: UpdateKey,
    },
    /// A new update.
    Start {
        /// The update.
        update: Arc<JobUpdate>,
        /// Its first event; its state is the update's.
        event: UpdateEvent,
    },
}

/// An update and its past. A clone is cheap: events are shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRecord {
    update: Arc<JobUpdate>,
    /// Never empty.
    events: Vector<UpdateEvent>,
    instance_events: Vector<InstanceUpdateEvent>,
    /// What was said of each instance, a bit per action.
    said: OrdMap<InstanceId, u8>,
    status: UpdateStatus,
    created: Timestamp,
    modified: Timestamp,
}

impl UpdateRecord {
    fn new(update: &Arc<JobUpdate>, event: &UpdateEvent) -> Self {
        Self {
            update: Arc::clone(update),
            events: Vector::unit(event.clone()),
            instance_events: Vector::new(),
            said: OrdMap::new(),
            status: event.status,
            created: event.at,
            modified: event.at,
        }
    }

    /// What was asked for.
    pub fn update(&self) -> &Arc<JobUpdate> {
        &self.update
    }

    /// Its name.
    pub fn key(&self) -> &UpdateKey {
        &self.update.key
    }

    /// Its state.
    pub fn status(&self) -> UpdateStatus {
        self.status
    }

    /// When it was started.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When something was last said of it.
    pub fn modified(&self) -> Timestamp {
        self.modified
    }

    /// The changes of its state, oldest first. Never empty.
    pub fn events(&self) -> &Vector<UpdateEvent> {
        &self.events
    }

    /// What happened to instances, oldest first.
    pub fn instance_events(&self) -> &Vector<InstanceUpdateEvent> {
        &self.instance_events
    }

    /// Whether this was said of an instance.
    pub fn has_said(&self, instance: InstanceId, action: UpdateAction) -> bool {
        let said = self.said.get(&instance).copied().unwrap_or(0);
        said & bit(action) != 0
    }

    /// Whether anything was said of an instance.
    pub fn knows(&self, instance: InstanceId) -> bool {
        self.said.contains_key(&instance)
    }

    /// What happened to instances since the update's state last changed, latest first.
    pub fn instance_events_since_change(&self) -> impl Iterator<Item = &InstanceUpdateEvent> {
        let since = self.events.last().map(|event| event.at).unwrap_or_default();
        let latest_first = self.instance_events.iter().rev();
        latest_first.take_while(move |event| event.at >= since)
    }

    fn push(&mut self, event: &UpdateEvent) {
        self.status = event.status;
        self.modified = self.modified.max(event.at);
        self.events.push_back(event.clone());
    }

    fn push_instances(&mut self, events: &[InstanceUpdateEvent]) {
        for event in events {
            *self.said.entry(event.instance).or_default() |= bit(event.action);
            self.modified = self.modified.max(event.at);
            self.instance_events.push_back(event.clone());
        }
    }
}

fn bit(action: UpdateAction) -> u8 {
    1 << (action as u8)
}

/// All updates that are kept. A clone is cheap and does not change.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    all: OrdMap<UpdateKey, Arc<UpdateRecord>>,
    active: OrdMap<JobKey, UpdateKey>,
}

impl Updates {
    /// The update of this name.
    pub fn get(&self, key: &UpdateKey) -> Option<&Arc<UpdateRecord>> {
        self.all.get(key)
    }

    /// All of them, those of one job together.
    pub fn all(&self) -> impl Iterator<Item = &Arc<UpdateRecord>> {
        self.all.values()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The updates of a job, in the order of their ids.
    pub fn of_job<'a>(&'a self, job: &'a JobKey) -> impl Iterator<Item = &'a Arc<UpdateRecord>> {
        let first = UpdateKey {
            job: job.clone(),
            id: "".into(),
        };
        let from = self.all.range(first..).map(|(_, record)| record);
        from.take_while(move |record| record.key().job == *job)
    }

    /// The updates behind this one; all of them without one.
    pub fn after(&self, key: Option<&UpdateKey>) -> impl Iterator<Item = &Arc<UpdateRecord>> {
        let from = key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        self.all
            .range((from, Bound::Unbounded))
            .map(|(_, record)| record)
    }

    /// The update that is changing a job, or would if it were let.
    pub fn active_of(&self, job: &JobKey) -> Option<&Arc<UpdateRecord>> {
        self.all.get(self.active.get(job)?)
    }

    /// The updates that have not ended, by job.
    pub fn active(&self) -> impl Iterator<Item = &Arc<UpdateRecord>> {
        self.active.values().filter_map(|key| self.all.get(key))
    }

    pub(super) fn apply(&mut self, op: &UpdateOp) -> Result<(), ApplyError> {
        match op {
            UpdateOp::Start { update, event } => {
                if self.all.contains_key(&update.key) {
                    return Err(ApplyError::UpdateExists(update.key.clone()));
                }
                let record = Arc::new(UpdateRecord::new(update, event));
                self.index(&record);
                self.all.insert(update.key.clone(), record);
            }
            UpdateOp::Event { key, event } => {
                self.known(key)?.push(event);
                if let Some(record) = self.all.get(key).cloned() {
                    self.index(&record);
                }
            }
            UpdateOp::InstanceEvents { key, events } => self.known(key)?.push_instances(events),
            UpdateOp::Remove { key } => {
                self.known(key)?;
                self.all.remove(key);
                if self.active.get(&key.job) == Some(key) {
                    self.active.remove(&key.job);
                }
            }
        }
        Ok(())
    }

    fn known(&mut self, key: &UpdateKey) -> Result<&mut UpdateRecord, ApplyError> {
        let record = self.all.get_mut(key);
        record
            .map(Arc::make_mut)
            .ok_or_else(|| ApplyError::UnknownUpdate(key.clone()))
    }

    fn index(&mut self, record: &UpdateRecord) {
        let key = record.key();
        if record.status.is_active() {
            self.active.insert(key.job.clone(), key.clone());
        } else if self.active.get(&key.job) == Some(key) {
            self.active.remove(&key.job);
        }
    }
}

/// How many events a portion of a snapshot holds, roughly.
const PORTION: usize = 5_000;

/// What the rest of an update counts as in a portion.
const START: usize = 10;

/// Goes through all updates, a portion at a time.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The last update that is done.
    after: Option<UpdateKey>,
    /// How much of the next one is done.
    events: usize,
    instance_events: usize,
}

impl Cursor {
    /// Adds what makes the next portion; whether it was the last.
    pub(super) fn portion(&mut self, updates: &Updates, ops: &mut Vec<UpdateOp>) -> bool {
        let mut room = PORTION;
        loop {
            let Some(record) = updates.after(self.after.as_ref()).next() else {
                return true;
            };
            if room == 0 {
                return false;
            }
            if self.take(record, &mut room, ops) {
                self.after = Some(record.key().clone());
                (self.events, self.instance_events) = (0, 0);
            }
        }
    }

    /// Takes of one update what there is room for; whether that was all.
    fn take(&mut self, record: &UpdateRecord, room: &mut usize, ops: &mut Vec<UpdateOp>) -> bool {
        let key = || record.key().clone();
        let mut events = record.events.iter().skip(self.events);
        if self.events == 0
            && let Some(event) = events.next().cloned()
        {
            let update = Arc::clone(&record.update);
            ops.push(UpdateOp::Start { update, event });
            self.events = 1;
            *room = room.saturating_sub(START);
        }
        for event in events.take(*room).cloned() {
            ops.push(UpdateOp::Event { key: key(), event });
            self.events += 1;
            *room -= 1;
        }
        let events = record.instance_events.iter().skip(self.instance_events);
        let events: Vec<_> = events.take(*room).cloned().collect();
        if !events.is_empty() {
            self.instance_events += events.len();
            *room -= events.len();
            ops.push(UpdateOp::InstanceEvents { key: key(), events });
        }
        self.events == record.events.len() && self.instance_events == record.instance_events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{UpdateSettings, UpdateStrategy};

    fn update(id: &str) -> Arc<JobUpdate> {
        Arc::new(JobUpdate {
            key: UpdateKey {
                job: JobKey::new("r", "e", "j").unwrap(),
                id: id.into(),
            },
            user: "u".into(),
            metadata: Default::default(),
            initial: Vec::new(),
            desired: None,
            settings: UpdateSettings {
                strategy: UpdateStrategy::Queue { group_size: 1 },
                max_per_instance_failures: 0,
                max_failed_instances: 0,
                min_wait_in_running_ms: 0,
                rollback_on_failure: true,
                only: Vec::new(),
                block_if_no_pulses_after_ms: 0,
                sla_aware: false,
                group_size: 1,
                wait_for_batch_completion: false,
            },
        })
    }

    fn event(status: UpdateStatus, at: i64) -> UpdateEvent {
        UpdateEvent {
            at: Timestamp(at),
            status,
            user: None,
            message: None,
        }
    }

    fn instance_events(count: u32) -> Vec<InstanceUpdateEvent> {
        let event = |instance| InstanceUpdateEvent {
            instance,
            at: Timestamp(i64::from(instance)),
            action: UpdateAction::Updating,
            message: None,
        };
        (0..count).map(event).collect()
    }

    #[test]
    fn portions_make_the_same_updates_again() {
        let mut updates = Updates::default();
        for (id, count) in [("a", 3), ("b", 12_000), ("c", 0), ("d", 4_999)] {
            let update = update(id);
            let key = update.key.clone();
            let start = UpdateOp::Start {
                update,
                event: event(UpdateStatus::RollingForward, 1),
            };
            let events = instance_events(count);
            let end = UpdateOp::Event {
                key: key.clone(),
                event: event(UpdateStatus::RolledForward, 20_000),
            };
            let more = UpdateOp::InstanceEvents { key, events };
            for op in [start, more, end] {
                updates.apply(&op).unwrap();
            }
        }
        let (mut cursor, mut again, mut portions) = (Cursor::default(), Updates::default(), 0);
        loop {
            let mut ops = Vec::new();
            let last = cursor.portion(&updates, &mut ops);
            ops.iter().for_each(|op| again.apply(op).unwrap());
            portions += 1;
            if last {
                break;
            }
        }
        assert_eq!(portions, 4);
        assert!(updates.all().eq(again.all()));
    }

    #[test]
    fn a_job_has_one_active_update_and_what_was_said_is_known() {
        let mut updates = Updates::default();
        let (old, new) = (update("a"), update("b"));
        let start = |update: &Arc<JobUpdate>| UpdateOp::Start {
            update: Arc::clone(update),
            event: event(UpdateStatus::RollingForward, 1),
        };
        updates.apply(&start(&old)).unwrap();
        assert!(updates.apply(&start(&old)).is_err());
        let key = old.key.clone();
        let aborted = event(UpdateStatus::Aborted, 2);
        let abort = UpdateOp::Event {
            key: key.clone(),
            event: aborted,
        };
        updates.apply(&abort).unwrap();
        assert!(updates.active_of(&key.job).is_none());
        updates.apply(&start(&new)).unwrap();
        let events = instance_events(2);
        let key = new.key.clone();
        updates
            .apply(&UpdateOp::InstanceEvents { key, events })
            .unwrap();
        let record = Arc::clone(updates.active_of(&key_of(&new).job).unwrap());
        assert!(record.has_said(1, UpdateAction::Updating) && !record.knows(2));
        assert!(!record.has_said(1, UpdateAction::Updated));
        assert_eq!(record.instance_events_since_change().count(), 1);
        updates
            .apply(&UpdateOp::Remove {
                key: key_of(&new).clone(),
            })
            .unwrap();
        assert_eq!(updates.of_job(&old.key.job).count(), 1);
        assert!(updates.active().next().is_none());
        // Who holds a record keeps it.
        assert_eq!(record.instance_events().len(), 2);
    }

    fn key_of(update: &JobUpdate) -> &UpdateKey {
        &update.key
    }
}
