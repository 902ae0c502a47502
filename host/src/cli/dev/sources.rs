//! Tells whether a plugin has to be built again, by the files that it is made of.
//!
//! A file counts as changed if its stamp is another one, and not if it is newer than the component: a copy may keep an
//! old time. A file that a build writes beside its sources is no source: one that it makes, and one that it writes in
//! two builds, one after the other. A file that somebody saves while a build runs starts the next one.
//!
//! cargo's lock file is a source that the build itself makes, and changes after the manifest has changed. Then it counts
//! as it is after the build.
//!
//! Links to folders are followed, because plugins share sources so. A link may also lead to a folder above itself, or to
//! the whole disk: each folder is read once, and a link behind which there is too much is left out as a whole. What is
//! cut off in the middle would depend on the order of the walk, and files of the system change all the time. What is
//! read for nothing behind such links is bounded as well, so that many of them cost no more than a few.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use coinslot_base::file::FileStamp;
use coinslot_build::FILLED_BY_TOOLS;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most entries of folders that are compared for one plugin.
pub(super) const MOST_ENTRIES: usize = 20_000;

/// The most walks for nothing, of [`MOST_ENTRIES`] each, because there is too much behind a link. Further links are
/// left out.
const MOST_IN_VAIN: usize = 8;

/// The files below some folders, with their stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    files: BTreeMap<PathBuf, FileStamp>,
    /// The folders that have too many entries, or lead to them.
    too_large: BTreeSet<PathBuf>,
}

/// The state of a plugin's sources at its last build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BuildRecord {
    /// The digest of the sources before the build, with cargo's lock file as the build left it.
    digest: String,
    /// The digest of the manifests before the build.
    #[serde(default)]
    manifests: String,
    /// Files outside of the plugin's folder that the compiler read.
    pub(super) read: BTreeSet<PathBuf>,
    /// Files that builds write.
    generated: BTreeSet<PathBuf>,
    /// Files that were there and that the last build wrote, or somebody saved meanwhile.
    written: BTreeSet<PathBuf>,
}

impl Snapshot {
    /// The file of this path, or the files of this folder, as [`Snapshot::add`] takes them.
    pub(super) fn of(path: &Path) -> Self {
        let mut files = Self::default();
        files.add(path);
        files
    }

    /// Adds a file, or the files of a folder but for those that tools put there, and those of the folders that links in
    /// it lead to.
    pub(super) fn add(&mut self, path: &Path) {
        self.add_at_most(path, MOST_ENTRIES);
    }

    fn add_at_most(&mut self, path: &Path, most: usize) {
        let (mut read, mut large) = (HashSet::new(), HashSet::new());
        let (mut left, mut in_vain) = (most, most.saturating_mul(MOST_IN_VAIN));
        let mut links = VecDeque::from([path.to_owned()]);
        // The plugin's own files come before those behind links, so that no link takes their place.
        while let Some(root) = links.pop_front() {
            let identity = identity(&root);
            if identity.is_some_and(|identity| large.contains(&identity) || read.contains(&identity)) {
                continue;
            }
            if left == 0 || in_vain == 0 {
                self.too_large.insert(root);
                break;
            }
            let mut walk = Walk { left: left.min(in_vain), ..Walk::default() };
            if walk.add(&root, &read) {
                left -= left.min(in_vain) - walk.left;
                read.extend(walk.read);
                walk.links.sort();
                links.extend(walk.links);
            } else {
                in_vain -= left.min(in_vain);
                large.extend(identity);
                self.too_large.insert(root.clone());
                if root != path {
                    continue;
                }
            }
            self.files.extend(walk.files);
        }
    }

    /// Adds the files of another snapshot.
    pub(super) fn extend(&mut self, other: &Self) {
        self.files.extend(other.files.iter().map(|(path, stamp)| (path.clone(), *stamp)));
        self.too_large.extend(other.too_large.iter().cloned());
    }

    /// The folders that were left out, or cut off, because they have too many entries or lead to them.
    pub(super) fn too_large(&self) -> impl Iterator<Item = &Path> {
        self.too_large.iter().map(PathBuf::as_path)
    }

    fn digest(&self, generated: &BTreeSet<PathBuf>) -> String {
        self.digest_of(|path| !generated.contains(path))
    }

    fn digest_of(&self, counts: impl Fn(&Path) -> bool) -> String {
        let mut digest = Sha256::new();
        for (path, stamp) in self.files.iter().filter(|(path, _)| counts(path)) {
            digest.update(format!("{} {stamp:?}\n", path.display()));
        }
        hex::encode(digest.finalize())
    }
}

/// The walk through one folder and those in it, up to links to other folders.
#[derive(Debug, Default)]
struct Walk {
    files: BTreeMap<PathBuf, FileStamp>,
    /// The device and the inode of each folder that was read.
    read: HashSet<(u64, u64)>,
    /// Links to folders.
    links: Vec<PathBuf>,
    /// The entries that may still be looked at.
    left: usize,
}

impl Walk {
    /// Adds a file or a folder. Folders that were read before are left out. False if there are too many entries.
    fn add(&mut self, root: &Path, read_before: &HashSet<(u64, u64)>) -> bool {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            if identity(&folder).is_some_and(|identity| read_before.contains(&identity) || !self.read.insert(identity))
            {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else {
                self.stamp(folder);
                continue;
            };
            for entry in entries.flatten().filter(|entry| !is_generated(Path::new(&entry.file_name()))) {
                let Some(left) = self.left.checked_sub(1) else { return false };
                self.left = left;
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_symlink() && entry.path().is_dir() => self.links.push(entry.path()),
                    Ok(_) | Err(_) => self.stamp(entry.path()),
                }
            }
        }
        true
    }

    fn stamp(&mut self, path: PathBuf) {
        if let Ok(stamp) = FileStamp::of(&path) {
            self.files.insert(path, stamp);
        }
    }
}

/// The device and the inode of what a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl BuildRecord {
    /// The record of a build that began with one snapshot and ended with the other, after the build of `former`.
    pub(super) fn of(former: &Self, before: &Snapshot, after: &Snapshot, read: BTreeSet<PathBuf>) -> Self {
        let manifests = before.digest_of(|path| path.ends_with("Cargo.toml"));
        let mut built = before.clone();
        let mut generated: BTreeSet<PathBuf> = former.generated.clone();
        let mut written = BTreeSet::new();
        for (path, stamp) in &after.files {
            let is_lock = path.ends_with("Cargo.lock");
            match before.files.get(path) {
                Some(same) if same == stamp => {}
                None if is_lock => drop(built.files.insert(path.clone(), *stamp)),
                Some(_) if is_lock && manifests != former.manifests => drop(built.files.insert(path.clone(), *stamp)),
                Some(_) if former.written.contains(path) && !is_lock => drop(generated.insert(path.clone())),
                None => drop(generated.insert(path.clone())),
                Some(_) => drop(written.insert(path.clone())),
            }
        }
        Self { digest: built.digest(&generated), manifests, read, generated, written }
    }

    /// Returns whether the sources are those of the build.
    pub(super) fn is_of(&self, sources: &Snapshot) -> bool {
        self.digest == sources.digest(&self.generated)
    }
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
        let before = Snapshot::of(dir.path());
        fs::write(dir.path().join("venv/lib/six.py"), "1").expect("written");
        assert_eq!(Snapshot::of(dir.path()), before);
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
            let before = Snapshot::of(dir.path());
            builds += 1;
            fs::write(&made, format!("{builds} of this build")).expect("written");
            fs::write(&lock, format!("{builds} of this build, too")).expect("written");
            if saved {
                fs::write(&source, format!("{builds} saved meanwhile")).expect("written");
            }
            *record = BuildRecord::of(record, &before, &Snapshot::of(dir.path()), BTreeSet::new());
        };
        build(&mut record, false);
        // A file that was there may have been saved by somebody: one more build tells.
        assert!(!record.is_of(&Snapshot::of(dir.path())));
        build(&mut record, false);
        assert!(record.is_of(&Snapshot::of(dir.path())));
        build(&mut record, true);
        assert!(!record.is_of(&Snapshot::of(dir.path())), "saved while it was built");
        build(&mut record, false);
        assert!(record.is_of(&Snapshot::of(dir.path())));
        // An older version with its older time.
        fs::write(&source, "an older version").expect("written");
        let file = fs::File::options().append(true).open(&source).expect("a file");
        file.set_modified(std::time::UNIX_EPOCH).expect("a time");
        assert!(!record.is_of(&Snapshot::of(dir.path())));
    }

    /// A new crate was built twice: its lock file was taken for one that somebody had saved meanwhile.
    #[test]
    fn a_lock_file_counts_as_cargo_leaves_it_and_as_somebody_changes_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let (manifest, lock) = (dir.path().join("Cargo.toml"), dir.path().join("Cargo.lock"));
        fs::write(&manifest, "1").expect("written");
        let mut record = BuildRecord::default();
        let mut build = |locked: Option<&str>| {
            let before = Snapshot::of(dir.path());
            locked.into_iter().for_each(|text| fs::write(&lock, text).expect("written"));
            record = BuildRecord::of(&record, &before, &Snapshot::of(dir.path()), BTreeSet::new());
            record.is_of(&Snapshot::of(dir.path()))
        };
        assert!(build(Some("made")), "cargo makes it");
        assert!(!build(Some("changed")), "the manifest is the same: somebody has changed it");
        assert!(build(None));
        fs::write(&manifest, "more dependencies").expect("written");
        assert!(build(Some("more locked")), "cargo changes it after the manifest");
        fs::write(&lock, "another").expect("written");
        assert!(!record.is_of(&Snapshot::of(dir.path())));
    }

    /// A link to the folder above was followed forty times, and one to the whole disk for minutes.
    #[test]
    fn links_to_folders_are_followed_once_and_not_into_too_much() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let at = |path: &str| dir.path().join(path);
        for folder in ["plugin/src", "shared/deep", "disk"] {
            fs::create_dir_all(at(folder)).expect("a folder");
        }
        for file in ["plugin/app.py", "plugin/src/a.py", "shared/b.py", "shared/deep/c.py"] {
            fs::write(at(file), "1").expect("written");
        }
        for number in 0..12 {
            fs::write(at(&format!("disk/{number}")), "1").expect("written");
        }
        for (target, link) in
            [("plugin", "plugin/src/up"), ("shared", "plugin/lib"), ("shared", "plugin/z"), ("disk", "plugin/all")]
        {
            symlink(at(target), at(link)).expect("a link");
        }
        let mut snapshot = Snapshot::default();
        snapshot.add_at_most(&at("plugin"), 15);
        let names: BTreeSet<_> = snapshot.files.keys().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, BTreeSet::from(["a.py", "app.py", "b.py", "c.py"]), "{snapshot:?}");
        assert_eq!(snapshot.files.len(), 4, "each file once: {snapshot:?}");
        assert_eq!(snapshot.too_large().collect::<Vec<_>>(), [at("plugin/all")]);
        let mut small = Snapshot::default();
        small.add_at_most(&at("disk"), 5);
        assert_eq!((small.files.len(), small.too_large().count()), (5, 1), "the folder itself is cut off");
    }

    /// Each link to a large folder cost a walk through it, at each look at the sources.
    #[test]
    fn many_links_to_large_folders_cost_no_more_than_a_few() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("plugin")).expect("a folder");
        fs::write(at("plugin/app.py"), "1").expect("written");
        for large in 0..20 {
            fs::create_dir_all(at(&format!("disk/{large}"))).expect("a folder");
            for number in 0..250 {
                fs::write(at(&format!("disk/{large}/{number}")), "1").expect("written");
            }
        }
        for link in 0..8 {
            symlink(at("disk/0"), at(&format!("plugin/one{link}"))).expect("a link");
        }
        let most = 200;
        let mut snapshot = Snapshot::default();
        snapshot.add_at_most(&at("plugin"), most);
        assert_eq!(snapshot.too_large().collect::<Vec<_>>(), [at("plugin/one0")], "one folder is named once");
        for link in 0..20 {
            symlink(at(&format!("disk/{link}")), at(&format!("plugin/other{link:02}"))).expect("a link");
        }
        let mut snapshot = Snapshot::default();
        snapshot.add_at_most(&at("plugin"), most);
        let left_out = snapshot.too_large().count();
        assert!((MOST_IN_VAIN..20).contains(&left_out), "the walks end: {left_out}");
        assert_eq!(snapshot.files.len(), 1, "the plugin's own file counts: {snapshot:?}");
    }
}
