//! Installs zig from PyPI, once for all tests, at a pinned version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version that plugins in C, C++ and Zig are tested with.
const VERSION: &str = "0.17.1";

/// The folder of the program `zig`, for a `PATH`.
///
/// # Panics
/// If it cannot be installed: it needs python3 with venv, and PyPI.
pub fn zig_folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| install(&super::guests::target().join(format!("zig-{VERSION}")))).clone()
}

/// Another process of tests may install it at the same time: each has a folder of its own until it is complete.
fn install(folder: &Path) -> PathBuf {
    let program = folder.join("ziglang");
    if !program.join("zig").is_file() {
        let parent = folder.parent().expect("a target folder");
        let part = tempfile::tempdir_in(parent).expect("a folder");
        let (venv, files) = (part.path().join("venv"), part.path().join("files"));
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
        succeeds(pip.arg(&files).arg(format!("ziglang=={VERSION}")));
        if let Err(error) = std::fs::rename(&files, folder) {
            assert!(program.join("zig").is_file(), "{}: {error}", folder.display());
        }
    }
    program
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("python3");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
