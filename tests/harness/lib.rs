//! Starts real hosts for tests and talks to them as clients do.
//!
//! A host under test is the built `coinslot` binary with real components on an embedded chain; a wallet signs real
//! payments. Requests go out through plain HTTP clients and never through the host's own code, so that a mistake in
//! the host cannot cancel itself out. [`FaultyNode`] and [`FaultyFacilitator`] stand between a host and its money, and
//! lose, delay and forge what passes.

mod browser;
mod chain_client;
mod collector;
mod command;
mod debian;
mod dev_host;
mod faulty_facilitator;
mod faulty_node;
mod guests;
mod http_server;
mod mcp_client;
mod mcp_proxy;
mod packages;
mod receiver;
mod serve_host;
mod small_disk;
mod test_chain;
mod wallet;
mod wire;
mod zig;

pub use browser::{BrowserPage, SeenPage, look_at, look_at_opened, pictures};
pub use chain_client::ChainClient;
pub use collector::{CollectedSpan, Collector};
pub use command::{RunningCommand, binary, run};
pub use debian::debian_program;
pub use dev_host::{DevHost, DevHostBuilder};
pub use faulty_facilitator::{FacilitatorMode, FaultyFacilitator};
pub use faulty_node::{FaultyNode, NodeFault};
pub use guests::{SDK_EXAMPLES, altered, component, declaring, guest, target};
pub use mcp_client::McpClient;
pub use mcp_proxy::McpProxy;
pub use packages::{judge_api, judge_discovery, node_modules};
pub use receiver::{Accepted, Receiver, ReceiverMode};
pub use serve_host::{LedgerRow, PurchaseOutcome, ServeHost};
pub use small_disk::SmallDisk;
pub use test_chain::{SELLER, TestChain};
pub use wallet::{Payment, TransferWithAuthorization, Wallet, random_word};
pub use wire::{Http2, open_body, raw};
pub use zig::zig_folder;

use base64::Engine as _;

/// Decodes the value of an x402 header: standard Base64 with padding, of JSON.
///
/// # Panics
/// If the value is anything else.
#[track_caller]
pub fn decode(value: &str) -> serde_json::Value {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).expect("padded standard Base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Encodes a document as the value of an x402 header.
pub fn encode(document: &serde_json::Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(document.to_string())
}

/// Takes the secret out of an entry of `accepts`: it is another one in each challenge.
///
/// # Panics
/// If there is none.
pub fn take_secret(entry: &mut serde_json::Value) -> String {
    let extra = entry["extra"].as_object_mut().expect("`extra`");
    extra.remove("secret").and_then(|secret| secret.as_str().map(ToOwned::to_owned)).expect("a secret")
}
