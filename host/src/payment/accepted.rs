//! Accepted: what the client sent equals one of our own prices. Nothing is proven yet.

use std::time::Duration;

use alloy::primitives::Address;

use super::{Problem, Sale, Tender, Till, Verified};
use crate::price::{Challenge, Offer, Price, Resource};
use crate::x402::exact::{self, ExactPayload, SignedBy, Terms};
use crate::x402::facilitator::PaymentRequest;
use crate::x402::header::PaymentPayload;
use crate::x402::{Network, Reason, UnixTime, Version, identifier, v2};

/// A payload whose `accepted` equals one of our requirements of this generation.
#[derive(Debug)]
#[must_use]
pub struct Accepted {
    pub(super) tender: Tender,
    pub(super) price: Price,
    pub(super) exact: ExactPayload,
    /// The signature is not the payer's own key's: only a contract can say whether it is good.
    pub(super) perhaps_contract: bool,
    /// The client's own name for the purchase.
    pub(super) identifier: Option<String>,
    /// For the facilitator: what the client sent, and our own requirements.
    pub(super) request: PaymentRequest,
}

/// Why a payment does not buy this, before a challenge is attached.
#[derive(Debug)]
pub(super) enum NotAccepted {
    /// It does not meet the offer.
    Terms { reason: String, message: String },
    /// Nothing in the offer is paid in its version; in the other one everything is.
    OtherVersion { taken: Version },
}

impl NotAccepted {
    pub(super) fn because(reason: Reason, message: &str) -> Self {
        Self::Terms { reason: reason.as_str().to_owned(), message: message.to_owned() }
    }

    pub(super) fn with(self, challenge: impl FnOnce(&str) -> Challenge) -> Problem {
        match self {
            Self::Terms { reason, message } => {
                let challenge = challenge(&reason);
                Problem::Invalid { reason, message: Some(message), challenge }
            }
            Self::OtherVersion { taken } => {
                Problem::OtherVersion { taken, challenge: challenge(Reason::InvalidX402Version.as_str()) }
            }
        }
    }
}

impl Accepted {
    /// Finds the price that the client chose, among today's and those of earlier offers that are still
    /// in their time. Version 2 echoes the whole requirement; version 1 only scheme and network, so the
    /// signed amount tells which; everything else is compared inside the authorisation.
    pub(super) fn of(till: &Till, sale: &Sale, offer: &Offer, payment: PaymentPayload) -> Result<Self, NotAccepted> {
        let identifier = match &payment {
            PaymentPayload::V1(_) => None,
            PaymentPayload::V2(payload) => named(payload)?,
        };
        let (version, other) = match &payment {
            PaymentPayload::V1(_) => (Version::V1, Version::V2),
            PaymentPayload::V2(_) => (Version::V2, Version::V1),
        };
        if !offer.takes(version) {
            return Err(NotAccepted::OtherVersion { taken: other });
        }
        let offers = || std::iter::once(offer).chain(&sale.honoured);
        let (price, request) = match payment {
            PaymentPayload::V2(payload) => {
                let mut prices = offers().flat_map(|offer| offer.payable(version));
                let price = prices.find(|price| payload.accepts(&price.requirements()));
                let price = price.ok_or_else(no_match)?;
                (price, PaymentRequest::V2 { payload, requirements: price.requirements() })
            }
            PaymentPayload::V1(payload) => {
                let network = Network::parse_v1(&payload.network).map_err(|_| no_match())?;
                let signed = ExactPayload::parse(&payload.payload).ok().map(|exact| exact.authorization.value);
                let on_network = |price: &&Price| price.asset.network == network;
                let mut prices = offers().flat_map(|offer| offer.payable(version)).filter(on_network);
                let exactly = offers().flat_map(|offer| offer.payable(version)).filter(on_network);
                let price = exactly.into_iter().find(|price| Some(price.amount.0) == signed).or_else(|| prices.next());
                let Resource { url, description, mime_type, .. } = &sale.resource;
                let matched =
                    price.and_then(|price| Some((price, price.requirements_v1(url, description, mime_type)?)));
                let (price, requirements) = matched.filter(|_| payload.scheme == exact::SCHEME).ok_or_else(no_match)?;
                (price, PaymentRequest::V1 { payload, requirements })
            }
        };
        let tender = till.tender(price).ok_or_else(no_match)?.clone();
        let payload = match &request {
            PaymentRequest::V1 { payload, .. } => &payload.payload,
            PaymentRequest::V2 { payload, .. } => &payload.payload,
        };
        let exact = ExactPayload::parse(payload).map_err(|reason| {
            NotAccepted::because(reason, "`payload` must hold `signature` and an EIP-3009 `authorization`")
        })?;
        Ok(Self { tender, price: price.clone(), exact, perhaps_contract: false, identifier, request })
    }

    /// Recipient, amount, window and signature: everything that needs no chain.
    ///
    /// `work` is how long the guest may take until its answer: the authorisation must outlive it.
    pub(super) fn verify(mut self, now: UnixTime, work: Duration) -> Result<Verified, NotAccepted> {
        let pay_to: Address = self.price.pay_to.parse().map_err(|_| {
            NotAccepted::because(Reason::InvalidPaymentRequirements, "the seller's address is not usable")
        })?;
        let terms = Terms {
            pay_to,
            amount: self.price.amount.0,
            max_timeout_seconds: self.price.max_timeout_seconds,
            skew_seconds: SKEW_SECONDS,
        };
        self.exact
            .authorization
            .check(&terms, now)
            .map_err(|reason| NotAccepted::because(reason.in_version(self.version()), advice(reason)))?;
        if !self.exact.authorization.outlives(now.plus(work.as_secs())) {
            return Err(NotAccepted::because(Reason::ValidBefore, advice(Reason::ValidBefore)));
        }
        let digest = self.tender.domain.digest(&self.exact.authorization);
        match exact::signed_by(digest, &self.exact) {
            SignedBy::Payer => {}
            SignedBy::PerhapsContract if self.tender.contract_payers => self.perhaps_contract = true,
            SignedBy::PerhapsContract => {
                return Err(NotAccepted::because(Reason::InvalidSignature, advice(Reason::InvalidSignature)));
            }
        }
        Ok(Verified::new(self))
    }

    pub(super) fn version(&self) -> Version {
        self.request.version()
    }
}

/// The client's own name for the purchase; extensions that we advertise must come back as they were.
fn named(payload: &v2::PaymentPayload) -> Result<Option<String>, NotAccepted> {
    if !payload.echoes(Some(&crate::price::extensions())) {
        return Err(NotAccepted::because(
            Reason::ExtensionEchoMismatch,
            "`extensions` must hold what this answer advertises, unchanged",
        ));
    }
    match identifier::of(payload) {
        Ok(id) => Ok(id.map(ToOwned::to_owned)),
        Err(bad) => Err(NotAccepted::because(Reason::InvalidPayload, &bad.to_string())),
    }
}

fn no_match() -> NotAccepted {
    NotAccepted::Terms {
        reason: "No matching payment requirements".to_owned(),
        message: "the payment is for another offer: pay one of the entries of `accepts` of this answer".to_owned(),
    }
}

/// How far a client's clock may be from ours: NTP keeps clocks within a second, phones within a few.
const SKEW_SECONDS: u64 = 30;

/// What the payer can do about it.
pub(super) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::RecipientMismatch => "authorization.to must be payTo",
        Reason::ValidBefore => {
            "authorization.validBefore must leave time to settle and stay within maxTimeoutSeconds: sign a new one, and check the clock"
        }
        Reason::ValidAfter => "authorization.validAfter is in the future: check the clock",
        Reason::ValueMismatch | Reason::Value => "authorization.value must equal the amount exactly",
        Reason::InvalidSignature => {
            "the signature is not that of authorization.from over this authorization: check chain id, asset, name and version of the EIP-712 domain"
        }
        Reason::NonceAlreadyUsed => "the authorization was used or cancelled: sign a new one",
        Reason::InsufficientBalance => "the payer's balance is too low",
        Reason::FactoryNotAllowed => "deploy the smart wallet before paying with it",
        _ => "the payment would not settle: sign a new one for the offer in this answer",
    }
}
