//! Wraps functions of `wasi:http`: those that send a request, and those that keep a text of any length.
//!
//! `wasmtime-wasi-http` does not tell its hooks which task sends a request. Both imports that send one are therefore
//! wrapped in engines with tasks: they note the calling task, and then call the stock implementation. It does not bound
//! the method and the authority of a request either, so both are refused here if they are too long.

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::p3::bindings::http::types as p3;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView};

use crate::instance::guest_task::calling_task;
use crate::instance::store::GuestState;

/// The version under which `wasmtime-wasi-http` defines WASI 0.2. If it changes there, guests of WASI 0.3 that send
/// through this interface are denied, and a test fails.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";
/// The types of WASI 0.2 and of WASI 0.3, under the versions of `wasmtime-wasi-http`.
const TYPES_P2: &str = "wasi:http/types@0.2.12";
const TYPES_P3: &str = "wasi:http/types@0.3.0";

/// The longest method, in bytes. The longest that is registered with IANA has 17.
const METHOD: usize = 32;
/// The longest authority, in bytes: a name of 253, a port, and an odd spelling of both.
const AUTHORITY: usize = 1_024;

/// Replaces the functions of WASI 0.2 that keep a text.
pub(super) fn bound_texts_p2(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES_P2)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, GuestState>, (request, method): (Resource<p2::OutgoingRequest>, p2::Method)| {
            if matches!(&method, p2::Method::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            Ok((p2::HostOutgoingRequest::set_method(&mut store.data_mut().http(), request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, GuestState>,
         (request, name): (Resource<p2::OutgoingRequest>, Option<String>)| {
            if name.as_ref().is_some_and(|name| name.len() > AUTHORITY) {
                return Ok((Err(()),));
            }
            Ok((p2::HostOutgoingRequest::set_authority(&mut store.data_mut().http(), request, name)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces the functions of WASI 0.3 that keep a text.
fn bound_texts_p3(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES_P3)?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: StoreContextMut<'_, GuestState>, (request, method): (Resource<p3::Request>, p3::Method)| {
            if matches!(&method, p3::Method::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            Ok((p3::HostRequest::set_method(&mut store.data_mut().http(), request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: StoreContextMut<'_, GuestState>, (request, name): (Resource<p3::Request>, Option<String>)| {
            if name.as_ref().is_some_and(|name| name.len() > AUTHORITY) {
                return Ok((Err(()),));
            }
            Ok((p3::HostRequest::set_authority(&mut store.data_mut().http(), request, name)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

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
    bound_texts_p3(linker)
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
