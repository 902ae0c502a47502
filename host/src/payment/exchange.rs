//! Does the work for one payment: buys an answer, or fetches the one that the payment bought before.
//!
//! From here on the payment has been checked, or is known to the ledger.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coinslot_ledger::{Holder, PaymentId};
use coinslot_plugin::RequestBody;
use http::Request;
use tokio::time::Instant;

use super::accepted::RefusedPayment;
use super::body;
use super::budget::HeldBytes;
use super::claim::{self, Bought, ClaimOutcome};
use super::earlier_claim::{self, EarlierClaim, FoundPayment};
use super::presented::EarlierPayment;
use super::pricing::RequestPrice;
use super::waiting::SETTLEMENT_WAIT;
use super::{Payments, Problem, Purchase, Settled, Unserved, Verified, input, pricing};

/// The longest pause between two looks of a waiting client at its payment. It is notified when the work ends, and looks
/// by itself for an end that another process wrote.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The work for a payment.
pub(super) enum PaymentWork {
    /// To fetch what the payment bought before.
    Fetch(FoundPayment, Holder),
    /// To buy an answer.
    Buy(Verified),
}

impl PaymentWork {
    /// Chooses the work for a payment, by its checks and by the earlier claim that was looked up for it. Fails where
    /// there is none: the payment was refused, and is not known to have bought anything.
    pub(super) fn new(
        checked: Result<Verified, RefusedPayment>,
        earlier: EarlierClaim,
        holder: Holder,
    ) -> Result<Self, Unserved> {
        match (earlier, checked) {
            (EarlierClaim::Found(found), _) => Ok(Self::Fetch(found, holder)),
            (EarlierClaim::None | EarlierClaim::Uncertain, Ok(verified)) => Ok(Self::Buy(verified)),
            (EarlierClaim::None, Err(refused)) => Err(Unserved::unclaimed(refused.problem)),
            (EarlierClaim::Uncertain, Err(refused)) => Err(Unserved::unknown(refused.problem)),
        }
    }

    pub(super) fn payment_id(&self) -> PaymentId {
        match self {
            Self::Fetch(found, _) => found.id.clone(),
            Self::Buy(verified) => verified.payment_id().clone(),
        }
    }

    /// Reads the body of the request, with its part of the budget.
    pub(super) async fn read_body(
        &self,
        payments: &Payments,
        purchase: &Purchase,
        request: Request<RequestBody>,
    ) -> Result<Request<Bytes>, Unserved> {
        let (head, body) = request.into_parts();
        let held = self.body_bytes(payments, purchase.client.ip);
        match body::read(payments, held, body, purchase.endpoint.request_limit).await {
            Ok(bytes) => Ok(Request::from_parts(head, bytes)),
            Err(problem) => Err(self.without_body(payments, problem).await),
        }
    }

    /// A holder of nothing, for the body of the request.
    fn body_bytes(&self, payments: &Payments, client: IpAddr) -> HeldBytes {
        match self {
            Self::Fetch(found, _) if found.funded => payments.bytes_at_work(client, &found.id),
            Self::Fetch(found, _) => payments.body_of_new_payment(client, found.id.payer()),
            Self::Buy(verified) => payments.body_of_new_payment(client, verified.payment_id().payer()),
        }
    }

    /// The end of a request whose body could not be read. Another request may have claimed the payment meanwhile, so
    /// the ledger is asked about a new payment once more.
    async fn without_body(&self, payments: &Payments, problem: Problem) -> Unserved {
        match self {
            Self::Fetch(..) => Unserved::unknown(problem),
            Self::Buy(verified) => match earlier_claim::find(payments, &verified.payload(), &verified.holder()).await {
                Ok(EarlierClaim::None) => Unserved::unclaimed(problem),
                Ok(EarlierClaim::Found(_) | EarlierClaim::Uncertain) | Err(_) => Unserved::unknown(problem),
            },
        }
    }
}

/// The end of the work for a payment.
pub(super) enum Exchanged {
    Settled(Settled),
    /// The plugin quoted the request as free. The payment was not claimed.
    Free(Request<Bytes>),
}

/// Takes the payment through the states to its settled answer, or waits for the work that does.
pub(super) async fn exchange(
    payments: Arc<Payments>,
    purchase: Purchase,
    work: PaymentWork,
    request: Request<Bytes>,
) -> Result<Exchanged, Problem> {
    let settled = match work {
        PaymentWork::Fetch(found, holder) => {
            let earlier = found.of(&purchase, &holder, &request);
            fetch(&payments, &purchase, &earlier, request).await?
        }
        PaymentWork::Buy(verified) => {
            let earlier = verified.as_earlier(&purchase, &request);
            match price_and_buy(&payments, &purchase, verified, &earlier, &request).await? {
                BuyEnd::Settled(settled) => settled,
                BuyEnd::Free => return Ok(Exchanged::Free(request)),
                BuyEnd::Claimed => fetch(&payments, &purchase, &earlier, request).await?,
            }
        }
    };
    Ok(Exchanged::Settled(settled.with_receipt(&payments, &purchase.url)))
}

/// The end of an attempt to buy an answer.
enum BuyEnd {
    Settled(Settled),
    /// The plugin quoted the request as free. The payment was not claimed.
    Free,
    /// The payment is claimed, by this request or by another one, and its claim tells how it ends.
    Claimed,
}

/// Buys the answer at the price of this very request.
async fn price_and_buy(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    verified: Verified,
    earlier: &EarlierPayment,
    request: &Request<Bytes>,
) -> Result<BuyEnd, Problem> {
    let (purchase, verified) = match price(payments, purchase, verified, request).await {
        Ok(Some(priced)) => priced,
        Ok(None) => return Ok(BuyEnd::Free),
        // Another request may have bought with the payment while this one sent its body.
        Err(_) if claim::is_claimed(payments, &earlier.presented).await? => return Ok(BuyEnd::Claimed),
        Err(problem) => return Err(problem),
    };
    match buy(payments, &purchase, verified, earlier, request.clone()).await {
        Ok(settled) => Ok(BuyEnd::Settled(settled)),
        // The id is compared: where another payment under the same name is unknown, this one has no claim.
        Err(Problem::Unknown { payment_id }) if payment_id == earlier.id().short() => Ok(BuyEnd::Claimed),
        Err(problem) => Err(problem),
    }
}

/// Checks the request against its schema, asks the plugin for the price of this very request, matches the payment with
/// it, and waits until the plugin has room: a payment is not claimed for a request that would find none. None if it is
/// free.
async fn price(
    payments: &Payments,
    purchase: &Purchase,
    verified: Verified,
    request: &Request<Bytes>,
) -> Result<Option<(Purchase, Verified)>, Problem> {
    input::check_paid(payments, purchase, request).await?;
    match pricing::price_paid(payments, purchase.clone(), &verified, request).await? {
        RequestPrice::Free => Ok(None),
        RequestPrice::Paid(purchase) => {
            let verified = verified.priced(payments, &purchase)?;
            purchase.endpoint.plugin.await_room(Some(purchase.client.network())).await.map_err(Problem::Plugin)?;
            Ok(Some((purchase, verified)))
        }
    }
}

/// Claims the payment, and takes it through the states.
async fn buy(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    verified: Verified,
    earlier: &EarlierPayment,
    request: Request<Bytes>,
) -> Result<Settled, Problem> {
    match verified.reserve(payments, purchase, earlier).await? {
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
    let listener = payments.waiting.listen(earlier.id());
    let until = Instant::now() + SETTLEMENT_WAIT;
    loop {
        match claim::take_up(payments, purchase, earlier).await {
            Err(unknown @ Problem::Unknown { .. }) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() || !payments.waiting.has_client(earlier.id()) {
                    return Err(unknown);
                }
                payments.wake_recovery();
                listener.ended(left.min(LOOK_AGAIN)).await;
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
