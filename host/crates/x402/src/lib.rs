//! The x402 protocol: wire types of versions 1 and 2, header encoding, the pure rules of each scheme, and the prices
//! and offers of a server.
//!
//! Nothing here does I/O, reads a clock or depends on another package of the host: rules take `now` as an argument and
//! answer with the protocol's own reason strings. Field names are the specification's, letter for letter. What a client
//! sent is kept as it came (`serde_json` values in order) where it is echoed or forwarded, and typed where a rule needs
//! it.

pub mod bazaar;
pub mod exact;
pub mod facilitator;
mod flow;
#[cfg(test)]
mod golden;
pub mod header;
pub mod identifier;
mod network;
mod number;
mod object;
pub mod offer_receipt;
pub mod price;
pub mod reason;
mod settlement;
pub mod sign_in;
mod time;
pub mod v1;
pub mod v2;
mod version;

pub use flow::Flow;
pub use network::{Network, NetworkError, NetworkNameError};
pub(crate) use number::uint256;
pub use object::Object;
pub(crate) use object::null_as_default;
pub use reason::Reason;
pub use settlement::SettlementResponse;
pub use time::UnixTime;
pub use version::{Version, Versions, X402Version};
