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
use std::time::{Duration, Instant};

use coinslot_plugin::{LoadError, PluginPolicies, Runtime};
use sha2::{Digest, Sha256};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::history::History;
use super::install::{Installed, SalesPolicy};
use super::install_error::InstallError;
use super::kept_build::KeptBuild;
use super::pins::{expected_name, shown_policies};

/// Components that are loaded at once, at most, those apart that take long. Each of them is in memory whole.
const MAX_TASKS: usize = 8;

/// Components that are loaded at once, at most, together with those that take long.
const MAX_ALL_TASKS: usize = 32;

/// A task of this age takes no other file's place: a slow compilation must not hold up deployments.
const SLOW: Duration = Duration::from_secs(15);

/// A component that can become active, or the reason why it cannot.
pub(super) type Staged = Result<Arc<Installed>, StagingError>;

/// The reason why a component cannot become active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagingError {
    pub(super) reason: String,
    /// The reason lies outside of the file, and may go away by itself.
    pub(super) is_passing: bool,
}

impl StagingError {
    fn of_file(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), is_passing: false }
    }
}

impl From<LoadError> for StagingError {
    fn from(error: LoadError) -> Self {
        let is_passing = matches!(error, LoadError::Unavailable(_));
        Self { reason: error.to_string(), is_passing }
    }
}

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
    ///
    /// `former` is the name of the plugin that this file served before. The component is shown no configuration of a
    /// name whose pins it does not fit.
    pub(super) async fn load(self, file: String, former: Option<String>, wasm: Vec<u8>) -> Staged {
        let expected = expected_name(&file, former.as_deref(), &self.sales.pins);
        let sha256 = hex::encode(Sha256::digest(&wasm));
        let shown = shown_policies(&self.policies, &self.sales.pins, &file, &sha256);
        let loaded = self.runtime.load_expecting(expected, &wasm, &shown).await;
        let plugin = loaded.map_err(|error| self.explain(error, expected, &file, &sha256))?;
        // Its schemas are compiled, which may take a while.
        let sales = Arc::clone(&self.sales);
        let installed = tokio::task::spawn_blocking(move || Installed::new(file, Arc::new(plugin), &sales)).await;
        let installed = installed.map_err(StagingError::of_file)?.map_err(StagingError::of_file)?;
        if let Some(dir) = self.history {
            keep(dir, installed.plugin.sha256().to_owned(), wasm).await;
        }
        Ok(Arc::new(installed))
    }

    /// The reason why a component did not load. One that does not fit the pins of the name that is expected of it was
    /// shown no configuration, so its own reason may only be that.
    fn explain(&self, error: LoadError, expected: Option<&str>, file: &str, sha256: &str) -> StagingError {
        if matches!(error, LoadError::Describe(_))
            && let Some((plugin, pins)) = expected.and_then(|name| self.sales.pins.get_key_value(name))
            && let Err(source) = pins.check_component(file, sha256)
        {
            return StagingError::of_file(InstallError::Pinned { plugin: plugin.clone(), source });
        }
        error.into()
    }

    /// Does what [`Loader::load`] does for a build whose bytes are kept in this directory.
    pub(super) async fn restore(self, file: String, dir: PathBuf, build: KeptBuild) -> Staged {
        let former = build.plugin.clone();
        let bytes = tokio::task::spawn_blocking(move || build.bytes(&dir)).await;
        let bytes = bytes.map_err(StagingError::of_file)?.map_err(StagingError::of_file)?;
        self.load(file, Some(former), bytes).await
    }
}

/// Keeps the bytes of a component, off the threads that serve requests.
async fn keep(dir: PathBuf, sha256: String, wasm: Vec<u8>) {
    let shown = dir.display().to_string();
    let kept = tokio::task::spawn_blocking(move || History::keep(&dir, &sha256, &wasm)).await;
    if let Err(error) = kept.unwrap_or_else(|error| Err(error.into())) {
        tracing::warn!(%error, dir = %shown, "this component cannot be kept: it cannot be rolled back to");
    }
}

/// The tasks that load components, at most one for each file.
#[derive(Debug, Default)]
pub(super) struct Staging {
    tasks: JoinSet<Staged>,
    /// The task of each file whose result is still wanted, and its beginning.
    wanted: HashMap<String, (AbortHandle, Instant)>,
    /// A result that [`Staging::wait`] received and that was not taken yet.
    done: Option<Result<(Id, Staged), JoinError>>,
}

impl Staging {
    /// True if a task for another file can begin.
    pub(super) fn has_room(&self) -> bool {
        let quick = self.wanted.values().filter(|(_, begun)| begun.elapsed() < SLOW).count();
        quick < MAX_TASKS && self.wanted.len() < MAX_ALL_TASKS
    }

    /// True if a task for this file can begin. One that replaces the file's own task always can.
    pub(super) fn has_room_for(&self, file: &str) -> bool {
        self.has_room() || self.wanted.contains_key(file)
    }

    /// True if the file has a task whose result was not taken yet.
    pub(super) fn contains(&self, file: &str) -> bool {
        self.wanted.contains_key(file)
    }

    /// True if all wanted results were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Begins a task for a file, in the place of the one that the file had.
    pub(super) fn begin(&mut self, file: &str, work: impl Future<Output = Staged> + Send + 'static) {
        self.cancel(file);
        self.wanted.insert(file.to_owned(), (self.tasks.spawn(work), Instant::now()));
    }

    /// Stops the task of a file, if it has one. Its result is not wanted.
    pub(super) fn cancel(&mut self, file: &str) {
        if let Some((task, _)) = self.wanted.remove(file) {
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
                Err(error) => {
                    (error.id(), Err(StagingError::of_file("the loader failed on it: report this component")))
                }
            };
            // The results of cancelled tasks are dropped here.
            let file = self.wanted.iter().find(|(_, (task, _))| task.id() == id).map(|(file, _)| file.clone());
            if let Some(file) = file {
                self.wanted.remove(&file);
                return Some((file, staged));
            }
        }
    }
}
