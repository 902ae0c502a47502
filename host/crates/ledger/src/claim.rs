//! Declares the claim of a payment and its outcomes.

use bytes::Bytes;
use coinslot_x402::{Flow, SettlementResponse, UnixTime};

use crate::{Fingerprint, Hold, Holder, PaymentId, SoldPass};

/// A payment that a request presents, with everything that its row remembers.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: PaymentId,
    /// The fingerprint of the signed payment: a repetition must carry the same signature to fetch the answer.
    pub payment: Fingerprint,
    /// The fingerprint of the request that the payment is for.
    pub request: Fingerprint,
    /// The client that pays.
    pub holder: Holder,
    /// The client's own name for the purchase (extension `payment-identifier`): a second payment of the same payer
    /// with the same identifier buys nothing more than the first.
    pub identifier: Option<String>,
    /// The id of the HTTP request, as answers, logs and traces have it.
    pub request_id: Option<String>,
    /// Method and path template: `GET /api/gitignore`.
    pub endpoint: String,
    /// The plugin's name.
    pub plugin: String,
    /// The generation of the catalogue that made the offer.
    pub generation: u64,
    /// Atomic units, in decimal digits.
    pub amount: String,
    /// The address that receives the money.
    pub pay_to: String,
    /// The money is worth nothing and is never counted as revenue.
    pub testnet: bool,
    pub flow: Flow,
    /// The pass that the payment buys beside its answer.
    pub pass: Option<SoldPass>,
    /// The time from which the chain refuses the authorisation.
    pub valid_before: UnixTime,
    /// The present time.
    pub at: UnixTime,
}

impl Claim {
    /// The payment, the request and the client of the claim.
    pub(crate) fn presented(&self) -> Presented {
        Presented {
            id: self.id.clone(),
            payment: self.payment,
            request: self.request,
            holder: self.holder,
            request_id: self.request_id.clone(),
        }
    }
}

/// A payment and a request that a client presents together.
#[derive(Clone, Debug)]
pub struct Presented {
    pub id: PaymentId,
    /// The fingerprint of the signed payment.
    pub payment: Fingerprint,
    /// The fingerprint of the request that the payment is for.
    pub request: Fingerprint,
    pub holder: Holder,
    /// The id of the HTTP request, as answers, logs and traces have it.
    pub request_id: Option<String>,
}

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The payment is new. The row belongs to the caller until it is released or refused, or its lease ends.
    Won(Hold),
    /// The payment was settled for this request and got no answer. The row belongs to the caller, and is executing.
    Owed { hold: Hold, settlement: SettlementResponse },
    /// Another call has the same payment at work, for the same request.
    InFlight,
    /// The same payment was claimed for another request or under another signature, or another payment with the same
    /// identifier was claimed for another request.
    OtherRequest,
    /// The payment was settled for this request; `answer` names the answer that it bought, if it is still kept.
    Settled { settlement: SettlementResponse, answer: Option<KeptAnswer> },
    /// The settlement was sent, and its end is not known yet.
    Settling { transaction: Option<String> },
    /// The answer was owed, and its money is on its way back: if that fails, the answer is owed again.
    Refunding,
    /// The money of the owed answer went back to its payer by this transaction.
    Refunded { transaction: String },
    /// The settlement was refused.
    Refused { reason: String },
    /// The payment was claimed by another client, as far as can be told: the presenter learns nothing about it.
    Foreign,
    /// Another authorisation of the payer has the same identifier. Nothing is disclosed until it is proven that the
    /// payer signed the new payment; then [`crate::Ledger::namesake`] says what the other one bought. Only
    /// [`crate::Ledger::claim`] returns it.
    Namesake,
}

/// Another payment of the same payer under the same identifier, and what it bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namesake {
    pub id: PaymentId,
    pub claimed: Claimed,
}

/// The place of a kept answer, which [`crate::Ledger::answer`] reads. Its size is known first, so that a caller can
/// make room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The number of its claim.
    pub(crate) row: i64,
    /// The size of what is stored.
    pub bytes: usize,
}

/// A paid answer, kept so that a client whose connection broke can fetch it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status code.
    pub status: u16,
    /// Header fields, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
}

impl StoredAnswer {
    /// The size of header fields and body.
    pub(crate) fn bytes(&self) -> usize {
        let fields: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        fields + self.body.len()
    }
}
