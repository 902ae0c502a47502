//! Keeps which plugins are paused, by name: a pause outlives the builds of a plugin, and may come before the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

/// The plugins that are paused: they are asked for nothing until they are resumed. What they are at work for when they
/// are paused, they end.
#[derive(Debug, Default)]
pub struct PausedPlugins {
    by_name: Mutex<BTreeMap<Arc<str>, PauseFlag>>,
}

/// Tells whether one plugin is paused. Its builds share it, so that a call reads one flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct PauseFlag(Arc<AtomicBool>);

impl PauseFlag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl PausedPlugins {
    /// The plugins of these names are paused.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let paused = Self::default();
        names.into_iter().for_each(|name| {
            paused.set(name, true);
        });
        paused
    }

    /// Pauses or resumes a plugin. Returns whether that changes anything.
    pub fn set(&self, name: &str, is_paused: bool) -> bool {
        self.flag(name).0.swap(is_paused, Relaxed) != is_paused
    }

    /// The names of those that are paused, in order.
    pub fn names(&self) -> Vec<String> {
        let by_name = self.by_name.lock();
        by_name.iter().filter(|(_, flag)| flag.is_set()).map(|(name, _)| name.to_string()).collect()
    }

    /// The flag of a plugin. One is kept for each name that a plugin of this process ever had.
    pub(crate) fn flag(&self, name: &str) -> PauseFlag {
        let mut by_name = self.by_name.lock();
        if let Some(flag) = by_name.get(name) {
            return flag.clone();
        }
        let flag = PauseFlag::default();
        by_name.insert(name.into(), flag.clone());
        flag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_comes_before_the_plugin_and_ends_once() {
        let paused = PausedPlugins::new(["echo"]);
        let flag = paused.flag("echo");
        assert!(flag.is_set() && !paused.flag("other").is_set());
        assert_eq!((paused.set("echo", true), paused.names()), (false, vec!["echo".to_owned()]));
        assert_eq!((paused.set("echo", false), paused.set("echo", false)), (true, false));
        assert!(!flag.is_set() && paused.names().is_empty());
    }
}
