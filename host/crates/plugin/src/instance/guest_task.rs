//! Which task of a guest calls the host, and the imports that must know it although `wasmtime-wasi-http` does not
//! tell: those that send a request.

use wasmtime::component::{Accessor, GuestTaskId, HasData, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::p3::bindings::http::types as p3;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView};

use crate::instance::store::GuestState;

/// The version by which `wasmtime-wasi-http` defines WASI 0.2. If it moves on, guests of WASI 0.3 that send by
/// it are denied: a test says so.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Who calls the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestTask {
    /// The task that the host itself called.
    pub(crate) root: GuestTaskId,
    /// Whether it is not that task which calls, but one that it called in another component.
    pub(crate) nested: bool,
}

/// None in an engine without tasks.
pub(crate) fn caller<T>(mut store: StoreContextMut<'_, T>) -> Option<GuestTask> {
    let mut tasks = store.async_call_stack().ok()?;
    let first = tasks.next()?;
    let last = tasks.last();
    Some(GuestTask { root: last.unwrap_or(first), nested: last.is_some() })
}

/// Defines `wasi:http` for an engine that has tasks: the stock one, except that the hooks are told who sends.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p3::bindings::http::types::add_to_linker::<_, WasiHttp>(linker, GuestState::http)?;
    client::add_to_linker::<_, Client>(linker, GuestState::http)?;
    linker.allow_shadowing(true);
    linker.instance(OUTGOING_HANDLER)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, GuestState>, (request, options)| {
            let caller = caller(store.as_context_mut());
            let state = store.data_mut();
            state.visits.sends(caller);
            match outgoing_handler::Host::handle(&mut state.http(), request, options) {
                Ok(answer) => Ok((Ok(answer),)),
                Err(error) => error.downcast().map(|code| (Err(code),)),
            }
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Client;

impl HasData for Client {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl client::HostWithStore<GuestState> for Client {
    async fn send(
        store: &Accessor<GuestState, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<p3::ErrorCode>> {
        // Before anything is waited for, the stock client hands the request to the hooks.
        store.with(|mut store| {
            let caller = caller(store.as_context_mut());
            store.data_mut().visits.sends(caller);
        });
        <WasiHttp as client::HostWithStore<GuestState>>::send(&store.with_getter::<WasiHttp>(GuestState::http), request)
            .await
    }
}
