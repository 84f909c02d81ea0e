//! What the loop shows of itself and of the engine.

use super::{Loop, VIEW_INTERVAL, VIEW_SHARE};
use crate::base::clock;
use crate::scheduler::handle::Lifecycle;
use crate::scheduler::port::LogPort;
use std::sync::Arc;

impl<L: LogPort> Loop<L> {
    /// Publishes the view; while another one leads, also the tables, as far as they have been followed.
    ///
    /// To let go of the tables that were shown before may take long, and with it how long it is until they
    /// are shown again.
    pub(super) fn show(&mut self) {
        let began = clock::now();
        self.show_view();
        if let Some(tables) = self.engine.followed() {
            self.handle.publish_tables(Arc::new(tables.clone()));
        }
        self.shown = clock::now();
        self.view_pause = VIEW_INTERVAL.max(self.shown.since(began) * VIEW_SHARE);
        self.stale = false;
    }

    /// Publishes the view alone. What clients are let in by is in it: who leads, and whether it serves.
    pub(super) fn show_view(&mut self) {
        self.urgent = false;
        let mut view = self.engine.view();
        view.lifecycle = self.lifecycle;
        view.replica = self.replica;
        view.leader = match self.term {
            Some(_) => Some(self.options.address.clone()),
            None => self.elsewhere.as_ref().map(|leader| leader.http.clone()),
        };
        let waiting = i64::try_from(self.inputs.driver.len()).unwrap_or(i64::MAX);
        view.counters
            .insert("status_updates_queue_size".into(), waiting);
        self.show_sums();
        for state in Lifecycle::ALL {
            let name = format!("scheduler_lifecycle_{state}");
            view.counters
                .insert(name, i64::from(state == self.lifecycle));
        }
        let registered = i64::from(self.lifecycle == Lifecycle::Active);
        view.counters
            .insert("framework_registered".into(), registered);
        if view.held.len() != self.held {
            self.held = view.held.len();
            log::warn!(
                "{} tasks run that this log, in which there is no job, does not know. They are left alone: \
                 restore a backup by aurora_admin scheduler_restore, or let them end by aurora_admin \
                 reconcile_tasks --type=implicit",
                self.held
            );
        }
        self.handle.publish_view(view);
    }
}
