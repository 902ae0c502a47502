//! The state Accepted: the payment is for one of our own prices. Nothing is proven yet.
//!
//! A quoted price is not known before the body is read, and a body is read only for a payment that is proven. So here a
//! payment for a quoted endpoint may be of any amount up to the declared one; `Verified::priced` compares it with the
//! quote.

use std::time::Duration;

use alloy::primitives::Address;
use bytes::Bytes;
use coinslot_base::request_id::RequestId;
use coinslot_facilitator::SignatureVerdict;
use coinslot_ledger::{Holder, PaymentId, Presented};
use coinslot_x402::exact::{self, ExactPayload, ExpectedTerms, SignedBy};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::{Amount, Price, Resource};
use coinslot_x402::{Network, Object, Reason, UnixTime, Version, bazaar, identifier, v1, v2};
use http::Request;
use serde_json::Value;

use super::advice::{advice, clock_advice};
use super::identity;
use super::presented::{EarlierPayment, PresentedPayment};
use super::{PaymentMethod, Payments, Pricing, Problem, Purchase, RequestTrace, Verified, challenge};

/// The greatest difference between a client's clock and ours that is allowed for, in seconds: NTP keeps clocks within a
/// second, phones within a few.
const SKEW_SECONDS: u64 = 30;

/// The most bytes of a declaration that a facilitator gets with a payment.
const MAX_DECLARATION: usize = 8 << 10;

/// A payload whose `accepted` equals one of our requirements of this generation.
#[derive(Debug)]
#[must_use]
pub struct Accepted {
    pub(super) payment_method: PaymentMethod,
    pub(super) price: Price,
    pub(super) exact: ExactPayload,
    /// The client's own name for the purchase.
    pub(super) identifier: Option<String>,
    /// It buys a pass beside its answer.
    pub(super) buys_pass: bool,
    /// The payload as the client sent it but for the secret, and our own requirements: the facilitator gets both.
    pub(super) request: PaymentRequest,
    pub(super) holder: Holder,
    pub(super) trace: RequestTrace,
}

/// A payment that does not buy this now. The payload is kept: it may have bought its answer before.
#[derive(Debug)]
pub(super) struct RefusedPayment {
    pub(super) payload: PaymentPayload,
    pub(super) problem: Problem,
}

/// A reason why a payment does not buy this, before a challenge is attached.
#[derive(Debug)]
enum RefusalReason {
    /// The payment does not meet the offer.
    Mismatch { reason: String, message: String },
    /// Nothing in the offer is paid in the payment's version; everything is paid in the other one.
    OtherVersion { taken: Version },
}

impl RefusalReason {
    fn because(reason: Reason, message: &str) -> Self {
        Self::Mismatch { reason: reason.as_str().to_owned(), message: message.to_owned() }
    }

    fn no_match() -> Self {
        Self::Mismatch {
            reason: "No matching payment requirements".to_owned(),
            message: "the payment is for another offer: pay one of the entries of `accepts` of this answer".to_owned(),
        }
    }

    fn into_problem(self, payments: &Payments, purchase: &Purchase) -> Problem {
        match self {
            Self::Mismatch { reason, message } => {
                let challenge = challenge::because(payments, purchase, &reason);
                Problem::Invalid { reason, message: Some(message), challenge }
            }
            Self::OtherVersion { taken } => {
                let challenge = challenge::because(payments, purchase, Reason::InvalidX402Version.as_str());
                Problem::OtherVersion { taken, challenge }
            }
        }
    }
}

/// The price that a payment was found to be for.
struct MatchedPrice<'p> {
    payment_method: &'p PaymentMethod,
    price: Price,
    exact: ExactPayload,
    identifier: Option<String>,
}

impl Accepted {
    /// Finds the price that the client chose, among today's and those of earlier offers that are still in their time.
    ///
    /// Version 2 echoes the whole requirement. Version 1 echoes only scheme and network, so the signed amount tells
    /// which price is meant; everything else is compared inside the authorisation.
    pub(super) fn of(
        payments: &Payments,
        purchase: &Purchase,
        payment: PresentedPayment,
    ) -> Result<Self, RefusedPayment> {
        let PresentedPayment { payload, holder } = payment;
        let refused = |payload, reason: RefusalReason| {
            Err(RefusedPayment { payload, problem: reason.into_problem(payments, purchase) })
        };
        let (matched, request) = match payload {
            PaymentPayload::V2(payload) => match match_v2(payments, purchase, &payload) {
                Ok((matched, requirements)) => {
                    let declaration = declaration(&payload, purchase);
                    (matched, PaymentRequest::V2 { payload, requirements, declaration })
                }
                Err(reason) => return refused(PaymentPayload::V2(payload), reason),
            },
            PaymentPayload::V1(payload) => match match_v1(payments, purchase, &payload) {
                Ok((matched, requirements)) => (matched, PaymentRequest::V1 { payload, requirements }),
                Err(reason) => return refused(PaymentPayload::V1(payload), reason),
            },
        };
        let MatchedPrice { payment_method, price, exact, identifier } = matched;
        let trace = purchase.trace.clone();
        let (payment_method, buys_pass) = (payment_method.clone(), purchase.access.pass.is_some());
        Ok(Self { payment_method, price, exact, identifier, buys_pass, request, holder, trace })
    }

    /// Refuses a payer whom the operator does not let pay. Nothing is proven yet: who names another's address hears what
    /// the other would. What the payment bought before is fetched all the same.
    pub(super) fn may_pay(self, payments: &Payments) -> Result<Self, RefusedPayment> {
        let payer = self.exact.authorization.from.to_string();
        match payments.allowances.policy().payers.check(&self.price.asset.network, &payer) {
            Ok(()) => Ok(self),
            Err(refusal) => Err(self.refuse(Problem::PayerRefused(refusal))),
        }
    }

    /// Checks recipient, amount and window, and proves the signer: by its key without a chain, and a contract by asking
    /// it. Neither ledger nor rates are touched for a signer who is not proven.
    ///
    /// The authorisation must stay valid for as long as the guest may work until its answer.
    pub(super) async fn verify(self, payments: &Payments, purchase: &Purchase) -> Result<Verified, RefusedPayment> {
        let work = purchase.endpoint.plugin.limits().first_byte;
        let problem = match self.check(payments.now(), work) {
            Ok(SignedBy::Payer) => return Ok(Verified::new(self, SignedBy::Payer)),
            Ok(SignedBy::PerhapsContract) => {
                match self.payment_method.facilitator.check_contract_signature(&self.request).await {
                    SignatureVerdict::Valid => return Ok(Verified::new(self, SignedBy::PerhapsContract)),
                    SignatureVerdict::Invalid { message } => {
                        let reason = Reason::InvalidSignature;
                        let message = message.unwrap_or_else(|| advice(reason).to_owned());
                        let reason = reason.as_str().to_owned();
                        RefusalReason::Mismatch { reason, message }.into_problem(payments, purchase)
                    }
                    SignatureVerdict::Unavailable(error) => Problem::CannotVerify(error.message),
                }
            }
            Err(reason) => reason.into_problem(payments, purchase),
        };
        Err(self.refuse(problem))
    }

    pub(super) fn refuse(self, problem: Problem) -> RefusedPayment {
        let payload = match self.request {
            PaymentRequest::V1 { payload, .. } => PaymentPayload::V1(payload),
            PaymentRequest::V2 { payload, .. } => PaymentPayload::V2(payload),
        };
        RefusedPayment { payload, problem }
    }

    pub(super) fn version(&self) -> Version {
        self.request.version()
    }

    /// The time from which the chain refuses the authorisation.
    pub(super) fn valid_before(&self) -> UnixTime {
        UnixTime(u64::try_from(self.exact.authorization.valid_before).unwrap_or(u64::MAX))
    }

    /// The payload as the client sent it but for the secret.
    pub(super) fn payload(&self) -> PaymentPayload {
        match &self.request {
            PaymentRequest::V1 { payload, .. } => PaymentPayload::V1(payload.clone()),
            PaymentRequest::V2 { payload, .. } => PaymentPayload::V2(payload.clone()),
        }
    }

    /// The payment as it looks for its own earlier claim.
    pub(super) fn as_earlier(&self, id: &PaymentId, purchase: &Purchase, request: &Request<Bytes>) -> EarlierPayment {
        let presented = Presented {
            id: id.clone(),
            payment: identity::payment_fingerprint(&self.exact),
            request: identity::claim_fingerprint(&purchase.endpoint, request),
            holder: self.holder,
            request_id: RequestId::current().map(|id| id.to_string()),
        };
        let receipt = identity::receipt(&self.price.asset, &self.exact, id);
        EarlierPayment { presented, version: self.version(), receipt }
    }

    /// Compares the amount with the price that the plugin quoted for the request, if it did. An equal amount is taken,
    /// whichever challenge it answers: a client may encode the same request anew.
    pub(super) fn priced(self, payments: &Payments, purchase: &Purchase) -> Result<Self, RefusedPayment> {
        let (asset, amount) = (&self.price.asset, self.price.amount);
        if purchase.pricing == Pricing::Declared
            || purchase.offer.prices().iter().any(|price| price.asset == *asset && price.amount == amount)
        {
            return Ok(self);
        }
        let problem = RefusalReason::no_match().into_problem(payments, purchase);
        Err(self.refuse(problem))
    }

    fn check(&self, now: UnixTime, work: Duration) -> Result<SignedBy, RefusalReason> {
        let pay_to: Address = self.price.pay_to.parse().map_err(|_| {
            RefusalReason::because(Reason::InvalidPaymentRequirements, "the seller's address is not usable")
        })?;
        let terms = ExpectedTerms {
            pay_to,
            amount: self.price.amount.0,
            max_timeout_seconds: self.price.max_timeout_seconds,
            skew_seconds: SKEW_SECONDS,
        };
        let authorization = &self.exact.authorization;
        let because = |reason: Reason| {
            let advice = clock_advice(reason, authorization, &terms, now).unwrap_or_else(|| advice(reason).to_owned());
            RefusalReason::because(reason.in_version(self.version()), &advice)
        };
        authorization.check(&terms, now).map_err(because)?;
        if !authorization.outlives(now.plus(work.as_secs())) {
            return Err(because(Reason::ValidBefore));
        }
        match exact::signed_by(self.payment_method.domain.digest(authorization), &self.exact) {
            // The facilitator cannot ask a contract, so nothing could prove this signature.
            SignedBy::PerhapsContract if !self.payment_method.contract_payers => {
                Err(RefusalReason::because(Reason::InvalidSignature, advice(Reason::InvalidSignature)))
            }
            signed => Ok(signed),
        }
    }
}

fn match_v2<'p>(
    payments: &'p Payments,
    purchase: &Purchase,
    payload: &v2::PaymentPayload,
) -> Result<(MatchedPrice<'p>, v2::PaymentRequirements), RefusalReason> {
    let identifier = payment_identifier(payload)?;
    if !purchase.offer.takes(Version::V2) {
        return Err(RefusalReason::OtherVersion { taken: Version::V1 });
    }
    let named = payload.accepted.get("amount").and_then(Value::as_str);
    let named = named.and_then(|amount| Amount::parse_atomic(amount).ok());
    let (price, requirements) = purchase
        .prices(Version::V2, named)
        .find_map(|price| {
            let requirements = price.requirements();
            payload.accepts(&requirements).then_some((price, requirements))
        })
        .ok_or_else(RefusalReason::no_match)?;
    Ok((matched(payments, price.into_owned(), &payload.payload, identifier)?, requirements))
}

fn match_v1<'p>(
    payments: &'p Payments,
    purchase: &Purchase,
    payload: &v1::PaymentPayload,
) -> Result<(MatchedPrice<'p>, v1::PaymentRequirements), RefusalReason> {
    if !purchase.offer.takes(Version::V1) {
        return Err(RefusalReason::OtherVersion { taken: Version::V2 });
    }
    let network = Network::parse_v1(&payload.network).map_err(|_| RefusalReason::no_match())?;
    let signed = ExactPayload::parse(&payload.payload).ok().map(|exact| exact.authorization.value);
    let prices = || purchase.prices(Version::V1, signed.map(Amount)).filter(|price| price.asset.network == network);
    // If no price has this amount, the first one is taken: the refusal then says that the amount is wrong.
    let price = prices().find(|price| Some(price.amount.0) == signed).or_else(|| prices().next());
    let resource = &purchase.endpoint.resource;
    let Resource { description, mime_type, .. } = resource;
    let (price, requirements) = price
        .and_then(|price| {
            let mut requirements = price.requirements_v1(&purchase.url, description, mime_type)?;
            requirements.output_schema = resource.output_schema().cloned();
            Some((price, requirements))
        })
        .filter(|_| payload.scheme == exact::SCHEME)
        .ok_or_else(RefusalReason::no_match)?;
    Ok((matched(payments, price.into_owned(), &payload.payload, None)?, requirements))
}

/// Our own declaration for a payment that echoes one: a facilitator that lists what is sold must not take a client's word
/// for it. An echo of an earlier declaration is as good, so it is no reason to refuse a payment.
fn declaration(payload: &v2::PaymentPayload, purchase: &Purchase) -> Option<Value> {
    let is_echoed = payload.extensions.as_ref().is_some_and(|extensions| extensions.contains_key(bazaar::KEY));
    let declaration = purchase.endpoint.resource.bazaar.as_ref().filter(|_| is_echoed)?;
    declaration.within(MAX_DECLARATION, &purchase.params)
}

fn matched<'p>(
    payments: &'p Payments,
    price: Price,
    payload: &Object,
    identifier: Option<String>,
) -> Result<MatchedPrice<'p>, RefusalReason> {
    let payment_method = payments.payment_method(&price).ok_or_else(RefusalReason::no_match)?;
    let exact = ExactPayload::parse(payload).map_err(|reason| {
        RefusalReason::because(reason, "`payload` must hold `signature` and an EIP-3009 `authorization`")
    })?;
    Ok(MatchedPrice { payment_method, price, exact, identifier })
}

/// The client's own name for the purchase. Extensions that a challenge advertises must come back unchanged.
fn payment_identifier(payload: &v2::PaymentPayload) -> Result<Option<String>, RefusalReason> {
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
