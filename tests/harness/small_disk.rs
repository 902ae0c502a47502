//! A disk for the files of one folder that a test can fill, without the rights that a file system of its own needs.
//!
//! The process under test loads `small_disk.c` before the C library, and its writes fail with ENOSPC where a full
//! disk's would. Mounting a small file system needs root or user namespaces, which many CI machines deny, and
//! `RLIMIT_FSIZE` ends in EFBIG, which SQLite takes for another error.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Larger than what any test writes. Nothing has this size on the real disk.
const BYTES: u64 = 1 << 40;

/// The library, and the folder that it limits.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    library: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// A disk for the files of this folder.
    ///
    /// # Panics
    /// If there is no folder or no C compiler.
    pub fn of(folder: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let library = dir.path().join("small_disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/harness/small_disk.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("a C compiler").success(), "{source} does not compile");
        Self { folder: folder.canonicalize().expect("a folder"), library, _dir: dir }
    }

    /// The environment of a process that writes to this disk.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("SMALL_DISK_DIR", text(&self.folder)),
            ("SMALL_DISK_BYTES", BYTES.to_string()),
        ]
    }

    /// Takes all room that is left, by a file without content.
    pub fn fill(&self) {
        let file = std::fs::File::create(self.filler()).expect("a file");
        file.set_len(BYTES).expect("a sparse file");
    }

    /// Gives the room back.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the file that fills the disk");
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}
