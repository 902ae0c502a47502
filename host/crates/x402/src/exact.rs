//! The `exact` scheme on EVM with EIP-3009 authorisations: every check that needs no chain. Source: x402 specification,
//! scheme `exact`, EVM; FiatToken v2.2 for the edges.
//!
//! [`ExactPayload::parse`], [`Authorization::check`] and [`signed_by`], in this order, are the whole local
//! verification. A payment that passes may still fail on chain (nonce, balance, contract wallets); one that fails here
//! could never settle.

mod authorization;
mod domain;
mod payload;
mod signature;
#[cfg(test)]
mod tests;

pub use authorization::{Authorization, ExpectedTerms, SETTLE_MARGIN_SECONDS};
pub use domain::Domain;
pub use payload::ExactPayload;
pub(crate) use signature::recover;
pub use signature::{SignedBy, is_counterfactual, signed_by, split_signature};

/// The name of this scheme on the wire.
pub const SCHEME: &str = "exact";
