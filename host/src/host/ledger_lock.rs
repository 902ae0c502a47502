//! Waits until an earlier host, which may still drain, gives up the ledger.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_ledger::{Ledger, SqliteLedger};

use super::error::HostError;
use crate::config::{Config, StateConfig};

/// The time between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The time that a host may take to end after it has drained.
const REST: Duration = Duration::from_secs(10);

/// Waits until no other process holds the ledger, for as long as a host with this configuration may take to shut down.
/// Opening the ledger takes its lock, and fails if another process still holds it.
pub(super) async fn wait(config: &Config) {
    if !is_running(&config.state) {
        return;
    }
    let most = config.server.shutdown_delay + config.server.drain_timeout + REST;
    let (ledger, seconds) = (config.state.ledger(), most.as_secs());
    let ledger = ledger.display();
    tracing::warn!(%ledger, "in use by another Coinslot: waiting at most {seconds} s for its end");
    let until = Instant::now() + most;
    while is_running(&config.state) && Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Opens the ledger. Two hosts that start together both find it free: the second one waits for the first here.
pub(super) async fn open(config: &Config) -> Result<Arc<dyn Ledger>, HostError> {
    wait(config).await;
    Ok(Arc::new(SqliteLedger::open(&config.state.ledger()).map_err(HostError::ledger)?))
}

/// True if another process holds the ledger of this state, as a host does while it runs.
pub(crate) fn is_running(state: &StateConfig) -> bool {
    is_held(&state.ledger().with_extension("lock"))
}

/// True if another process holds a lock. A lock file that is missing, or cannot be opened, counts as free.
///
/// There is no way to ask for a lock of this kind without taking it. It is shared for a moment, which two hosts can do
/// at once, and a host that takes it meanwhile tries again.
fn is_held(lock: &Path) -> bool {
    let Ok(file) = File::options().read(true).write(true).open(lock) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
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

    /// Two hosts that looked at the same time each saw the other's look, and one that opened its ledger meanwhile
    /// failed.
    #[test]
    fn hosts_that_look_for_a_lock_at_once_hold_up_neither_each_other_nor_one_that_takes_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ledger.lock");
        let look = File::create(&path).expect("a file");
        look.try_lock_shared().expect("nobody holds it");
        assert!(!is_held(&path));
        let ended = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(look);
        });
        let _ledger = SqliteLedger::open(&dir.path().join("ledger.db")).expect("the look ends");
        assert!(is_held(&path));
        ended.join().expect("no panic");
    }
}
