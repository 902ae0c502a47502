//! Tells which files in a folder of plugins are no plugins: the component of the folder itself, and what plugins share.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use coinslot_base::text::printable;

use crate::cli::build::compile::BuildResult;
use crate::cli::build::plugin_source::{PluginSource, SourceKind, WHAT_IS_BUILT};

/// True for the files and folders of which no plugin is made: hidden ones, and those that begin with `_`, which hold
/// what plugins share.
pub(super) fn is_left_out(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}

/// True for a name that a component has, or the module of a plugin. Not so for those of tests and declarations, such as
/// `shop.test.ts`, which are regular files beside plugins.
pub(super) fn is_plugins_name(path: &Path) -> bool {
    let is_plugins = |extension: &str| matches!(extension, "wasm" | "ts" | "js" | "mjs" | "py" | "c" | "cpp" | "zig");
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(is_plugins)
        && !(path.is_file() && path.file_name().is_some_and(|name| name.to_str().is_some()))
}

/// The reason why a path with the name of a plugin leads to none.
pub(super) fn why_no_plugin(path: &Path) -> String {
    let kind = match std::fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) => return format!("it cannot be read: {error}"),
    };
    if kind.is_file() {
        "its name has other characters than those of UTF-8: rename it".to_owned()
    } else if kind.is_dir() {
        WHAT_IS_BUILT.to_owned()
    } else if kind.is_fifo() {
        "it is a pipe, and a plugin is a file".to_owned()
    } else {
        "it is a device or a socket, and a plugin is a file".to_owned()
    }
}

/// Takes the components that `coinslot build` has made of a project out of what was found in its folder. They are as
/// old as that build, and would hide what is edited since.
pub(super) fn take_outputs(project: &PluginSource, sources: &mut Vec<PluginSource>) -> Vec<PathBuf> {
    let is_output = |source: &mut PluginSource| source.kind == SourceKind::Finished && source.name == project.name;
    sources.extract_if(.., is_output).map(|source| source.path).collect()
}

/// Adds to the message about a module without endpoints where modules are kept that other modules import.
pub(super) fn with_place_of_helpers(source: &PluginSource, result: BuildResult) -> BuildResult {
    match result {
        BuildResult::Failed(why) if source.path.is_file() && why.contains("no endpoint") => {
            let name = printable(&source.path.file_name().unwrap_or_default().to_string_lossy());
            BuildResult::Failed(format!(
                "{why}\nif {name} is for other modules to import, call it _{name}: `coinslot dev` leaves out what begins \
                 with `_`"
            ))
        }
        result => result,
    }
}
