//! Notes a running `coinslot dev` in the user's folder for state, so that `coinslot pay` finds it from anywhere.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cli::dev_hosts::notes;

/// The note, removed when this is dropped.
#[derive(Debug)]
pub(super) struct DevNote(Option<PathBuf>);

impl DevNote {
    /// Notes a dev.json. Without a note `pay` finds the host from its own folder alone.
    pub(super) fn write(dev_json: &Path) -> Self {
        let note = write(dev_json);
        if let Err(error) = &note {
            tracing::debug!(%error, "`coinslot pay` finds this host from its folder alone");
        }
        Self(note.ok())
    }
}

impl Drop for DevNote {
    fn drop(&mut self) {
        if let Some(note) = self.0.take() {
            let _ = fs::remove_file(note);
        }
    }
}

fn write(dev_json: &Path) -> io::Result<PathBuf> {
    let folder = notes().ok_or(io::ErrorKind::NotFound)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let file = std::path::absolute(dev_json)?;
    let text = file.to_str().filter(|text| !text.contains('\n')).ok_or(io::ErrorKind::InvalidFilename)?;
    // One name for one state folder: a host that was killed is replaced by the next one there.
    let note = folder.join(hex::encode(&Sha256::digest(text)[..8]));
    coinslot_base::file::replace(&note, 0o600, format!("{text}\n").as_bytes())?;
    Ok(note)
}
