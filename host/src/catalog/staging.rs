//! Loads changed components concurrently: a slow compilation delays no other file.
//!
//! # A queue beside the scan
//!
//! A compilation may take a minute, and the folder goes on changing. So each file has at most one task, and a scan only
//! begins tasks and takes results; it waits for none. File events never lead to a task by themselves: they only start
//! the next scan early, and the scan compares the folder with what is known of it. An event that is lost, doubled or
//! late therefore changes when a file is looked at, and never what is concluded from it.
//!
//! A file that changes again takes its task's place with a new one. The old task is aborted, but its result may be on
//! its way: `wanted` names the tasks whose results still count, by their ids.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use coinslot_plugin::{PluginPolicies, Runtime};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::history::History;
use super::install::{Installed, SalesPolicy};

/// Components that are loaded at once, at most. Each of them is in memory whole.
const MAX_TASKS: usize = 8;

/// A component that can become active, or the reason why it cannot.
pub(super) type Staged = Result<Arc<Installed>, String>;

/// The operator's settings by which components are loaded.
#[derive(Clone, Debug)]
pub(super) struct Loader {
    pub(super) runtime: Arc<Runtime>,
    pub(super) policies: Arc<PluginPolicies>,
    pub(super) sales: Arc<SalesPolicy>,
    /// The directory of the history, which keeps the components that were loaded.
    pub(super) history: Option<PathBuf>,
}

impl Loader {
    /// Compiles, describes and prices a component, and keeps its bytes. A component that cannot be kept serves all the
    /// same, with a warning.
    pub(super) async fn load(self, file: String, wasm: Vec<u8>) -> Staged {
        let plugin = self.runtime.load(&wasm, &self.policies).await.map_err(|error| error.to_string())?;
        let installed = Installed::new(file, Arc::new(plugin), &self.sales).map_err(|error| error.to_string())?;
        if let Some(dir) = self.history
            && let Err(error) = History::keep(&dir, installed.plugin.sha256(), &wasm)
        {
            tracing::warn!(%error, dir = %dir.display(), "this component cannot be kept: it cannot be rolled back to");
        }
        Ok(Arc::new(installed))
    }
}

/// The tasks that load components, at most one for each file.
#[derive(Debug, Default)]
pub(super) struct Staging {
    tasks: JoinSet<Staged>,
    /// The task of each file whose result is still wanted.
    wanted: HashMap<String, AbortHandle>,
    /// A result that [`Staging::wait`] received and that was not taken yet.
    done: Option<Result<(Id, Staged), JoinError>>,
}

impl Staging {
    /// Returns whether a task for another file can begin.
    pub(super) fn has_room(&self) -> bool {
        self.wanted.len() < MAX_TASKS
    }

    /// Returns whether a task for this file can begin. One that replaces the file's own task always can.
    pub(super) fn has_room_for(&self, file: &str) -> bool {
        self.has_room() || self.wanted.contains_key(file)
    }

    /// Returns whether the file has a task whose result was not taken yet.
    pub(super) fn contains(&self, file: &str) -> bool {
        self.wanted.contains_key(file)
    }

    /// Returns whether all wanted results were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Begins a task for a file, in the place of the one that the file had.
    pub(super) fn begin(&mut self, file: &str, work: impl Future<Output = Staged> + Send + 'static) {
        self.cancel(file);
        self.wanted.insert(file.to_owned(), self.tasks.spawn(work));
    }

    /// Stops the task of a file, if it has one. Its result is not wanted.
    pub(super) fn cancel(&mut self, file: &str) {
        if let Some(task) = self.wanted.remove(file) {
            task.abort();
        }
    }

    /// Waits until a task ends, whose result can then be taken; forever if there is no task. Cancel safe.
    pub(super) async fn wait(&mut self) {
        // Kept in `self.done` and not returned, so that a caller that is cancelled loses no result.
        if self.done.is_none() {
            self.done = self.tasks.join_next_with_id().await;
        }
        if self.done.is_none() {
            std::future::pending().await
        }
    }

    /// Takes the result of a task that has ended, with its file.
    pub(super) fn take(&mut self) -> Option<(String, Staged)> {
        loop {
            let (id, staged) = match self.done.take().or_else(|| self.tasks.try_join_next_with_id())? {
                Ok(done) => done,
                Err(error) => (error.id(), Err("the loader failed on it: report this component".to_owned())),
            };
            // The results of cancelled tasks are dropped here.
            let file = self.wanted.iter().find(|(_, task)| task.id() == id).map(|(file, _)| file.clone());
            if let Some(file) = file {
                self.wanted.remove(&file);
                return Some((file, staged));
            }
        }
    }
}
