//! A real host for tests: the built `coinslot` binary, its embedded chain, real components, and a wallet
//! that truly signs. Nothing of the host's own code is used to talk to it. The `hostile` modules put a
//! facilitator or a node between a host and its money that loses, delays and lies.

mod command;
mod guests;
mod host;
mod hostile_chain;
mod hostile_facilitator;
mod hostile_http;
mod hostile_world;
mod wallet;
mod wire;

pub use command::{Running, binary, run};
pub use guests::guest;
pub use host::{Chain, Host, HostBuilder};
pub use hostile_chain::{Fault, HostileChain};
pub use hostile_facilitator::{HostileFacilitator, Mode};
pub use hostile_world::{Market, Purchase, Row, SELLER, Shop};
pub use wallet::{Payment, TransferWithAuthorization, Wallet, random_word};
pub use wire::{Http2, open_body, raw};

use base64::Engine as _;

/// Decodes a header that x402 encodes: standard Base64 of JSON.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn decode(value: &str) -> serde_json::Value {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).expect("padded standard Base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Encodes a document as x402 headers do.
pub fn encode(document: &serde_json::Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(document.to_string())
}
