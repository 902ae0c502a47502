//! Decides whether money may be asked for, and makes the 402 that asks for it.
//!
//! The decision is [`sellable`], for every way to a 402: the prepared challenge, `HEAD`, and a request that is priced
//! first.

use std::borrow::Cow;

use coinslot_ledger::PassRefusal;
use coinslot_plugin::{Fault, Plugin, RequestBody};
use coinslot_x402::Object;
use coinslot_x402::header::{self, HeaderError};
use coinslot_x402::price::{Challenge, ChallengeSecret, Offer};
use http::{HeaderMap, HeaderName, Method, Request};
use http_body::Body;

use super::free::FreeRequest;
use super::pricing::UnpaidRequest;
use super::problem::{check_free_plugin, check_plugin};
use super::{Payments, Pricing, Problem, Purchase, pass, pricing, sign_in};
use crate::endpoint::{Access, Endpoint};
use crate::schema::InputSchema;

/// The `error` of a challenge whose only reason is the missing payment.
pub(crate) const PAYMENT_REQUIRED: &str = "Payment required";

static PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static(header::PAYMENT_SIGNATURE);
static X_PAYMENT: HeaderName = HeaderName::from_static(header::X_PAYMENT);

/// The secret of one response: each client that is challenged gets its own.
pub fn new_secret() -> ChallengeSecret {
    ChallengeSecret::new(secp256k1::rand::random())
}

/// The part of an offer that can be sold now. Money that could only buy a 503 is never asked for, and never taken.
///
/// Fails when no price of the offer would be settled, while the plugin's circuit of paid calls is open, and while the
/// plugin has no room for another request.
fn sellable<'o>(payments: &Payments, plugin: &Plugin, offer: &'o Offer) -> Result<Cow<'o, Offer>, Problem> {
    let settleable = payments.settleable(offer).ok_or(Problem::CannotSettle)?;
    check_plugin(plugin)?;
    Ok(settleable)
}

/// Whether requests to an endpoint are answered now, as far as it can be said without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    Available,
    /// The operator has paused the plugin.
    Paused,
    /// The plugin fails, and its circuit is open.
    Unhealthy,
    /// The plugin's instances are all in use.
    Busy,
    /// No payment would be settled.
    CannotSettle,
}

impl Availability {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "ok",
            Self::Paused => "paused",
            Self::Unhealthy => "unhealthy",
            Self::Busy => "busy",
            Self::CannotSettle => "cannot_settle",
        }
    }
}

/// Says whether requests to an endpoint are answered now, by what decides about their challenges.
pub fn availability(payments: &Payments, endpoint: &Endpoint) -> Availability {
    let problem = match &endpoint.access {
        Access::Paid(paid) => sellable(payments, &endpoint.plugin, &paid.offer).map(drop),
        Access::Free => check_free_plugin(&endpoint.plugin),
    };
    match problem {
        Ok(()) => Availability::Available,
        Err(Problem::CannotSettle) => Availability::CannotSettle,
        Err(Problem::Plugin(Fault::Paused)) => Availability::Paused,
        Err(Problem::Plugin(Fault::CircuitOpen { .. })) => Availability::Unhealthy,
        Err(_) => Availability::Busy,
    }
}

/// True if a request has a payment header, whatever is in it.
pub(super) fn carries_payment(headers: &HeaderMap) -> bool {
    headers.contains_key(&PAYMENT_SIGNATURE) || headers.contains_key(&X_PAYMENT)
}

/// The prepared challenge, which answers most requests: agents send one without a payment first.
///
/// Nothing is read, encoded or waited for. None if the endpoint is free, if the request has a payment, a query, or a
/// body that its schema or the plugin's quote would read, if it is a `HEAD`, or if not all of the prepared offer can be
/// sold now.
pub fn prepared<'e, B: Body>(
    payments: &Payments,
    endpoint: &'e Endpoint,
    request: &Request<B>,
) -> Option<&'e Challenge> {
    let Access::Paid(access) = &endpoint.access else { return None };
    let challenge = access.challenge.as_ref()?;
    let headers = request.headers();
    let reads_body = endpoint.plugin.quotes() || endpoint.input.as_ref().is_some_and(InputSchema::reads_body);
    let bare = !carries_payment(headers)
        && request.uri().query().is_none()
        && !access.quoted
        && *request.method() != Method::HEAD
        && (!reads_body || request.body().is_end_stream());
    (bare
        && !payments.allowances.concern(endpoint, headers)
        && matches!(sellable(payments, &endpoint.plugin, &access.offer), Ok(Cow::Borrowed(_))))
    .then_some(challenge)
}

/// The challenge at the declared price. Nothing is read, quoted or run: `HEAD` ends here.
pub fn declared(payments: &Payments, purchase: &Purchase) -> Problem {
    match sellable(payments, &purchase.endpoint.plugin, &purchase.access.offer) {
        Ok(offer) => Problem::PaymentRequired(encode(payments, purchase, &offer, PAYMENT_REQUIRED)),
        Err(problem) => problem,
    }
}

/// The challenge for a request without a payment, at the price of this very request. Ok if the plugin quotes it as
/// free. `no_pass`: the reason why the pass that its client has shown does not serve it.
pub(super) async fn unpaid(
    payments: &Payments,
    purchase: Purchase,
    request: Request<RequestBody>,
    no_pass: Option<PassRefusal>,
) -> Result<FreeRequest, Problem> {
    // A plugin that is failing or full is not called. Whether a payment would be settled is asked when there is a
    // price: a free request needs none.
    check_plugin(&purchase.endpoint.plugin)?;
    let purchase = match pricing::price_unpaid(payments, purchase, request).await? {
        UnpaidRequest::Priced(purchase) => purchase,
        UnpaidRequest::Free(free) => return Ok(free),
    };
    let offer = sellable(payments, &purchase.endpoint.plugin, &purchase.offer)?;
    Err(match no_pass.and_then(|refusal| Some((refusal, pass::reason(refusal)?))) {
        None => Problem::PaymentRequired(encode(payments, &purchase, &offer, PAYMENT_REQUIRED)),
        Some((refusal, reason)) => Problem::NoPass { refusal, challenge: encode(payments, &purchase, &offer, reason) },
    })
}

/// The problem of a payment header that cannot be read, with the challenge at the declared price.
pub(super) fn malformed(payments: &Payments, purchase: &Purchase, error: HeaderError) -> Problem {
    Problem::Malformed { challenge: because(payments, purchase, error.reason().as_str()), error }
}

/// The challenge for the part of the purchase's offer that would be settled now, or for all of it if none would: a
/// refused payment is told its own reason first.
pub(super) fn because(payments: &Payments, purchase: &Purchase, reason: &str) -> Challenge {
    let offer = payments.settleable(&purchase.offer).unwrap_or(Cow::Borrowed(&purchase.offer));
    encode(payments, purchase, &offer, reason)
}

/// Encodes the offer. A quote is sealed for its request, so that a payment for it is recognised.
fn encode(payments: &Payments, purchase: &Purchase, offer: &Offer, reason: &str) -> Challenge {
    let access = &purchase.access;
    let own = sign_in_extension(payments, purchase);
    if let Some(prepared) = &access.challenge
        && own.is_empty()
        && reason == PAYMENT_REQUIRED
        && !purchase.has_query
        && *offer == access.offer
    {
        return prepared.clone();
    }
    let sealed = match purchase.pricing {
        Pricing::Quoted(Some(fingerprint)) => Some(payments.quotes.seal(offer, &fingerprint, payments.now())),
        Pricing::Quoted(None) | Pricing::Declared | Pricing::AtMost => None,
    };
    let offer = sealed.as_ref().unwrap_or(offer);
    let Endpoint { url: template_url, resource, .. } = &*purchase.endpoint;
    // A long query or path parameter may not fit into the header: then the query is left out, and if that is not
    // enough, the template stands for the path. The URL with the template did fit at load.
    let path_url = purchase.url.split_once('?').map_or(purchase.url.as_str(), |(path, _)| path);
    let challenge =
        |url: &str, own: &Object| Challenge::with_extensions(offer, url, resource, reason, own, &purchase.params);
    challenge(&purchase.url, &own)
        .or_else(|_| challenge(path_url, &own))
        .or_else(|_| challenge(template_url, &own))
        .or_else(|_| challenge(template_url, &Object::new()))
        .unwrap_or_else(|_| Challenge::empty())
}

/// The extension by which a client proves its account, where accounts have free requests or passes. Each challenge has a
/// nonce of its own.
fn sign_in_extension(payments: &Payments, purchase: &Purchase) -> Object {
    let allowances = &payments.allowances;
    if !allowances.policy().takes_sign_in(&purchase.endpoint) {
        return Object::new();
    }
    let networks = sign_in::networks(purchase);
    allowances.sign_ins().extension(&purchase.url, &networks, secp256k1::rand::random(), payments.now())
}
