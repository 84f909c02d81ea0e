//! A line that shows how far a wait has come, for people who watch.

use super::world::World;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A line on the terminal; nothing where nobody watches. It is gone when this is dropped.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// An empty line.
    pub fn new(world: &World<'_>) -> Self {
        Self(world.settings.interactive.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }

    /// Shows how it stands.
    pub fn show(&mut self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
