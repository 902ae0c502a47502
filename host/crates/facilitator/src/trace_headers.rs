//! Carries the trace of a payment to the facilitators that are called for it.
//!
//! A payment goes through pools and retries to the connection, and none of them has to know of traces: the fields go
//! with the task. They are for facilitators alone, which the operator has chosen; nodes of chains see none.

use reqwest::header::HeaderMap;

tokio::task_local! {
    static CURRENT: HeaderMap;
}

/// Does work whose requests to facilitators carry these fields.
pub async fn with_trace_headers<F: Future>(headers: HeaderMap, work: F) -> F::Output {
    if headers.is_empty() {
        return work.await;
    }
    CURRENT.scope(headers, work).await
}

/// The fields for a request that is sent now.
pub(crate) fn trace_headers() -> HeaderMap {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}
