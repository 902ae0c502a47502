//! Bounds the linear memory and the tables of one store.

use std::sync::Arc;

use wasmtime::ResourceLimiterAsync;

use crate::instance::engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::instance::meter::GuestMeter;

/// A memory may begin with this many bytes that do not count as taken by the guest: memories of JavaScript and Python
/// begin large, and their first contents come from the file.
const INITIAL_MEMORY_ALLOWANCE: usize = 32 << 20;

/// Bytes of an element of a table.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// The limits of one store. A refusal is noted in the meter, so that the fault that follows can be explained.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    /// The limit of linear memory, in bytes.
    limit: usize,
    /// Bytes of all memories and tables of the instance.
    used: usize,
    /// Bytes beyond what an instance usually begins with.
    taken: usize,
    meter: Arc<GuestMeter>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: usize, meter: Arc<GuestMeter>) -> Self {
        Self { limit, used: 0, taken: 0, meter }
    }

    /// Reports to another meter from here on, because the instance answers the next request. The new meter counts the
    /// memory that the instance has already.
    pub(crate) fn set_meter(&mut self, meter: Arc<GuestMeter>) {
        meter.track_memory(self.taken);
        self.meter = meter;
    }

    /// Memory that the instance has, tables included, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for MemoryLimiter {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.meter.refuse_memory();
            return Ok(false);
        }
        self.used = used;
        // The first growth of a memory, from nothing, is its beginning.
        if current > 0 || desired > INITIAL_MEMORY_ALLOWANCE {
            self.taken = self.taken.saturating_add(desired.saturating_sub(current));
        }
        if self.meter.track_memory(self.taken) {
            // Suspend the guest before it touches the new memory: it is offloaded from its next poll on.
            self.meter.yield_once().await;
        }
        Ok(true)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Ok(false);
        }
        let used = self.used.saturating_add(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT));
        if used > self.limit {
            self.meter.refuse_memory();
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    // The pool has the same bounds. Where it cannot be reserved, these are the only ones.
    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}
