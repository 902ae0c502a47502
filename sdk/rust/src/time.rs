//! Waits. The clock itself is `std::time`.

use std::time::Duration;

/// Waits without using CPU time, but within the host's limit on the whole request. In a test it
/// blocks the thread.
pub async fn sleep(duration: Duration) {
    #[cfg(target_family = "wasm")]
    {
        // A time that a client chose may be longer than the clock can tell.
        let duration = duration.min(Duration::from_nanos(u64::MAX));
        crate::wasi::sleep(duration).await;
    }
    #[cfg(not(target_family = "wasm"))]
    std::thread::sleep(duration);
}
