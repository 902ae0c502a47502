//! Accepted: what the client sent equals one of our own prices. Nothing is proven yet.

use std::time::Duration;

use alloy::primitives::Address;

use super::{PaymentMethod, Payments, Problem, Purchase, Verified};
use coinslot_x402::exact::{self, ExactPayload, ExpectedTerms, SignedBy};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::{Challenge, Offer, Price, Resource};
use coinslot_x402::{Network, Object, Reason, UnixTime, Version, identifier, v1, v2};

/// A payload whose `accepted` equals one of our requirements of this generation.
#[derive(Debug)]
#[must_use]
pub struct Accepted {
    pub(super) payment_method: PaymentMethod,
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
pub(super) enum RefusalReason {
    /// It does not meet the offer.
    Mismatch { reason: String, message: String },
    /// Nothing in the offer is paid in its version; in the other one everything is.
    OtherVersion { taken: Version },
}

impl RefusalReason {
    pub(super) fn because(reason: Reason, message: &str) -> Self {
        Self::Mismatch { reason: reason.as_str().to_owned(), message: message.to_owned() }
    }

    pub(super) fn with(self, challenge: impl FnOnce(&str) -> Challenge) -> Problem {
        match self {
            Self::Mismatch { reason, message } => {
                let challenge = challenge(&reason);
                Problem::Invalid { reason, message: Some(message), challenge }
            }
            Self::OtherVersion { taken } => {
                Problem::OtherVersion { taken, challenge: challenge(Reason::InvalidX402Version.as_str()) }
            }
        }
    }
}

/// A payment that is turned away, whole: it may have bought its answer before.
#[derive(Debug)]
pub(super) struct RefusedPayment<B> {
    pub(super) payment: PaymentPayload,
    pub(super) because: B,
}

impl<B> RefusedPayment<B> {
    pub(super) fn map<C>(self, because: impl FnOnce(B) -> C) -> RefusedPayment<C> {
        RefusedPayment { payment: self.payment, because: because(self.because) }
    }
}

/// What a payment was found to be for.
struct Found<'o, R> {
    payment_method: PaymentMethod,
    price: &'o Price,
    exact: ExactPayload,
    requirements: R,
}

impl<'o, R> Found<'o, R> {
    fn new(payments: &Payments, price: &'o Price, payload: &Object, requirements: R) -> Result<Self, RefusalReason> {
        let payment_method = payments.payment_method(price).ok_or_else(no_match)?.clone();
        let exact = ExactPayload::parse(payload).map_err(|reason| {
            RefusalReason::because(reason, "`payload` must hold `signature` and an EIP-3009 `authorization`")
        })?;
        Ok(Self { payment_method, price, exact, requirements })
    }
}

impl Accepted {
    /// Finds the price that the client chose, among today's and those of earlier offers that are still
    /// in their time. Version 2 echoes the whole requirement; version 1 only scheme and network, so the
    /// signed amount tells which; everything else is compared inside the authorisation.
    pub(super) fn of(
        payments: &Payments,
        purchase: &Purchase,
        offer: &Offer,
        payment: PaymentPayload,
    ) -> Result<Self, RefusedPayment<RefusalReason>> {
        let (payment_method, price, exact, identifier, request) = match payment {
            PaymentPayload::V2(payload) => match Self::of_v2(payments, purchase, offer, &payload) {
                Ok((Found { payment_method, price, exact, requirements }, identifier)) => {
                    (payment_method, price, exact, identifier, PaymentRequest::V2 { payload, requirements })
                }
                Err(because) => return Err(RefusedPayment { payment: PaymentPayload::V2(payload), because }),
            },
            PaymentPayload::V1(payload) => match Self::of_v1(payments, purchase, offer, &payload) {
                Ok(Found { payment_method, price, exact, requirements }) => {
                    (payment_method, price, exact, None, PaymentRequest::V1 { payload, requirements })
                }
                Err(because) => return Err(RefusedPayment { payment: PaymentPayload::V1(payload), because }),
            },
        };
        Ok(Self { payment_method, price: price.clone(), exact, perhaps_contract: false, identifier, request })
    }

    /// With the client's own name for the purchase.
    fn of_v2<'o>(
        payments: &Payments,
        purchase: &'o Purchase,
        offer: &'o Offer,
        payload: &v2::PaymentPayload,
    ) -> Result<(Found<'o, v2::PaymentRequirements>, Option<String>), RefusalReason> {
        let identifier = named(payload)?;
        if !offer.takes(Version::V2) {
            return Err(RefusalReason::OtherVersion { taken: Version::V1 });
        }
        let mut prices = offers(purchase, offer).flat_map(|offer| offer.payable(Version::V2));
        let (price, requirements) = prices
            .find_map(|price| {
                let requirements = price.requirements();
                payload.accepts(&requirements).then_some((price, requirements))
            })
            .ok_or_else(no_match)?;
        Ok((Found::new(payments, price, &payload.payload, requirements)?, identifier))
    }

    fn of_v1<'o>(
        payments: &Payments,
        purchase: &'o Purchase,
        offer: &'o Offer,
        payload: &v1::PaymentPayload,
    ) -> Result<Found<'o, v1::PaymentRequirements>, RefusalReason> {
        if !offer.takes(Version::V1) {
            return Err(RefusalReason::OtherVersion { taken: Version::V2 });
        }
        let network = Network::parse_v1(&payload.network).map_err(|_| no_match())?;
        let signed = ExactPayload::parse(&payload.payload).ok().map(|exact| exact.authorization.value);
        let prices = || {
            let payable = offers(purchase, offer).flat_map(|offer| offer.payable(Version::V1));
            payable.filter(|price| price.asset.network == network)
        };
        let price = prices().find(|price| Some(price.amount.0) == signed).or_else(|| prices().next());
        let Resource { description, mime_type, .. } = &purchase.resource;
        let matched =
            price.and_then(|price| Some((price, price.requirements_v1(&purchase.url, description, mime_type)?)));
        let (price, requirements) = matched.filter(|_| payload.scheme == exact::SCHEME).ok_or_else(no_match)?;
        Found::new(payments, price, &payload.payload, requirements)
    }

    /// Recipient, amount, window and signature: everything that needs no chain.
    ///
    /// `work` is how long the guest may take until its answer: the authorisation must outlive it.
    pub(super) fn verify(mut self, now: UnixTime, work: Duration) -> Result<Verified, RefusedPayment<RefusalReason>> {
        match self.judge(now, work) {
            Ok(signed) => {
                self.perhaps_contract = signed == SignedBy::PerhapsContract;
                Ok(Verified::new(self))
            }
            Err(because) => Err(self.turn_away(because)),
        }
    }

    pub(super) fn turn_away<B>(self, because: B) -> RefusedPayment<B> {
        let payment = match self.request {
            PaymentRequest::V1 { payload, .. } => PaymentPayload::V1(payload),
            PaymentRequest::V2 { payload, .. } => PaymentPayload::V2(payload),
        };
        RefusedPayment { payment, because }
    }

    fn judge(&self, now: UnixTime, work: Duration) -> Result<SignedBy, RefusalReason> {
        let pay_to: Address = self.price.pay_to.parse().map_err(|_| {
            RefusalReason::because(Reason::InvalidPaymentRequirements, "the seller's address is not usable")
        })?;
        let terms = ExpectedTerms {
            pay_to,
            amount: self.price.amount.0,
            max_timeout_seconds: self.price.max_timeout_seconds,
            skew_seconds: SKEW_SECONDS,
        };
        self.exact
            .authorization
            .check(&terms, now)
            .map_err(|reason| RefusalReason::because(reason.in_version(self.version()), advice(reason)))?;
        if !self.exact.authorization.outlives(now.plus(work.as_secs())) {
            return Err(RefusalReason::because(Reason::ValidBefore, advice(Reason::ValidBefore)));
        }
        let digest = self.payment_method.domain.digest(&self.exact.authorization);
        match exact::signed_by(digest, &self.exact) {
            SignedBy::PerhapsContract if !self.payment_method.contract_payers => {
                Err(RefusalReason::because(Reason::InvalidSignature, advice(Reason::InvalidSignature)))
            }
            signed => Ok(signed),
        }
    }

    pub(super) fn version(&self) -> Version {
        self.request.version()
    }
}

/// Today's, and those that are still in their time.
fn offers<'o>(purchase: &'o Purchase, offer: &'o Offer) -> impl Iterator<Item = &'o Offer> {
    std::iter::once(offer).chain(&purchase.honoured)
}

/// The client's own name for the purchase; extensions that we advertise must come back as they were.
fn named(payload: &v2::PaymentPayload) -> Result<Option<String>, RefusalReason> {
    if !payload.echoes(Some(coinslot_x402::price::extensions())) {
        return Err(RefusalReason::because(
            Reason::ExtensionEchoMismatch,
            "`extensions` must hold what this answer advertises, unchanged",
        ));
    }
    match identifier::of(payload) {
        Ok(id) => Ok(id.map(ToOwned::to_owned)),
        Err(bad) => Err(RefusalReason::because(Reason::InvalidPayload, &bad.to_string())),
    }
}

fn no_match() -> RefusalReason {
    RefusalReason::Mismatch {
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
