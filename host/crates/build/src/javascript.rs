//! Makes a component of a TypeScript or JavaScript module.
//!
//! The engine, QuickJS with the bindings of the contract, is linked when this package is built. A build evaluates the
//! author's module in it once, with the SDK, and takes a snapshot of its memory: what the module made at its top level
//! (routes, schemas, tables) is part of the component, and a request begins with all of it. The same sources give the
//! same bytes: clocks and random numbers are constant while a module is evaluated, and paths are relative.

mod deadline;
mod engine;
mod evaluate;
mod explain;
mod guest_output;
mod modules;
mod package;
mod place;
mod shake;
mod snapshot;
mod source;
mod starlingmonkey;
mod tests_run;
mod typescript;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{BuildError, producers};
use modules::Modules;
pub use tests_run::{run_tests, test_files};

pub use starlingmonkey::build_with_starlingmonkey;

/// The extensions of modules that can be built.
pub const EXTENSIONS: [&str; 6] = ["ts", "mts", "js", "mjs", "tsx", "jsx"];

/// A component, and what it was made of.
#[derive(Debug)]
pub struct BuiltPlugin {
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// The files that were read.
    pub sources: BTreeSet<PathBuf>,
    /// The output of the module while it was evaluated.
    pub output: String,
}

/// The module of a path: the file itself, or `plugin.ts` and the like in a folder. Declarations and tests are none.
pub fn module_at(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return EXTENSIONS.iter().map(|extension| path.join(format!("plugin.{extension}"))).find(|path| path.is_file());
    }
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let is_module = EXTENSIONS.contains(&extension) && !stem.ends_with(".d") && !stem.ends_with(".test");
    (is_module && path.is_file()).then(|| path.to_owned())
}

/// Builds the plugin of a module. Name and version are those of the `package.json` beside it; without one the name is
/// that of the file, or of its folder if the file is called `plugin`.
///
/// `cache` is a folder that only this user can write, for the compiled engine: without it each build compiles it, which
/// takes most of a second. Blocks the thread.
pub fn build(module: &Path, cache: Option<&Path>) -> Result<BuiltPlugin, BuildError> {
    let module = module.canonicalize().map_err(BuildError::file(module))?;
    let package = package::of(&module)?;
    let modules = Modules::new(&module, module.parent().unwrap_or(Path::new("/")), &package);
    let engine = engine::CompiledEngine::load(cache)?;
    modules.shake();
    if let Some(exceeded) = modules.exceeded() {
        return Err(BuildError::Source(exceeded));
    }
    let evaluated = match evaluate::evaluate(&engine, &modules) {
        // A package may say that it has no side effects, and rely on one.
        Err(BuildError::Source(error)) if modules.unshake() => {
            tracing::debug!(%error, "the module is evaluated again, with all that its packages have");
            evaluate::evaluate(&engine, &modules)?
        }
        evaluated => evaluated?,
    };
    let mut component = engine::without_loader(&evaluated.component)?;
    producers::add(&mut component, language(&module));
    Ok(BuiltPlugin { component, sources: modules.sources(), output: evaluated.output })
}

/// The language of a module, by its extension.
fn language(module: &Path) -> &'static str {
    let is_typescript =
        module.extension().is_some_and(|extension| ["ts", "mts", "tsx"].iter().any(|ts| extension == *ts));
    if is_typescript { "TypeScript" } else { "JavaScript" }
}

#[cfg(test)]
mod tests;
