//! Settlements whose end is unknown: the chain is asked until it knows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::{PaymentMethod, Payments};
use coinslot_facilitator::{OnChain, Settlement};
use coinslot_ledger::{LedgerError, PaymentId, Pending, SettledBy, Step};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::{Flow, Reason, UnixTime};

/// How often unfinished settlements are looked for, unless one is announced.
const EVERY: Duration = Duration::from_secs(2);
/// The first look at one, and the longest pause between two.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// How many at once. Each may wait for a block: what a crash left under load should not take a block for every few.
const AT_ONCE: usize = 256;
/// A settlement older than this is no longer in the hands of the request that sent it, in seconds.
const SETTLING_GRACE: u64 = 150;
/// Without a chain to ask, an authorisation is dead so long after `validBefore`: blocks lag behind the
/// clock by seconds, not by minutes.
const BLOCK_LAG: u64 = 120;
/// How often what was kept long enough is forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Runs for ever: finishes what is unknown, and forgets what was kept long enough.
///
/// Asking again is safe: an authorisation moves money once, whoever submits it and however often.
pub async fn recover(payments: Arc<Payments>) {
    let mut turns: HashMap<PaymentId, Turn> = HashMap::new();
    let mut looks = Looks::default();
    let mut pruned: Option<Instant> = None;
    loop {
        let now = payments.now();
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            if let Err(error) = payments.ledger.prune(now, payments.config.retention).await {
                tracing::error!(%error, "the ledger could not be pruned");
            }
        }
        if !payments.ledger.writable() && payments.ledger.probe(now).await.is_ok() {
            tracing::info!("the ledger can be written again");
        }
        match payments.ledger.pending(UnixTime(now.0.saturating_sub(SETTLING_GRACE)), u32::MAX).await {
            Ok(pending) => round(&payments, pending, &mut turns, &mut looks),
            Err(error) => tracing::error!(%error, "unfinished settlements could not be read"),
        }
        let next = turns.values().map(|turn| turn.at.saturating_duration_since(Instant::now())).min();
        let pause = next.unwrap_or(EVERY).clamp(Duration::from_millis(50), EVERY);
        let mut woken = std::pin::pin!(payments.until_unknown(pause));
        loop {
            tokio::select! {
                () = &mut woken => break,
                () = looks.one_ended() => {}
            }
        }
    }
}

/// Those that are being looked at.
#[derive(Default)]
struct Looks {
    tasks: JoinSet<()>,
    payments: HashMap<Id, PaymentId>,
}

impl Looks {
    /// Whether there is room for this one, and nobody is at it.
    fn takes(&self, payment: &PaymentId) -> bool {
        self.payments.len() < AT_ONCE && !self.payments.values().any(|other| other == payment)
    }

    fn begin(&mut self, payment: PaymentId, look: impl Future<Output = ()> + Send + 'static) {
        self.payments.insert(self.tasks.spawn(look).id(), payment);
    }

    /// Waits for the end of one; for ever if there is none.
    async fn one_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.payments.remove(&id);
    }
}

/// When a payment is looked at again.
#[derive(Clone, Copy)]
struct Turn {
    at: Instant,
    pause: Duration,
}

/// Begins to look at those whose turn it is.
fn round(payments: &Arc<Payments>, pending: Vec<Pending>, turns: &mut HashMap<PaymentId, Turn>, looks: &mut Looks) {
    let there: HashSet<&PaymentId> = pending.iter().map(|entry| &entry.id).collect();
    turns.retain(|id, _| there.contains(id));
    let now = Instant::now();
    for entry in pending {
        let first = Turn { at: now + FIRST, pause: FIRST };
        let turn = turns.entry(entry.id.clone()).or_insert(first);
        if turn.at > now || !looks.takes(&entry.id) {
            continue;
        }
        let pause = (turn.pause * 2).min(LONGEST);
        *turn = Turn { at: now + turn.pause, pause };
        let payments = Arc::clone(payments);
        looks.begin(entry.id.clone(), async move {
            let id = entry.id.clone();
            if let Err(error) = look(&payments, entry).await {
                tracing::warn!(payment = %id, %error, "a recovered settlement could not be written");
            }
        });
    }
}

/// Finds out about one, as far as that is possible now.
async fn look(payments: &Payments, entry: Pending) -> Result<(), LedgerError> {
    let Ok(request) = serde_json::from_str::<PaymentRequest>(&entry.request) else {
        tracing::error!(payment = %entry.id, "an unfinished settlement cannot be read");
        return Ok(());
    };
    let payment_method = payments.payment_methods.iter().find(|payment_method| {
        payment_method.asset.network == *entry.id.network()
            && payment_method.asset.address.eq_ignore_ascii_case(entry.id.asset())
    });
    let Some(payment_method) = payment_method else {
        tracing::warn!(payment = %entry.id, "an unfinished settlement is in an asset that is no longer taken");
        return Ok(());
    };
    let sighting = match &payment_method.probe {
        Some(probe) => probe.look_up(&request).await,
        None => OnChain::Nobody("no chain to ask".to_owned()),
    };
    match sighting {
        OnChain::Paid(settlement) => {
            tracing::info!(payment = %entry.id, transaction = %settlement.transaction, "settled after all");
            let step = Step::Settled { settlement, by: SettledBy::Recovery };
            payments.ledger.advance(&entry.id, step, payments.now()).await
        }
        OnChain::Spent => {
            tracing::info!(payment = %entry.id, "its authorization was cancelled or spent on something else");
            let step = Step::Refused { reason: Reason::NonceAlreadyUsed.as_str().to_owned(), transaction: None };
            payments.ledger.advance(&entry.id, step, payments.now()).await
        }
        OnChain::Unused { at } if at >= entry.valid_before => {
            tracing::info!(payment = %entry.id, "not settled: its authorization has expired unused");
            let step = Step::Refused { reason: Reason::ValidBefore.as_str().to_owned(), transaction: None };
            payments.ledger.advance(&entry.id, step, payments.now()).await
        }
        OnChain::Shallow => Ok(()),
        // Nobody could fetch what it would buy.
        _ if entry.flow == Flow::Authorization && !entry.answer_kept => Ok(()),
        OnChain::Unused { .. } => again(payments, payment_method, &entry, &request, true).await,
        OnChain::Nobody(why) => {
            tracing::debug!(payment = %entry.id, %why, "the chain cannot be asked");
            again(payments, payment_method, &entry, &request, false).await
        }
    }
}

/// Asks the facilitator once more, with the very same bytes.
///
/// `witnessed`: the chain will say how it ends, so only success is believed here. A transaction sent
/// earlier may still wait for its block while a new attempt is refused.
async fn again(
    payments: &Payments,
    payment_method: &PaymentMethod,
    entry: &Pending,
    request: &PaymentRequest,
    witnessed: bool,
) -> Result<(), LedgerError> {
    match payment_method.facilitator.settle(request).await {
        // A remote facilitator's word waits for the evidence, which comes with the next look.
        Settlement::Settled(_) if witnessed && !payment_method.batches => Ok(()),
        Settlement::Settled(settlement) => {
            tracing::info!(payment = %entry.id, transaction = %settlement.transaction, "settled after all");
            let step = Step::Settled { settlement, by: SettledBy::Recovery };
            payments.ledger.advance(&entry.id, step, payments.now()).await
        }
        Settlement::Refused { .. } if witnessed => Ok(()),
        // The nonce may have been used by the very settlement whose answer was lost: without a chain to
        // ask nobody can tell, and a used nonce never means "not paid" here.
        Settlement::Refused { reason, .. } if reason == Reason::NonceAlreadyUsed.as_str() => {
            tracing::warn!(
                payment = %entry.id,
                "its nonce is used, and nobody says by which transaction: name an `rpc` for its facilitator"
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
            let sent = (!transaction.is_empty()).then_some(transaction);
            payments.ledger.advance(&entry.id, Step::Refused { reason, transaction: sent }, payments.now()).await
        }
        Settlement::Unknown { .. } => Ok(()),
    }
}
