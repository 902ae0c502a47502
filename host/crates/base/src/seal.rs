//! Seals the files of compiled code, so that only what this program wrote in a directory is run from there.
//!
//! Compiled code is trusted as this program is, and a state folder can come out of a repository or an archive. So each
//! file ends with a MAC (HMAC-SHA-256) of its name and content. The key is an [`OwnKey`] of the directory: one that came
//! along with the files is replaced, and nothing fits the new one.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use aws_lc_rs::hmac;

use crate::file;
use crate::own_key::{KeyOrigin, OwnKey};

/// Bytes of a MAC.
pub const MAC: usize = 32;

/// The file of the key.
const FILE: &str = ".seal.key";

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// Makes and checks the MACs of the files of one directory.
#[derive(Clone, Debug)]
pub struct Seal(hmac::Key);

impl Seal {
    /// The seal of a directory, which is reached by `dir`, and known to people by `name`.
    pub fn of(dir: &Path, name: &Path) -> io::Result<Self> {
        let OwnKey { bytes, origin } = OwnKey::open(&dir.join(FILE))?;
        let folder = name.display();
        match origin {
            KeyOrigin::Kept | KeyOrigin::Made => {}
            KeyOrigin::Replaced => tracing::warn!(
                %folder,
                "this folder of compiled code was made elsewhere, or copied; what is in it is compiled again"
            ),
            KeyOrigin::NotKept => tracing::warn!(
                %folder,
                "its file system does not record when files are made, so compiled code is kept for this process only: \
                 put it on another file system to start quickly"
            ),
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Adds the MAC to a file that is written, and that will have this name.
    pub fn close(&self, name: &str, mut file: &File) -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let len = file.metadata()?.len();
        let mac = self.mac_of(name, file, len)?;
        file.seek(SeekFrom::Start(len))?;
        file.write_all(mac.as_ref())
    }

    /// True if the file was closed by [`Seal::close`] under its name. Reads all of it.
    pub fn is_on(&self, path: &Path) -> io::Result<bool> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut file = file::open_regular(path)?;
        let Some(len) = file.metadata()?.len().checked_sub(MAC as u64) else { return Ok(false) };
        let mac = self.mac_of(&name, &file, len)?;
        let mut found = [0; MAC];
        file.read_exact(&mut found)?;
        Ok(is_equal(&found, mac.as_ref()))
    }

    /// The MAC of bytes that belong to this name.
    pub fn mac(&self, name: &str, bytes: &[u8]) -> [u8; MAC] {
        let mut mac = self.begin(name);
        mac.update(bytes);
        let mut result = [0; MAC];
        result.copy_from_slice(mac.sign().as_ref());
        result
    }

    /// The bytes that belong to this name, without the MAC at their end. None if another one is there.
    pub fn open(&self, name: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let found = bytes.split_off(bytes.len().checked_sub(MAC)?);
        is_equal(&found, &self.mac(name, &bytes)).then_some(bytes)
    }

    /// The MAC of the next `len` bytes of a file.
    fn mac_of(&self, name: &str, file: &File, len: u64) -> io::Result<hmac::Tag> {
        let mut mac = self.begin(name);
        let (mut rest, mut chunk) = (file.take(len), vec![0; CHUNK]);
        loop {
            match rest.read(&mut chunk)? {
                0 if rest.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => return Ok(mac.sign()),
                read => mac.update(&chunk[..read]),
            }
        }
    }

    fn begin(&self, name: &str) -> hmac::Context {
        let mut mac = hmac::Context::with_key(&self.0);
        // A length keeps a name from running into the content.
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac
    }
}

fn is_equal(found: &[u8], mac: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(found, mac).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_sealed_for_its_name_its_content_and_its_directory() {
        let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let [seal, other] = dirs.each_ref().map(|dir| Seal::of(dir.path(), dir.path()).expect("a key"));
        let path = |name: &str| dirs[0].path().join(name);
        for content in [vec![], vec![7; 3 * CHUNK + 1]] {
            fs::write(path("a"), &content).expect("written");
            let file = File::options().read(true).write(true).open(path("a")).expect("a file");
            assert!(!seal.is_on(&path("a")).expect("read"), "not yet");
            seal.close("a", &file).expect("sealed");
            assert!(seal.is_on(&path("a")).expect("read"));
            assert!(!other.is_on(&path("a")).expect("read"), "the key of another directory");
            let sealed = fs::read(path("a")).expect("a file");
            assert_eq!(sealed[content.len()..], seal.mac("a", &content));
            assert_eq!(seal.open("a", sealed.clone()), Some(content.clone()));
            assert_eq!(seal.open("b", sealed.clone()), None, "another name");
            assert_eq!(other.open("a", sealed.clone()), None, "another directory");
            fs::copy(path("a"), path("b")).expect("a copy");
            assert!(!seal.is_on(&path("b")).expect("read"), "another name");
            for at in [0, sealed.len() - 1] {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                fs::write(path("a"), changed).expect("written");
                assert!(!seal.is_on(&path("a")).expect("read"), "byte {at}");
            }
        }
    }

    #[test]
    fn a_directory_that_is_copied_with_its_key_has_no_sealed_file() {
        let (made, copied) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let seal = Seal::of(made.path(), made.path()).expect("a key");
        let path = made.path().join("a");
        fs::write(&path, "code").expect("written");
        seal.close("a", &File::options().read(true).write(true).open(&path).expect("a file")).expect("sealed");
        for name in ["a", FILE] {
            fs::copy(made.path().join(name), copied.path().join(name)).expect("a copy");
        }
        let seal = |dir: &tempfile::TempDir| Seal::of(dir.path(), dir.path()).expect("a key");
        assert!(seal(&made).is_on(&path).expect("read"), "where it was made, also at the next start");
        assert!(!seal(&copied).is_on(&copied.path().join("a")).expect("read"));
    }
}
