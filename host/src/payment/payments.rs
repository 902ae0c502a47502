//! What every payment needs: the assets taken, who settles them, the ledger, a clock.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, Signature, hex};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::accepted::Accepted;
use super::exposure::{Exposure, FailedSettlements, MEMORY, Unsettled};
use super::owed_retries::OwedRetries;
use super::quotes::Quotes;
use super::rate_limiter::RateLimiter;
use super::{Finished, Problem, Purchase};
use coinslot_facilitator::{Facilitator, Readiness, SettlementProbe};
use coinslot_ledger::{Ledger, LedgerError, PaymentId, Retention, Step};
use coinslot_x402::exact::Domain;
use coinslot_x402::price::{Amount, Offer, Price};
use coinslot_x402::{Flow, UnixTime};

/// One asset that is taken, and who moves it.
#[derive(Clone, Debug)]
pub struct PaymentMethod {
    /// CAIP-2 and contract, as in [`coinslot_x402::price::Asset`].
    pub asset: Arc<coinslot_x402::price::Asset>,
    /// The contract's address.
    pub contract: Address,
    /// The token's EIP-712 domain.
    pub domain: Domain,
    /// Verifies and settles payments in this asset.
    pub facilitator: Arc<dyn Facilitator>,
    /// Whether the facilitator can ask a contract at the payer's address (ERC-1271). If not, a
    /// signature that is not the payer's own is refused without asking anybody.
    pub contract_payers: bool,
    /// Whether one transaction may settle several payments. If not, a second payment that comes back
    /// with the transaction of the first is not believed.
    pub batches: bool,
    /// Reads the chain when a settlement's end is unknown.
    pub probe: Option<Arc<SettlementProbe>>,
    /// While more than this is claimed and not settled, payments are settled first.
    pub max_unsettled: Amount,
}

fn too_many(wait: Duration) -> Problem {
    Problem::TooMany { wait }
}

/// Whoever has one address of IPv6 has the whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// Signs a digest with the key for receipts, or cannot.
pub type ReceiptSigner = Arc<dyn Fn(B256) -> Result<Signature, String> + Send + Sync>;

/// How often a client may. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protect {
    /// Payments of one payer.
    pub payments_per_second: f64,
    /// Payments from one address that cannot be read, do not match or do not verify.
    pub failures_per_second: f64,
}

/// A limit's burst, in seconds of its rate.
const BURST: f64 = 10.0;

/// Settings of a [`Payments`].
#[derive(Clone)]
pub struct PaymentsConfig {
    /// Answers up to this size are kept for a client that lost its connection, in bytes.
    pub keep_answer_bytes: usize,
    /// For so long, and finished payments for so long.
    pub retention: Retention,
    /// Proves quotes; the same on every replica of a host.
    pub quote_key: [u8; 32],
    /// Signs receipts, if anything does.
    pub receipts: Option<ReceiptSigner>,
    /// How often.
    pub protect: Protect,
    /// Reads the clock.
    pub clock: fn() -> UnixTime,
}

impl std::fmt::Debug for PaymentsConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentsConfig").field("retention", &self.retention).finish_non_exhaustive()
    }
}

/// Takes payments.
#[derive(Debug)]
pub struct Payments {
    pub(super) payment_methods: Vec<PaymentMethod>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) config: PaymentsConfig,
    pub(super) quotes: Quotes,
    strikes: FailedSettlements,
    pub(super) debts: OwedRetries,
    /// Of each payer's payments.
    payers: Option<RateLimiter<Address>>,
    /// Of each address's bad payments.
    addresses: Option<RateLimiter<IpAddr>>,
    /// One for each payment_method.
    unsettled: Vec<Arc<Unsettled>>,
    unknown: Notify,
    work: TaskTracker,
}

impl Payments {
    /// A payments for these assets.
    pub fn new(payment_methods: Vec<PaymentMethod>, ledger: Arc<dyn Ledger>, config: PaymentsConfig) -> Arc<Self> {
        let unsettled = payment_methods.iter().map(|_| Arc::default()).collect();
        let payers = RateLimiter::new(config.protect.payments_per_second, BURST);
        let addresses = RateLimiter::new(config.protect.failures_per_second, BURST);
        Arc::new(Self {
            payment_methods,
            ledger,
            quotes: Quotes::new(config.quote_key),
            config,
            strikes: FailedSettlements::default(),
            debts: OwedRetries::default(),
            payers,
            addresses,
            unsettled,
            unknown: Notify::new(),
            work: TaskTracker::new(),
        })
    }

    pub(super) fn now(&self) -> UnixTime {
        (self.config.clock)()
    }

    /// The payment_method of a price. Offers are made of payment_methods, so it is there.
    pub(super) fn payment_method(&self, price: &Price) -> Option<&PaymentMethod> {
        self.payment_methods.iter().find(|payment_method| {
            Arc::ptr_eq(&payment_method.asset, &price.asset) || payment_method.asset == price.asset
        })
    }

    /// Whether this payment is settled before or after the guest runs. A share of what may be unsettled
    /// goes with the latter.
    pub(super) fn flow(&self, purchase: &Purchase, accepted: &Accepted) -> (Flow, Option<Exposure>) {
        let payer = hex::encode_prefixed(accepted.exact.authorization.from);
        if purchase.flow == Flow::Upfront || accepted.perhaps_contract || self.strikes.has(&payer, self.now()) {
            return (Flow::Upfront, None);
        }
        let index = self
            .payment_methods
            .iter()
            .position(|payment_method| payment_method.asset == accepted.payment_method.asset);
        let unsettled = index.and_then(|index| self.unsettled.get(index));
        let cap = accepted.payment_method.max_unsettled.0;
        match unsettled.and_then(|unsettled| unsettled.take(accepted.price.amount.0, cap)) {
            Some(exposure) => (Flow::Authorization, Some(exposure)),
            None => (Flow::Upfront, None),
        }
    }

    /// Counts a payment of this payer.
    pub(super) fn admit_payer(&self, payer: Address) -> Result<(), Problem> {
        self.payers.as_ref().map_or(Ok(()), |rate| rate.take(payer, Instant::now())).map_err(too_many)
    }

    /// Whether payments from this address are looked at.
    pub(super) fn admit_address(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        let limit = self.addresses.as_ref().zip(from);
        limit.map_or(Ok(()), |(rate, from)| rate.look(&network_of(from), Instant::now())).map_err(too_many)
    }

    /// A payment from this address was bad.
    pub(super) fn was_bad(&self, from: Option<IpAddr>) {
        if let Some((rate, from)) = self.addresses.as_ref().zip(from) {
            let _ = rate.take(network_of(from), Instant::now());
        }
    }

    /// A settlement of this payer was refused after it had been verified.
    pub(super) fn strike(&self, payer: &str) {
        self.strikes.add(payer, self.now());
    }

    /// Reads from the ledger what must be known before the first purchase.
    pub async fn remember(&self) -> Result<(), LedgerError> {
        let now = self.now();
        for (payer, _) in self.ledger.failed_settlements(UnixTime(now.0.saturating_sub(MEMORY))).await? {
            self.strikes.add(&payer, now);
        }
        Ok(())
    }

    /// There is a new settlement whose end is unknown.
    pub(super) fn wake_recovery(&self) {
        self.unknown.notify_one();
    }

    /// Waits for one, at most so long.
    pub(super) async fn until_unknown(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.unknown.notified()).await;
    }

    /// Work that shutdown waits for. What comes when everything has been shut down is not done: the next start
    /// puts it in order.
    pub(super) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.work.spawn_on(work, &runtime);
        }
    }

    /// Why nothing that is paid for can be sold at all.
    pub fn obstacles(&self) -> Vec<&'static str> {
        let mut obstacles = Vec::new();
        if !self.ledger.writable() {
            obstacles.push("the ledger cannot be written");
        }
        if self.payment_methods.iter().all(|payment_method| payment_method.facilitator.readiness() != Readiness::Ready)
        {
            obstacles.push("no facilitator can settle");
        }
        obstacles
    }

    /// Whether a payment of this price would be settled, as far as is known.
    fn settles(&self, price: &Price) -> bool {
        self.ledger.writable()
            && self
                .payment_method(price)
                .is_some_and(|payment_method| payment_method.facilitator.readiness() == Readiness::Ready)
    }

    /// Whether every payment for this offer would be settled.
    pub(super) fn settles_all(&self, offer: &Offer) -> bool {
        offer.prices().iter().all(|price| self.settles(price))
    }

    /// Whether any payment for this offer would be settled.
    pub(super) fn sells(&self, offer: &Offer) -> bool {
        offer.prices().iter().any(|price| self.settles(price))
    }

    /// The prices whose payments would be settled, or all if none would.
    pub(super) fn open<'o>(&self, offer: &'o Offer) -> Cow<'o, Offer> {
        if offer.prices().iter().all(|price| self.settles(price)) {
            return Cow::Borrowed(offer);
        }
        let settled = offer.prices().iter().filter(|price| self.settles(price)).cloned().collect();
        Offer::new(settled).map_or(Cow::Borrowed(offer), Cow::Owned)
    }

    /// Runs the work to its end even if the caller goes away; shutdown waits for it. If it panics, what
    /// it had claimed by then is released, unless its settlement was sent: recovery finishes that.
    pub(super) async fn finish(
        self: &Arc<Self>,
        claimed: Arc<OnceLock<PaymentId>>,
        mut work: Pin<Box<impl Future<Output = Result<Finished, Problem>> + Send + 'static>>,
    ) -> Result<Finished, Problem> {
        let payments = Arc::clone(self);
        let guarded = async move {
            // Nothing of the work is used after a panic.
            let ended = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(poll) => poll.map(Some),
                Err(_) => Poll::Ready(None),
            });
            if let Some(done) = ended.await {
                return done;
            }
            tracing::error!("a payment's work ended without an answer");
            let Some(id) = claimed.get() else { return Err(Problem::Lost { payment_id: None }) };
            let owed = Step::Owed { reason: "interrupted".to_owned() };
            if payments.ledger.advance(id, Step::Released, payments.now()).await.is_ok() {
                tracing::info!(payment = %id, "its claim is released: nothing was sent");
            } else if payments.ledger.advance(id, owed, payments.now()).await.is_ok() {
                tracing::warn!(payment = %id, "it was paid: the answer is owed");
            }
            Err(Problem::Lost { payment_id: Some(id.short()) })
        };
        match self.work.spawn(guarded).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a payment's guard ended without an answer");
                Err(Problem::Lost { payment_id: None })
            }
        }
    }

    /// Waits until every payment at work is finished. New ones may still be begun: close the door first.
    pub async fn drain(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// How many payments are at work.
    pub fn at_work(&self) -> usize {
        self.work.len()
    }
}
