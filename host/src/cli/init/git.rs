//! Has git ignore the state and the keys of a host.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use coinslot_base::file;

/// Patterns of what belongs into no repository: the state, and files that secrets are kept in.
const PATTERNS: [&str; 3] = [".coinslot/", "*.key", ".env"];

/// The most bytes of a `.gitignore` that lines are added to.
const LARGEST: u64 = 1 << 20;

/// The mode of the file.
const MODE: u32 = 0o644;

/// The lines that were added to a `.gitignore`.
pub(super) struct IgnoredFiles {
    pub(super) file: PathBuf,
    pub(super) lines: Vec<&'static str>,
}

/// Adds the patterns that the `.gitignore` of this folder does not have, if the folder is part of a working tree. None
/// if nothing was added.
pub(super) fn ignore(folder: &Path) -> io::Result<Option<IgnoredFiles>> {
    // `.git` is a folder, or a file in a working tree beside the first one.
    if !fs::canonicalize(folder)?.ancestors().any(|above| above.join(".git").exists()) {
        return Ok(None);
    }
    let path = folder.join(".gitignore");
    let present = match fs::symlink_metadata(&path) {
        // A link may lead to any file of this user, and git does not follow it.
        Ok(meta) if !meta.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(_) => file::read_regular_text(&path, LARGEST)?,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    // A leading slash anchors a pattern to this folder, and one of a folder may end without its slash.
    let bare = |pattern: &str| pattern.trim().trim_start_matches('/').trim_end_matches('/').to_owned();
    let has = |pattern: &str| present.lines().any(|line| bare(line) == bare(pattern));
    let lines: Vec<&'static str> = PATTERNS.into_iter().filter(|pattern| !has(pattern)).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let gap = if present.is_empty() || present.ends_with('\n') { "" } else { "\n" };
    let text = format!("{present}{gap}{}\n", lines.join("\n"));
    file::replace(&path, MODE, text.as_bytes())?;
    Ok(Some(IgnoredFiles { file: path, lines }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added_and_only_in_a_working_tree() {
        let dir = tempfile::tempdir().expect("a folder");
        let inner = dir.path().join("shop");
        fs::create_dir(&inner).expect("a folder");
        assert!(ignore(&inner).expect("no tree").is_none());
        assert!(!inner.join(".gitignore").exists());
        fs::create_dir(dir.path().join(".git")).expect("a folder");
        fs::write(inner.join(".gitignore"), "target\n/.coinslot").expect("a file");
        let added = ignore(&inner).expect("a tree").expect("lines");
        assert_eq!(added.lines, ["*.key", ".env"]);
        let text = fs::read_to_string(inner.join(".gitignore")).expect("a file");
        assert_eq!(text, "target\n/.coinslot\n*.key\n.env\n");
        assert!(ignore(&inner).expect("a tree").is_none());
    }

    /// A repository of somebody else may have any link there.
    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join(".git")).expect("a folder");
        fs::write(dir.path().join("profile"), "mine\n").expect("a file");
        std::os::unix::fs::symlink("profile", dir.path().join(".gitignore")).expect("a link");
        assert!(ignore(dir.path()).is_err_and(|error| error.to_string() == "it is no regular file"));
        assert_eq!(fs::read_to_string(dir.path().join("profile")).expect("a file"), "mine\n");
    }
}
