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

pub mod books;
mod embedded;
mod schema;
#[cfg(feature = "testing")]
pub mod testing;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use coinslot_x402::{Flow, Network, SettlementResponse, UnixTime};

pub use embedded::Embedded;

/// A boxed answer of a [`Ledger`].
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

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

/// One row of the books.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub payment_id: String,
    pub state: String,
    pub flow: String,
    pub endpoint: String,
    pub plugin: String,
    pub network: String,
    pub asset: String,
    pub amount: String,
    pub payer: String,
    pub pay_to: String,
    pub transaction: Option<String>,
    pub reason: Option<String>,
    pub testnet: bool,
    /// Unix seconds.
    pub created_at: u64,
    /// Unix seconds.
    pub updated_at: u64,
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

/// Remembers payments. One embedded store today; every method is durable when it returns.
///
/// The states of a row, by flow. In every state but `reserved` the same payment never begins anew:
///
/// ```text
/// authorization   reserved -> executing -> settling [-> unknown] -> settled -> delivered
///                                                             \-> refused
/// upfront         reserved -> settling [-> unknown] -> executing -> settled -> delivered
///                                               \-> refused   \-> owed -> executing ..
/// ```
///
/// When a ledger is opened, what the process before it left behind is put in order: reserved rows are
/// released (nothing ran and nothing was sent), executing ones are refused (the guest may have run,
/// nothing was sent) or, if paid, owed, and settling ones are unknown.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Claims a payment for a request: atomic, durable, and the only way to learn its state. An owed
    /// payment is taken up again in the same step.
    fn claim(&self, claim: Claim) -> Answer<'_, Claimed>;

    /// What became of an earlier claim of this payment, if there was one. Claims nothing: it is for
    /// payments that would be refused today, and may have bought their answer yesterday. Only
    /// [`Claimed::Owed`] moves the row, as in [`Ledger::claim`].
    fn standing(&self, claim: Claim) -> Answer<'_, Option<Claimed>>;

    /// Gives a claim up. Only before anything was sent to a facilitator for settlement.
    fn release<'a>(&'a self, id: &'a PaymentId) -> Answer<'a, ()>;

    /// The guest is about to run, before any money moved. A crash from here on ends the payment.
    fn executing<'a>(&'a self, id: &'a PaymentId, at: UnixTime) -> Answer<'a, ()>;

    /// Settlement is about to be sent: for this answer of an executing row, or without one for a
    /// reserved row, whose flow is upfront from here on. Only the chain knows now.
    fn settling<'a>(
        &'a self,
        id: &'a PaymentId,
        request: String,
        answer: Option<StoredAnswer>,
        at: UnixTime,
    ) -> Answer<'a, ()>;

    /// Whoever sent the settlement does not know its end: recovery finds out.
    fn unknown<'a>(&'a self, id: &'a PaymentId, transaction: Option<String>, at: UnixTime) -> Answer<'a, ()>;

    /// The money moved. In the authorization flow the kept answer is bought; in the upfront flow the
    /// row is executing, or, `by` recovery, owed, because nobody waits for it.
    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        settlement: SettlementResponse,
        by: SettledBy,
        at: UnixTime,
    ) -> Answer<'a, ()>;

    /// The guest answered what was paid before. Upfront flow only.
    fn answered<'a>(&'a self, id: &'a PaymentId, kept: Retained, run: Duration, at: UnixTime) -> Answer<'a, ()>;

    /// The guest failed at what was paid before: it stays owed. Upfront flow only.
    fn owe<'a>(&'a self, id: &'a PaymentId, reason: String, at: UnixTime) -> Answer<'a, ()>;

    /// The money did not move and will not; a kept answer is thrown away.
    fn refused<'a>(
        &'a self,
        id: &'a PaymentId,
        reason: String,
        transaction: Option<String>,
        at: UnixTime,
    ) -> Answer<'a, ()>;

    /// The answer went out. `keep` says whether it stays for another fetch. Nothing depends on it: it may take
    /// its time, so that it is written together with others.
    fn delivered<'a>(&'a self, id: &'a PaymentId, keep: bool, at: UnixTime) -> Answer<'a, ()>;

    /// Settlements whose end is unknown, and those that are still settling since before this time, whose
    /// request could not write down the end. Oldest first, at most so many.
    fn pending(&self, settling_before: UnixTime, limit: u32) -> Answer<'_, Vec<Pending>>;

    /// Payers whose settlements were refused since then, and how often.
    fn strikes(&self, since: UnixTime) -> Answer<'_, Vec<(String, u32)>>;

    /// Forgets what has been kept long enough, and is past what the chain would take.
    fn prune(&self, now: UnixTime, kept: Retention) -> Answer<'_, u64>;

    /// The newest rows.
    fn payments(&self, limit: u32) -> Answer<'_, Vec<Payment>>;

    /// Whether the last write became durable. While it did not, nothing is sold.
    fn writable(&self) -> bool;

    /// Writes something small, so that [`Ledger::writable`] tells the truth again.
    fn probe(&self, at: UnixTime) -> Answer<'_, ()>;
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
