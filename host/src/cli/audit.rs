//! Writes what commands change on their own into the audit log of the host.

use std::path::Path;

use coinslot_ledger::{Author, Change, ChangeKind, record_beside};

use crate::operate::time;

/// Writes one change into the ledger of a host, beside a host that may be running. The change is made already,
/// so a failure is only logged. Without a ledger there is nothing to write to.
pub(super) fn record(ledger: &Path, kind: ChangeKind, subject: String, after: Option<String>) {
    if !ledger.exists() {
        return;
    }
    let who = Author::CommandLine { user: user() };
    let change = Change { at: time::now(), who, kind, subject, before: None, after };
    if let Err(error) = record_beside(ledger, &change) {
        tracing::warn!(kind = kind.as_str(), %error, "the change could not be written into the audit log");
    }
}

/// The name of the user of this process, or else its number.
fn user() -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    own.or(Some(id))
}
