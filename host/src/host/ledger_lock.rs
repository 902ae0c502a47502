//! Waits until an earlier host, which may still drain, gives up the ledger.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::Config;

/// The time between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The time that a host may take to end after it has drained.
const REST: Duration = Duration::from_secs(10);

/// Waits until no other process holds the ledger, for as long as a host with this configuration may take to shut down.
/// Opening the ledger takes its lock, and fails if another process still holds it.
pub(super) async fn wait(config: &Config) {
    let (ledger, lock) = (config.state.ledger(), config.state.ledger().with_extension("lock"));
    if !is_held(&lock) {
        return;
    }
    let most = config.server.shutdown_delay + config.server.drain_timeout + REST;
    let (ledger, seconds) = (ledger.display(), most.as_secs());
    tracing::warn!(%ledger, "in use by another Coinslot: waiting at most {seconds} s for its end");
    let until = Instant::now() + most;
    while is_held(&lock) && Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
    }
}

/// True if another process holds a lock. A lock file that is missing, or cannot be opened, counts as free.
fn is_held(lock: &Path) -> bool {
    let Ok(file) = File::options().write(true).open(lock) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_start_waits_for_the_host_before_it_to_end_and_no_longer() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.state.folder = dir.path().to_owned();
        tokio::time::timeout(Duration::from_secs(5), wait(&config)).await.expect("nobody holds it");
        let held = File::create(dir.path().join("ledger.lock")).expect("a file");
        held.lock().expect("the lock");
        let begun = Instant::now();
        let end = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(held);
        };
        tokio::join!(wait(&config), end);
        assert!(begun.elapsed() >= Duration::from_millis(500) && begun.elapsed() < Duration::from_secs(20));
    }
}
