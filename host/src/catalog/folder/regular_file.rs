//! Reads the regular files of the plugin folder, and nothing else that has a name there.

use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use coinslot_base::file::FileStamp;

/// The largest component that is read, in bytes. Components in Python have 18 MB.
pub(super) const MAX_WASM: u64 = 64 << 20;

/// The reason why a path has no stamp.
pub(super) enum StampError {
    Unreadable(io::Error),
    /// The kind of file, if it is no regular one.
    NoFile(&'static str),
}

/// The stamp of the regular file that a path leads to. Opens nothing.
pub(super) fn stamp(path: &Path) -> Result<FileStamp, StampError> {
    let kind = std::fs::metadata(path).map_err(StampError::Unreadable)?.file_type();
    if !kind.is_file() {
        return Err(StampError::NoFile(name_of(kind)));
    }
    FileStamp::of(path).map_err(StampError::Unreadable)
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Reads a regular file, and no more of it than a component may have. It may have become something else since it was
/// looked at, so the open does not wait for a writer.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut wasm = Vec::new();
    file.take(MAX_WASM + 1).read_to_end(&mut wasm)?;
    Ok(wasm)
}

/// Lists the files of a folder whose names end with `.wasm` and do not begin with a dot, in the order of their names.
pub(super) fn wasm_files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.ends_with(".wasm") && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
