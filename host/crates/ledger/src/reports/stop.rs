//! Stops a report from another thread, because a report may read every row.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rusqlite::InterruptHandle;

/// The way to end the report of one reader, from any thread.
#[derive(Default)]
pub struct ReportStop {
    stopped: AtomicBool,
    running: Mutex<Option<InterruptHandle>>,
}

impl std::fmt::Debug for ReportStop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportStop").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl ReportStop {
    /// Ends the query that runs, with [`super::ReportError::Stopped`], and every report that has not begun. A report that
    /// is between two queries goes on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(handle) = &*self.running.lock() {
            handle.interrupt();
        }
    }

    /// Names the connection of the report. False if the report is to end before it begins.
    pub(super) fn begin(&self, handle: InterruptHandle) -> bool {
        *self.running.lock() = Some(handle);
        !self.stopped.load(Ordering::SeqCst)
    }
}
