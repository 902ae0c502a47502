//! Bounds the linear memory and the tables of one store, and has them counted for the budget of its plugin.

use std::sync::Arc;

use wasmtime::ResourceLimiterAsync;

use crate::instance::engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::instance::meter::GuestMeter;
use crate::instance::permits::InstanceMemory;

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
    /// Bytes that the host keeps for the guest, as they were measured last.
    host: usize,
    /// Bytes of first contents that the guest had not written to when it had its present meter.
    mapped: usize,
    /// Those of them that it has not written to yet. They do not count.
    unwritten: usize,
    /// The instance's part of the memory of its plugin. None where there is no plugin yet.
    counted: Option<Arc<InstanceMemory>>,
    meter: Arc<GuestMeter>,
    /// Set by a refusal, until [`MemoryLimiter::take_refusal`].
    has_refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: usize, counted: Option<Arc<InstanceMemory>>, meter: Arc<GuestMeter>) -> Self {
        let mapped = counted.as_ref().map_or(0, |counted| counted.mapped());
        if mapped > 0 {
            meter.faults.start();
        }
        Self { limit, used: 0, taken: 0, host: 0, mapped, unwritten: mapped, counted, meter, has_refused: false }
    }

    /// Reports to another meter from here on, because the instance answers the next request. The new meter counts the
    /// memory that the instance has already.
    pub(crate) fn set_meter(&mut self, meter: Arc<GuestMeter>) {
        meter.track_memory(self.taken);
        self.mapped = self.unwritten;
        if self.mapped > 0 {
            meter.faults.start();
        }
        self.meter = meter;
    }

    /// Counts what the guest has written to of its first contents, and the memory that the host keeps for it. False if
    /// the plugin's budget has no room for them.
    pub(crate) fn recount(&mut self, host: usize) -> bool {
        let unwritten = match self.unwritten {
            0 => 0,
            unwritten => unwritten.min(self.mapped.saturating_sub(self.meter.faults.bytes())),
        };
        (host, unwritten) == (self.host, self.unwritten) || self.resize(self.used, host, unwritten)
    }

    /// Takes this much memory, if it is within both limits.
    fn try_use(&mut self, used: usize) -> bool {
        if used > self.limit {
            self.meter.refuse_memory();
            self.has_refused = true;
            return false;
        }
        self.resize(used, self.host, self.unwritten)
    }

    /// Has this much counted for the plugin, of the guest and of the host for it.
    fn resize(&mut self, used: usize, host: usize, unwritten: usize) -> bool {
        let bytes = used.saturating_add(host).saturating_sub(unwritten);
        if self.counted.as_ref().is_some_and(|counted| !counted.resize(bytes)) {
            self.meter.refuse_plugin_memory();
            self.has_refused = true;
            return false;
        }
        (self.used, self.host, self.unwritten) = (used, host, unwritten);
        true
    }

    /// True if memory was refused since the last call.
    pub(crate) fn take_refusal(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
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
        if !self.try_use(self.used.saturating_add(desired.saturating_sub(current))) {
            return Ok(false);
        }
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
        let grown = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT);
        Ok(self.try_use(self.used.saturating_add(grown)))
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
