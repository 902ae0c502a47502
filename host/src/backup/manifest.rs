//! The last entry of an archive: what the others are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format that this version writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The manifest of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of Coinslot that made it.
    pub(super) coinslot: String,
    /// Seconds since 1970 at which the backup was begun: what was written to the ledger before is in it.
    pub(super) made_at: u64,
    /// Every other entry by its path.
    pub(super) files: BTreeMap<String, Entry>,
}

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) size: u64,
    /// In hex.
    pub(super) sha256: String,
}
