//! Reads the files that decide where a module is: `package.json` and `tsconfig.json` of the plugin, of the folders above
//! it, and of packages.

use std::io;
use std::path::{Path, PathBuf};

use coinslot_base::file::{read_regular, read_regular_text};
use oxc_resolver::{FileMetadata, FileSystem, FileSystemOs, ResolveError};

/// Bytes of such a file, at most.
pub(super) const MOST: u64 = 4 << 20;

/// The file system, of which only regular files of bounded size are read: a package may have a link to a device in the
/// place of its `package.json`.
pub(super) struct RegularFiles(FileSystemOs);

impl FileSystem for RegularFiles {
    fn new() -> Self {
        Self(FileSystemOs::new())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_regular(path, MOST)
    }

    fn read_to_string(&self, path: &Path) -> io::Result<String> {
        read_regular_text(path, MOST)
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        FileSystem::metadata(&self.0, path)
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        FileSystem::symlink_metadata(&self.0, path)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, ResolveError> {
        FileSystem::read_link(&self.0, path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        FileSystem::canonicalize(&self.0, path)
    }
}
