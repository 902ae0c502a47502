//! Measures the memory that the host keeps for a guest beside the guest's own memory: header fields, and messages that
//! the guest makes and does not send.
//!
//! The stock implementation of `wasi:http` bounds one field map and one body, and the resource table bounds the number
//! of handles; the product is hundreds of megabytes. So the entries of the table are weighed together, each time that
//! the ticker interrupts the guest. What a guest can take between two ticks is bounded by the speed of the machine and
//! by what one call may take.

use std::any::Any;
use std::collections::HashSet;

use http::HeaderMap;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::types::{HostOutgoingRequest, HostOutgoingResponse};
use wasmtime_wasi_http::{FieldMap, p3};

/// Memory that the host keeps for a guest for each of its requests, in bytes.
pub(crate) const HOST_MEMORY: usize = 2 << 20;

/// Headers or trailers of one message, in bytes, bookkeeping included.
pub(crate) const FIELDS: usize = 32 << 10;

/// Bytes that a header field needs beside its name and its value.
const FIELD_OVERHEAD: usize = 64;
/// Bytes that an entry of the table needs at least.
const ENTRY: usize = 256;
/// Bytes that a body in a message counts for. Its channel is not readable, and holds trailers at most, and two small
/// pieces; the large pieces of the first bodies are bounded by their number.
const BODY: usize = FIELDS + (2 << 10);

/// The bytes that the host keeps for the entries of a table, roughly.
pub(crate) fn measure(table: &mut ResourceTable) -> usize {
    let mut weigher = Weigher::default();
    table.iter_mut().map(|entry| weigher.entry(&*entry)).fold(0, usize::saturating_add)
}

/// Weighs entries. Field maps that share their fields are weighed once.
#[derive(Default)]
struct Weigher {
    seen: HashSet<*const HeaderMap>,
}

impl Weigher {
    fn entry(&mut self, entry: &dyn Any) -> usize {
        let held = if let Some(fields) = entry.downcast_ref::<FieldMap>() {
            self.fields(fields)
        } else if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
            let target = text(request.authority.as_ref()) + text(request.path_with_query.as_ref());
            self.fields(&request.headers) + target + body(request.body.is_some())
        } else if let Some(response) = entry.downcast_ref::<HostOutgoingResponse>() {
            self.fields(&response.headers) + body(response.body.is_some())
        } else if let Some(request) = entry.downcast_ref::<p3::Request>() {
            let path = request.path_with_query.as_ref().map_or(0, |path| path.as_str().len());
            self.fields(&request.headers) + path + request.authority.as_ref().map_or(0, |name| name.as_str().len())
        } else if let Some(response) = entry.downcast_ref::<p3::Response>() {
            self.fields(&response.headers)
        } else {
            0
        };
        ENTRY + held
    }

    fn fields(&mut self, fields: &FieldMap) -> usize {
        let fields: &HeaderMap = fields;
        if !self.seen.insert(fields) {
            return 0;
        }
        fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum()
    }
}

fn text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

fn body(exists: bool) -> usize {
    if exists { BODY } else { 0 }
}
