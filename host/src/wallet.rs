//! Pays other endpoints: reads their challenges, chooses a price within a budget, and signs once. Signs in where that may
//! do in place of a payment.
//!
//! A wallet pays tokens that it knows, with the EIP-712 domain that it knows, and nothing above its limit. It does no
//! I/O: its user sends the request and the signed payment, and must not have a second payment signed while the outcome
//! of the first is open.

mod challenge;
mod policy;
mod sign;
mod sign_in;
#[cfg(test)]
mod tests;

pub use challenge::{ChallengeError, PaymentOption, ReceivedChallenge};
pub use policy::{Declined, SpendingPolicy};
pub use sign::{SignedPayment, sign};
pub use sign_in::sign_in;
