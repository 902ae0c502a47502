//! Keeps the record of a plugin's last build beside its component, authenticated by a MAC.
//!
//! The record tells whether the component is what the sources would give. A state folder can come out of a repository
//! or an archive, with a component and a record of its author's: what is served would not be built of the sources that
//! a person has read. So a record ends with a MAC (HMAC-SHA-256) of the record and the component. The key is an
//! [`OwnKey`] of the folder. A key that came along with a folder is replaced, no MAC fits the new key, and every plugin
//! is built.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use coinslot_base::file::{read_regular, replace};
use coinslot_base::own_key::OwnKey;
use sha2::{Digest, Sha256};

use super::sources::BuildRecord;
use crate::cli::LARGEST_WASM;

/// Bytes of a record, at most. It names each file that a compiler read.
const LARGEST_RECORD: u64 = 64 << 20;

/// Bytes of a MAC.
const MAC: usize = 32;

/// The file of the key. A scan of the folder takes no file whose name begins with a dot.
const KEY_FILE: &str = ".sources.key";

/// Reads and writes the records of the components of one folder.
#[derive(Clone, Debug)]
pub(super) struct SealedRecords(hmac::Key);

impl SealedRecords {
    /// The records of a folder. Where no key can be kept, the records hold for this process only.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let OwnKey { bytes, .. } = OwnKey::open(&folder.join(KEY_FILE))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Reads the record beside a component. None if it is not that of this component, or was not written here.
    pub(super) fn read(&self, component: &Path) -> Option<BuildRecord> {
        let mut record = read_regular(&beside(component), LARGEST_RECORD).ok()?;
        let mac = record.split_off(record.len().checked_sub(MAC)?);
        hmac::verify(&self.0, &self.sealed(component, &record)?, &mac).ok()?;
        serde_json::from_slice(&record).ok()
    }

    /// Writes the record beside a component. Without it the plugin is built again at the next start.
    pub(super) fn write(&self, record: &BuildRecord, component: &Path) {
        let mut text = serde_json::to_vec(record).unwrap_or_default();
        // Beside a component that is not there yet, the record only says whose it will be.
        if let Some(sealed) = self.sealed(component, &text) {
            text.extend(hmac::sign(&self.0, &sealed).as_ref());
        }
        if let Err(error) = replace(&beside(component), 0o644, &text) {
            tracing::debug!(%error, component = %component.display(), "its sources cannot be noted");
        }
    }

    /// The bytes that the MAC of a record covers: the component's name and content, and the record. None without a
    /// component.
    fn sealed(&self, component: &Path, record: &[u8]) -> Option<Vec<u8>> {
        let name = component.file_name()?.to_str()?;
        let wasm = read_regular(component, LARGEST_WASM).ok()?;
        // A length keeps the name from running into what follows.
        let mut sealed = (name.len() as u64).to_le_bytes().to_vec();
        sealed.extend(name.as_bytes());
        sealed.extend(Sha256::digest(&wasm));
        sealed.extend(record);
        Some(sealed)
    }
}

/// Removes the record beside a component. False if there is none.
pub(super) fn remove_record(component: &Path) -> bool {
    std::fs::remove_file(beside(component)).is_ok()
}

/// The file of a record. A scan of the folder takes no file whose name begins with a dot.
fn beside(component: &Path) -> PathBuf {
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    component.with_file_name(format!(".{name}.sources"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A component that came along with its record was served instead of what the sources give.
    #[test]
    fn a_record_counts_for_its_component_and_where_it_was_written() {
        let (here, copied) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let component = here.path().join("hello.wasm");
        fs::write(&component, "built").expect("written");
        let records = SealedRecords::of(here.path()).expect("a key");
        let record = BuildRecord::default();
        records.write(&record, &component);
        let again = SealedRecords::of(here.path()).expect("the same key");
        assert_eq!(again.read(&component), Some(record), "at the next start, too");

        for name in ["hello.wasm", ".hello.sources", KEY_FILE] {
            fs::copy(here.path().join(name), copied.path().join(name)).expect("a copy");
        }
        let elsewhere = SealedRecords::of(copied.path()).expect("a key");
        assert_eq!(elsewhere.read(&copied.path().join("hello.wasm")), None, "a folder that came along");
        let other = here.path().join("other.wasm");
        fs::copy(&component, &other).expect("a copy");
        fs::copy(beside(&component), beside(&other)).expect("a copy");
        assert_eq!(records.read(&other), None, "of another plugin");
        fs::write(beside(&other), "{}").expect("written");
        assert_eq!(records.read(&other), None, "without a MAC");
        fs::write(&component, "another").expect("written");
        assert_eq!(records.read(&component), None, "of another component");
        assert!(remove_record(&component) && !remove_record(&component));
    }
}
