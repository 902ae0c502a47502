//! Defines `wasi:http` for engines with tasks, so that each outgoing request is attributed to the guest task that
//! sends it.
//!
//! `wasmtime-wasi-http` does not tell its hooks which task sends a request. Both imports that send one are therefore
//! wrapped: they note the calling task, and then call the stock implementation.

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::p3::bindings::http::types as p3;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView};

use crate::instance::guest_task::calling_task;
use crate::instance::store::GuestState;

/// The version under which `wasmtime-wasi-http` defines WASI 0.2. If it changes there, guests of WASI 0.3 that send
/// through this interface are denied, and a test fails.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Adds `wasi:http` of WASI 0.3, and replaces the sending function of WASI 0.2.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p3::bindings::http::types::add_to_linker::<_, WasiHttp>(linker, GuestState::http)?;
    client::add_to_linker::<_, AttributingClient>(linker, GuestState::http)?;
    linker.allow_shadowing(true);
    linker.instance(OUTGOING_HANDLER)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, GuestState>, (request, options)| {
            let task = calling_task(store.as_context_mut());
            let state = store.data_mut();
            state.contexts.set_sender(task);
            match outgoing_handler::Host::handle(&mut state.http(), request, options) {
                Ok(response) => Ok((Ok(response),)),
                Err(error) => error.downcast().map(|code| (Err(code),)),
            }
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

struct AttributingClient;

impl HasData for AttributingClient {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl client::HostWithStore<GuestState> for AttributingClient {
    async fn send(
        store: &Accessor<GuestState, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<p3::ErrorCode>> {
        // The stock client hands the request to the hooks before it first waits, so that no other task can send
        // between these two calls.
        store.with(|mut store| {
            let task = calling_task(store.as_context_mut());
            store.data_mut().contexts.set_sender(task);
        });
        <WasiHttp as client::HostWithStore<GuestState>>::send(&store.with_getter::<WasiHttp>(GuestState::http), request)
            .await
    }
}
