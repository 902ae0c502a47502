//! Explains why a guest ended, by what its meter has noted.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use coinslot_base::text::bounded;
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::GuestMeter;
use crate::fault::Fault;
use crate::instance::engine::STACK;

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

    /// Notes what a shared instance was refused, in the meter of a request that was in the instance at that time.
    pub(crate) fn note_refusal_of(&self, instance: &Self) {
        for (own, refused) in [
            (&self.memory_refused, &instance.memory_refused),
            (&self.host_memory_refused, &instance.host_memory_refused),
            (&self.plugin_memory_refused, &instance.plugin_memory_refused),
        ] {
            own.fetch_or(refused.load(Relaxed), Relaxed);
        }
    }

    /// The limit of memory that the guest has met, if any.
    pub(crate) fn refused_memory(&self) -> Option<Fault> {
        if self.memory_refused.load(Relaxed) {
            Some(Fault::Memory)
        } else if self.host_memory_refused.load(Relaxed) {
            Some(Fault::HostMemory)
        } else {
            self.plugin_memory_refused.load(Relaxed).then_some(Fault::PluginMemory)
        }
    }

    /// Explains why a guest ended. A fault that is in the error already stays. Otherwise the host's own observations
    /// go before the text of the trap: a guest that was refused memory usually aborts with a trap of its own.
    pub(crate) fn fault(&self, error: &wasmtime::Error) -> Fault {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            fault.clone()
        } else if self.exhausted.load(Relaxed) {
            Fault::Cpu
        } else if let Some(refused) = self.refused_memory() {
            refused
        } else if error.is::<PoolConcurrencyLimitError>() {
            Fault::Busy
        } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
            Fault::Trap(format!("it exited with status {} instead of answering", exit.0))
        } else {
            Fault::Trap(bounded(trap_text(error, self.log().panic().as_deref()), TRAP_TEXT))
        }
    }
}

/// The text of a trap: its cause in the first line, with the panic that the guest printed before it, and then the
/// backtrace. wasmtime puts the backtrace first, and so the cause would be what is cut off.
fn trap_text(error: &wasmtime::Error, panic: Option<&str>) -> String {
    let panic = panic.map(|panic| format!(": it panicked at {panic}")).unwrap_or_default();
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let advice = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => format!(
            ": its calls may take {} KiB of stack, which no setting changes: nest calls less deeply, or write a loop",
            STACK >> 10
        ),
        // The stack that compilers put into linear memory ends there, or where other data begins.
        Some(Trap::MemoryOutOfBounds) if backtrace.is_some_and(is_recursion) => {
            ": its functions call each other again and again, and so used up the stack that its compiler has given it (1 MiB in \
             Rust and C): nest calls less deeply, or write a loop"
                .to_owned()
        }
        Some(Trap::NoAsyncResult) => {
            return "its handler waits for what never comes: nothing else is at work, and so no answer can follow"
                .to_owned();
        }
        Some(_) | None => String::new(),
    };
    match backtrace {
        Some(backtrace) => format!("{}{advice}{panic}\n{backtrace}", error.root_cause()),
        None => format!("{error:#}{panic}"),
    }
}

/// True if the innermost calls are those of a few functions. wasmtime keeps some twenty frames.
fn is_recursion(backtrace: &WasmBacktrace) -> bool {
    let functions: HashSet<u32> = backtrace.frames().iter().map(FrameInfo::func_index).collect();
    backtrace.frames().len() >= 4 * functions.len() && functions.len() <= 4
}
