//! The directory of compiled components.
//!
//! A file is named by the SHA-256 of the component and the fingerprint of the engine that it was compiled for. It is
//! written once, under another name first, and never rewritten, because running plugins map it. Its content is native
//! code that the server runs: only this user may be able to write here, and no artifact is taken from anywhere else.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use coinslot_base::file;
use tempfile::NamedTempFile;

/// The directory of compiled components.
#[derive(Debug)]
pub(crate) struct Artifacts {
    dir: PathBuf,
}

impl Artifacts {
    /// Opens the directory, creating it with mode 0700. Refuses one that others can write to.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // An absolute path: the working directory may change, and a child process has its own.
        let dir = dir.canonicalize()?;
        let meta = fs::metadata(&dir)?;
        if !meta.is_dir() || !is_ours(&meta) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} must belong to this user and must not be writable by others, because compiled \
                     plugins in it are run as they are: `chmod 700` it, or choose another directory",
                    dir.display()
                ),
            ));
        }
        Ok(Self { dir })
    }

    pub(crate) fn path(&self, digest: &str, fingerprint: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{fingerprint}.cwasm"))
    }

    /// Finds an artifact. A file that others can write to is removed, and counts as not found.
    pub(crate) fn find(&self, path: &Path) -> Option<()> {
        let meta = fs::symlink_metadata(path).ok()?;
        if meta.is_file() && is_ours(&meta) {
            return Some(());
        }
        tracing::warn!(artifact = %path.display(), "others can write this file; it is removed");
        self.remove(path);
        None
    }

    /// A file to write an artifact into. It is removed unless it is passed to [`Artifacts::publish`].
    pub(crate) fn draft(&self) -> io::Result<NamedTempFile> {
        file::draft(&self.dir, 0o600)
    }

    /// Makes a draft durable and read-only, and then gives it its name. On an error no file has that name.
    pub(crate) fn publish(&self, draft: NamedTempFile, path: &Path) -> io::Result<()> {
        draft.as_file().set_permissions(fs::Permissions::from_mode(0o400))?;
        file::publish_durably(draft, path)
    }

    /// Unlinks an artifact. Plugins that map it keep running.
    pub(crate) fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(artifact = %path.display(), %error, "cannot remove this file");
        }
    }
}

fn is_ours(meta: &fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0
}
