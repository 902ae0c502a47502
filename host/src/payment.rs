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
//! What must not happen does not compile. An answer does not leave without its settlement:
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
//!     Settled { status, headers, body, payment }
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
mod answer;
mod body;
pub mod challenge;
mod claim;
mod delivery;
mod executed;
mod exposure;
mod hold;
mod identity;
mod owed_retries;
mod paid;
mod payment_method;
mod payments;
mod pricing;
mod problem;
mod purchase;
mod quotes;
mod rate_limiter;
mod recovery;
mod reserved;
mod settle;
mod settled;
mod streamed;
mod verified;

use std::sync::Arc;

use bytes::Bytes;
use coinslot_plugin::RequestBody;
use coinslot_x402::header::PaymentPayload;
use http::Request;

use accepted::RefusedPayment;
use claim::ClaimOutcome;

pub use accepted::Accepted;
pub use answer::GuestAnswer;
pub use delivery::PaidBody;
pub use executed::Executed;
pub use paid::Paid;
pub use payment_method::PaymentMethod;
pub use payments::{Payments, PaymentsConfig, RateLimits, ReceiptSigner};
pub use problem::{Charged, OwedFailure, Problem};
pub use purchase::Purchase;
pub use recovery::recover;
pub use reserved::Reserved;
pub use settled::{Settled, SettledPayment};
pub use verified::Verified;

/// Serves one request to a paid endpoint, from its first header to the settled answer.
///
/// Without a payment the answer is [`Problem::PaymentRequired`], or the reason why nothing is sold now.
pub async fn serve(
    payments: &Arc<Payments>,
    purchase: Purchase,
    request: Request<RequestBody>,
) -> Result<Settled, Problem> {
    let client = purchase.client;
    let end = match body::credential(request.headers()) {
        Err(unreadable) => Err(challenge::malformed(payments, &purchase, unreadable)),
        Ok(None) => Err(challenge::unpaid(payments, purchase, request).await),
        Ok(Some(payment)) => redeem(payments, purchase, payment, request).await,
    };
    // Counted by address: the payer that a bad payment names has proven nothing.
    if let Err(Problem::Malformed { .. } | Problem::Invalid { .. }) = &end {
        payments.count_bad_payment(client);
    }
    end
}

/// Exchanges one payment for the answer that it buys, or bought before.
async fn redeem(
    payments: &Arc<Payments>,
    purchase: Purchase,
    payment: PaymentPayload,
    request: Request<RequestBody>,
) -> Result<Settled, Problem> {
    payments.check_address(purchase.client)?;
    let circuit = purchase.endpoint.plugin.circuit();
    let (purchase, request) = pricing::price_paid(payments, purchase, &payment, circuit, request).await?;
    // Everything local is checked before anything remote is asked. A refusal is not returned yet: the payment may have
    // bought its answer before, which the ledger knows.
    let checked = Accepted::of(payments, &purchase, payment) // it is for one of our prices
        .and_then(|accepted| accepted.verify(payments, &purchase)) // signed, and in its time window
        .and_then(|verified| verified.admit(payments, circuit)); // circuit closed, facilitator ready, payer in its rate
    let request = body::whole(request, purchase.endpoint.request_limit).await?;
    let id = match &checked {
        Ok(verified) => Some(verified.payment_id()),
        Err(refused) => claim::named_id(payments, &refused.payment),
    };
    // Boxed here: the future is large, and passing it on would copy it each time.
    let work = Box::pin(exchange(Arc::clone(payments), purchase, checked, request));
    payments.detach(id, work).await // a client that hangs up stops nothing from here on
}

/// Claims the payment, or takes up its earlier claim, and takes it through the states to its settled answer.
async fn exchange(
    payments: Arc<Payments>,
    purchase: Purchase,
    checked: Result<Verified, RefusedPayment>,
    request: Request<Bytes>,
) -> Result<Settled, Problem> {
    let claim = match checked {
        Ok(verified) => verified.reserve(&payments, &purchase, &request).await?,
        Err(refused) => claim::bought_before(&payments, &purchase, &request, refused).await?,
    };
    let settled = match claim {
        ClaimOutcome::Run(reserved) => reserved.execute(&payments, &purchase, request).await?.settle(&payments).await?,
        ClaimOutcome::SettleFirst(reserved) => {
            let paid = reserved.settle_first(&payments, &purchase).await?;
            paid.execute(&payments, &purchase, request).await?
        }
        ClaimOutcome::Owed(paid) => paid.execute(&payments, &purchase, request).await?,
        ClaimOutcome::Settled(settled) => settled,
    };
    Ok(settled.with_receipt(&payments, &purchase.url))
}
