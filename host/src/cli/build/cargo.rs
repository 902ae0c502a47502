//! Builds a Rust plugin with cargo.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use coinslot_build::rust;

use super::cargo_crate::{CargoCrate, Purpose};
use super::compile::{BuildResult, FILE_FAILED, failed, place};
use crate::cli::{Failure, user_cache};
use crate::logging;

/// The compilation target of Rust plugins.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Builds a Rust plugin with cargo and places its component. Also returns the files that the compiler read: those of
/// path dependencies, and those that are included.
pub(super) fn build(source: &Path, out: &Path, purpose: Purpose) -> (BuildResult, BTreeSet<PathBuf>) {
    let mut arguments = match prepare_cargo(source) {
        Ok(arguments) => arguments,
        Err(result) => return (result, BTreeSet::new()),
    };
    let (crate_of, cache) = (CargoCrate::of(source), user_cache().ok());
    // Held until the component is placed.
    let shared = match crate_of.as_ref().map(|one| one.begin(cache.as_deref())).transpose() {
        Ok(shared) => shared.flatten(),
        Err(error) => {
            let folder = cache.unwrap_or_default();
            let message = format!("{}: {error}: the compiled code of plugins is kept there", folder.display());
            return (BuildResult::Broken(Failure { code: FILE_FAILED, message }), BTreeSet::new());
        }
    };
    arguments.extend(crate_of.iter().flat_map(|one| one.arguments(purpose, cache.as_deref())));
    match cargo_build(source, &arguments) {
        Ok(built) => {
            let text = std::fs::read_to_string(built.component.with_extension("d")).unwrap_or_default();
            let is_outside = |path: &PathBuf| !path.starts_with(source);
            let placed = place(&built.component, out);
            if let Some(shared) = shared {
                shared.end(&built.messages);
            }
            (placed, dependencies(&text).into_iter().filter(is_outside).collect())
        }
        Err(result) => (result, BTreeSet::new()),
    }
}

/// Adds the compilation target of Rust plugins if it is missing. A process looks for it once.
fn ensure_target() -> Result<(), Failure> {
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    if !IS_THERE.load(Ordering::Relaxed) {
        add_target()?;
        IS_THERE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn add_target() -> Result<(), Failure> {
    let rustc = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let installed = rustc.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if installed {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).stdout(Stdio::null()).spawn();
    let added = added.and_then(|mut rustup| {
        logging::say(&format!("adding the Rust target {TARGET}"));
        rustup.wait()
    });
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(Failure::new(format!(
            "the Rust target {TARGET} cannot be added: install rustup (https://rustup.rs) and run `rustup target add {TARGET}`"
        ))),
    }
}

/// The result of a build by cargo.
struct CargoBuild {
    component: PathBuf,
    /// The messages of cargo about each unit, in JSON.
    messages: Vec<u8>,
}

/// Adds the compilation target, and unpacks the SDK. Returns the arguments with which cargo finds the SDK.
fn prepare_cargo(source: &Path) -> Result<Vec<OsString>, BuildResult> {
    ensure_target().map_err(|failure| BuildResult::Skipped(failure.message))?;
    let cache = user_cache().map_err(BuildResult::Broken)?;
    rust::sdk_arguments(source, &cache).map_err(|error| failed(&error))
}

/// Runs cargo with these further arguments.
fn cargo_build(source: &Path, arguments: &[OsString]) -> Result<CargoBuild, BuildResult> {
    let command = Command::new("cargo")
        .arg("build")
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        .args(arguments)
        // This workspace defines the profile; elsewhere it is the release profile under this name.
        .args(["--profile", "plugin", "--config", "profile.plugin.inherits=\"release\""])
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics", "--quiet"])
        .stdin(Stdio::null())
        .output();
    let output = match command {
        Ok(output) => output,
        Err(error) => {
            let advice = format!("cargo cannot be run ({error}): install Rust from https://rustup.rs");
            return Err(BuildResult::Skipped(advice));
        }
    };
    if !output.status.success() {
        return Err(BuildResult::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let manifest = source.join("Cargo.toml");
    let made = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
        })
        .next_back();
    let Some(component) = made else {
        let advice = "it makes no .wasm: set crate-type = [\"cdylib\"] under [lib] in its Cargo.toml";
        return Err(BuildResult::Failed(advice.to_owned()));
    };
    Ok(CargoBuild { component, messages: output.stdout })
}

/// The files that a compiler read, by its dependency file: `OUTPUT: FILE FILE ..`, with spaces of names escaped.
fn dependencies(text: &str) -> BTreeSet<PathBuf> {
    let files = text.lines().filter_map(|line| Some(line.split_once(": ")?.1));
    let names = files.flat_map(|files| {
        let escaped = files.replace("\\ ", "\0");
        escaped.split_whitespace().map(|name| PathBuf::from(name.replace('\0', " "))).collect::<Vec<_>>()
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_file_names_what_the_compiler_read() {
        let read = dependencies("/t/a.wasm: /src/lib.rs /my\\ lib/lib.rs\n");
        assert_eq!(read, BTreeSet::from([PathBuf::from("/src/lib.rs"), PathBuf::from("/my lib/lib.rs")]));
    }
}
