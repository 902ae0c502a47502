//! Keeps a secret key in a file that counts only where this user made it.
//!
//! A folder may come from elsewhere: out of a repository, an archive, a backup. Its files belong to this user then, and
//! have any mode, so neither tells who wrote them. What no repository and no archive can carry is the identity that a
//! file system gives to a new file: its inode number, and the time of its birth in nanoseconds. The file of a key holds
//! its own identity beside the key. A file that holds another one came from elsewhere, its author knows the key, and a
//! new key takes its place.
//!
//! A file is made whole under another name, and renamed, which keeps its identity. A program that writes as this user
//! can forge one: it could replace this program as well.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::file;
use crate::private::is_secret;

/// Bytes of a key.
pub const KEY: usize = 32;

/// Bytes of an identity: the inode number, and the seconds and nanoseconds of its birth.
const IDENTITY: usize = 8 + 8 + 4;

/// The origin of an [`OwnKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The file is there, and was made where it is.
    Kept,
    /// There was no file. It is made.
    Made,
    /// The file came from elsewhere, is damaged, or is not this user's alone. Another one is in its place.
    Replaced,
    /// The file system does not record when files are made. The key ends with this process.
    NotKept,
}

/// A secret key that nobody outside of this machine can know.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKey {
    pub bytes: [u8; KEY],
    pub origin: KeyOrigin,
}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKey").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl OwnKey {
    /// Reads the key of a file. Makes the file, with mode 0600 and a random key, if none is there that was made where it
    /// is. Of two processes that make it at once, both get the same key.
    pub fn open(file: &Path) -> io::Result<Self> {
        Self::open_or_make(file, random)
    }

    fn open_or_make(file: &Path, new: impl FnOnce() -> [u8; KEY]) -> io::Result<Self> {
        if let Some(bytes) = read(file) {
            return Ok(Self { bytes, origin: KeyOrigin::Kept });
        }
        let bytes = new();
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = file::draft(folder, 0o600)?;
        let Some(identity) = identity(&draft.as_file().metadata()?) else {
            return Ok(Self { bytes, origin: KeyOrigin::NotKept });
        };
        draft.write_all(&bytes)?;
        draft.write_all(&identity)?;
        draft.as_file().sync_all()?;
        let origin = if fs::symlink_metadata(file).is_ok() {
            draft.persist(file).map_err(|error| error.error)?;
            KeyOrigin::Replaced
        } else {
            match draft.persist_noclobber(file) {
                Ok(_) => {}
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.error),
            }
            KeyOrigin::Made
        };
        File::open(folder)?.sync_all()?;
        // Another process may have made the file, too, and the file decides.
        let bytes =
            read(file).ok_or_else(|| io::Error::other(format!("{} does not stay as it is made", file.display())))?;
        Ok(Self { bytes, origin })
    }
}

/// A key from the random numbers of the system.
fn random() -> [u8; KEY] {
    let mut key = [0; KEY];
    aws_lc_rs::rand::fill(&mut key).expect("the system has random numbers");
    key
}

/// The key of a file that was made where it is, and that no other user can read or write: who can read it can make what
/// the key proves.
fn read(path: &Path) -> Option<[u8; KEY]> {
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let bytes = file::read_regular(path, (KEY + IDENTITY) as u64).ok()?;
    let meta = fs::symlink_metadata(path).ok()?;
    let (key, own) = bytes.split_first_chunk::<KEY>()?;
    (is_secret(&meta) && own == identity(&meta)?).then_some(*key)
}

/// The identity that the file system gave to a file, and that nobody can choose. None if it does not record when files are made.
fn identity(meta: &Metadata) -> Option<[u8; IDENTITY]> {
    let birth = meta.created().ok()?.duration_since(UNIX_EPOCH).ok().filter(|birth| !birth.is_zero())?;
    let mut identity = [0; IDENTITY];
    identity[..8].copy_from_slice(&meta.ino().to_le_bytes());
    identity[8..16].copy_from_slice(&birth.as_secs().to_le_bytes());
    identity[16..].copy_from_slice(&birth.subsec_nanos().to_le_bytes());
    Some(identity)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn open(file: &Path, new: u8) -> (u8, KeyOrigin) {
        let OwnKey { bytes, origin } = OwnKey::open_or_make(file, || [new; KEY]).unwrap();
        (bytes[0], origin)
    }

    #[test]
    fn a_key_is_made_once_and_stays_also_when_its_file_is_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, moved) = (folder.path().join("key"), folder.path().join("moved"));
        assert_eq!(open(&file, 1), (1, KeyOrigin::Made));
        assert_eq!(open(&file, 2), (1, KeyOrigin::Kept));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::rename(&file, &moved).unwrap();
        assert_eq!(open(&moved, 3), (1, KeyOrigin::Kept));
    }

    #[test]
    fn two_new_keys_differ() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| OwnKey::open(&folder.path().join(name)).unwrap().bytes);
        assert!(one != other && one != [0; KEY]);
    }

    #[test]
    fn a_key_that_was_copied_damaged_or_opened_to_others_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("key"), folder.path().join("other"));
        assert_eq!(open(&other, 1), (1, KeyOrigin::Made));
        let with_mode = |mode| {
            assert_eq!(open(&file, 1), (1, KeyOrigin::Made));
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        let foreign: [(&str, &dyn Fn()); 8] = [
            ("copied", &|| {
                fs::copy(&other, &file).unwrap();
            }),
            ("of an earlier version", &|| fs::write(&file, [1; KEY]).unwrap()),
            ("cut short", &|| fs::write(&file, [1; 3]).unwrap()),
            ("a link to one", &|| symlink(&other, &file).unwrap()),
            ("writable by others", &|| with_mode(0o602)),
            ("readable by others", &|| with_mode(0o604)),
            ("writable by its group", &|| with_mode(0o620)),
            ("readable by its group", &|| with_mode(0o640)),
        ];
        for (what, plant) in foreign {
            plant();
            assert_eq!(open(&file, 2), (2, KeyOrigin::Replaced), "{what}");
            assert_eq!(open(&file, 3), (2, KeyOrigin::Kept), "{what}");
            fs::remove_file(&file).unwrap();
        }
        assert_eq!(open(&other, 2), (1, KeyOrigin::Kept), "what a link led to is as it was");
    }
}
