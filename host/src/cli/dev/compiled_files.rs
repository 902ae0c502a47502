//! Notes which components the host compiles, so that a long wait for one is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::cli::LARGEST_WASM;

/// The longest time in which nothing is printed while the host compiles a component.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// Files that are built, and that the host has neither loaded nor refused since.
pub(super) struct CompiledFiles {
    folder: PathBuf,
    /// The time until which nothing is said of each.
    until: BTreeMap<String, Instant>,
}

impl CompiledFiles {
    /// None of the files in this folder.
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder, until: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, file: &str) {
        self.until.insert(file.to_owned(), Instant::now() + SILENCE);
    }

    pub(super) fn remove(&mut self, file: &str) {
        self.until.remove(file);
    }

    /// The time at which something has to be said. None if there is no such file.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until.values().min().copied()
    }

    /// Takes out the file whose time is over first, with the SHA-256 of its content. None if it cannot be read.
    pub(super) async fn take_overdue(&mut self) -> Option<(String, String)> {
        let (file, _) = self.until.iter().min_by_key(|(_, until)| **until)?;
        let file = file.clone();
        self.until.remove(&file);
        let path = self.folder.join(&file);
        let digest = tokio::task::spawn_blocking(move || digest(&path)).await.ok().flatten()?;
        Some((file, digest))
    }
}

/// The SHA-256 of a component, in hex. None if it cannot be read.
fn digest(file: &Path) -> Option<String> {
    let bytes = coinslot_base::file::read_regular(file, LARGEST_WASM).ok()?;
    Some(hex::encode(Sha256::digest(bytes)))
}
