//! The story of a paid request, as typed states: Accepted, Verified, Reserved, Executed, Settled.
//!
//! Nothing remote happens before everything local has passed, the claim is durable before a guest
//! runs, and no answer leaves before it is settled. Each state owns what is true then and is made
//! in one place only: private fields, no `Clone`, no `Deserialize`. From the claim on the work runs
//! in a task of its own that a client cannot stop by hanging up.
//!
//! There are two orders. In the `authorization` flow the guest runs and its answer is sealed until the
//! payment is settled: Reserved, Executed, Settled. In the `upfront` flow the money moves first:
//! Reserved, Paid, Settled; the answer streams to the client as the guest writes it, and a guest that fails
//! then leaves a debt: the same payment runs again.
//!
//! What must not happen does not compile. An answer does not leave without its settlement:
//!
//! ```compile_fail,E0308
//! # use coinslot::payment::{Executed, Finished};
//! fn release(executed: Executed) -> Finished {
//!     Finished::Settled(executed)
//! }
//! ```
//!
//! and no settlement is made up:
//!
//! ```compile_fail,E0451
//! # use coinslot::payment::{SettledPayment, PaidBody, Settled};
//! # use http::HeaderMap;
//! fn forge(status: u16, headers: HeaderMap, paid_body: PaidBody, settled: SettledPayment) -> Settled {
//!     Settled { status, headers, paid_body, settled }
//! }
//! ```
//!
//! One answer is settled once:
//!
//! ```compile_fail,E0382
//! # use std::sync::Arc;
//! # use coinslot::payment::{Executed, Payments};
//! async fn twice(executed: Executed, payments: &Arc<Payments>) {
//!     let _ = executed.settle(payments).await;
//!     let _ = executed.settle(payments).await;
//! }
//! ```
//!
//! One payment is not two:
//!
//! ```compile_fail,E0599
//! # use coinslot::payment::Verified;
//! fn copy(verified: &Verified) -> Verified {
//!     verified.clone()
//! }
//! ```
//!
//! And a guest does not run without leave, which only `payment` grants for money and `serve` for free:
//!
//! ```compile_fail,E0451
//! # use coinslot::plugin::Permit;
//! fn leave() -> Permit {
//!     Permit { receipt: None }
//! }
//! ```

mod accepted;
mod body;
mod charge;
mod delivery;
mod executed;
mod exposure;
mod owed_retries;
mod payments;
mod problem;
mod quotes;
mod rate_limiter;
mod recovery;
mod verified;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use accepted::RefusedPayment;
use coinslot_plugin::{Circuit, Fault, Plugin, RequestBody};
use coinslot_x402::Flow;
use coinslot_x402::header::{self, HeaderError, PaymentPayload};
use coinslot_x402::price::{Challenge, Offer, Resource};
use executed::Execution;
use verified::Claim;

pub use accepted::Accepted;
pub use delivery::PaidBody;
pub use executed::{Answer, Executed, Failure, Finished, Paid, Settled, SettledPayment};
pub use payments::{PaymentMethod, Payments, PaymentsConfig, Protect, ReceiptSigner};
pub use problem::{Charged, Problem};
pub use recovery::recover;
pub use verified::{Reserved, Verified};

/// What a request asks to buy: one endpoint of one generation.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The plugin that will answer.
    pub plugin: Arc<Plugin>,
    /// `GET /api/gitignore`: the method and the template.
    pub endpoint: String,
    /// The template alone.
    pub route: String,
    /// Its parameters in this request.
    pub params: Vec<(String, String)>,
    /// What it costs, or costs at most if `quoted`.
    pub offer: Offer,
    /// Whether the plugin says the price of each request.
    pub quoted: bool,
    /// The URL of this request, with its query.
    pub url: String,
    /// What a challenge says of the resource, apart from its URL.
    pub resource: Resource,
    /// The URL with the path template and without a query: it fits into any challenge.
    pub template_url: String,
    /// The challenge for a request without a payment, if it can be encoded ahead.
    pub challenge: Option<Challenge>,
    /// The catalogue's generation.
    pub generation: u64,
    /// Largest request body, in bytes.
    pub request_limit: u64,
    /// When the money moves, as the plugin declares it within the operator's policy.
    pub flow: Flow,
    /// The client's address, as far as it is known.
    pub from: Option<IpAddr>,
    /// Earlier offers for this endpoint that are still in their time. Source: design.md, rule 10.
    pub honoured: Vec<Offer>,
}

/// Serves one request to a paid endpoint, from its first header to the settled answer.
///
/// `Ok` is either a settled answer or one that the guest failed on purpose (status 400 and above),
/// which costs nothing.
pub async fn serve(
    payments: &Arc<Payments>,
    purchase: Purchase,
    request: Request<RequestBody>,
) -> Result<Finished, Problem> {
    let from = purchase.from;
    let end = sell(payments, purchase, request).await;
    if let Err(Problem::Malformed { .. } | Problem::Invalid { .. }) = &end {
        payments.was_bad(from);
    }
    end
}

async fn sell(
    payments: &Arc<Payments>,
    purchase: Purchase,
    request: Request<RequestBody>,
) -> Result<Finished, Problem> {
    let payment = match credential(request.headers()) {
        Ok(payment) => payment,
        Err(error) => {
            let challenge = required(payments, &purchase, &purchase.offer, error.reason().as_str());
            return Err(Problem::Malformed { error, challenge });
        }
    };
    let circuit = purchase.plugin.circuit();
    if payment.is_none() {
        if !payments.sells(&purchase.offer) {
            return Err(Problem::CannotSettle);
        }
        check_circuit(circuit)?;
    }
    if payment.is_some() {
        payments.admit_address(purchase.from)?;
    }
    // What is left alone is not asked for its price.
    let quotable = match circuit {
        Circuit::Closed => body::Quotable::of(&purchase, &request, payment.is_some()),
        Circuit::Open { .. } => body::Quotable::Skip,
    };
    let (request, offer) = match body::price(payments, &purchase, request, quotable, payment.as_ref()).await {
        // Too large to be read for nothing, not too large to be sold.
        Err(Problem::BodyTooLarge { limit }) if payment.is_none() && limit < purchase.request_limit => {
            return Err(ask(payments, &purchase));
        }
        priced => priced?,
    };
    let Some(payment) = payment else {
        return Err(Problem::PaymentRequired(required(payments, &purchase, &offer, "Payment required")));
    };
    let now = payments.now();
    let work = purchase.plugin.limits().first_byte;
    let verified = Accepted::of(payments, &purchase, &offer, payment)
        .and_then(|accepted| accepted.verify(now, work))
        // Told only if this very payment bought nothing before.
        .map_err(|away| away.map(|refusal| refusal.with(|reason| required(payments, &purchase, &offer, reason))))
        .and_then(|verified| verified.admit(circuit))
        .and_then(|verified| verified.within_rate(payments));
    let request = body::whole(request, purchase.request_limit).await?;
    let claimed = Arc::new(OnceLock::new());
    let work = {
        let (payments, claimed) = (Arc::clone(payments), Arc::clone(&claimed));
        // In its place at once: it is large, and would be copied from hand to hand and into each task.
        Box::pin(async move {
            let claim = match verified {
                Ok(verified) => verified.reserve(&payments, &purchase, &offer, &request, &claimed).await?,
                Err(RefusedPayment { payment, because }) => {
                    match verified::earlier(&payments, &purchase, &payment, &request, &claimed).await? {
                        Some(earlier) => earlier,
                        None => return Err(because),
                    }
                }
            };
            let settled = match claim {
                Claim::Run(reserved) => match reserved.execute(&payments, &purchase, request).await? {
                    Execution::Done(executed) => executed.settle(&payments).await?,
                    Execution::Declined(answer) => return Ok(Finished::Declined(answer)),
                },
                Claim::SettleFirst(reserved) => {
                    let paid = reserved.settle_first(&payments, &purchase).await?;
                    paid.execute(&payments, &purchase, request).await?
                }
                Claim::Owed(paid) => paid.execute(&payments, &purchase, request).await?,
                Claim::Settled(settled) => settled,
            };
            Ok(Finished::Settled(settled.with_receipt(&payments, &purchase.url)))
        })
    };
    payments.finish(claimed, work).await
}

/// What is left alone is not sold: no money is asked for, and none is taken, for a 503.
fn check_circuit(circuit: Circuit) -> Result<(), Problem> {
    match circuit {
        Circuit::Closed => Ok(()),
        Circuit::Open { retry } => Err(Problem::Plugin(Fault::CircuitOpen { retry })),
    }
}

/// The one payment that a request carries, if any.
fn credential(headers: &HeaderMap) -> Result<Option<PaymentPayload>, HeaderError> {
    let values = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    header::payment(values(header::PAYMENT_SIGNATURE), values(header::X_PAYMENT), values(AUTHORIZATION.as_str()))
}

static PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static(header::PAYMENT_SIGNATURE);
static X_PAYMENT: HeaderName = HeaderName::from_static(header::X_PAYMENT);

/// The answer to a bare request, which most agents send first: no payment, no query, and nothing that the
/// plugin would be asked about. It is ready; nothing is read, made or waited for. None if there is more to it.
pub fn ask_plainly<'c, B: http_body::Body>(
    payments: &Payments,
    offer: &Offer,
    ready: Option<&'c Challenge>,
    plugin: &Plugin,
    request: &Request<B>,
) -> Option<&'c Challenge> {
    let headers = request.headers();
    let bare = !headers.contains_key(&PAYMENT_SIGNATURE)
        && !headers.contains_key(&X_PAYMENT)
        && request.uri().query().is_none()
        && (!plugin.quotes() || request.body().is_end_stream());
    ready.filter(|_| bare && plugin.circuit() == Circuit::Closed && payments.settles_all(offer))
}

/// What a request without a payment is told. Nothing is read, quoted or run: `HEAD` ends here.
pub fn ask(payments: &Payments, purchase: &Purchase) -> Problem {
    if !payments.sells(&purchase.offer) {
        return Problem::CannotSettle;
    }
    if let Err(ill) = check_circuit(purchase.plugin.circuit()) {
        return ill;
    }
    Problem::PaymentRequired(required(payments, purchase, &purchase.offer, "Payment required"))
}

/// The challenge for what of this offer would be settled, with the reason for it.
fn required(payments: &Payments, purchase: &Purchase, offer: &Offer, reason: &str) -> Challenge {
    let offer = &*payments.open(offer);
    match &purchase.challenge {
        Some(ready) if reason == "Payment required" && *offer == purchase.offer => ready.clone(),
        // A long query or path parameter may not fit; the template did at load.
        _ => Challenge::new(offer, &purchase.url, &purchase.resource, reason)
            .or_else(|_| Challenge::new(offer, &purchase.template_url, &purchase.resource, reason))
            .unwrap_or_else(|_| Challenge::empty()),
    }
}
