//! Writes attempts to deliver messages to webhooks, and forgets the oldest.
//!
//! Attempts are kept as long as finished payments, and the schema keeps the newest ten thousand of each webhook, so that a
//! receiver that fails for days cannot fill the disk.

use rusqlite::{Connection, params};

use super::prune::{Cutoffs, SLICE_ROWS, Slice, deleted};
use crate::number::to_sqlite;
use crate::{LedgerError, WebhookAttempt};

/// The most characters that are kept of one text.
const TEXT: usize = 300;

/// Keeps one attempt.
pub(super) fn keep(connection: &Connection, attempt: &WebhookAttempt) -> Result<(), LedgerError> {
    let text = |text: &String| coinslot_base::text::excerpt(text, TEXT);
    connection
        .prepare_cached(
            "INSERT INTO webhook_attempt (webhook, number, at, message, kind, event, payment_id, status, error)
                VALUES (?1, 1 + coalesce((SELECT number FROM webhook_attempt WHERE webhook = ?1
                    ORDER BY number DESC LIMIT 1), 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            attempt.webhook,
            to_sqlite(attempt.at.0),
            text(&attempt.message),
            text(&attempt.kind),
            attempt.event.map(to_sqlite),
            attempt.payment_id,
            attempt.status,
            attempt.error.as_ref().map(text),
        ])?;
    Ok(())
}

/// Deletes attempts that are old enough, by their times: a clock that went back gives later attempts earlier ones.
pub(super) fn prune(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let rows = connection
        .prepare_cached(
            "DELETE FROM webhook_attempt WHERE id IN (SELECT id FROM webhook_attempt INDEXED BY webhook_attempt_by_time
                WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![cutoffs.payments(), SLICE_ROWS])?;
    deleted(rows)
}
