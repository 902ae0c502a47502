//! The price of an endpoint in atomic units of named assets: never a float, never rounded.
//!
//! [`Amount`] counts, [`Asset`] names the token, [`Price`] says how much of it goes to which receiver, [`Offer`] is the
//! non-empty list of prices that one payment may choose from, and [`Challenge`] is the 402 that asks for it. No I/O.

mod accept;
mod amount;
mod asset;
mod challenge;
mod entry;
mod offer;
mod receiver;
mod secret;
#[cfg(test)]
mod tests;

pub use accept::Accept;
pub use amount::{Amount, AmountError, Decimal};
pub use asset::{Asset, Eip712};
pub use challenge::{Challenge, Resource, TooLarge, extensions};
pub use entry::Price;
pub use offer::Offer;
pub use receiver::{ReceiverError, evm_receiver};
pub use secret::ChallengeSecret;
