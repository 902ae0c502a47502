//! Makes a component of a Python module, with the Python of this machine and the tool of the SDK.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{BuildError, files, producers, sdk};

/// The exit codes of the SDK's `build.py`.
const WRONG_SOURCE: i32 = 65;
const NO_TOOLCHAIN: i32 = 69;
/// The most lines of a build that its author reads.
const MOST_LINES: usize = 200;

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

/// Builds the plugin of a module into a file, and gives each line that its author should read to `told`, as soon as it
/// is printed. The first build makes the tool's environment in the cache, for which it needs the network. Blocks the
/// thread.
pub fn build(module: &Path, out: &Path, cache: &Path, told: impl FnMut(&str)) -> Result<(), BuildError> {
    let (sdk, cache) = (sdk::unpack(cache)?, cache.join("python"));
    let mut command = Command::new("python3");
    command.arg(sdk.join("sdk/python/build.py")).arg("--source").arg(module).arg("--out").arg(out);
    command.arg("--wit").arg(sdk.join("wit")).arg("--sdk").arg(sdk.join("sdk/python")).arg("--cache").arg(cache);
    command.arg("--brief");
    // Its folder is shared by all builds, and is not this one's to write.
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| BuildError::Toolchain(not_there(&error)))?;
    let (status, problems) = follow(child, told).map_err(|error| BuildError::Engine(format!("python3: {error}")))?;
    match status.code() {
        Some(0) => {
            let mut component = std::fs::read(out).map_err(BuildError::file(out))?;
            producers::add(&mut component, "Python");
            coinslot_base::file::replace(out, 0o644, &component).map_err(BuildError::file(out))
        }
        Some(WRONG_SOURCE) => Err(BuildError::Source(problems)),
        Some(NO_TOOLCHAIN) => Err(BuildError::Toolchain(problems)),
        _ => Err(BuildError::Engine(problems)),
    }
}

/// Waits for the end of a process, and gives its status and what it wrote to stderr. Lines beyond the first
/// [`MOST_LINES`] are read and left out, so that a module that prints without end neither waits nor fills a terminal.
fn follow(mut child: Child, mut told: impl FnMut(&str)) -> std::io::Result<(ExitStatus, String)> {
    let (stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read is left out: the exit status still tells how it ended.
        stderr.iter_mut().for_each(|stderr| drop(stderr.read_to_end(&mut bytes)));
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    });
    for (number, line) in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')).enumerate() {
        match number {
            0..MOST_LINES => told(String::from_utf8_lossy(&line?).trim_end()),
            MOST_LINES => told("further lines are left out"),
            _ => drop(line?),
        }
    }
    Ok((child.wait()?, reader.join().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The notes of a build were dropped, and a first build was silent for as long as it downloads its tool.
    #[test]
    fn lines_are_told_as_they_come_and_not_without_end() {
        let script = "n=0; while [ $n -lt 5000 ]; do echo \"line $n\"; n=$((n+1)); done; echo wrong >&2; exit 65";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut lines = Vec::new();
        let ended = follow(command.spawn().expect("a shell"), |line| lines.push(line.to_owned())).expect("an end");
        assert_eq!((ended.0.code(), ended.1.as_str()), (Some(WRONG_SOURCE), "wrong"));
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!((lines[0].as_str(), lines[MOST_LINES].as_str()), ("line 0", "further lines are left out"));
    }
}
