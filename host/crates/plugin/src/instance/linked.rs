//! A component that is ready to be instantiated.

use wasmtime::component::InstancePre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::bindings::{manifest, quote};
use crate::instance::store::GuestState;

/// A component with its imports resolved and its exports found.
pub(crate) struct LinkedComponent {
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) handler: HandlerPre,
    pub(crate) manifest: manifest::GuestIndices,
    pub(crate) quote: Option<quote::GuestIndices>,
    /// True if it imports `wasi:config`, so that its description may depend on its configuration.
    pub(crate) reads_config: bool,
    /// Permits that an instance takes.
    pub(crate) weight: usize,
    /// True if it is composed of several components.
    pub(crate) composed: bool,
    /// The first contents of its memories, in bytes.
    pub(crate) data: usize,
}

/// The exported HTTP handler.
pub(crate) enum HandlerPre {
    P2(ProxyPre<GuestState>),
    P3(ServicePre<GuestState>),
}
