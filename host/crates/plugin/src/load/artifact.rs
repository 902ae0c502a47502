//! Keeps compiled components in a directory.
//!
//! A file is named by the SHA-256 of the component and the fingerprint of the engine that it was compiled for. It is
//! written once, under another name first, and never rewritten, because running plugins map it. Its content is native
//! code that the server runs: the directory is a [`PrivateFolder`], no artifact is taken from anywhere else, and each
//! ends with a [`Seal`] of its directory, so that one that came along with the directory is not run.
//!
//! Beside artifacts lie notes of compilations that failed, so that a component that takes minutes to fail does not take
//! them at each start.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use coinslot_base::file;
use coinslot_base::private::{PrivateFolder, is_written_by_us_only};
use coinslot_base::seal::Seal;
use tempfile::NamedTempFile;

/// Artifacts that are kept although nothing names them, the last used first, and how long after their last use.
const UNNAMED: usize = 16;
const UNNAMED_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The precision of the time of the last use.
pub(super) const USE_PRECISION: Duration = Duration::from_secs(60 * 60);

/// A failed compilation is tried again after this time: memory may have been short, or the machine busy.
const FAILURE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Drafts of this age were left behind by a process that was killed.
pub(super) const DRAFT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The extensions of artifacts and of notes of failures.
const COMPILED: &str = "cwasm";
const FAILED: &str = "failed";

/// Bytes of the reason of a failure that are read.
const REASON: u64 = 4 << 10;

/// The directory of compiled components.
#[derive(Debug)]
pub(crate) struct Artifacts {
    folder: PrivateFolder,
    seal: Seal,
}

impl Artifacts {
    /// Opens the directory, creating it with mode 0700. Takes the right to write from its group, and refuses one that
    /// others can write to, because compiled plugins in it are run as they are.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let folder = PrivateFolder::open(dir)?;
        let seal = Seal::of(folder.path(), folder.name())?;
        Ok(Self { folder, seal })
    }

    /// A path that leads to the directory that was opened.
    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The seal that is on each artifact of the directory.
    pub(super) fn seal(&self) -> &Seal {
        &self.seal
    }

    pub(crate) fn path(&self, digest: &str, fingerprint: &str) -> PathBuf {
        self.folder.path().join(format!("{digest}-{fingerprint}.{COMPILED}"))
    }

    /// The path of a file of the directory, as people know it.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        self.folder.shown(path)
    }

    /// True if there is an artifact that no other user can have written. Its seal is not looked at. Its use is noted. A
    /// file that others can write to is removed.
    pub(crate) fn is_usable(&self, path: &Path) -> bool {
        let Ok(meta) = fs::symlink_metadata(path) else { return false };
        if meta.is_file() && is_written_by_us_only(&meta) {
            if age(&meta) >= USE_PRECISION {
                // The time of the last use, by which artifacts are forgotten.
                let _ = fs::File::open(path).and_then(|file| file.set_modified(now()));
            }
            return true;
        }
        tracing::warn!(artifact = %self.shown(path).display(), "others can write this file; it is removed");
        self.remove(path);
        false
    }

    /// True if there is an artifact. It may not fit.
    pub(crate) fn has(&self, digest: &str, fingerprint: &str) -> bool {
        self.path(digest, fingerprint).is_file()
    }

    /// The reason for which this component could not be compiled lately.
    pub(crate) fn failure(&self, artifact: &Path) -> Option<String> {
        let note = artifact.with_extension(FAILED);
        let file = fs::File::open(&note).ok()?;
        let meta = file.metadata().ok()?;
        if !is_written_by_us_only(&meta) || age(&meta) >= FAILURE_AGE {
            return None;
        }
        let mut reason = String::new();
        file.take(REASON).read_to_string(&mut reason).ok()?;
        Some(reason)
    }

    /// Notes that a component cannot be compiled. Without the note it is compiled again at the next start.
    pub(crate) fn note_failure(&self, artifact: &Path, reason: &str) {
        let note = artifact.with_extension(FAILED);
        if let Err(error) = file::replace(&note, 0o600, reason.as_bytes()) {
            tracing::warn!(note = %self.shown(&note).display(), %error, "a failed compilation cannot be noted");
        }
    }

    /// Removes artifacts that are neither named nor used lately, failures that are old, and drafts that were left
    /// behind.
    pub(crate) fn forget_others(&self, named: &HashSet<String>, fingerprints: &[String]) {
        let mut unnamed = Vec::new();
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
            let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            let (is_old, is_draft) = (age(&meta) >= DRAFT_AGE, stem.starts_with(file::DRAFT_PREFIX));
            match path.extension().and_then(OsStr::to_str) {
                Some(FAILED) if age(&meta) >= FAILURE_AGE => self.remove(&path),
                Some(COMPILED) if !is_draft => {
                    let is_named = stem.split_once('-').is_some_and(|(digest, fingerprint)| {
                        named.contains(digest) && fingerprints.iter().any(|known| known == fingerprint)
                    });
                    if !is_named {
                        unnamed.push((age(&meta), path));
                    }
                }
                _ if is_draft && is_old => self.remove(&path),
                _ => {}
            }
        }
        unnamed.sort();
        for (index, (age, path)) in unnamed.iter().enumerate() {
            if index >= UNNAMED || *age >= UNNAMED_AGE {
                self.remove(path);
            }
        }
    }

    /// A file to write an artifact into. It is removed unless it is passed to [`Artifacts::publish`].
    pub(crate) fn draft(&self) -> io::Result<NamedTempFile> {
        file::draft(self.folder.path(), 0o600)
    }

    /// Seals a draft, makes it durable and read-only, and then gives it its name. On an error no file has that name.
    pub(crate) fn publish(&self, draft: NamedTempFile, path: &Path) -> io::Result<()> {
        self.seal.close(&path.file_name().unwrap_or_default().to_string_lossy(), draft.as_file())?;
        draft.as_file().set_permissions(fs::Permissions::from_mode(0o400))?;
        file::publish_durably(draft, path)
    }

    /// Unlinks an artifact. Plugins that map it keep running.
    pub(crate) fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(artifact = %self.shown(path).display(), %error, "cannot remove this file");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "files are forgotten by their age")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

pub(super) fn age(meta: &fs::Metadata) -> Duration {
    meta.modified().ok().and_then(|modified| now().duration_since(modified).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_that_nobody_names_are_forgotten_when_they_are_old_or_many() {
        let dir = tempfile::tempdir().expect("a folder");
        let artifacts = Artifacts::open(dir.path()).expect("the directory");
        let file = |name: &str, days: u64| {
            let path = artifacts.folder.path().join(name);
            let file = fs::File::create(&path).expect("a file");
            file.set_modified(now() - Duration::from_secs(days * 24 * 60 * 60)).expect("a time");
            path
        };
        let named = file("a-one.cwasm", 90);
        let other_engine = file("a-old.cwasm", 90);
        let (young, old) = (file("b-one.cwasm", 1), file("c-one.cwasm", 8));
        let (failed, failed_before) = (file("d-one.failed", 0), file("e-one.failed", 2));
        let (draft, left) = (file(".draft-x", 0), file(".draft-y", 2));
        artifacts.forget_others(&HashSet::from(["a".to_owned()]), &["one".to_owned()]);
        for (path, stays) in [
            (&named, true),
            (&other_engine, false),
            (&young, true),
            (&old, false),
            (&failed, true),
            (&failed_before, false),
            (&draft, true),
            (&left, false),
        ] {
            assert_eq!(path.exists(), stays, "{}", path.display());
        }
        for number in 0..2 * UNNAMED {
            file(&format!("f{number}-one.cwasm"), 2);
        }
        artifacts.forget_others(&HashSet::from(["a".to_owned()]), &["one".to_owned()]);
        let left = fs::read_dir(artifacts.folder.path()).expect("the directory").flatten();
        let left = left.filter(|entry| entry.path().extension() == Some(OsStr::new(COMPILED))).count();
        assert_eq!((left, young.exists()), (UNNAMED + 1, true), "the last used ones, and the one that is named");
    }

    /// Who can write to a directory above it puts code into another one in its place, which a running host would map.
    #[test]
    fn another_directory_in_its_place_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let (state, aside) = (dir.path().join("state"), dir.path().join("aside"));
        let artifacts = Artifacts::open(&state.join("artifacts")).expect("the directory");
        let (ours, planted) = (artifacts.path("a", "one"), artifacts.path("b", "one"));
        file::replace(&ours, 0o400, b"ours").expect("written");
        fs::rename(&state, &aside).expect("moved");
        fs::create_dir_all(state.join("artifacts")).expect("another one");
        for artifact in [&ours, &planted] {
            fs::write(state.join("artifacts").join(artifact.file_name().expect("a name")), "planted").expect("written");
        }
        assert!(!artifacts.is_usable(&planted));
        assert!(artifacts.is_usable(&ours), "what was opened");
        assert_eq!(fs::read(&ours).expect("readable"), b"ours");
        artifacts.publish(artifacts.draft().expect("a draft"), &planted).expect("published");
        assert!(aside.join("artifacts").join(planted.file_name().expect("a name")).exists());
        assert!(artifacts.shown(&ours).starts_with(state.canonicalize().expect("a path")));
    }

    /// Kubernetes gives the group of a volume the right to write at each mount: the second start was refused. A file that
    /// somebody could write to was mended by another mode, and stayed open for writing where it was open.
    #[test]
    fn a_groups_right_to_write_to_the_directory_is_taken_away_and_files_with_one_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        set(dir.path(), 0o2770);
        let artifacts = Artifacts::open(dir.path()).expect("mended");
        assert_eq!(mode(dir.path()), 0o700);
        let path = artifacts.path("a", "one");
        for (others, is_usable) in [(0o444, true), (0o420, false), (0o460, false), (0o602, false)] {
            file::replace(&path, 0o400, b"code").expect("written");
            set(&path, others);
            assert_eq!((artifacts.is_usable(&path), path.exists()), (is_usable, is_usable), "{others:o}");
        }
        artifacts.note_failure(&path, "reason");
        assert_eq!(artifacts.failure(&path).as_deref(), Some("reason"));
        set(&path.with_extension(FAILED), 0o660);
        assert_eq!(artifacts.failure(&path), None);
        set(dir.path(), 0o707);
        Artifacts::open(dir.path()).expect_err("others can write");
    }
}
