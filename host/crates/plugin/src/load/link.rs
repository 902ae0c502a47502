//! What a guest can import, and the handles by which it is called.
//!
//! Everything that real toolchains import is defined, and refused where it is used: a Rust guest
//! imports the environment, a JavaScript one the file system, whether they use them or not.

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::LoadError;
use crate::bindings::{NarrowQuoting, manifest, quote};
use crate::capabilities::keyvalue;
use crate::instance::engine::Wasi;
use crate::instance::guest_task;
use crate::instance::store::GuestState;
use crate::load::component::ComponentInfo;

/// All imports of one engine's guests.
pub(crate) fn linker(engine: &Engine, wasi: Wasi) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if wasi == Wasi::P3 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        guest_task::add_to_linker(&mut linker)?;
    }
    NarrowQuoting::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |state: &mut GuestState| (&state.granted.config).into())?;
    keyvalue::Imports::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// A component with its imports resolved and its exports found.
pub(crate) struct LinkedComponent {
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) handler: Handler,
    pub(crate) manifest: manifest::GuestIndices,
    pub(crate) quote: Option<quote::GuestIndices>,
    /// Whether it is put together of several components.
    pub(crate) composed: bool,
}

/// The exported HTTP handler.
pub(crate) enum Handler {
    P2(ProxyPre<GuestState>),
    P3(ServicePre<GuestState>),
}

pub(crate) fn link(
    linker: &Linker<GuestState>,
    component: &Component,
    outline: &ComponentInfo,
) -> Result<LinkedComponent, LoadError> {
    let pre = linker.instantiate_pre(component).map_err(|error| {
        LoadError::Invalid(outline.missing().unwrap_or_else(|| {
            format!("its imports do not fit this host: {error:#}; build it against WASI 0.2.12 or older")
        }))
    })?;
    let handler = match ServicePre::new(pre.clone()) {
        Ok(service) => Handler::P3(service),
        Err(_) => Handler::P2(
            ProxyPre::new(pre.clone())
                .map_err(|error| LoadError::Invalid(format!("its HTTP handler does not fit `wasi:http`: {error:#}")))?,
        ),
    };
    let manifest = manifest::GuestIndices::new(&pre)
        .map_err(|error| LoadError::Invalid(format!("its `manifest` does not fit coinslot:plugin@0.1.0: {error:#}")))?;
    // An export of this name that does not fit is a mistake worth hearing about; none is a choice.
    let quote = if outline.exports("coinslot:plugin", "quote", "0.1.0") {
        Some(quote::GuestIndices::new(&pre).map_err(|error| {
            LoadError::Invalid(format!("its `quote` does not fit coinslot:plugin@0.1.0: {error:#}"))
        })?)
    } else {
        None
    };
    Ok(LinkedComponent { pre, handler, manifest, quote, composed: outline.composed })
}
