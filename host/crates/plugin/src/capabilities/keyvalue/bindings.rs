//! The types and traits of `wasi:keyvalue`, generated from `wit/`.

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        world: "wasi:keyvalue/imports@0.2.0-draft",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::capabilities::keyvalue::bucket::KvBucket },
    });
}

pub(crate) use generated::Imports as KeyValueImports;
pub(crate) use generated::wasi::keyvalue::{atomics, batch, store};
