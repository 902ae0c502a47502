//! The types and traits of `wasi:keyvalue`, and of what Coinslot adds to it, generated from `wit/`.

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package coinslot:key-value-host;
            world imports {
                include wasi:keyvalue/imports@0.2.0-draft;
                include coinslot:keyvalue/imports@0.1.0;
            }
        ",
        path: "../../../wit",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::capabilities::keyvalue::bucket::KvBucket },
    });
}

pub(crate) use generated::Imports as KeyValueImports;
pub(crate) use generated::coinslot::keyvalue::atomics as own_atomics;
pub(crate) use generated::wasi::keyvalue::{atomics, batch, store};
