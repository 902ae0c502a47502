//! Makes a component of a Python module, with the Python of this machine and the tool of the SDK.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{BuildError, producers, sdk};

/// The exit codes of the SDK's `build.py`.
const WRONG_SOURCE: i32 = 65;
const NO_TOOLCHAIN: i32 = 69;

/// The module of a path: a `.py` file, or `app.py` in a folder.
pub fn module_at(path: &Path) -> Option<PathBuf> {
    let module = if path.is_dir() { path.join("app.py") } else { path.to_owned() };
    let is_python = module.extension().is_some_and(|extension| extension == "py");
    (is_python && module.is_file()).then_some(module)
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
        Err(error) => {
            let advice = "install Python 3.10 or newer: https://python.org, or your system's package python3";
            return Err(BuildError::Toolchain(format!("python3 cannot be run ({error}): {advice}")));
        }
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
