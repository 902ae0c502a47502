//! Finds programs of Debian that some stories run.

use std::path::PathBuf;

/// The folders of programs. Those of servers are in no `PATH` of a user.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin"];

/// The path of a program, which `tests/run` installs where it may.
///
/// # Panics
/// If it is missing. The message names its package.
pub fn debian_program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file())).unwrap_or_else(|| {
        panic!("{name} is missing: install the package {package}, or run tests/run as root, which does")
    })
}
