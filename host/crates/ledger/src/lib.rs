//! Remembers every payment durably: one row per authorisation, from its claim until its row is pruned.
//!
//! A payment may buy something if its claim is won. A claim is one atomic durable step, so of two requests with
//! one payment exactly one wins. After an error the caller does not know whether the change became durable: it treats
//! a payment whose claim failed as not claimed, and a repetition of the payment meets the row if there is one.
//!
//! A claim gives its caller a [`Hold`], which every later step takes, with a lease that the caller renews while it
//! works. Two steps of a payment wait for the disk, the claim and the step to settling; what recovery can find out is
//! only noted ([`Ledger::note`]).
//!
//! A payment whose money moved and that got no answer is owed: its row stays until the same payment has fetched
//! its answer, or until its money went back to the payer ([`RefundOrder`]).
//!
//! Beside payments it keeps the audit log: what was changed in the host, when and by whom ([`Change`]); and the attempts
//! to tell webhooks what happened ([`WebhookAttempt`]).
//!
//! The store is a SQLite file ([`SqliteLedger`]), which any SQLite tool can read. [`reports`] read it beside the
//! host that writes it.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

mod api_key;
pub mod backup;
mod change;
mod claim;
mod commit;
mod event;
mod free_use;
mod funnel;
mod hold;
mod holder;
mod id;
mod ledger;
mod number;
mod pass;
mod refund;
pub mod reports;
mod sqlite;
mod state;
mod step;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod webhook_attempt;

pub use api_key::{ApiKey, ApiKeyUse, ApiKeys, NewApiKey};
pub use change::{Admitted, Author, Change, ChangeKind, RecordedChange};
pub use claim::{Claim, Claimed, KeptAnswer, Namesake, Presented, StoredAnswer};
pub use commit::{Commit, CommitObserver};
pub use event::{EventKind, PaymentEvent};
pub use free_use::{
    FreeClaim, FreeCounted, FreeCounter, FreeEnd, FreeGrant, FreeHold, FreeKind, FreeLeft, FreeQuota, KeyLookup,
};
pub use funnel::RequestCount;
pub use hold::{Attempt, Hold};
pub use holder::Holder;
pub use id::{Fingerprint, PaymentId};
pub use ledger::{Found, LEASE, Ledger, LedgerError, Pending, Retention};
pub use number::DAY;
pub use pass::{PassFound, PassPrice, PassProof, PassQuery, PassRefusal, PassTerms, PassTermsError, SoldPass};
pub use refund::{
    BudgetedAsset, DebtEnded, OpenRefund, PaidByHand, RefundAuthor, RefundBegun, RefundBudget, RefundEnd, RefundOrder,
    RefundsDue, SignedRefund, StoredTransaction,
};
pub use sqlite::{RepetitionOutcome, SqliteLedger, record_beside};
pub use state::PaymentState;
pub use step::{Reported, Retained, SettledBy, Step};
pub use webhook_attempt::WebhookAttempt;
