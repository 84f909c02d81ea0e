//! Deliberate mistakes, by name, for one special build of the simulator.
//!
//! The simulator must find each of them: that is how it is known to look where it matters. Every
//! other build has none, and the compiler removes what asks for them.

/// Whether the mistake `name` is being made.
#[cfg(not(feature = "mistakes"))]
#[inline(always)]
pub const fn is_on(_name: &str) -> bool {
    false
}

#[cfg(feature = "mistakes")]
pub use switched::{is_on, names_asked, set};

#[cfg(feature = "mistakes")]
mod switched {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    thread_local! {
        static ON: Cell<Option<&'static str>> = const { Cell::new(None) };
        static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// Makes one mistake on this thread from here on, or none.
    pub fn set(name: Option<&'static str>) {
        ON.set(name);
    }

    /// Whether the mistake `name` is being made.
    pub fn is_on(name: &str) -> bool {
        if ON.get().is_none() {
            ASKED.with_borrow_mut(|asked| {
                if !asked.contains(name) {
                    asked.insert(name.to_owned());
                }
            });
        }
        ON.get() == Some(name)
    }

    /// Every mistake that was asked for on this thread while none was made.
    pub fn names_asked() -> Vec<String> {
        ASKED.with_borrow(|asked| asked.iter().cloned().collect())
    }
}
