//! Finds files of a plugin.

use std::path::{Path, PathBuf};

/// Folders that tools fill, in which nothing of a plugin's author is looked for.
const OTHERS: [&str; 7] = ["node_modules", "target", "dist", "build", "venv", "__pycache__", "site-packages"];
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
        if is_folder && depth > 0 && !name.starts_with('.') && !OTHERS.contains(&&*name) {
            add(&path, depth - 1, is_wanted, found);
        } else if is_wanted(&name) && path.is_file() {
            found.push(path);
        }
    }
}
