//! A payment as a client presents it: the payload, and the proof that it comes from the client that was challenged.

use std::net::IpAddr;

use coinslot_ledger::{Fingerprint, Holder, PaymentId, Presented};
use coinslot_plugin::PaymentReceipt;
use coinslot_x402::Version;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::ChallengeSecret;
use sha2::{Digest, Sha256};

use super::Payments;
use super::client::prefix_of;

/// The payment of a request. Its payload goes to facilitators and into the ledger, so it no longer has the secret.
#[derive(Clone, Debug)]
pub(super) struct PresentedPayment {
    pub(super) payload: PaymentPayload,
    /// Tells the client from a stranger who read the payment on the chain.
    pub(super) holder: Holder,
}

impl PresentedPayment {
    /// Takes the secret out of the payload of this client.
    pub(super) fn new(payments: &Payments, mut payload: PaymentPayload, client: IpAddr) -> Self {
        let secret = match &mut payload {
            PaymentPayload::V1(_) => None,
            PaymentPayload::V2(payload) => ChallengeSecret::take(&mut payload.accepted),
        };
        // Keyed: the ledger's file does not tell who its clients were. One subscriber has many addresses of IPv6.
        let mut client_hash = Sha256::new();
        client_hash.update(payments.config.quote_key);
        client_hash.update(prefix_of(client).to_string());
        let holder = Holder {
            secret: secret.map(|secret| Fingerprint(Sha256::digest(secret.as_bytes()).into())),
            client: Fingerprint(client_hash.finalize().into()),
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
