//! Keeps the alerts that each address was told to have begun: they end at the receiver although their host was restarted.

use std::collections::BTreeMap;
use std::path::Path;

use coinslot_base::file::{read_regular, replace};
use parking_lot::Mutex;

use super::Webhook;
use crate::operate::alerts::{Alert, AlertKind};

/// The file in the state folder with the alerts that each address was told to have begun.
pub(super) const TOLD: &str = "alerts.json";
/// Held while the file is read and written: the addresses share it.
static TOLD_FILE: Mutex<()> = Mutex::new(());

/// The alerts of each address. A file that cannot be read has none: they are told again.
fn read_told(file: &Path) -> BTreeMap<String, Vec<Alert>> {
    read_regular(file, 1 << 20).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

impl Webhook {
    /// The alerts that the address was told to have begun, and not to have ended, also by an earlier process.
    pub(super) fn told_before(&self, file: &Path) -> BTreeMap<(AlertKind, String), Alert> {
        let told = TOLD_FILE.lock();
        let mut all = read_told(file);
        drop(told);
        all.remove(self.name()).unwrap_or_default().into_iter().map(|alert| (alert.key(), alert)).collect()
    }

    /// Keeps them for the next process. If the disk fails, that one tells them again.
    pub(super) fn keep_told(&self, file: &Path, told: &BTreeMap<(AlertKind, String), Alert>) {
        let _all = TOLD_FILE.lock();
        let mut all = read_told(file);
        all.insert(self.name().to_owned(), told.values().cloned().collect());
        let written = serde_json::to_vec_pretty(&all).map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|text| replace(file, 0o600, &text)) {
            tracing::warn!(file = %file.display(), %error, "the alerts that webhooks were told cannot be kept");
        }
    }
}
