//! Resolves the imports of a component, and finds its exports.

use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::bindings::{manifest, quote};
use crate::fault::LoadError;
use crate::instance::engine;
use crate::instance::linked::{HandlerPre, LinkedComponent};
use crate::instance::store::GuestState;
use crate::load::component::{ComponentInfo, VERSION};

/// Links a compiled component. The error names a missing import if there is one.
pub(super) fn link(
    linker: &Linker<GuestState>,
    component: &Component,
    info: &ComponentInfo,
) -> Result<LinkedComponent, LoadError> {
    let pre = linker.instantiate_pre(component).map_err(|error| {
        LoadError::Invalid(info.missing().unwrap_or_else(|| {
            format!("its imports do not fit this host: {error:#}; build it against WASI 0.2.12 or older")
        }))
    })?;
    let handler = match ServicePre::new(pre.clone()) {
        Ok(service) => HandlerPre::P3(service),
        Err(_) => HandlerPre::P2(
            ProxyPre::new(pre.clone())
                .map_err(|error| LoadError::Invalid(format!("its HTTP handler does not fit `wasi:http`: {error:#}")))?,
        ),
    };
    let manifest = manifest::GuestIndices::new(&pre).map_err(|error| {
        LoadError::Invalid(format!("its `manifest` does not fit coinslot:plugin@{VERSION}: {error:#}"))
    })?;
    // A plugin may have no `quote`. A `quote` that does not fit is a mistake, which its author should learn of.
    let quote = if info.exports("coinslot:plugin", "quote", VERSION) {
        Some(quote::GuestIndices::new(&pre).map_err(|error| {
            LoadError::Invalid(format!("its `quote` does not fit coinslot:plugin@{VERSION}: {error:#}"))
        })?)
    } else {
        None
    };
    let weight = engine::weight(component);
    let reads_config = info.imports("wasi:config");
    let (composed, data) = (info.composed, info.data);
    Ok(LinkedComponent { pre, handler, manifest, quote, reads_config, weight, composed, data })
}
