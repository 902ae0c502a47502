//! Opens folders whose files are trusted as this program is: compiled code that is run, sources that are compiled.
//! Nobody but this user may be able to write there.
//!
//! A group's right to write to a folder is taken away, and not a reason to refuse: Kubernetes gives it to everything on a
//! volume at each mount (`fsGroup`), and only the owner and root can have given it. A right of all others is refused. A
//! file is another matter: who opened it while its mode let them still writes to it, so such a file is made again.
//!
//! A user who can write to a folder above it can put another one in its place. So the folder is opened once, and what
//! was opened is checked and used: a path is looked up below it, whatever has its name by then. Where a path is handed
//! to other programs, [`PrivateFolder::path_for_others`] checks the folders above, too.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A folder that only this user can write to.
#[derive(Debug)]
pub struct PrivateFolder {
    /// The path by which its files are reached: that of `opened`.
    path: PathBuf,
    /// The path that people know.
    name: PathBuf,
    /// Kept open, because `path` leads to it.
    _opened: fs::File,
}

impl PrivateFolder {
    /// Opens the folder, creating it with mode 0700. Takes the right to write from its group, and refuses one that
    /// others can write to or that another user owns, with [`io::ErrorKind::PermissionDenied`].
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // An absolute path: the working directory may change, and a child process has its own.
        let name = folder.canonicalize()?;
        let opened = fs::File::open(&name)?;
        let (path, meta) = (path_of(&opened).unwrap_or_else(|| name.clone()), opened.metadata()?);
        if !meta.is_dir() || !is_ours(&path, &name, &meta, 0o700) {
            return Err(refused(&format!(
                "{} must belong to this user and must not be writable by others, because what is in it is run as this \
                 program is: `chmod 700` it, or choose another directory",
                name.display()
            )));
        }
        Ok(Self { path, name, _opened: opened })
    }

    /// The path by which this process reaches the folder that was checked.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path that people know.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The path for programs that look it up themselves. Refused if another user can put another folder in its place.
    pub fn path_for_others(&self) -> io::Result<&Path> {
        for above in self.name.ancestors().skip(1) {
            let meta = fs::metadata(above)?;
            let is_trusted = meta.uid() == 0 || meta.uid() == own_uid();
            // Others may add to a folder with the sticky bit, such as /tmp, and not rename what is not theirs.
            if !is_trusted || (meta.mode() & 0o002 != 0 && meta.mode() & 0o1000 == 0) {
                return Err(refused(&format!(
                    "another user can replace {}, because {} belongs to another user or is writable by all: `chmod \
                     o-w` that, or choose another directory",
                    self.name.display(),
                    above.display()
                )));
            }
        }
        Ok(&self.name)
    }

    /// The path of a file of the folder, as people know it.
    pub fn shown(&self, path: &Path) -> PathBuf {
        path.file_name().map_or_else(|| path.to_owned(), |file| self.name.join(file))
    }

    /// True if a folder in this one belongs to this user and no other can write to it. Takes the right to write from its
    /// group.
    pub fn owns_folder(&self, path: &Path, meta: &fs::Metadata) -> bool {
        is_ours(path, &self.shown(path), meta, 0o700)
    }
}

fn refused(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A path that leads to what was opened, whatever has its name by now. None without a `/proc` of this process.
fn path_of(opened: &fs::File) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let (reached, meta) = (fs::metadata(&path).ok()?, opened.metadata().ok()?);
    ((reached.dev(), reached.ino()) == (meta.dev(), meta.ino())).then_some(path)
}

/// True if a file belongs to this user and its mode lets no other write to it. Another file is not mended by another
/// mode: somebody may have it open.
pub fn is_written_by_us_only(meta: &fs::Metadata) -> bool {
    meta.uid() == own_uid() && meta.mode() & 0o022 == 0
}

/// True if a file belongs to this user and its mode gives no other any right.
pub fn is_secret(meta: &fs::Metadata) -> bool {
    meta.uid() == own_uid() && meta.mode() & 0o077 == 0
}

/// True if the folder belongs to this user and no other can write to it. A right of its group is taken away first: the
/// folder gets this mode. `shown` is the path that people know.
fn is_ours(path: &Path, shown: &Path, meta: &fs::Metadata, mode: u32) -> bool {
    if meta.uid() != own_uid() || meta.mode() & 0o002 != 0 {
        return false;
    }
    if meta.mode() & 0o020 == 0 {
        return true;
    }
    let mended = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    match &mended {
        Ok(()) => tracing::warn!(path = %shown.display(), "its group could write here; it cannot any more"),
        Err(error) => tracing::warn!(path = %shown.display(), %error, "its group can write here"),
    }
    mended.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mode(folder: &Path, mode: u32) {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_made_private_and_one_of_a_group_becomes_so() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("new/cache");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        PrivateFolder::open(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&above.path().join("new"))), (0o700, 0o700));
        with_mode(&folder, 0o775);
        PrivateFolder::open(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_folder_that_all_can_write_to_is_refused_with_what_to_do() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("cache");
        with_mode(&folder, 0o777);
        let error = PrivateFolder::open(&folder).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_path_below_a_folder_that_all_can_write_to_is_not_given_to_other_programs() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("shared/cache");
        let private = PrivateFolder::open(&folder).unwrap();
        private.path_for_others().unwrap();
        with_mode(&above.path().join("shared"), 0o777);
        let error = private.path_for_others().unwrap_err();
        assert!(error.to_string().contains("/shared belongs to another user or is writable"), "{error}");
        // As in /tmp, others can add, and cannot rename what is not theirs.
        with_mode(&above.path().join("shared"), 0o1777);
        private.path_for_others().unwrap();
    }
}
