//! Finds files of a plugin.

use std::path::{Path, PathBuf};

/// Folders that tools fill: nothing in them is an author's, so no tests are looked for there, and a change there starts
/// no build. `runners.py` of the Python SDK has the same list.
pub const FILLED_BY_TOOLS: [&str; 5] = ["node_modules", "target", "venv", "__pycache__", "site-packages"];
/// Folders that bundlers fill with copies of an author's files. A plugin may be built of them.
const COPIES: [&str; 2] = ["dist", "build"];
/// The most folders below each other that are looked through.
const MAX_DEPTH: usize = 16;

/// The files of a folder and of the folders in it whose names are wanted, sorted.
pub(crate) fn below(folder: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    add(folder, MAX_DEPTH, is_wanted, &mut found);
    found.sort();
    found
}

fn add(folder: &Path, depth: usize, is_wanted: &dyn Fn(&str) -> bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A symbolic link to a folder may lead back.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_others = FILLED_BY_TOOLS.iter().chain(&COPIES).any(|other| *other == name);
        if is_folder && depth > 0 && !name.starts_with('.') && !is_others {
            add(&path, depth - 1, is_wanted, found);
        } else if is_wanted(&name) && path.is_file() {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_of_python_tests_passes_over_the_same_folders() {
        let runner = include_str!("../../../../sdk/python/coinslot_tests/runners.py");
        let list = runner.lines().find_map(|line| line.strip_prefix("_OTHERS = (")).expect("a list");
        let mut listed: Vec<&str> = list.trim_end_matches(')').split(", ").map(|name| name.trim_matches('"')).collect();
        let mut own: Vec<&str> = FILLED_BY_TOOLS.iter().chain(&COPIES).copied().collect();
        listed.sort_unstable();
        own.sort_unstable();
        assert_eq!(listed, own);
    }
}
