//! Tells whether a plugin has to be built again, by the files that it is made of.
//!
//! A file is told by its stamp, and not by being newer than the component: a copy may keep an old time. What a build
//! writes beside its sources is no source: a file that it makes, and one that it writes in two builds, one after the
//! other. A file that somebody saves while a build runs starts the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coinslot_base::file::FileStamp;
use coinslot_build::FILLED_BY_TOOLS;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The files below some folders, with their stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<PathBuf, FileStamp>);

/// The state of a plugin's sources at its last build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BuildRecord {
    /// The digest of the sources before the build.
    digest: String,
    /// Files outside of the plugin's folder that the compiler read.
    pub(super) read: BTreeSet<PathBuf>,
    /// Files that builds write.
    generated: BTreeSet<PathBuf>,
    /// Files that were there and that the last build wrote, or somebody saved meanwhile.
    written: BTreeSet<PathBuf>,
}

impl Snapshot {
    /// Adds a file, or the files of a folder but for those that tools put there.
    pub(super) fn add(&mut self, path: &Path) {
        if let Ok(entries) = std::fs::read_dir(path) {
            let sources = entries.flatten().filter(|entry| !is_generated(Path::new(&entry.file_name())));
            sources.for_each(|entry| self.add(&entry.path()));
        } else if let Ok(stamp) = FileStamp::of(path) {
            self.0.insert(path.to_owned(), stamp);
        }
    }

    fn digest(&self, generated: &BTreeSet<PathBuf>) -> String {
        let mut digest = Sha256::new();
        for (path, stamp) in self.0.iter().filter(|(path, _)| !generated.contains(*path)) {
            digest.update(format!("{} {stamp:?}\n", path.display()));
        }
        hex::encode(digest.finalize())
    }
}

impl BuildRecord {
    /// The record of a build that began with one snapshot and ended with the other, after the build of `former`.
    pub(super) fn of(former: &Self, before: &Snapshot, after: &Snapshot, read: BTreeSet<PathBuf>) -> Self {
        let mut generated: BTreeSet<PathBuf> = former.generated.clone();
        let mut written = BTreeSet::new();
        for (path, stamp) in &after.0 {
            // cargo makes its lock file, which is a source from then on.
            let is_lock = path.file_name().is_some_and(|name| name == "Cargo.lock");
            match before.0.get(path) {
                Some(same) if same == stamp => {}
                Some(_) if former.written.contains(path) && !is_lock => drop(generated.insert(path.clone())),
                None if !is_lock => drop(generated.insert(path.clone())),
                Some(_) | None => drop(written.insert(path.clone())),
            }
        }
        Self { digest: before.digest(&generated), read, generated, written }
    }

    /// Returns whether the sources are those of the build.
    pub(super) fn is_of(&self, sources: &Snapshot) -> bool {
        self.digest == sources.digest(&self.generated)
    }

    /// Reads the record beside a component.
    pub(super) fn read(component: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(beside(component)).ok()?).ok()
    }

    /// Writes the record beside a component. Without it the plugin is built again at the next start.
    pub(super) fn write(&self, component: &Path) {
        let text = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) = coinslot_base::file::replace(&beside(component), 0o644, &text) {
            tracing::debug!(%error, component = %component.display(), "its sources cannot be noted");
        }
    }
}

/// The file of a record. A scan of the folder takes no file whose name begins with a dot.
fn beside(component: &Path) -> PathBuf {
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    component.with_file_name(format!(".{name}.sources"))
}

/// True if a path lies in a folder that tools fill, or is an editor's own file.
pub(super) fn is_generated(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        (name.starts_with('.') && name.len() > 2) || name.ends_with('~') || FILLED_BY_TOOLS.contains(&&*name)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(dir: &Path) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.add(dir);
        snapshot
    }

    #[test]
    fn what_tools_install_beside_a_plugin_starts_no_build() {
        for path in
            ["venv/lib/python3.12/site-packages/six.py", "node_modules/zod/index.js", "target/x", "a/__pycache__/x"]
        {
            assert!(is_generated(Path::new(path)), "{path}");
        }
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("venv/lib")).expect("a folder");
        fs::write(dir.path().join("app.py"), "1").expect("written");
        let before = of(dir.path());
        fs::write(dir.path().join("venv/lib/six.py"), "1").expect("written");
        assert_eq!(of(dir.path()), before);
    }

    /// A build that wrote beside its sources was repeated for ever.
    #[test]
    fn what_a_build_writes_starts_no_other_build_and_what_is_saved_meanwhile_does() {
        let dir = tempfile::tempdir().expect("a folder");
        let (source, made, lock) =
            (dir.path().join("source"), dir.path().join("dist/made"), dir.path().join("rewritten"));
        fs::create_dir(dir.path().join("dist")).expect("a folder");
        fs::write(&source, "1").expect("written");
        fs::write(&lock, "1").expect("written");
        let mut builds = 0;
        let mut record = BuildRecord::default();
        let mut build = |record: &mut BuildRecord, saved: bool| {
            let before = of(dir.path());
            builds += 1;
            fs::write(&made, format!("{builds} of this build")).expect("written");
            fs::write(&lock, format!("{builds} of this build, too")).expect("written");
            if saved {
                fs::write(&source, format!("{builds} saved meanwhile")).expect("written");
            }
            *record = BuildRecord::of(record, &before, &of(dir.path()), BTreeSet::new());
        };
        build(&mut record, false);
        // A file that was there may have been saved by somebody: one more build tells.
        assert!(!record.is_of(&of(dir.path())));
        build(&mut record, false);
        assert!(record.is_of(&of(dir.path())));
        build(&mut record, true);
        assert!(!record.is_of(&of(dir.path())), "saved while it was built");
        build(&mut record, false);
        assert!(record.is_of(&of(dir.path())));
        // An older version with its older time.
        fs::write(&source, "an older version").expect("written");
        let file = fs::File::options().append(true).open(&source).expect("a file");
        file.set_modified(std::time::UNIX_EPOCH).expect("a time");
        assert!(!record.is_of(&of(dir.path())));
    }
}
