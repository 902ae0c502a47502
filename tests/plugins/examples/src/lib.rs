//! The examples of `sdk/examples/rust` in one component: each is the `src/lib.rs` of a plugin.

#[path = "../../../../sdk/examples/rust/binary.rs"]
mod binary;
#[path = "../../../../sdk/examples/rust/quoted.rs"]
mod quoted;
#[path = "../../../../sdk/examples/rust/secret.rs"]
mod secret;
#[path = "../../../../sdk/examples/rust/store.rs"]
mod store;
#[path = "../../../../sdk/examples/rust/stream.rs"]
mod stream;
#[path = "../../../../sdk/examples/rust/upload.rs"]
mod upload;
