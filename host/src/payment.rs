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
mod advice;
mod answer;
mod body;
mod budget;
pub mod challenge;
mod claim;
mod client;
mod delivery;
mod evidence;
mod executed;
mod exposure;
mod hold_guard;
mod identity;
mod known_payers;
mod open_settlements;
mod owed_retries;
mod paid;
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
mod streamed;
mod tasks;
mod unserved;
mod verified;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coinslot_ledger::{Holder, PaymentId};
use coinslot_plugin::RequestBody;
use coinslot_x402::header::{HeaderError, PaymentPayload};
use http::Request;
use http_body::Body as _;
use tokio::time::Instant;

use accepted::RefusedPayment;
use body::HeldBody;
use budget::HeldBytes;
use claim::{Bought, ClaimOutcome, EarlierClaim, FoundPayment};
use presented::{EarlierPayment, PresentedPayment};
use waiting::SETTLEMENT_WAIT;

pub use accepted::Accepted;
pub use answer::GuestAnswer;
pub use client::ClientAddress;
pub use delivery::PaidBody;
pub use executed::Executed;
pub use paid::Paid;
pub use payment_method::PaymentMethod;
pub use payments::{Payments, PaymentsConfig, RateLimits, ReceiptSigner};
pub use problem::{OwedFailure, Problem};
pub use purchase::{Pricing, Purchase};
pub use recovery::recover;
pub use reserved::Reserved;
pub use settled::{Settled, SettledPayment};
pub use unserved::{Charged, Unserved};
pub use verified::Verified;

/// The longest pause between two looks of a waiting client at its payment. It is told when the work ends, and looks by
/// itself for an end that another process wrote.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Serves one request to a paid endpoint, from its first header to the settled answer.
///
/// Without a payment the answer is [`Problem::PaymentRequired`], or the reason why nothing is sold now.
pub async fn serve(
    payments: &Arc<Payments>,
    purchase: Purchase,
    request: Request<RequestBody>,
) -> Result<Settled, Unserved> {
    let client = purchase.client.ip;
    let end = match body::credential(request.headers()) {
        Err(unreadable) => Err(unread(payments, &purchase, unreadable)),
        Ok(None) => Err(Unserved::unclaimed(challenge::unpaid(payments, purchase, request).await)),
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
) -> Result<Settled, Unserved> {
    payments.check_address(purchase.client.ip).map_err(Unserved::unknown)?;
    let payment = PresentedPayment::new(payments, payload, purchase.client);
    let holder = payment.holder;
    let checked = check(payments, &purchase, payment).await;
    // A refusal is not returned yet, and no quote is asked for: the payment may have bought its answer before.
    let earlier = match &checked {
        // Nothing comes between here and the claim, which will tell.
        Ok(_) if !purchase.endpoint.plugin.quotes() && request.body().is_end_stream() => EarlierClaim::None,
        Ok(verified) => verified.earlier_claim(payments).await.map_err(Unserved::of_claim)?,
        Err(refused) => claim::find(payments, &refused.payload, &holder).await.map_err(Unserved::of_claim)?,
    };
    let task = match (earlier, checked) {
        (EarlierClaim::Found(found), _) => Task::Fetch(found, holder),
        (EarlierClaim::None | EarlierClaim::Unreadable, Ok(verified)) => Task::Buy(verified),
        (EarlierClaim::None, Err(refused)) => return Err(Unserved::unclaimed(refused.problem)),
        (EarlierClaim::Unreadable, Err(refused)) => return Err(Unserved::unknown(refused.problem)),
    };
    let (head, body) = request.into_parts();
    let held = task.body_bytes(payments, purchase.client.ip);
    let read = body::read(payments, held, body, purchase.endpoint.request_limit).await;
    let HeldBody { bytes, held } = match read {
        Ok(body) => body,
        Err(problem) => return Err(task.without_body(payments, problem).await),
    };
    let request = Request::from_parts(head, bytes);
    let (id, payments_of_work) = (task.payment_id(), Arc::clone(payments));
    // Boxed here: the future is large, and passing it on would copy it each time.
    let work = Box::pin(async move {
        let _held = held; // the body counts until the work ends
        exchange(payments_of_work, purchase, task, request).await
    });
    // A client that hangs up stops nothing from here on.
    payments.detach(id.clone(), work).await.map_err(|problem| Unserved::of_claim(problem).of_payment(id))
}

/// Checks what needs neither ledger nor body: the payment is for one of our prices, its signer is proven, it is in its
/// time window, the circuit is closed, the facilitator is ready, and the payer is in its rate.
async fn check(
    payments: &Payments,
    purchase: &Purchase,
    payment: PresentedPayment,
) -> Result<Verified, RefusedPayment> {
    let accepted = Accepted::of(payments, purchase, payment)?;
    accepted.verify(payments, purchase).await?.admit(payments, purchase.endpoint.plugin.circuit())
}

/// The work for a payment: to fetch what it bought before, or to buy.
enum Task {
    Fetch(FoundPayment, Holder),
    Buy(Verified),
}

impl Task {
    fn payment_id(&self) -> PaymentId {
        match self {
            Self::Fetch(found, _) => found.id.clone(),
            Self::Buy(verified) => verified.payment_id().clone(),
        }
    }

    /// A holder of nothing, for the body of the request.
    fn body_bytes(&self, payments: &Payments, client: IpAddr) -> HeldBytes {
        match self {
            Self::Fetch(found, _) => payments.bytes_at_work(client, &found.id),
            Self::Buy(verified) => payments.body_of_new_payment(client, verified.payment_id().payer()),
        }
    }

    /// The end of a request whose body was not taken in. Another request may have claimed the payment meanwhile, so the
    /// ledger is asked about a new payment once more.
    async fn without_body(&self, payments: &Payments, problem: Problem) -> Unserved {
        match self {
            Self::Fetch(..) => Unserved::unknown(problem),
            Self::Buy(verified) => match claim::find(payments, &verified.payload(), &verified.holder()).await {
                Ok(EarlierClaim::None) => Unserved::unclaimed(problem),
                Ok(EarlierClaim::Found(_) | EarlierClaim::Unreadable) | Err(_) => Unserved::unknown(problem),
            },
        }
    }
}

/// Takes the payment through the states to its settled answer, or waits for the work that does.
async fn exchange(
    payments: Arc<Payments>,
    purchase: Purchase,
    task: Task,
    request: Request<Bytes>,
) -> Result<Settled, Problem> {
    let (earlier, settled) = match task {
        Task::Fetch(found, holder) => (found.of(&purchase, &holder, &request), None),
        Task::Buy(verified) => {
            let earlier = verified.as_earlier(&purchase, &request);
            let purchase = pricing::price_paid(&payments, purchase.clone(), &verified, &request).await?;
            let settled = buy(&payments, &purchase, verified, &earlier, request.clone()).await;
            (earlier, Some(settled))
        }
    };
    let settled = match settled {
        Some(Err(Problem::Unknown { .. })) | None => fetch(&payments, &purchase, &earlier, request).await?,
        Some(settled) => settled?,
    };
    Ok(settled.with_receipt(&payments, &purchase.url))
}

/// Claims the payment, and takes it through the states.
async fn buy(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    verified: Verified,
    earlier: &EarlierPayment,
    request: Request<Bytes>,
) -> Result<Settled, Problem> {
    match verified.priced(payments, purchase)?.reserve(payments, purchase, earlier).await? {
        ClaimOutcome::Run(reserved) => reserved.execute(payments, purchase, request).await?.settle(payments).await,
        ClaimOutcome::SettleFirst(reserved) => {
            reserved.settle_first(payments, purchase).await?.execute(payments, purchase, request).await
        }
        ClaimOutcome::Earlier(bought) => deliver(payments, purchase, bought, request).await,
    }
}

/// Fetches what the payment bought. While its settlement is under way, the client waits for the end, and the wait makes
/// recovery look soon. When the client leaves, so does this work: it would be in the way of the next client that
/// presents the payment.
async fn fetch(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    earlier: &EarlierPayment,
    request: Request<Bytes>,
) -> Result<Settled, Problem> {
    let work = payments.waiting.listen(earlier.id());
    let until = Instant::now() + SETTLEMENT_WAIT;
    loop {
        match claim::take_up(payments, purchase, earlier).await {
            Err(unknown @ Problem::Unknown { .. }) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() || !payments.waiting.has(earlier.id()) {
                    return Err(unknown);
                }
                payments.wake_recovery();
                work.ended(left.min(LOOK_AGAIN)).await;
            }
            taken => return deliver(payments, purchase, taken?, request).await,
        }
    }
}

/// Gives an answer that was bought, or runs the guest for it if it is still owed.
async fn deliver(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    bought: Bought,
    request: Request<Bytes>,
) -> Result<Settled, Problem> {
    match bought {
        Bought::Owed(paid) => paid.execute(payments, purchase, request).await,
        Bought::Answer(settled) => Ok(settled),
    }
}
