//! Explains why a guest ended, by what its meter has noted.

use std::sync::atomic::Ordering::Relaxed;

use coinslot_base::text::bounded;
use wasmtime::{PoolConcurrencyLimitError, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::GuestMeter;
use crate::fault::Fault;

/// The most bytes of a trap's text that are kept.
const TRAP_TEXT: usize = 4 << 10;

impl GuestMeter {
    /// Notes that the guest was refused memory beyond its own limit.
    pub(crate) fn refuse_memory(&self) {
        self.memory_refused.store(true, Relaxed);
    }

    pub(crate) fn refuse_host_memory(&self) {
        self.host_memory_refused.store(true, Relaxed);
    }

    /// Notes that the guest was refused memory beyond what all instances of its plugin may have.
    pub(crate) fn refuse_plugin_memory(&self) {
        self.plugin_memory_refused.store(true, Relaxed);
    }

    /// Explains why a guest ended. A fault that is in the error already stays. Otherwise the host's own observations
    /// go before the text of the trap: a guest that was refused memory usually aborts with a trap of its own.
    pub(crate) fn fault(&self, error: &wasmtime::Error) -> Fault {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            fault.clone()
        } else if self.exhausted.load(Relaxed) {
            Fault::Cpu
        } else if self.memory_refused.load(Relaxed) {
            Fault::Memory
        } else if self.host_memory_refused.load(Relaxed) {
            Fault::HostMemory
        } else if self.plugin_memory_refused.load(Relaxed) {
            Fault::PluginMemory
        } else if error.is::<PoolConcurrencyLimitError>() {
            Fault::Busy
        } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
            Fault::Trap(format!("it exited with status {} instead of answering", exit.0))
        } else {
            Fault::Trap(bounded(trap_text(error), TRAP_TEXT))
        }
    }
}

/// The text of a trap: its cause in the first line, and then the backtrace. wasmtime puts the backtrace first, and so
/// the cause would be what is cut off.
fn trap_text(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => format!("{}\n{backtrace}", error.root_cause()),
        None => format!("{error:#}"),
    }
}
