//! Bounds how many instances run at once: those of one plugin, and those of all plugins together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::Fault;

/// The permits of a running instance, returned when this is dropped.
pub(crate) struct InstancePermits {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

/// The semaphores of one plugin's instances.
#[derive(Debug)]
pub(crate) struct InstanceLimit {
    /// The plugin's own.
    pub(crate) own: Arc<Semaphore>,
    /// That of all plugins together.
    pub(crate) shared: Arc<Semaphore>,
}

impl InstanceLimit {
    /// Takes permits, waiting at most this long.
    pub(crate) async fn acquire(&self, wait: Duration) -> Result<InstancePermits, Fault> {
        if let Some(permits) = self.try_acquire() {
            return Ok(permits);
        }
        tokio::time::timeout(wait, self.next()).await.ok().flatten().ok_or(Fault::Busy)
    }

    /// Takes permits that are free at once.
    pub(crate) fn try_acquire(&self) -> Option<InstancePermits> {
        let own = self.own.clone().try_acquire_owned().ok()?;
        let shared = self.shared.clone().try_acquire_owned().ok()?;
        Some(InstancePermits { _own: own, _shared: shared })
    }

    /// Waits for the next permits that are free. The plugin's own comes first: a request that waits for it holds no
    /// permit that another plugin could use.
    pub(crate) async fn next(&self) -> Option<InstancePermits> {
        let own = self.own.clone().acquire_owned().await.ok()?;
        let shared = self.shared.clone().acquire_owned().await.ok()?;
        Some(InstancePermits { _own: own, _shared: shared })
    }
}
