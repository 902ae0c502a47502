//! Represents a payment as a client presents it: the payload, and the marks by which the client is known again.

use coinslot_ledger::{Fingerprint, Holder, PaymentId, Presented};
use coinslot_plugin::PaymentReceipt;
use coinslot_x402::Version;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::ChallengeSecret;
use sha2::{Digest, Sha256};

use super::Payments;
use super::client::{ClientAddress, prefix_of};

/// The payment of a request. Its payload goes to facilitators and into the ledger, so it no longer has the secret.
#[derive(Clone, Debug)]
pub(super) struct PresentedPayment {
    pub(super) payload: PaymentPayload,
    /// Distinguishes the client from a stranger who read the payment on the chain.
    pub(super) holder: Holder,
}

impl PresentedPayment {
    /// Takes the secret out of the payload of this client.
    pub(super) fn new(payments: &Payments, mut payload: PaymentPayload, client: ClientAddress) -> Self {
        let secret = match &mut payload {
            PaymentPayload::V1(_) => None,
            PaymentPayload::V2(payload) => ChallengeSecret::take(&mut payload.accepted),
        };
        // Keyed: the ledger's file does not tell who its clients were. One subscriber has many addresses of IPv6.
        let client_hash = || {
            let mut hash = Sha256::new();
            hash.update(payments.config.quote_key);
            hash.update(prefix_of(client.ip).to_string());
            Fingerprint(hash.finalize().into())
        };
        if secret.is_none() && !client.proves {
            payments.warn_of_unnamed_proxy(client.ip);
        }
        let holder = Holder {
            secret: secret.map(|secret| Fingerprint(Sha256::digest(secret.as_bytes()).into())),
            client: client.proves.then(client_hash),
        };
        Self { payload, holder }
    }
}

/// A payment that is in the ledger, with what an answer for it needs.
#[derive(Clone, Debug)]
pub(super) struct EarlierPayment {
    pub(super) presented: Presented,
    pub(super) version: Version,
    /// The receipt that the guest sees, if the answer is still owed.
    pub(super) receipt: PaymentReceipt,
}

impl EarlierPayment {
    pub(super) fn id(&self) -> &PaymentId {
        &self.presented.id
    }
}
