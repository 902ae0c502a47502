//! Compiles one plugin with the tools of its language, and places its component into the output folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coinslot_base::file::read_regular;
use coinslot_base::text::printable;
use coinslot_build::{BuildError, c, component, javascript, python, sdk};

use super::cargo;
use super::cargo_crate::Purpose;
use super::plugin_source::{PluginSource, SourceKind};
use crate::cli::{Failure, LARGEST_WASM, user_cache};
use crate::logging;

/// `build.sh` ends with this code (EX_UNAVAILABLE) when its toolchain is not installed.
const NO_TOOLCHAIN: i32 = 69;
/// The exit codes of a tool that failed (EX_SOFTWARE), and of a file that cannot be read or written (EX_IOERR).
const TOOL_FAILED: u8 = 70;
pub(super) const FILE_FAILED: u8 = 74;

/// The end of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum BuildResult {
    /// Nothing changed since it was built.
    Fresh,
    /// Built and put into the output folder.
    Built,
    /// Its toolchain is not installed: how to get it.
    Skipped(String),
    /// It does not compile: the compiler's messages.
    Failed(String),
    /// A file cannot be read or written, or a tool failed: the sources are not the cause.
    Broken(Failure),
}

/// Builds a plugin with the tools of its language, and places its component. Also returns the files outside of its
/// folder that were read, where the compiler names them.
pub(in crate::cli) fn build(source: &PluginSource, out: &Path) -> (BuildResult, BTreeSet<PathBuf>) {
    build_for(Purpose::Publish, source, out)
}

/// Builds a plugin as [`build`] does, and keeps the names that help its author to find a fault.
pub(in crate::cli) fn build_for_author(source: &PluginSource, out: &Path) -> (BuildResult, BTreeSet<PathBuf>) {
    build_for(Purpose::Develop, source, out)
}

fn build_for(purpose: Purpose, source: &PluginSource, out: &Path) -> (BuildResult, BTreeSet<PathBuf>) {
    match source.kind {
        SourceKind::Cargo => cargo::build(&source.path, out, purpose),
        SourceKind::JavaScript => javascript(&source.path, &source.name, out),
        SourceKind::Script => (script(&source.path, out), BTreeSet::new()),
        SourceKind::Python => (python(&source.path, &source.name, out), BTreeSet::new()),
        SourceKind::C => c(&source.path, out),
        SourceKind::Module => (module(&source.path, out), BTreeSet::new()),
        SourceKind::Finished => (place(&source.path, out), BTreeSet::new()),
    }
}

/// Builds a TypeScript or JavaScript plugin with the embedded engine, and prints what the module prints under its name.
/// Also returns the files that it is made of.
fn javascript(source: &Path, name: &str, out: &Path) -> (BuildResult, BTreeSet<PathBuf>) {
    let Some(module) = javascript::module_at(source) else {
        return (BuildResult::Failed("its module is gone".to_owned()), BTreeSet::new());
    };
    match javascript::build(&module, user_cache().ok().as_deref()) {
        Ok(built) => {
            for line in built.output.lines() {
                logging::say(&format!("{name} | {}", printable(line)));
            }
            (place_bytes(&built.component, out), built.sources)
        }
        Err(error) => (failed(&error), BTreeSet::new()),
    }
}

/// Builds a JavaScript plugin with StarlingMonkey, by the author's own jco.
pub(in crate::cli) fn starlingmonkey(source: &Path, out: &Path) -> BuildResult {
    let Some(module) = javascript::module_at(source) else {
        return BuildResult::Failed("its module is gone".to_owned());
    };
    in_own_folder(|part| match javascript::build_with_starlingmonkey(&module, part) {
        Ok(()) => place(part, out),
        Err(error) => failed(&error),
    })
}

/// Builds a Python plugin with the tool of the SDK, and prints what that tells its author under the plugin's name.
fn python(source: &Path, name: &str, out: &Path) -> BuildResult {
    let Some(module) = python::module_at(source) else { return BuildResult::Failed("its module is gone".to_owned()) };
    let told = |line: &str| logging::say(&format!("{name} | {}", printable(line)));
    let build = |part: &Path| match user_cache().map(|cache| python::build(&module, part, &cache, told)) {
        Ok(Ok(())) => place(part, out),
        Ok(Err(error)) => failed(&error),
        Err(failure) => BuildResult::Broken(failure),
    };
    in_own_folder(build)
}

/// Calls a build with the path of a component in a folder of its own: another build of the plugin may run beside it.
fn in_own_folder(build: impl FnOnce(&Path) -> BuildResult) -> BuildResult {
    match tempfile::Builder::new().prefix("coinslot-build-").tempdir() {
        Ok(folder) => build(&folder.path().join("plugin.wasm")),
        Err(error) => file_failed(&std::env::temp_dir(), &error),
    }
}

fn file_failed(path: &Path, error: &std::io::Error) -> BuildResult {
    BuildResult::Broken(Failure { code: FILE_FAILED, message: format!("{}: {error}", path.display()) })
}

/// Builds a plugin in C, C++ or Zig with the compiler of this machine. Also returns the files that it is made of.
fn c(source: &Path, out: &Path) -> (BuildResult, BTreeSet<PathBuf>) {
    let Some(main) = c::source_at(source) else {
        return (BuildResult::Failed("its source is gone".to_owned()), BTreeSet::new());
    };
    match user_cache().map(|cache| c::build(&main, &cache)) {
        Ok(Ok(built)) => {
            if !built.output.is_empty() {
                logging::say(&built.output);
            }
            (place_bytes(&built.component, out), built.sources)
        }
        Ok(Err(error)) => (failed(&error), BTreeSet::new()),
        Err(failure) => (BuildResult::Broken(failure), BTreeSet::new()),
    }
}

/// Makes the component of a core module.
fn module(source: &Path, out: &Path) -> BuildResult {
    let made = user_cache().map(|cache| {
        let wit = sdk::unpack(&cache)?.join("wit");
        let bytes =
            read_regular(source, LARGEST_WASM).map_err(|error| BuildError::File { path: source.to_owned(), error })?;
        component::encode(&bytes, &wit)
    });
    match made {
        Ok(Ok(component)) => place_bytes(&component, out),
        Ok(Err(error)) => failed(&error),
        Err(failure) => BuildResult::Broken(failure),
    }
}

pub(super) fn failed(error: &BuildError) -> BuildResult {
    match error {
        BuildError::Toolchain(advice) => BuildResult::Skipped(advice.clone()),
        BuildError::Source(message) => BuildResult::Failed(message.clone()),
        BuildError::File { .. } | BuildError::Cache(_) => {
            BuildResult::Broken(Failure { code: FILE_FAILED, message: error.to_string() })
        }
        BuildError::Engine(_) => BuildResult::Broken(Failure { code: TOOL_FAILED, message: error.to_string() }),
    }
}

/// Runs the `build.sh` of a plugin with the path of its component as argument.
fn script(source: &Path, out: &Path) -> BuildResult {
    in_own_folder(|part| run_script(source, part, out))
}

fn run_script(source: &Path, part: &Path, out: &Path) -> BuildResult {
    let command = Command::new("sh").arg("./build.sh").arg(part).current_dir(source).stdin(Stdio::null()).output();
    let output = match command {
        Ok(output) => output,
        Err(error) => return BuildResult::Skipped(format!("sh cannot be run: {error}")),
    };
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(NO_TOOLCHAIN) {
        return BuildResult::Skipped(message);
    }
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return BuildResult::Failed(format!("{}\n{message}", text.trim()).trim().to_owned());
    }
    if part.is_file() {
        return place(part, out);
    }
    BuildResult::Failed(
        "build.sh made no component: it has to write one to the path that is its argument, \"$1\"".to_owned(),
    )
}

/// Puts a component into the output folder in one step, so that a scan never sees a part of it. Equal bytes stay.
pub(in crate::cli) fn place(made: &Path, out: &Path) -> BuildResult {
    match read_regular(made, LARGEST_WASM) {
        Ok(bytes) => place_bytes(&bytes, out),
        Err(error) => file_failed(made, &error),
    }
}

fn place_bytes(bytes: &[u8], out: &Path) -> BuildResult {
    if coinslot_base::file::holds(out, bytes) {
        return BuildResult::Built;
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Here and not before: a build that fails leaves no empty folder behind.
    if let Some((folder, Err(error))) = folder.map(|folder| (folder, std::fs::create_dir_all(folder))) {
        return file_failed(folder, &error);
    }
    match coinslot_base::file::replace(out, 0o644, bytes) {
        Ok(()) => BuildResult::Built,
        Err(error) => file_failed(out, &error),
    }
}
