//! The examples for authors on WASI 0.3: the sources of the guest `examples`, as they are.

#[path = "../../../examples/src/lib.rs"]
mod examples;
