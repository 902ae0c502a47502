//! Takes a paid request through its typed states: Accepted, Verified, Reserved, Executed or Paid, Settled.
//!
//! Nothing remote happens before everything local has passed, the claim is durable before a guest runs, and no answer
//! leaves before it is settled. Each state owns what is true then and is made in one place only: private fields, no
//! `Clone`, no `Deserialize`. From the claim on the work runs in a task of its own, which a client that hangs up cannot
//! stop.
//!
//! There are two orders. In the `authorization` flow the guest runs and its answer is sealed until the payment is
//! settled: Reserved, Executed, Settled. In the `upfront` flow the money moves first: Reserved, Paid, Settled. Its
//! answer streams to the client as the guest writes it, and a guest that fails leaves an owed answer, which the same
//! payment fetches.
//!
//! Misuse does not compile. An answer does not leave without its settlement:
//!
//! ```compile_fail,E0308
//! # use coinslot::payment::{Executed, Settled};
//! fn release(executed: Executed) -> Settled {
//!     executed
//! }
//! ```
//!
//! and no settlement is made up:
//!
//! ```compile_fail,E0451
//! # use coinslot::payment::{PaidBody, Settled, SettledPayment};
//! # use http::HeaderMap;
//! fn forge(status: u16, headers: HeaderMap, body: PaidBody, payment: SettledPayment) -> Settled {
//!     Settled { status, headers, body, payment, pass: None }
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
//! And a guest does not run without a permit, which only `payment` grants for money and `server` for free:
//!
//! ```compile_fail,E0451
//! # use coinslot_plugin::Permit;
//! fn permit() -> Permit {
//!     Permit { receipt: None }
//! }
//! ```

mod accepted;
mod advice;
mod allowed;
mod answer;
mod body;
mod budget;
pub mod challenge;
mod claim;
mod client;
mod delivery;
mod earlier_claim;
mod evidence;
mod exchange;
mod executed;
mod exposure;
mod failed_settlements;
mod fair_slots;
mod free;
mod free_use;
mod held_buffer;
mod hold_guard;
mod identity;
mod input;
mod known_payers;
mod limits;
mod open_settlements;
mod owed_retries;
mod paid;
mod pass;
mod payment_method;
mod payments;
mod presented;
mod pricing;
mod problem;
mod purchase;
mod quotes;
mod rate_limiter;
mod recovery;
mod reserved;
mod settle;
mod settled;
mod sign_in;
mod spans;
mod streamed;
mod tasks;
mod trace;
mod unserved;
mod verified;
mod waiting;

use std::sync::Arc;

use coinslot_ledger::Holder;
use coinslot_plugin::RequestBody;
use coinslot_x402::header::{HeaderError, PaymentPayload};
use http::Request;
use http_body::Body as _;

use accepted::RefusedPayment;
use allowed::{AllowedOutcome, ShownProofs};
use earlier_claim::EarlierClaim;
use exchange::{Exchanged, PaymentWork, exchange};
use pass::BuyingPage;
use presented::PresentedPayment;

pub use accepted::Accepted;
pub use allowed::{AllowedRequest, KeyRefusal};
pub(crate) use answer::ANSWERED_402;
pub use answer::GuestAnswer;
pub use body::read_message;
pub(crate) use budget::{HeldBytes, least_budget};
pub use challenge::{Availability, availability};
pub use client::ClientAddress;
pub(crate) use client::prefix_of as client_network;
pub use delivery::PaidBody;
pub use executed::Executed;
pub use free::FreeRequest;
pub use free_use::{FreeRemainder, FreeUse, ServedUse};
pub use input::{check_free, work_on_message};
pub use limits::RateLimits;
pub use paid::Paid;
pub(crate) use pass::PAGE;
pub(crate) use pass::reason as pass_reason;
pub use payment_method::PaymentMethod;
pub use payments::{Payments, PaymentsConfig, ReceiptSigner};
pub use problem::{OwedFailure, PAYMENT_REFUNDED, Problem};
pub use purchase::{Pricing, Purchase};
pub(crate) use rate_limiter::RateLimiter;
pub use recovery::recover;
pub use reserved::Reserved;
pub use settled::{Settled, SettledPayment};
pub use spans::RequestSpans;
pub use trace::{OutgoingCounts, RequestTrace, Stage, StageTimes, TracedPayment};
pub use unserved::{Charged, Unserved};
pub use verified::Verified;

/// The result of a request to a paid endpoint.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "matched at once by the only caller")]
pub enum Served {
    /// Its payment is settled, and the answer may leave.
    Settled(Settled),
    /// Its plugin quoted it as free: it is to be served without a payment, and none was taken.
    Free(FreeRequest),
    /// The operator or a pass lets it be served without a payment, and it is counted.
    Allowed(AllowedRequest),
}

/// Serves one request to a paid endpoint, from its first header to the settled answer.
///
/// Without a payment the answer is [`Problem::PaymentRequired`], or the reason why nothing is sold now.
pub async fn serve(
    payments: &Arc<Payments>,
    purchase: Purchase,
    mut request: Request<RequestBody>,
) -> Result<Served, Unserved> {
    let client = purchase.client.ip;
    let proofs = ShownProofs::take(payments, &purchase, request.headers_mut());
    let end = match body::credential(request.headers()) {
        Err(unreadable) => Err(unread(payments, &purchase, unreadable)),
        Ok(None) => serve_unpaid(payments, purchase, proofs, request).await,
        Ok(Some(payment)) => redeem(payments, purchase, payment, request).await,
    };
    // Counted by address: the payer that a bad payment names has proven nothing.
    if let Err(unserved) = &end
        && let Problem::Malformed { .. } | Problem::Invalid { .. } | Problem::Foreign { .. } = unserved.problem()
    {
        payments.count_bad_payment(client);
    }
    end
}

/// Serves a request without a payment: for nothing, if the operator allows it, a pass is for it, or the plugin quotes it as
/// free, and else with the challenge.
async fn serve_unpaid(
    payments: &Arc<Payments>,
    purchase: Purchase,
    proofs: ShownProofs,
    request: Request<RequestBody>,
) -> Result<Served, Unserved> {
    match allowed::allow(payments, &purchase, proofs, request).await? {
        AllowedOutcome::Allowed(allowed) => Ok(Served::Allowed(allowed)),
        AllowedOutcome::Free(free) => Ok(Served::Free(free)),
        AllowedOutcome::Unallowed(request, no_pass) => {
            challenge::unpaid(payments, purchase, request, no_pass).await.map(Served::Free).map_err(Unserved::unclaimed)
        }
    }
}

/// The end of a request whose payment header cannot be read. A payment that is in a wrong place may have been charged
/// in the right one.
fn unread(payments: &Payments, purchase: &Purchase, error: HeaderError) -> Unserved {
    let carries_payment = match error {
        HeaderError::Ambiguous | HeaderError::OtherProtocol | HeaderError::Version { .. } => true,
        HeaderError::TooLarge(_)
        | HeaderError::NotBase64
        | HeaderError::TransactionHash
        | HeaderError::NotPayload(_) => false,
    };
    let problem = challenge::malformed(payments, purchase, error);
    if carries_payment { Unserved::unknown(problem) } else { Unserved::unclaimed(problem) }
}

/// Exchanges one payment for the answer that it buys, or bought before.
///
/// The order: everything local and cheap comes first, then what the payment bought before, then the request's body, and
/// only for a payment that is proven or known.
async fn redeem(
    payments: &Arc<Payments>,
    purchase: Purchase,
    payload: PaymentPayload,
    request: Request<RequestBody>,
) -> Result<Served, Unserved> {
    payments.check_address(purchase.client.ip).map_err(Unserved::unknown)?;
    let page = BuyingPage::of(&purchase, request.headers());
    let payment = PresentedPayment::new(payments, payload, purchase.client);
    let holder = payment.holder;
    let checked = check(payments, &purchase, payment).await;
    let claims_next = !purchase.endpoint.plugin.quotes() && request.body().is_end_stream();
    let earlier = find_earlier(payments, &checked, &holder, claims_next).await.map_err(Unserved::of_claim)?;
    let work = PaymentWork::new(checked, earlier, holder)?;
    let request = work.read_body(payments, &purchase, request).await?;
    let (id, payments_of_work) = (work.payment_id(), Arc::clone(payments));
    // Boxed here: the future is large, and passing it on would copy it each time.
    let exchanged = Box::pin(async move {
        Ok(match exchange(payments_of_work, purchase, work, request).await? {
            Exchanged::Settled(settled) => Served::Settled(settled),
            Exchanged::Free(request) => Served::Free(FreeRequest::new(request)),
        })
    });
    // A client that hangs up stops nothing from here on.
    let served = payments.detach(id.clone(), exchanged).await.map_err(|problem| {
        let is_at_work = payments.waiting.is_at_work(&id);
        Unserved::of_claim(problem).beside_other_work(is_at_work).of_payment(id)
    })?;
    Ok(match (served, page) {
        (Served::Settled(settled), Some(page)) => Served::Settled(settled.with_pass(payments, &page, &holder)),
        (served, _) => served,
    })
}

/// Checks what needs neither ledger nor body: the payment is for one of our prices, its signer is proven, it is in its
/// time window, the circuits are closed, the facilitator is ready, and the payer is in its rate.
async fn check(
    payments: &Payments,
    purchase: &Purchase,
    payment: PresentedPayment,
) -> Result<Verified, RefusedPayment> {
    let accepted = Accepted::of(payments, purchase, payment)?.may_pay(payments)?;
    accepted.verify(payments, purchase).await?.admit(payments, &purchase.endpoint.plugin)
}

/// Looks up what the payment bought before, also for a payment that the check refuses: its window may have passed, and
/// the price may have changed, since it bought its answer. A payment whose claim is the next step needs no look: the
/// claim itself meets an earlier one.
async fn find_earlier(
    payments: &Payments,
    checked: &Result<Verified, RefusedPayment>,
    holder: &Holder,
    claims_next: bool,
) -> Result<EarlierClaim, Problem> {
    match checked {
        Ok(_) if claims_next => Ok(EarlierClaim::None),
        Ok(verified) => verified.earlier_claim(payments).await,
        Err(refused) => earlier_claim::find(payments, &refused.payload, holder).await,
    }
}
