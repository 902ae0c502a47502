//! Installs the packages of npm that plugins of the tests import, at the versions of `tests/libraries`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::guests::target;

/// The folder `node_modules` with the packages, which is made once in cargo's target folder and anew when the versions
/// change. Needs npm, and its registry when there is something to install.
///
/// # Panics
/// If npm is missing, or the packages cannot be installed.
pub fn node_modules() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("libraries");
        let lock = std::fs::read_to_string(pinned.join("package-lock.json")).expect("the versions");
        let folder = target().join("libraries");
        let installed = folder.join("installed");
        if std::fs::read_to_string(&installed).ok().as_ref() != Some(&lock) {
            std::fs::create_dir_all(&folder).expect("a folder");
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(pinned.join(file), folder.join(file)).expect("a file to copy");
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
            let status = npm.current_dir(&folder).status().expect("npm: install Node.js 20 or newer");
            assert!(status.success(), "npm did not install the packages of {}", pinned.display());
            std::fs::write(&installed, lock).expect("a file");
        }
        folder.join("node_modules")
    })
}
