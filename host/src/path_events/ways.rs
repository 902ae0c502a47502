//! Finds the folders on the way to a path, through links.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links that one path leads through at most, as in the kernel.
const MAX_LINKS: usize = 40;

/// The folders on the way to some paths, and their ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Each folder with the names that matter in it. A folder that only leads to the next one has none.
    pub(super) folders: BTreeMap<PathBuf, BTreeSet<OsString>>,
    /// The ends of ways that are no folders.
    pub(super) files: BTreeSet<PathBuf>,
}

impl Ways {
    pub(super) fn to(paths: &BTreeSet<PathBuf>) -> io::Result<Self> {
        let mut ways = Self::default();
        for path in paths {
            ways.follow(path)?;
        }
        Ok(ways)
    }

    /// Adds the way to a path, as far as it leads.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        let mut at = PathBuf::from("/");
        // The last is the next.
        let mut names = reversed(&std::path::absolute(path)?);
        let mut links = 0;
        while let Some(name) = names.pop() {
            let on_way = self.folders.entry(at.clone()).or_default();
            if name == OsStr::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            if !next.is_dir() || next.is_symlink() || names.is_empty() {
                on_way.insert(name);
            }
            if let Ok(target) = std::fs::read_link(&next) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other("too many links"));
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                names.extend(reversed(&target));
            } else if next.is_dir() {
                at = next;
            } else {
                if next.exists() {
                    self.files.insert(next);
                }
                break;
            }
        }
        Ok(())
    }
}

/// The names of a path, from its end.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A host woke up for each file that any program made in `/tmp`.
    #[test]
    fn what_happens_beside_a_folder_that_only_leads_on_is_no_event() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().canonicalize().expect("a path").join("on/the/way");
        fs::create_dir_all(&folder).expect("a folder");
        let ways = Ways::to(&BTreeSet::from([folder.join("file"), folder.clone()])).expect("a way");
        let named: Vec<_> = ways.folders.iter().filter(|(_, names)| !names.is_empty()).collect();
        let (parent, name) = (folder.parent().expect("a parent"), |name: &str| BTreeSet::from([OsString::from(name)]));
        assert_eq!(named, [(&parent.to_owned(), &name("way")), (&folder, &name("file"))]);
        assert_eq!(ways.folders.len(), folder.components().count());
    }
}
