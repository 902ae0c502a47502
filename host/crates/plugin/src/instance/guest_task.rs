//! Identifies the guest task behind a host call, so that a receipt, a charge or an outgoing request is attributed to
//! the right request.

use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

/// The guest task that calls the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestTask {
    /// The task that the host itself called, at the bottom of the call stack.
    pub(crate) root: GuestTaskId,
    /// True if the call comes from another component, which the root task called.
    pub(crate) nested: bool,
}

/// The guest task that calls the host. None in an engine without tasks.
pub(crate) fn calling_task<T>(mut store: StoreContextMut<'_, T>) -> Option<GuestTask> {
    let mut tasks = store.async_call_stack().ok()?;
    // From the caller's own task down to the task that the host called. A second entry means a call across components.
    let first = tasks.next()?;
    let last = tasks.last();
    Some(GuestTask { root: last.unwrap_or(first), nested: last.is_some() })
}
