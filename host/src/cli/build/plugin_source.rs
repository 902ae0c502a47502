//! Finds the source of a plugin in a folder or a file, and tells its kind.

use std::fmt::Display;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use coinslot_base::file::open_regular;
use coinslot_base::text::printable;
use coinslot_build::component::WasmKind;
use coinslot_build::{c, javascript, python};

use crate::cli::Failure;

/// The sources that [`PluginSource::at`] takes, for messages.
pub(in crate::cli) const WHAT_IS_BUILT: &str = "a plugin is a folder with a Cargo.toml, a plugin.ts, a plugin.js, an \
                                                app.py, a plugin.c, a plugin.cpp, a plugin.zig or a build.sh, or a \
                                                .ts, .js, .py, .c, .cpp, .zig or .wasm file";

/// The most plugins of a folder that a message names.
const MOST_NAMED: usize = 5;

/// The source of one plugin.
#[derive(Clone, Debug)]
pub(in crate::cli) struct PluginSource {
    /// The name of the folder, or of the file without its extension.
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
    /// A source in C, C++ or Zig, in a folder of its own as `plugin.c`, or beside others.
    C,
    /// A core module, which becomes a component.
    Module,
    /// A component.
    Finished,
}

impl PluginSource {
    /// The plugin at a path that the user has named as `shown`, or a message that says what could be named.
    pub(in crate::cli) fn named(path: &Path, shown: impl Display) -> Result<Self, Failure> {
        Self::at(path).ok_or_else(|| {
            let mut modules: Vec<String> = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(Self::at(&entry.ok()?.path())?.path.file_name()?.to_str()?.to_owned()))
                .filter(|name| !name.starts_with(['.', '_']))
                .collect();
            modules.sort();
            let more = modules.len().saturating_sub(MOST_NAMED);
            modules.truncate(MOST_NAMED);
            let others = if more > 0 { format!(" and {more} more") } else { String::new() };
            let advice = match modules.is_empty() {
                true => WHAT_IS_BUILT.to_owned(),
                false => format!("name one of the plugins in it: {}{others}", printable(&modules.join(", "))),
            };
            Failure::usage(format!("there is no plugin at `{shown}`: {advice}"))
        })
    }

    /// The plugin at a path, if there is one. What a folder says of itself comes before the modules in it.
    pub(in crate::cli) fn at(path: &Path) -> Option<Self> {
        // A folder's name has no extension: `shop.v2` is all of it.
        let mut name = if path.is_dir() { path.file_name()? } else { path.file_stem()? }.to_str()?.to_owned();
        let has = |name: &str| path.join(name).is_file();
        let kind = if has("Cargo.toml") {
            SourceKind::Cargo
        } else if has("build.sh") {
            SourceKind::Script
        } else if javascript::module_at(path).is_some() {
            SourceKind::JavaScript
        } else if python::module_at(path).is_some() {
            SourceKind::Python
        } else if c::source_at(path).is_some() {
            SourceKind::C
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
            wasm_kind(path)
        } else {
            return None;
        };
        // `shop.component.wasm` is what `coinslot build shop.wasm` makes.
        if let (SourceKind::Finished, Some(module)) = (kind, name.strip_suffix(COMPONENT)) {
            name = module.to_owned();
        }
        Some(Self { name, path: path.to_owned(), kind })
    }

    /// The folder of the sources.
    pub(in crate::cli) fn folder(&self) -> &Path {
        if self.path.is_dir() { &self.path } else { self.path.parent().unwrap_or(Path::new(".")) }
    }
}

/// The end of the name of a component that was made of a core module beside it.
pub(in crate::cli) const COMPONENT: &str = ".component";

/// A file that is no WebAssembly counts as a component, so that it is not left out silently.
fn wasm_kind(path: &Path) -> SourceKind {
    let mut head = [0; 8];
    let read = open_regular(path).and_then(|mut file| file.read_exact(&mut head));
    match read.ok().and_then(|()| WasmKind::of(&head)) {
        Some(WasmKind::Module) => SourceKind::Module,
        Some(WasmKind::Component) | None => SourceKind::Finished,
    }
}
