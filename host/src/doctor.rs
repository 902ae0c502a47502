//! Checks an endpoint as directories and stock clients would: a server of Coinslot or anybody's.
//!
//! [`observe`] sends requests and records the answers, [`examine`] judges the record, and a [`Report`] holds what was
//! found. Only the first uses the network, and it reads nothing without a bound: a server under examination may be
//! hostile. The judgements are pure functions, one for each check, so that the challenges of a host's own endpoints are
//! judged without a network, too ([`examine_challenge`]).
//!
//! A check has a name that stays, the reason why it matters, and what to do about it.

mod check;
mod checks;
mod client;
mod description;
mod documents;
mod facts;
mod observation;
mod observe;
mod report;

pub use check::{Finding, Outcome, Verdict};
pub use checks::{Examined, examine, examine_challenge, examine_nothing, examine_unreachable, names};
pub use client::{Answer, ClientError, DoctorClient, DoctorRequest, Unanswered};
pub use description::{DescribedOperation, OpenApiDescription};
pub use documents::Documents;
pub use facts::{ChallengeFacts, Reach};
pub use observation::{
    ChainFacts, EndpointTarget, FacilitatorFacts, Observed, PaidFacts, PaymentFacts, TokenFacts, TransferFacts, receipt,
};
pub use observe::{Observation, OnProgress, observe, observe_documents, observe_facilitator, observe_tokens};
pub use report::Report;
