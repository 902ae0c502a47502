//! Replaces files in one step: a reader, and a process that starts after a crash, finds the old file or the new
//! one, never a part of it.
//!
//! The new bytes go into a draft beside the target, whose name begins with `.draft-`, and the draft is then
//! renamed. A draft is removed when its write fails; a process that is killed leaves it behind.
//!
//! A [`FileStamp`] tells whether a file was replaced or written since. [`open_regular`], [`read_regular`] and
//! [`read_regular_text`] are for files that others have put there: a pipe, on which reading would wait for ever, and a
//! device that never ends are refused.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use tempfile::NamedTempFile;

/// The length, inode and times of a file: they differ whenever its content may have changed. A file that is written
/// twice within one tick of the file system's clock may keep its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    len: u64,
    inode: u64,
    modified: SystemTime,
    /// Seconds and nanoseconds of the last change of the inode, which a program that sets `modified` back cannot set.
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of the file that a path leads to, through links.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Ok(Self { len: meta.len(), inode: meta.ino(), modified: meta.modified()?, changed })
    }

    /// The file's length, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is the length of the file, not of the stamp")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The time of the last write.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }
}

/// Replaces a file, or makes it. `mode` is that of open(2), such as `0o600`, from which the umask is taken.
///
/// After a crash of the machine the file may be the old one or empty; see [`replace_durably`]. On an error the
/// old file is in its place.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut draft = draft(folder_of(path), mode)?;
    draft.write_all(bytes)?;
    publish(draft, path)
}

/// Replaces a file as [`replace`] does, and returns when the new one would survive a crash of the machine.
pub fn replace_durably(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut draft = draft(folder_of(path), mode)?;
    draft.write_all(bytes)?;
    publish_durably(draft, path)
}

/// Makes a file that is not there yet, and returns when it would survive a crash of the machine. Fails if there is one,
/// which is left as it is.
pub fn create_durably(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut draft = draft(folder_of(path), mode)?;
    draft.write_all(bytes)?;
    publish_new_durably(draft, path)
}

/// The beginning of the names of drafts.
pub const DRAFT_PREFIX: &str = ".draft-";

/// An empty file in a folder, to be written and then published in the same folder. It is removed when it is
/// dropped before that.
pub fn draft(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(DRAFT_PREFIX).permissions(Permissions::from_mode(mode)).tempfile_in(folder)
}

/// Gives a draft its name, in the place of what has that name. On an error the draft is removed.
pub fn publish(draft: NamedTempFile, path: &Path) -> io::Result<()> {
    draft.persist(path).map(drop).map_err(|error| error.error)
}

/// Publishes a draft as [`publish`] does, after its bytes are on the disk, and returns when its name is, too.
pub fn publish_durably(draft: NamedTempFile, path: &Path) -> io::Result<()> {
    draft.as_file().sync_all()?;
    publish(draft, path)?;
    // A name is an entry of its folder, which has a sync of its own.
    File::open(folder_of(path))?.sync_all()
}

/// Publishes a draft as [`publish_durably`] does, and fails if a file has its name, which is left as it is.
pub fn publish_new_durably(draft: NamedTempFile, path: &Path) -> io::Result<()> {
    draft.as_file().sync_all()?;
    draft.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder_of(path))?.sync_all()
}

/// Opens a regular file for reading, through links. Anything else is refused, and never waited for.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Without this flag, opening a pipe waits for its writer. Regular files are read as ever.
    let file = File::options().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

/// Reads a regular file of at most `most` bytes, through links.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes"));
    let len = file.metadata()?.len();
    if len > most {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    // It may grow meanwhile.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// Reads a regular file of at most `most` bytes as text, through links.
pub fn read_regular_text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read_regular(path, most)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// True if a path leads to a regular file with these bytes.
pub fn holds(path: &Path, bytes: &[u8]) -> bool {
    read_regular(path, bytes.len() as u64).is_ok_and(|found| found == bytes)
}

/// The folder that holds a path. A bare name is in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_there_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payment.json");
        create_durably(&path, 0o600, b"one").unwrap();
        assert_eq!(create_durably(&path, 0o600, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["payment.json"]);
    }

    #[test]
    fn a_file_is_made_then_replaced_with_its_mode_and_no_draft_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for (replace, mode, bytes) in [
            (replace as fn(&Path, u32, &[u8]) -> io::Result<()>, 0o600, b"one".as_slice()),
            (replace_durably, 0o400, b"two"),
            (replace, 0o600, b"three"),
        ] {
            replace(&path, mode, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(names(folder.path()), ["state.json"]);
        }
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        // A folder that is not empty cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), "old").unwrap();
        replace(&taken, 0o600, b"new").unwrap_err();
        replace_durably(&taken, 0o600, b"new").unwrap_err();
        assert_eq!(fs::read(taken.join("inside")).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["taken"]);
        replace(&folder.path().join("missing/file"), 0o600, b"new").unwrap_err();
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn a_draft_that_is_dropped_is_removed_and_a_published_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        drop(draft(folder.path(), 0o600).unwrap());
        assert!(names(folder.path()).is_empty());
        let mut made = draft(folder.path(), 0o600).unwrap();
        made.write_all(b"bytes").unwrap();
        publish(made, &folder.path().join("made")).unwrap();
        assert_eq!(names(folder.path()), ["made"]);
    }

    #[test]
    fn a_stamp_changes_with_a_write_a_replacement_and_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "one").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let first = FileStamp::of(&path).unwrap();
        assert_eq!((first.len(), FileStamp::of(&link).unwrap()), (3, first));
        assert_eq!(FileStamp::of(&path).unwrap(), first);
        replace(&path, 0o600, b"two").unwrap();
        let second = FileStamp::of(&link).unwrap();
        assert_ne!(second, first);
        let written = File::options().append(true).open(&path).unwrap().write_all(b"!");
        written.unwrap();
        assert_ne!(FileStamp::of(&path).unwrap(), second);
        FileStamp::of(&folder.path().join("missing")).unwrap_err();
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(pipe.success());
        for name in ["file", "link"] {
            assert_eq!(read_regular(&path(name), 4).unwrap(), b"text");
            assert_eq!(read_regular_text(&path(name), 9).unwrap(), "text");
            assert!(holds(&path(name), b"text") && !holds(&path(name), b"tex") && !holds(&path(name), b"texts"));
            assert_eq!(read_regular(&path(name), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
        for name in ["zero", "pipe", ""] {
            assert_eq!(read_regular(&path(name), 4).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(read_regular(&path("missing"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(path("file"), b"\xff").unwrap();
        assert_eq!(read_regular_text(&path("file"), 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        for (path, folder) in [("name", "."), ("a/name", "a"), ("/name", "/"), ("/", ".")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }
}
