//! Verifies x402 payments against a chain and settles them: in this process ([`local`]), through a facilitator over
//! HTTP ([`remote`]), or through several of them as one ([`pool`]). [`http`] serves the local one to other servers.
//!
//! A facilitator returns facts about payments and knows nothing of plugins, ledgers or our server; its callers turn
//! the facts into proofs. A time-out is not a refusal: see [`Settlement`].

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

mod calls;
pub mod cdp;
mod facilitator;
pub mod http;
pub mod local;
pub mod pool;
mod probe;
pub mod remote;
mod seller;
#[cfg(feature = "testing")]
pub mod testing;

pub use calls::{CallObserver, CallResult, CallTrace, Calls, Operation, TracedCall, with_call_trace};
pub use facilitator::{
    AccountSignature, Facilitator, FacilitatorStatus, Finality, PayerKind, Proof, Readiness, Settlement,
    SignatureVerdict, Unavailable, Verification,
};
pub use probe::{OnChain, SettlementProbe};
pub use seller::{PaidBy, Seller};
