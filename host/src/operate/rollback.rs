//! Puts the component that a file of the plugin folder held before into the folder again, and waits for the host to
//! take it: for the command and for the dashboard.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::catalog::{HistoryEntry, HistoryFile, KeptBuild, put_component};
use crate::config::Config;

/// The longest wait of a rollback for a running host to make the build active.
const TIMEOUT: Duration = Duration::from_secs(6);

/// A build that is in the folder again.
#[derive(Clone, Debug)]
pub(crate) struct RolledBack {
    pub(crate) file: String,
    pub(crate) build: KeptBuild,
    /// False if no running host has taken it yet.
    pub(crate) is_active: bool,
    /// The build failed again and again before, and was rolled back.
    pub(crate) has_failed: bool,
}

/// The reason why nothing was rolled back. The folder is as it was before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RollbackError {
    #[error("no plugin is called {name}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("{}: {source}", .path.display())]
    History { path: PathBuf, source: io::Error },
    #[error("{file}: there is no previous build to go back to{instead}")]
    NoBuild { file: String, instead: String },
    #[error("{file} is left as it is: the host would refuse plugin.{plugin}: {misfit}")]
    Pinned { file: String, plugin: String, misfit: String },
    #[error("{file} is a link, which is not replaced: change what it leads to")]
    Link { file: String },
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{file}: the running host refuses {plugin} {version}: {reason}; the file is as it was before")]
    Refused { file: String, plugin: String, version: String, reason: String },
}

/// A rollback that nothing speaks against.
#[derive(Clone, Debug)]
pub(crate) struct RollbackPlan {
    pub(crate) file: String,
    /// The build that the file is to hold again.
    pub(crate) build: KeptBuild,
    entry: HistoryEntry,
}

impl RollbackPlan {
    /// True if the build failed again and again before, and was rolled back.
    pub(crate) fn has_failed(&self) -> bool {
        self.entry.is_abandoned(&self.build)
    }

    /// The end of a rollback that is only tried out.
    pub(crate) fn rehearsed(self) -> RolledBack {
        let has_failed = self.has_failed();
        RolledBack { file: self.file, build: self.build, is_active: false, has_failed }
    }
}

/// Plans the rollback of a plugin. It is named by its file, with or without `.wasm`, or by its name. Nothing is changed.
pub(crate) fn plan(config: &Config, name: &str) -> Result<RollbackPlan, RollbackError> {
    let dir = config.state.history();
    let history = HistoryFile::read(&dir).map_err(|source| RollbackError::History { path: dir.clone(), source })?;
    let (file, entry) = history.find(name).ok_or_else(|| {
        let known: Vec<&str> = history.files.keys().map(String::as_str).collect();
        RollbackError::Unknown { name: name.to_owned(), known: known.join(", ") }
    })?;
    let (file, entry) = (file.to_owned(), entry.clone());
    let Some(build) = entry.rollback_target().cloned() else {
        return Err(RollbackError::NoBuild { file, instead: instead(&entry) });
    };
    if let Some(own) = config.plugins.by_name.get(&build.plugin)
        && let Err(misfit) = own.pins.check_component(&file, &build.sha256)
    {
        return Err(RollbackError::Pinned { file, plugin: build.plugin, misfit: misfit.to_string() });
    }
    if config.plugins.folder.join(&file).is_symlink() {
        return Err(RollbackError::Link { file });
    }
    Ok(RollbackPlan { file, build, entry })
}

/// Rolls a plugin back.
pub(crate) async fn roll_back(config: &Config, plan: RollbackPlan) -> Result<RolledBack, RollbackError> {
    let has_failed = plan.has_failed();
    let RollbackPlan { file, build, entry } = plan;
    let (dir, target) = (config.state.history(), config.plugins.folder.join(&file));
    let present = present(&target)?;
    build.restore(&dir, &target)?;
    let is_active = match taken(&dir, &file, &build, &entry).await {
        Taken::Active => true,
        Taken::Refused(reason) => {
            match &present {
                Some(bytes) => put_component(bytes, &target)?,
                None => std::fs::remove_file(&target)?,
            }
            let KeptBuild { plugin, version, .. } = build;
            return Err(RollbackError::Refused { file, plugin, version, reason });
        }
        Taken::NotYet => false,
    };
    Ok(RolledBack { file, build, is_active, has_failed })
}

/// The remedy for a file that has no build to go back to, behind the words that say so.
fn instead(entry: &HistoryEntry) -> String {
    if let Some((build, reason)) = entry.refused_configuration() {
        return format!(
            ". {} {} serves with its former `config`, because it cannot use the present one: {reason}. Mend \
             [plugin.{}.config]: a running host reads it again",
            build.plugin, build.version, build.plugin
        );
    }
    match &entry.failure {
        Some(reason) => format!(". The file is not loaded: {reason}"),
        None => String::new(),
    }
}

/// The bytes of a file of the plugin folder. None if there is no such file.
fn present(target: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(target) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", target.display()))),
    }
}

/// The end of a build that was put back into the folder.
enum Taken {
    Active,
    /// The running host refuses it, for this reason.
    Refused(String),
    /// No host has looked at it in time.
    NotYet,
}

/// Waits until a running host has made this component active or refused it. `before` is the entry of the file from
/// before the component was put there.
async fn taken(dir: &Path, file: &str, wanted: &KeptBuild, before: &HistoryEntry) -> Taken {
    let until = Instant::now() + TIMEOUT;
    while Instant::now() < until {
        let history = HistoryFile::read(dir).unwrap_or_default();
        if let Some(entry) = history.files.get(file) {
            if entry.failure.is_none() && entry.serving().is_some_and(|build| build.sha256 == wanted.sha256) {
                return Taken::Active;
            }
            if let Some(reason) = entry.refusal_since(before, wanted) {
                return Taken::Refused(reason.to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Taken::NotYet
}
