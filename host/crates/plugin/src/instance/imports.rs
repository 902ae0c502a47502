//! Defines what a guest can import.
//!
//! Every interface that real toolchains import is defined, and refused where it is used: a Rust guest imports the
//! environment, a JavaScript guest the file system, whether they use them or not.

mod http;
mod keyvalue;
mod plugin;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::NarrowQuoting;
use crate::capabilities::keyvalue::KeyValueImports;
use crate::instance::engine::Wasi;
use crate::instance::store::GuestState;

/// All imports of the guests of one engine.
pub(crate) fn linker(engine: &Engine, wasi: Wasi) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    http::bound_texts_p2(&mut linker)?;
    if wasi == Wasi::P3 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        http::add_to_linker(&mut linker)?;
    }
    NarrowQuoting::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |state: &mut GuestState| (&state.capabilities.config).into())?;
    KeyValueImports::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    Ok(linker)
}
