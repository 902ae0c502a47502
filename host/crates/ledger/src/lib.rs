//! Every payment, durably: one row per authorisation, from the claim until the books are closed.
//!
//! The claim is the answer to "may this payment buy something": it is one atomic durable step, and
//! there is no way to ask without claiming. Every change is on disk before the call returns. What an
//! error leaves behind is unknown to the caller: the change "may have become durable", so a payment
//! whose claim failed is treated as not claimed and its retry meets the row.
//!
//! Paid for and not answered is a debt: such rows are `owed` until the same payment fetches its answer.
//!
//! The embedded store is SQLite (`embedded`); its file can be read with any SQLite tool.

pub mod reports;
mod sqlite;
mod state;
mod step;
#[cfg(feature = "testing")]
pub mod testing;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use coinslot_x402::{Flow, Network, SettlementResponse, UnixTime};

pub use sqlite::SqliteLedger;
pub use state::PaymentState;
pub use step::Step;

/// The identity of one spend: the chain lets exactly one transfer with it through. Everything is in
/// canonical notation (lower-case hex), so that no spelling makes a second identity. Cheap to copy.
#[derive(Clone, Debug)]
pub struct PaymentId(Arc<Spend>);

/// A [`PaymentId`], with what is asked of it again and again.
#[derive(Debug)]
struct Spend {
    network: Network,
    asset: String,
    payer: String,
    nonce: String,
    digest: [u8; 32],
}

impl PaymentId {
    /// The token's contract, who pays, and the authorisation's nonce.
    pub fn new(network: Network, asset: String, payer: String, nonce: String) -> Self {
        let mut hash = Sha256::new();
        for part in [network.as_str(), &asset, &payer, &nonce] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(Arc::new(Spend { network, asset, payer, nonce, digest: hash.finalize().into() }))
    }

    /// CAIP-2.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// The token's contract.
    pub fn asset(&self) -> &str {
        &self.0.asset
    }

    /// Who pays.
    pub fn payer(&self) -> &str {
        &self.0.payer
    }

    /// The authorisation's nonce.
    pub fn nonce(&self) -> &str {
        &self.0.nonce
    }

    /// A short name for headers, logs and books: the first 16 bytes of [`PaymentId::digest`], in hex.
    pub fn short(&self) -> String {
        hex::encode(&self.digest()[..16])
    }

    /// SHA-256 of its parts, each with its length before it.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }
}

/// Two are one if their digests are.
impl PartialEq for PaymentId {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for PaymentId {}

impl Hash for PaymentId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// SHA-256 of what must not change between a request and its repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What is claimed, and for what.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The authorisation.
    pub id: PaymentId,
    /// The signed payment, so that only who holds it can fetch its answer.
    pub payment: Fingerprint,
    /// The request it pays for.
    pub request: Fingerprint,
    /// The client's own name for the purchase (extension `payment-identifier`): a second payment with
    /// the same one buys nothing more than the first.
    pub identifier: Option<String>,
    /// `GET /api/gitignore`.
    pub endpoint: String,
    /// The plugin's name.
    pub plugin: String,
    /// The catalogue's generation that made the offer.
    pub generation: u64,
    /// Atomic units.
    pub amount: String,
    /// Who receives.
    pub pay_to: String,
    /// Worth nothing; never counted as revenue.
    pub testnet: bool,
    pub flow: Flow,
    /// When the chain stops accepting the authorisation.
    pub valid_before: UnixTime,
    /// Now.
    pub at: UnixTime,
}

impl Claim {
    fn presented(&self) -> Presented {
        Presented { id: self.id.clone(), payment: self.payment, request: self.request }
    }
}

/// A payment and a request that are presented together: an earlier claim of theirs has the same three.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The authorisation.
    pub id: PaymentId,
    /// The signed payment.
    pub payment: Fingerprint,
    /// The request that it pays for.
    pub request: Fingerprint,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is yours, and nobody else's until released or refused.
    Won,
    /// It paid for this request already and got no answer; the row is yours again, and executing.
    Owed { settlement: SettlementResponse },
    /// The same payment is at work for the same request.
    InFlight,
    /// The same payment, or another one with the same identifier, was claimed for another request, or
    /// under another signature.
    OtherRequest,
    /// It paid for this request already; the answer, if it is still kept.
    Settled { settlement: SettlementResponse, answer: Option<StoredAnswer> },
    /// Its settlement was sent, and its end is not known yet.
    Settling { transaction: Option<String> },
    /// Its settlement was refused.
    Refused { reason: String },
}

/// A paid answer, kept so that a client whose connection broke can fetch it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Header fields in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
}

/// What is left of an answer that was given for money that had moved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// All of it, for another fetch.
    Answer(StoredAnswer),
    /// Nothing, and the books say why: a repeated payment is told that it is gone.
    Nothing { why: String },
}

/// Who brings the news that a payment is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettledBy {
    /// The request that it pays for, with how long each part took. `alone`: the transaction settles
    /// nothing else, and a second payment that claims it is refused.
    Request { alone: bool, verify: Duration, run: Option<Duration>, settle: Duration },
    /// Recovery, from the chain's own evidence.
    Recovery,
}

/// A settlement whose end is unknown: what recovery needs to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: PaymentId,
    /// JSON of the facilitator request, as first sent.
    pub request: String,
    /// When the chain stops accepting the authorisation.
    pub valid_before: UnixTime,
    pub flow: Flow,
    /// Whether the answer it pays for is kept: without it, in the authorization flow, money must not be
    /// moved any more.
    pub answer_kept: bool,
}

/// Why the ledger did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store cannot be read or written. Paid routes answer 503 meanwhile.
    #[error("the ledger cannot be written: {0}")]
    Unavailable(String),
    /// Another payment is settled by this transaction, and its facilitator settles one at a time.
    #[error("transaction {transaction} settled another payment")]
    Transaction { transaction: String },
    /// The row is not in a state from which this step is possible: a bug, or another process.
    #[error("payment {id} cannot become {step}: it is not in the state before")]
    OutOfOrder { id: String, step: &'static str },
    /// The file was written by a newer Coinslot, or is not a ledger.
    #[error("{0}")]
    Schema(String),
}

/// Remembers payments. Every change is durable when its method returns.
///
/// When a ledger is opened, the rows of the process before it are recovered: reserved rows are released (nothing
/// ran and nothing was sent), executing ones are refused (the guest may have run, nothing was sent) or, if paid,
/// owed, and settling ones are unknown.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Claims a payment for a request: atomic, durable, and the only way to learn its state. The claim of an owed
    /// payment makes its row executing in the same step.
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError>;

    /// Takes up an earlier claim of this payment, and never makes a new one: `None` if there is none. A payment that would
    /// be refused today may have bought its answer yesterday. Only [`Claimed::Owed`] moves the row, as in
    /// [`Ledger::claim`].
    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError>;

    /// Takes one step of a claimed payment. [`LedgerError::OutOfOrder`] if there is no row, or if the step is
    /// not allowed from its state; the row is then as it was.
    async fn advance(&self, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError>;

    /// Settlements whose end is unknown, and those that are still settling since before this time, whose
    /// request could not write down the end. Oldest first, at most so many.
    async fn pending(&self, settling_before: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError>;

    /// Payers whose settlements were refused since this time, each with the number of refusals.
    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, u32)>, LedgerError>;

    /// Deletes what has been kept long enough and can no longer be settled; returns how many rows and answers.
    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError>;

    /// Whether the last write became durable. While it did not, nothing is sold.
    fn writable(&self) -> bool;

    /// Writes one small row, so that [`Ledger::writable`] is right again after a failure.
    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError>;
}

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Paid answers.
    pub answers: Duration,
    /// Rows that are finished. Their sums stay.
    pub payments: Duration,
}

#[cfg(test)]
mod tests;
