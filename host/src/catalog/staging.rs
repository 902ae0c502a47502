//! Components on their way into force, beside each other: a slow one keeps no other waiting.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::Installed;

/// Components at once: each is in memory whole.
const PLACES: usize = 8;

/// A component that could be served, or why it cannot.
pub(super) type Staged = Result<Arc<Installed>, String>;

/// At most one task for each file.
#[derive(Debug, Default)]
pub(super) struct Stage {
    tasks: JoinSet<Staged>,
    /// Of the tasks whose outcome is still wanted, by file.
    wanted: HashMap<String, AbortHandle>,
    /// Waited for, and not yet taken.
    done: Option<Result<(Id, Staged), JoinError>>,
}

impl Stage {
    /// Whether there is room for another file.
    pub(super) fn has_room(&self) -> bool {
        self.wanted.len() < PLACES
    }

    /// Whether this file can be begun with.
    pub(super) fn takes(&self, file: &str) -> bool {
        self.has_room() || self.wanted.contains_key(file)
    }

    /// Whether this file is at work, or done and not taken.
    pub(super) fn has(&self, file: &str) -> bool {
        self.wanted.contains_key(file)
    }

    /// Whether nothing is at work, and nothing done is left to take.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Begins with a file, in place of what was begun for it before.
    pub(super) fn begin(&mut self, file: &str, work: impl Future<Output = Staged> + Send + 'static) {
        self.forget(file);
        self.wanted.insert(file.to_owned(), self.tasks.spawn(work));
    }

    /// Stops what was begun for a file.
    pub(super) fn forget(&mut self, file: &str) {
        if let Some(task) = self.wanted.remove(file) {
            task.abort();
        }
    }

    /// Waits until something is done, which is then there to take; for ever if nothing is at work.
    pub(super) async fn wait(&mut self) {
        if self.done.is_none() {
            self.done = self.tasks.join_next_with_id().await;
        }
        if self.done.is_none() {
            std::future::pending().await
        }
    }

    /// Something that is done, with its file.
    pub(super) fn take(&mut self) -> Option<(String, Staged)> {
        loop {
            let (id, staged) = match self.done.take().or_else(|| self.tasks.try_join_next_with_id())? {
                Ok(done) => done,
                Err(error) => (error.id(), Err("the loader failed on it: report this component".to_owned())),
            };
            let file = self.wanted.iter().find(|(_, task)| task.id() == id).map(|(file, _)| file.clone());
            if let Some(file) = file {
                self.wanted.remove(&file);
                return Some((file, staged));
            }
        }
    }
}
