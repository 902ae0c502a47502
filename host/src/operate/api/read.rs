//! Reads the ledger for operators, within bounds: a report may walk over all payments, and anybody of the machine may ask
//! for one where the listener has no token.
//!
//! A few reports are made at once, and each has a time. A report whose client has left ends, too.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use coinslot_ledger::reports::{LedgerReader, ReportError, ReportStop};
use tokio::sync::Semaphore;

use super::error::ApiError;
use crate::operate::admin::HostView;
use crate::operate::units::Units;

/// The most reports that are made at once: the processors are for the sale.
const AT_ONCE: usize = 4;

/// The longest wait for other reports.
const WAIT: Duration = Duration::from_secs(10);

/// The longest time of a report.
const LONGEST: Duration = Duration::from_secs(30);

/// The most groups of a sum: some MB.
pub(super) const MOST_GROUPS: usize = 10_000;

/// The room for reports.
#[derive(Debug)]
pub(in crate::operate) struct ReportRoom(Arc<Semaphore>);

impl Default for ReportRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Ends the report when it is dropped.
struct StopAtEnd(Arc<ReportStop>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Reads the ledger on a thread that may wait for the disk.
pub(in crate::operate) async fn read<T: Send + 'static>(
    host: &HostView,
    report: impl FnOnce(&LedgerReader, &Units) -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ApiError> {
    let unavailable = |code, message| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    let turn = tokio::time::timeout(WAIT, Arc::clone(&host.reports.0).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err(unavailable("reports_busy", "other reports are being made: ask again in a moment"));
    };
    let (file, units) = (host.config.state.ledger(), host.units());
    let stop = Arc::new(ReportStop::default());
    let at_end = StopAtEnd(Arc::clone(&stop));
    let reading = tokio::task::spawn_blocking(move || {
        // The turn ends with the work, and not with the wait for it.
        let _turn = turn;
        report(&LedgerReader::open_until(&file, &stop)?, &units)
    });
    let read = match tokio::time::timeout(LONGEST, reading).await {
        Ok(read) => read.map_err(|_| unavailable("ledger_unreadable", "the host is ending"))?,
        Err(_) => {
            let message = "the report took more than 30 seconds: ask for a shorter period with `since` and `until`";
            return Err(unavailable("report_too_long", message));
        }
    };
    drop(at_end);
    read.map_err(ApiError::from)
}
