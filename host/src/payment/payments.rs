//! The payment service of a host: holds the payment methods, the ledger, the limits of payers and the tasks at work.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use alloy::primitives::{Address, B256, Signature};
use coinslot_facilitator::Facilitator;
use coinslot_ledger::{FreeHold, Hold, Ledger, LedgerError, PaymentId, Retention, Step};
use coinslot_x402::price::{Amount, Offer, Price};
use coinslot_x402::{Flow, UnixTime};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::budget::{ByteBudget, HeldBytes};
use super::delivery::LargeAnswers;
use super::exposure::{Exposure, Unsettled};
use super::failed_settlements::{self, FailedSettlements};
use super::input::LongChecks;
use super::known_payers::{self, KnownPayers};
use super::limits::{BURST, FAILURES, RateLimits};
use super::open_settlements::OpenSettlements;
use super::owed_retries::OwedRetries;
use super::quotes::Quotes;
use super::rate_limiter::RateLimiter;
use super::waiting::WaitingClients;
use super::{ClientAddress, PaymentMethod};
use crate::allowance::{AllowancePolicy, Allowances};

/// Signs a digest with the key for receipts. Fails with a text for the log.
pub type ReceiptSigner = Arc<dyn Fn(B256) -> Result<Signature, String> + Send + Sync>;

/// Settings of [`Payments`].
#[derive(Clone)]
pub struct PaymentsConfig {
    /// The size up to which an answer is kept for a client that lost its connection, in bytes.
    pub keep_answer_bytes: usize,
    /// The time for which answers and finished payments are kept.
    pub retention: Retention,
    /// The bytes of request bodies, and of answers that wait for their settlement, that may be held at once.
    pub held_bytes: usize,
    /// The least bytes per second at which a client sends a body. Zero: none.
    pub min_body_rate: u64,
    /// Proves quotes; the same on every replica of a host.
    pub quote_key: [u8; 32],
    /// Signs receipts, if the host has a key for them.
    pub receipts: Option<ReceiptSigner>,
    /// The rates above which payments are refused with 429.
    pub rate_limits: RateLimits,
    /// The rules of free requests and of payers.
    pub allowances: AllowancePolicy,
    /// Reads the clock.
    pub clock: fn() -> UnixTime,
}

impl std::fmt::Debug for PaymentsConfig {
    /// Leaves out the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentsConfig").field("retention", &self.retention).finish_non_exhaustive()
    }
}

/// The payment service of a host.
#[derive(Debug)]
pub struct Payments {
    pub(super) payment_methods: Vec<PaymentMethod>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) config: PaymentsConfig,
    pub(super) allowances: Allowances,
    pub(super) quotes: Quotes,
    pub(super) owed_retries: OwedRetries,
    pub(super) failed_settlements: FailedSettlements,
    pub(super) known_payers: KnownPayers,
    pub(super) payer_rate: Option<RateLimiter<Address>>,
    pub(super) bad_payment_rate: Option<RateLimiter<IpAddr>>,
    /// The unsettled sum of each payment method, in their order.
    unsettled: Vec<Arc<Unsettled>>,
    /// The shares of it whose settlements were begun.
    pub(super) open_settlements: OpenSettlements,
    /// The claims that work is under way for: their leases are renewed.
    pub(super) held: Mutex<HashSet<Hold>>,
    /// The clients that wait for settlements.
    pub(super) waiting: WaitingClients,
    /// The bytes of bodies and answers that may be held.
    pub(super) budget: Arc<ByteBudget>,
    pub(super) large_answers: LargeAnswers,
    /// The room for checks of inputs that take long.
    pub(super) long_checks: LongChecks,
    /// Set once the operator was warned of a proxy that is not named.
    pub(super) warned_of_proxy: AtomicBool,
    /// Set once the operator was warned that no more clients can be counted.
    pub(super) warned_of_full_counts: AtomicBool,
    unknown: Notify,
    /// Set while recovery waits for an announcement and nothing else: the ledger has no payment without an end.
    pub(super) recovery_is_idle: AtomicBool,
    first_claim: Notify,
    /// Set when something was claimed since the ledger was pruned.
    pub(super) has_new_claims: AtomicBool,
    pub(super) work: TaskTracker,
    /// The free requests whose answers have not left whole. None once the host no longer waits for them.
    pub(super) free_at_work: Mutex<Option<HashSet<FreeHold>>>,
    /// The releases of claims whose work panicked, while they run.
    pub(super) interrupted: Mutex<HashMap<PaymentId, JoinHandle<()>>>,
}

impl Payments {
    /// A service that takes payments by these methods.
    pub fn new(payment_methods: Vec<PaymentMethod>, ledger: Arc<dyn Ledger>, config: PaymentsConfig) -> Arc<Self> {
        Arc::new(Self {
            unsettled: payment_methods.iter().map(|_| Arc::default()).collect(),
            payment_methods,
            ledger,
            quotes: Quotes::new(config.quote_key),
            allowances: Allowances::new(config.allowances.clone(), config.quote_key),
            owed_retries: OwedRetries::default(),
            failed_settlements: FailedSettlements::default(),
            known_payers: KnownPayers::default(),
            payer_rate: RateLimiter::new(config.rate_limits.payments_per_second, BURST),
            bad_payment_rate: RateLimiter::new(config.rate_limits.failures_per_second.unwrap_or(FAILURES), BURST),
            open_settlements: OpenSettlements::default(),
            held: Mutex::default(),
            waiting: WaitingClients::default(),
            budget: ByteBudget::new(config.held_bytes),
            large_answers: LargeAnswers::new(config.retention.answer_bytes),
            long_checks: LongChecks::new(),
            config,
            warned_of_proxy: AtomicBool::new(false),
            warned_of_full_counts: AtomicBool::new(false),
            unknown: Notify::new(),
            recovery_is_idle: AtomicBool::new(false),
            first_claim: Notify::new(),
            has_new_claims: AtomicBool::new(false),
            work: TaskTracker::new(),
            free_at_work: Mutex::new(Some(HashSet::new())),
            interrupted: Mutex::default(),
        })
    }

    /// Room for what is held for a client without a payment. It holds nothing yet.
    pub(crate) fn hold(&self, client: ClientAddress) -> HeldBytes {
        self.budget.client(client.ip)
    }

    /// Reads from the ledger what must be known before the first purchase: the payers whose settlements failed of late,
    /// the payments whose settlements are open, and the payers who have paid.
    pub async fn load(&self) -> Result<(), LedgerError> {
        let now = self.now();
        for (payer, at) in
            self.ledger.failed_settlements(UnixTime(now.0.saturating_sub(failed_settlements::MEMORY))).await?
        {
            self.failed_settlements.add(&payer, at, now);
        }
        for (id, amount) in self.ledger.open_settlements().await? {
            let unsettled = self.unsettled_of(|method| method.takes(&id));
            if let (Some(unsettled), Ok(amount)) = (unsettled, Amount::parse_atomic(&amount)) {
                self.open_settlements.keep(&id, unsettled.add(amount.0));
            }
        }
        for payer in self.ledger.recent_payers(known_payers::GENERATION).await? {
            self.known_payers.add(&payer);
        }
        Ok(())
    }

    /// The unsettled sum of a payment method.
    fn unsettled_of(&self, is_meant: impl Fn(&PaymentMethod) -> bool) -> Option<&Arc<Unsettled>> {
        self.payment_methods.iter().position(is_meant).and_then(|index| self.unsettled.get(index))
    }

    /// The present time.
    pub fn now(&self) -> UnixTime {
        (self.config.clock)()
    }

    /// Each facilitator once, however many assets it settles.
    pub fn facilitators(&self) -> Vec<Arc<dyn Facilitator>> {
        let mut facilitators: Vec<Arc<dyn Facilitator>> = Vec::new();
        for method in &self.payment_methods {
            if !facilitators.iter().any(|known| Arc::ptr_eq(known, &method.facilitator)) {
                facilitators.push(Arc::clone(&method.facilitator));
            }
        }
        facilitators
    }

    // === Offers that can be settled now ===

    /// The payment method of a price. None if it is of another host: every offer of this one is made of its methods.
    pub(super) fn payment_method(&self, price: &Price) -> Option<&PaymentMethod> {
        self.payment_methods
            .iter()
            .find(|method| Arc::ptr_eq(&method.asset, &price.asset) || method.asset == price.asset)
    }

    /// The prices of an offer whose payments would be settled now: borrowed if all would, and None if none would.
    pub(super) fn settleable<'o>(&self, offer: &'o Offer) -> Option<Cow<'o, Offer>> {
        if !self.ledger.writable() {
            return None;
        }
        let settles = |price: &&Price| self.payment_method(price).is_some_and(PaymentMethod::is_ready);
        if offer.prices().iter().all(|price| settles(&price)) {
            return Some(Cow::Borrowed(offer));
        }
        Offer::new(offer.prices().iter().filter(settles).cloned().collect()).map(Cow::Owned)
    }

    /// The payment methods, the preferred first.
    pub fn payment_methods(&self) -> &[PaymentMethod] {
        &self.payment_methods
    }

    /// The rules of free requests and of payers.
    pub fn allowances(&self) -> &Allowances {
        &self.allowances
    }

    /// The books of the payments.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The reasons why no payment can be taken at all. Empty if payments can be taken.
    pub fn obstacles(&self) -> Vec<&'static str> {
        let mut obstacles = Vec::new();
        if !self.ledger.writable() {
            obstacles.push("the ledger cannot be written");
        }
        if !self.payment_methods.iter().any(PaymentMethod::is_ready) {
            obstacles.push("no facilitator can settle");
        }
        obstacles
    }

    /// Decides whether a payment is settled before or after the guest runs. A share of what may be unsettled goes with
    /// the latter.
    pub(super) fn flow(&self, price: &Price, method: &PaymentMethod, id: &PaymentId) -> (Flow, Option<Exposure>) {
        // The flow of the offer that is paid: a reload may have changed the endpoint's since.
        if price.flow == Flow::Upfront || self.failed_settlements.has(id.payer(), self.now()) {
            return (Flow::Upfront, None);
        }
        // `take` checks and adds under one lock, so that payments that come at once cannot exceed the cap together.
        let unsettled = self.unsettled_of(|known| known.asset == method.asset);
        match unsettled.and_then(|unsettled| unsettled.take(price.amount.0, method.max_unsettled.0)) {
            Some(exposure) => (Flow::Authorization, Some(exposure)),
            None => (Flow::Upfront, None),
        }
    }

    // === Owed answers and unknown settlements ===

    /// Writes down that money has moved for an answer that was not given.
    /// `client_left` as in [`Step::Owed`].
    pub(super) async fn owe(&self, hold: &Hold, reason: String, client_left: bool) {
        let id = &hold.id;
        tracing::warn!(payment = %id, %reason, "paid for and not answered: the answer is owed");
        if let Err(error) = self.ledger.advance(hold, Step::Owed { reason, client_left }, self.now()).await {
            tracing::error!(payment = %id, %error, "an owed answer could not be written; its lease ends soon");
        }
    }

    /// Writes down that an answer was handed to its connection. Without `keep` the ledger forgets the answer.
    pub(super) async fn delivered(&self, id: &PaymentId, keep: bool) {
        self.ledger.delivered(id, keep, self.now()).await;
    }

    /// Announces a new settlement whose end is unknown.
    pub(super) fn wake_recovery(&self) {
        self.unknown.notify_one();
    }

    /// Waits for such an announcement.
    pub(super) async fn unknown_settlement(&self) {
        self.unknown.notified().await;
    }

    /// Announces a claim, from which on the ledger has a lease to keep.
    pub(super) fn claimed(&self) {
        // Loaded first: the payments of a busy host should not all write to the same place.
        if !self.has_new_claims.load(SeqCst) {
            self.has_new_claims.store(true, SeqCst);
        }
        if self.recovery_is_idle.load(SeqCst) && self.recovery_is_idle.swap(false, SeqCst) {
            self.first_claim.notify_one();
        }
    }

    /// Waits for a claim that came while recovery was idle.
    pub(super) async fn first_claim(&self) {
        self.first_claim.notified().await;
    }

    /// Announces that the settlement of this payment begins, from which on its clients wait for a bounded time.
    pub(super) fn settling(&self, id: &PaymentId) {
        self.waiting.settling(id);
    }

    /// Announces that the work for this payment has ended.
    pub(super) fn ended(&self, id: &PaymentId) {
        self.waiting.ended(id);
    }
}
