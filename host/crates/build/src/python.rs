//! Makes a component of a Python module, with the Python of this machine and the tool of the SDK.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{BuildError, files, producers, sdk};

/// The exit codes of the SDK's `build.py`.
const WRONG_SOURCE: i32 = 65;
const NO_TOOLCHAIN: i32 = 69;

/// The module of a path: a `.py` file, or `app.py` in a folder. Tests are none.
pub fn module_at(path: &Path) -> Option<PathBuf> {
    let module = if path.is_dir() { path.join("app.py") } else { path.to_owned() };
    let name = module.file_name()?.to_str()?;
    (name.ends_with(".py") && !is_test(name) && module.is_file()).then_some(module)
}

/// The files of tests of a plugin: those of a folder and the folders in it, or the one of a module.
pub fn test_files(plugin: &Path) -> Vec<PathBuf> {
    if !plugin.is_dir() {
        let stem = plugin.file_stem().unwrap_or_default().to_string_lossy();
        let beside = [format!("test_{stem}.py"), format!("{stem}_test.py")].map(|name| plugin.with_file_name(name));
        return beside.into_iter().filter(|path| path.is_file()).collect();
    }
    files::below(plugin, &is_test)
}

/// True for the name of a file of tests, as pytest finds them, and of its hooks.
fn is_test(name: &str) -> bool {
    name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py") || name == "conftest.py")
}

/// The command that runs the tests whose name contains `only`, by pytest or unittest. It writes a report as JSON on
/// each line of stdout, and ends with 65 or 69 as a build does.
pub fn test_command(plugin: &Path, only: &str, cache: &Path) -> Result<Command, BuildError> {
    let sdk = sdk::unpack(cache)?.join("sdk/python");
    let mut command = Command::new("python3");
    command.arg(sdk.join("run_tests.py")).arg("--plugin").arg(plugin).arg(format!("--only={only}"));
    command.arg("--sdk").arg(sdk).arg("--cache").arg(cache.join("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    Ok(command)
}

/// The advice for a `python3` that cannot be run.
pub fn not_there(error: &std::io::Error) -> String {
    let advice = "install Python 3.10 or newer: https://python.org, or your system's package python3";
    format!("python3 cannot be run ({error}): {advice}")
}

/// Builds the plugin of a module into a file, and returns what the tool printed of its progress. The first build makes
/// the tool's environment in the cache, for which it needs the network. Blocks the thread.
pub fn build(module: &Path, out: &Path, cache: &Path) -> Result<String, BuildError> {
    let (sdk, cache) = (sdk::unpack(cache)?, cache.join("python"));
    let mut command = Command::new("python3");
    command.arg(sdk.join("sdk/python/build.py")).arg("--source").arg(module).arg("--out").arg(out);
    command.arg("--wit").arg(sdk.join("wit")).arg("--sdk").arg(sdk.join("sdk/python")).arg("--cache").arg(cache);
    // Its folder is shared by all builds, and is not this one's to write.
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Err(BuildError::Toolchain(not_there(&error))),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match output.status.code() {
        Some(0) => {
            let mut component = std::fs::read(out).map_err(BuildError::file(out))?;
            producers::add(&mut component, "Python");
            coinslot_base::file::replace(out, 0o644, &component).map_err(BuildError::file(out))?;
            Ok(text(&output.stdout))
        }
        Some(WRONG_SOURCE) => Err(BuildError::Source(text(&output.stderr))),
        Some(NO_TOOLCHAIN) => Err(BuildError::Toolchain(text(&output.stderr))),
        _ => Err(BuildError::Engine(text(&output.stderr))),
    }
}
