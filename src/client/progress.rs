//! How far a wait has come, for people who watch and for logs.

use super::world::World;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A line on a terminal, gone when this is dropped; elsewhere a line of log for each change.
pub struct Progress {
    bar: Option<ProgressBar>,
    logged: bool,
    last: String,
}

impl Progress {
    /// Nothing to show yet. Without a terminal, changes are logged only if `logged`.
    pub fn new(world: &World<'_>, logged: bool) -> Self {
        let bar = world.settings.interactive.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            logged,
            last: String::new(),
        }
    }

    /// Shows how it stands.
    pub fn show(&mut self, world: &mut World<'_>, text: &str) {
        if text == self.last {
            return;
        }
        text.clone_into(&mut self.last);
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None if self.logged => world.info(text),
            None => world.debug(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
