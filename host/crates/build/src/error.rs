//! Says why a plugin is not built.

use std::path::{Path, PathBuf};

/// A plugin that was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The author's sources are wrong. The text has the place, as `plugin.ts:41:9`, the cause, and where it helps the
    /// line itself. It may have several lines.
    #[error("{0}")]
    Source(String),
    /// A tool is not installed. The text says how to get it.
    #[error("{0}")]
    Toolchain(String),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    /// The cache is not this user's alone, or cannot be made. The text says what to do.
    #[error("the cache of coinslot cannot be used: {0} (the variable XDG_CACHE_HOME names the folder of caches)")]
    Cache(std::io::Error),
    /// A tool failed in a way that no source should cause.
    #[error("a tool of the builder failed; please report it: {0}")]
    Engine(String),
}

impl BuildError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}

impl From<wasmtime::Error> for BuildError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}
