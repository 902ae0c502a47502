//! Tells what a folder or a file is built with.

use std::path::{Path, PathBuf};

use coinslot_build::{javascript, python};

/// The sources that [`PluginSource::at`] takes, for messages.
pub(in crate::cli) const WHAT_IS_BUILT: &str = "a plugin is a folder with a Cargo.toml, a plugin.ts, a plugin.js, an \
                                                app.py or a build.sh, or a .ts, .js, .py or .wasm file";

/// The source of one plugin.
#[derive(Clone, Debug)]
pub(in crate::cli) struct PluginSource {
    /// The name of the folder or file, without its extension.
    pub(in crate::cli) name: String,
    /// The folder or the file.
    pub(in crate::cli) path: PathBuf,
    pub(in crate::cli) kind: SourceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum SourceKind {
    /// A folder with a Cargo.toml.
    Cargo,
    /// A folder with a build.sh.
    Script,
    /// A TypeScript or JavaScript module, in a folder of its own as `plugin.ts`, or beside others.
    JavaScript,
    /// A Python module, in a folder of its own as `app.py`, or beside others.
    Python,
    /// A component.
    Finished,
}

impl PluginSource {
    /// The plugin at a path, if there is one. What a folder says of itself comes before the modules in it.
    pub(in crate::cli) fn at(path: &Path) -> Option<Self> {
        let name = path.file_stem()?.to_str()?.to_owned();
        let has = |name: &str| path.join(name).is_file();
        let kind = if has("Cargo.toml") {
            SourceKind::Cargo
        } else if has("build.sh") {
            SourceKind::Script
        } else if javascript::module_at(path).is_some() {
            SourceKind::JavaScript
        } else if python::module_at(path).is_some() {
            SourceKind::Python
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
            SourceKind::Finished
        } else {
            return None;
        };
        Some(Self { name, path: path.to_owned(), kind })
    }

    /// The folder of the sources.
    pub(in crate::cli) fn folder(&self) -> &Path {
        if self.path.is_dir() { &self.path } else { self.path.parent().unwrap_or(Path::new(".")) }
    }
}
