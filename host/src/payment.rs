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
//! # use coinslot::payment::{Goods, Parcel, Settled};
//! # use http::HeaderMap;
//! fn forge(status: u16, headers: HeaderMap, parcel: Parcel, goods: Goods) -> Settled {
//!     Settled { status, headers, parcel, goods }
//! }
//! ```
//!
//! One answer is settled once:
//!
//! ```compile_fail,E0382
//! # use std::sync::Arc;
//! # use coinslot::payment::{Executed, Till};
//! async fn twice(executed: Executed, till: &Arc<Till>) {
//!     let _ = executed.settle(till).await;
//!     let _ = executed.settle(till).await;
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
mod debts;
mod executed;
mod limits;
mod parcel;
mod problem;
mod quotes;
mod rate;
mod recovery;
mod till;
mod verified;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use accepted::TurnedAway;
use coinslot_plugin::{Condition, Fault, Plugin, RequestBody};
use coinslot_x402::Flow;
use coinslot_x402::header::{self, HeaderError, PaymentPayload};
use coinslot_x402::price::{Challenge, Offer, Resource};
use executed::Execution;
use verified::Claim;

pub use accepted::Accepted;
pub use executed::{Answer, Executed, Failure, Finished, Goods, Paid, Settled};
pub use parcel::Parcel;
pub use problem::{Charged, Problem};
pub use recovery::recover;
pub use till::{Protect, ReceiptSigner, Tender, Till, TillConfig};
pub use verified::{Reserved, Verified};

/// What a request asks to buy: one endpoint of one generation.
#[derive(Clone, Debug)]
pub struct Sale {
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
    /// What a challenge says is sold.
    pub resource: Resource,
    /// The resource's address with its path template and no query: what fits into any challenge.
    pub short_url: String,
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
pub async fn serve(till: &Arc<Till>, sale: Sale, request: Request<RequestBody>) -> Result<Finished, Problem> {
    let from = sale.from;
    let end = sell(till, sale, request).await;
    if let Err(Problem::Malformed { .. } | Problem::Invalid { .. }) = &end {
        till.was_bad(from);
    }
    end
}

async fn sell(till: &Arc<Till>, sale: Sale, request: Request<RequestBody>) -> Result<Finished, Problem> {
    let payment = match credential(request.headers()) {
        Ok(payment) => payment,
        Err(error) => {
            let challenge = required(till, &sale, &sale.offer, error.reason().as_str());
            return Err(Problem::Malformed { error, challenge });
        }
    };
    let condition = sale.plugin.condition();
    if payment.is_none() {
        if !till.sells(&sale.offer) {
            return Err(Problem::CannotSettle);
        }
        well(condition)?;
    }
    if payment.is_some() {
        till.admit_address(sale.from)?;
    }
    // What is left alone is not asked for its price.
    let quotable = match condition {
        Condition::Well => body::Quotable::of(&sale, &request, payment.is_some()),
        Condition::Ill { .. } => body::Quotable::Skip,
    };
    let (request, offer) = match body::price(till, &sale, request, quotable, payment.as_ref()).await {
        // Too large to be read for nothing, not too large to be sold.
        Err(Problem::BodyTooLarge { limit }) if payment.is_none() && limit < sale.request_limit => {
            return Err(ask(till, &sale));
        }
        priced => priced?,
    };
    let Some(payment) = payment else {
        return Err(Problem::PaymentRequired(required(till, &sale, &offer, "Payment required")));
    };
    let now = till.now();
    let work = sale.plugin.limits().first_byte;
    let verified = Accepted::of(till, &sale, &offer, payment)
        .and_then(|accepted| accepted.verify(now, work))
        // Told only if this very payment bought nothing before.
        .map_err(|away| away.map(|refusal| refusal.with(|reason| required(till, &sale, &offer, reason))))
        .and_then(|verified| verified.admit(condition))
        .and_then(|verified| verified.within_rate(till));
    let request = body::whole(request, sale.request_limit).await?;
    let claimed = Arc::new(OnceLock::new());
    let work = {
        let (till, claimed) = (Arc::clone(till), Arc::clone(&claimed));
        // In its place at once: it is large, and would be copied from hand to hand and into each task.
        Box::pin(async move {
            let claim = match verified {
                Ok(verified) => verified.reserve(&till, &sale, &offer, &request, &claimed).await?,
                Err(TurnedAway { payment, because }) => {
                    match verified::earlier(&till, &sale, &payment, &request, &claimed).await? {
                        Some(earlier) => earlier,
                        None => return Err(because),
                    }
                }
            };
            let settled = match claim {
                Claim::Run(reserved) => match reserved.execute(&till, &sale, request).await? {
                    Execution::Done(executed) => executed.settle(&till).await?,
                    Execution::Declined(answer) => return Ok(Finished::Declined(answer)),
                },
                Claim::SettleFirst(reserved) => {
                    let paid = reserved.settle_first(&till, &sale).await?;
                    paid.execute(&till, &sale, request).await?
                }
                Claim::Owed(paid) => paid.execute(&till, &sale, request).await?,
                Claim::Settled(settled) => settled,
            };
            Ok(Finished::Settled(settled.with_receipt(&till, &sale.resource.url)))
        })
    };
    till.finish(claimed, work).await
}

/// What is left alone is not sold: no money is asked for, and none is taken, for a 503.
fn well(condition: Condition) -> Result<(), Problem> {
    match condition {
        Condition::Well => Ok(()),
        Condition::Ill { retry } => Err(Problem::Plugin(Fault::Ill { retry })),
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
    till: &Till,
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
    ready.filter(|_| bare && plugin.condition() == Condition::Well && till.settles_all(offer))
}

/// What a request without a payment is told. Nothing is read, quoted or run: `HEAD` ends here.
pub fn ask(till: &Till, sale: &Sale) -> Problem {
    if !till.sells(&sale.offer) {
        return Problem::CannotSettle;
    }
    if let Err(ill) = well(sale.plugin.condition()) {
        return ill;
    }
    Problem::PaymentRequired(required(till, sale, &sale.offer, "Payment required"))
}

/// The challenge for what of this offer would be settled, with the reason for it.
fn required(till: &Till, sale: &Sale, offer: &Offer, reason: &str) -> Challenge {
    let offer = &*till.open(offer);
    match &sale.challenge {
        Some(ready) if reason == "Payment required" && *offer == sale.offer => ready.clone(),
        // A long query or path parameter may not fit; the template did at load.
        _ => Challenge::new(offer, &sale.resource, reason)
            .or_else(|_| {
                Challenge::new(offer, &Resource { url: sale.short_url.clone(), ..sale.resource.clone() }, reason)
            })
            .unwrap_or_else(|_| Challenge::empty()),
    }
}
