//! The story of a paid request, as typed states: Accepted, Verified, Reserved, Executed, Settled.
//!
//! Nothing remote happens before everything local has passed, the claim is durable before a guest
//! runs, and no answer leaves before it is settled. Each state owns what is true then and is made
//! in one place only: private fields, no `Clone`, no `Deserialize`. From the claim on the work runs
//! in a task of its own that a client cannot stop by hanging up.

mod accepted;
mod body;
mod executed;
mod problem;
mod recovery;
mod till;
mod verified;

use std::sync::{Arc, OnceLock};

use http::Request;

use crate::plugin::{Plugin, RequestBody};
use crate::price::{Challenge, Offer, Resource};
use crate::x402::header;

pub use accepted::Accepted;
pub use executed::{Answer, Executed, Finished, Settled};
pub use problem::{Charged, Problem};
pub use recovery::recover;
pub use till::{Tender, Till, TillConfig};
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
}

/// Serves one request to a paid endpoint, from its first header to the settled answer.
///
/// `Ok` is either a settled answer or one that the guest failed on purpose (status 400 and above),
/// which costs nothing.
pub async fn serve(till: &Arc<Till>, sale: Sale, request: Request<RequestBody>) -> Result<Finished, Problem> {
    let payment = match header::payment(
        request.headers().get_all(header::PAYMENT_SIGNATURE).iter().map(http::HeaderValue::as_bytes),
        request.headers().get_all(header::X_PAYMENT).iter().map(http::HeaderValue::as_bytes),
    ) {
        Ok(payment) => payment,
        Err(error) => {
            let challenge = required(till, &sale, &sale.offer, error.reason().as_str());
            return Err(Problem::Malformed { error, challenge });
        }
    };
    if payment.is_none() && !till.sells(&sale.offer) {
        return Err(Problem::CannotSettle);
    }
    let quotable = body::Quotable::of(&sale, &request, payment.is_some());
    let (request, offer) = match body::price(&sale, request, quotable).await {
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
    let accepted = Accepted::of(till, &sale, &offer, payment.clone());
    let verified = accepted
        .and_then(|accepted| accepted.verify(now, work))
        .map_err(|refusal| refusal.with(|reason| required(till, &sale, &offer, reason)))
        .and_then(Verified::admit);
    let verified = match verified {
        Ok(verified) => verified,
        Err(refused) => {
            let request = body::whole(request, sale.request_limit).await?;
            return match verified::earlier(till, &sale, &payment, &request).await? {
                Some(settled) => Ok(Finished::Settled(settled)),
                None => Err(refused),
            };
        }
    };
    let request = body::whole(request, sale.request_limit).await?;
    let claimed = Arc::new(OnceLock::new());
    let work = {
        let (till, claimed) = (Arc::clone(till), Arc::clone(&claimed));
        async move {
            let executed = match verified.reserve(&till, &sale, &offer, &request, &claimed).await? {
                verified::Claim::Won(reserved) => reserved.execute(&till, &sale, request).await?,
                verified::Claim::Settled(settled) => return Ok(Finished::Settled(settled)),
            };
            match executed {
                executed::Execution::Done(executed) => executed.settle(&till).await.map(Finished::Settled),
                executed::Execution::Declined(answer) => Ok(Finished::Declined(answer)),
            }
        }
    };
    till.finish(claimed, work).await
}

/// What a request without a payment is told. Nothing is read, quoted or run: `HEAD` ends here.
pub fn ask(till: &Till, sale: &Sale) -> Problem {
    if !till.sells(&sale.offer) {
        return Problem::CannotSettle;
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
