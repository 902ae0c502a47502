//! Finds the end of settlements that are unknown, by asking the chain until it knows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use coinslot_facilitator::{OnChain, Settlement};
use coinslot_ledger::{LedgerError, PaymentId, Pending, SettledBy, Step};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::{Flow, Reason, SettlementResponse, UnixTime};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::identity::same_address;
use super::{PaymentMethod, Payments};

/// The interval of reading unfinished settlements from the ledger, unless one is announced.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The pause before the first look at a settlement, and the longest pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The greatest number of looks at once. Each may wait for a block: what a crash left under load should not take one
/// block for every few payments.
const MAX_LOOKS: usize = 256;
/// The age from which on a settlement is no longer in the hands of the request that sent it, in seconds.
const SETTLING_GRACE: u64 = 150;
/// Without a chain to ask, the time after `validBefore` from which on an authorisation is dead, in seconds: blocks lag
/// behind the clock by seconds, not by minutes.
const BLOCK_LAG: u64 = 120;
/// The interval of pruning the ledger.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// Finishes unknown settlements, and prunes the ledger. Never returns.
///
/// Settling again is safe: an authorisation moves money once, however often it is submitted.
pub async fn recover(payments: Arc<Payments>) {
    let mut schedule: HashMap<PaymentId, NextLook> = HashMap::new();
    let mut looks = Looks::default();
    let mut pruned: Option<Instant> = None;
    loop {
        let now = payments.now();
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_INTERVAL) {
            pruned = Some(Instant::now());
            if let Err(error) = payments.ledger.prune(now, payments.config.retention).await {
                tracing::error!(%error, "the ledger could not be pruned");
            }
        }
        if !payments.ledger.writable() && payments.ledger.probe(now).await.is_ok() {
            tracing::info!("the ledger can be written again");
        }
        match payments.ledger.pending(UnixTime(now.0.saturating_sub(SETTLING_GRACE)), u32::MAX).await {
            Ok(pending) => begin_looks(&payments, pending, &mut schedule, &mut looks),
            Err(error) => tracing::error!(%error, "unfinished settlements could not be read"),
        }
        let next = schedule.values().map(|next| next.at.saturating_duration_since(Instant::now())).min();
        let pause = next.unwrap_or(POLL_INTERVAL).clamp(Duration::from_millis(50), POLL_INTERVAL);
        // The inner loop takes note of looks that end, without reading the ledger for each of them.
        let mut announced = std::pin::pin!(payments.until_unknown(pause));
        loop {
            tokio::select! {
                () = &mut announced => break,
                () = looks.one_ended() => {}
            }
        }
    }
}

/// The looks at settlements that are under way.
#[derive(Default)]
struct Looks {
    tasks: JoinSet<()>,
    payments: HashMap<Id, PaymentId>,
}

impl Looks {
    /// True if there is room for a look at this payment, and no look at it is under way.
    fn takes(&self, payment: &PaymentId) -> bool {
        self.payments.len() < MAX_LOOKS && !self.payments.values().any(|other| other == payment)
    }

    fn begin(&mut self, payment: PaymentId, look: impl Future<Output = ()> + Send + 'static) {
        self.payments.insert(self.tasks.spawn(look).id(), payment);
    }

    /// Waits for the end of a look; for ever if none is under way.
    async fn one_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.payments.remove(&id);
    }
}

/// The time of the next look at a payment, and the pause after it.
#[derive(Clone, Copy)]
struct NextLook {
    at: Instant,
    pause: Duration,
}

/// Begins a look at each pending payment whose time has come.
fn begin_looks(
    payments: &Arc<Payments>,
    pending: Vec<Pending>,
    schedule: &mut HashMap<PaymentId, NextLook>,
    looks: &mut Looks,
) {
    let still_pending: HashSet<&PaymentId> = pending.iter().map(|entry| &entry.id).collect();
    schedule.retain(|id, _| still_pending.contains(id));
    let now = Instant::now();
    for entry in pending {
        let first = NextLook { at: now + FIRST_PAUSE, pause: FIRST_PAUSE };
        let next = schedule.entry(entry.id.clone()).or_insert(first);
        if next.at > now || !looks.takes(&entry.id) {
            continue;
        }
        // Set now, although a look may take longer than its pause: `takes` lets no second look at a payment begin.
        *next = NextLook { at: now + next.pause, pause: (next.pause * 2).min(LONGEST_PAUSE) };
        let payments = Arc::clone(payments);
        looks.begin(entry.id.clone(), async move {
            let id = entry.id.clone();
            if let Err(error) = look(&payments, entry).await {
                tracing::warn!(payment = %id, %error, "a recovered settlement could not be written");
            }
        });
    }
}

/// Looks once at the chain, and writes down the end if there is one.
async fn look(payments: &Payments, entry: Pending) -> Result<(), LedgerError> {
    let Ok(request) = serde_json::from_str::<PaymentRequest>(&entry.request) else {
        tracing::error!(payment = %entry.id, "an unfinished settlement cannot be read");
        return Ok(());
    };
    let settles = |method: &&PaymentMethod| {
        method.asset.network == *entry.id.network() && same_address(&method.asset.address, entry.id.asset())
    };
    let Some(method) = payments.payment_methods.iter().find(settles) else {
        tracing::warn!(payment = %entry.id, "an unfinished settlement is in an asset that is no longer taken");
        return Ok(());
    };
    let on_chain = match &method.probe {
        Some(probe) => probe.look_up(&request).await,
        None => OnChain::Unavailable("no chain to ask".to_owned()),
    };
    match on_chain {
        OnChain::Paid(settlement) => settled(payments, &entry, settlement).await,
        OnChain::Spent => {
            tracing::info!(payment = %entry.id, "its authorization was cancelled or spent on something else");
            refused(payments, &entry, Reason::NonceAlreadyUsed.as_str().to_owned(), None).await
        }
        OnChain::Unused { at } if at >= entry.valid_before => {
            tracing::info!(payment = %entry.id, "not settled: its authorization expired unused");
            refused(payments, &entry, Reason::ValidBefore.as_str().to_owned(), None).await
        }
        OnChain::Shallow => Ok(()),
        // The answer is gone, so the payment would buy nothing: nothing is submitted, and the authorisation expires.
        _ if entry.flow == Flow::Authorization && !entry.answer_kept => Ok(()),
        OnChain::Unused { .. } => resubmit(payments, method, &entry, &request).await,
        OnChain::Unavailable(why) => {
            tracing::debug!(payment = %entry.id, %why, "the chain cannot be asked");
            resubmit_unseen(payments, method, &entry, &request).await
        }
    }
}

/// Submits the very same bytes once more, where the chain will show how that ends.
///
/// A refusal is not believed: a transaction that was sent earlier may still wait for its block. A remote facilitator's
/// success waits for the evidence, which the next look finds.
async fn resubmit(
    payments: &Payments,
    method: &PaymentMethod,
    entry: &Pending,
    request: &PaymentRequest,
) -> Result<(), LedgerError> {
    match method.facilitator.settle(request).await {
        Settlement::Settled(settlement) if method.batches => settled(payments, entry, settlement).await,
        Settlement::Settled(_) | Settlement::Refused { .. } | Settlement::Unknown { .. } => Ok(()),
    }
}

/// Submits the very same bytes once more, where no chain can be asked: the facilitator's word is all there is.
///
/// A used nonce never means "not paid": it may have been used by the very settlement whose answer was lost.
async fn resubmit_unseen(
    payments: &Payments,
    method: &PaymentMethod,
    entry: &Pending,
    request: &PaymentRequest,
) -> Result<(), LedgerError> {
    match method.facilitator.settle(request).await {
        Settlement::Settled(settlement) => settled(payments, entry, settlement).await,
        Settlement::Refused { reason, .. } if reason == Reason::NonceAlreadyUsed.as_str() => {
            tracing::warn!(
                payment = %entry.id,
                "its nonce is used, and no transaction is known that used it: name an `rpc` for its facilitator"
            );
            Ok(())
        }
        Settlement::Refused { reason, .. }
            if reason == Reason::ValidBefore.as_str() && payments.now() < entry.valid_before.plus(BLOCK_LAG) =>
        {
            Ok(())
        }
        Settlement::Refused { reason, transaction, .. } => {
            tracing::info!(payment = %entry.id, %reason, "not settled after all");
            refused(payments, entry, reason, (!transaction.is_empty()).then_some(transaction)).await
        }
        Settlement::Unknown { .. } => Ok(()),
    }
}

async fn settled(payments: &Payments, entry: &Pending, settlement: SettlementResponse) -> Result<(), LedgerError> {
    tracing::info!(payment = %entry.id, transaction = %settlement.transaction, "settled after all");
    let step = Step::Settled { settlement, by: SettledBy::Recovery };
    payments.ledger.advance(&entry.id, step, payments.now()).await
}

async fn refused(
    payments: &Payments,
    entry: &Pending,
    reason: String,
    transaction: Option<String>,
) -> Result<(), LedgerError> {
    payments.ledger.advance(&entry.id, Step::Refused { reason, transaction }, payments.now()).await
}
