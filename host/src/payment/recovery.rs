//! Finds the end of unknown settlements, by asking the chain and their facilitators again and again, and ends claims
//! that no work holds any more.

mod used_authorizations;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coinslot_facilitator::{OnChain, SettlementProbe};
use coinslot_ledger::{Hold, LedgerError, PaymentId, PaymentState, Pending, SettledBy, Step};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::{Flow, Reason};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::evidence::{Asker, BLOCK_LAG, ChainEvidence, Conclusion, EarlierAnswer, Evidence, Situation, conclude};
use super::settle::settled_elsewhere;
use super::{PaymentMethod, Payments};
use used_authorizations::UsedAuthorizations;

/// The interval of looking for work in the ledger while some is due and cannot be taken, and of writing to a ledger
/// that cannot be written. A clock of whole seconds has no shorter one.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause while the ledger has payments without an end: the clock may jump.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The pause while it has none. What comes is announced; this is for claims whose work ended before it was.
const IDLE_PAUSE: Duration = Duration::from_secs(60);
/// The shortest pause between two readings.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The greatest number of looks at once. Each may wait for a block: what a crash left under load should not take one
/// block for every few payments.
const MAX_LOOKS: usize = 256;
/// The interval of renewing the leases of work that is under way. A lease is three times as long.
const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// The interval of pruning the ledger.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Intervals that pass without pruning where nothing was claimed and the last one found nothing: rows only grow old.
const IDLE_PRUNE_INTERVALS: u32 = 10;

/// Finishes unknown settlements, keeps leases, and prunes the ledger. Never returns.
///
/// Settling again is safe: an authorisation moves money once, however often it is submitted.
pub async fn recover(payments: Arc<Payments>) {
    // A long prune does not keep a look waiting.
    tokio::join!(prune(&payments), finish(&payments));
}

async fn finish(payments: &Arc<Payments>) {
    let used = Arc::new(UsedAuthorizations::default());
    let mut looks = Looks::default();
    let mut renewed = Instant::now();
    loop {
        let now = payments.now();
        if !payments.ledger.writable() && payments.ledger.probe(now).await.is_ok() {
            tracing::info!("the ledger can be written again");
        }
        if renewed.elapsed() >= RENEW_INTERVAL {
            renewed = Instant::now();
            keep_leases(payments).await;
        }
        match payments.ledger.take_due(now, looks.free()).await {
            Ok(due) => due.into_iter().for_each(|entry| looks.begin(payments, &used, entry)),
            Err(error) => tracing::error!(%error, "unfinished settlements could not be read"),
        }
        // However many clients wait and announce their payments.
        tokio::time::sleep(SHORTEST_PAUSE).await;
        // The inner loop takes note of looks that end, without reading the ledger for each of them.
        let pause = pause(payments).await;
        let mut until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => break,
                () = payments.unknown_settlement() => break,
                // Else it is written to soon anyway, and each write may fail.
                () = payments.ledger.write_failed(), if pause > POLL_INTERVAL => break,
                // A lease is renewed later: a payment is over soon, and should cost no reading.
                () = payments.first_claim() => until = until.min(Instant::now() + LONGEST_PAUSE),
                () = looks.one_ended() => {}
            }
        }
    }
}

/// The longest time until the next reading.
async fn pause(payments: &Payments) -> Duration {
    if !payments.ledger.writable() {
        return POLL_INTERVAL;
    }
    // Before the ledger is read: a claim that is not in it yet is announced.
    payments.recovery_is_idle.store(true, SeqCst);
    let pause = match payments.ledger.next_due().await {
        Ok(None) => return IDLE_PAUSE,
        Ok(Some(due)) => Duration::from_secs(due.0.saturating_sub(payments.now().0)),
        Err(_) => POLL_INTERVAL,
    };
    payments.recovery_is_idle.store(false, SeqCst);
    pause.clamp(POLL_INTERVAL, LONGEST_PAUSE)
}

/// Prunes the ledger again and again.
async fn prune(payments: &Payments) {
    let mut left_out = IDLE_PRUNE_INTERVALS;
    loop {
        left_out += 1;
        if payments.has_new_claims.swap(false, SeqCst) || left_out > IDLE_PRUNE_INTERVALS {
            let pruned = payments.ledger.prune(payments.now(), payments.config.retention).await;
            if let Err(error) = &pruned {
                tracing::error!(%error, "the ledger could not be pruned");
            }
            left_out = if pruned == Ok(0) { 0 } else { IDLE_PRUNE_INTERVALS };
        }
        payments.review_exposures().await;
        tokio::time::sleep(PRUNE_INTERVAL).await;
    }
}

/// Renews the leases of the work that is under way, and ends the claims of work that is not: it was given up while the
/// ledger could not be written.
async fn keep_leases(payments: &Payments) {
    let now = payments.now();
    let held: Vec<Hold> = payments.held.lock().iter().cloned().collect();
    let renewed = payments.ledger.renew(held, now).await;
    // Not after a failure: the work that is under way would lose its claims.
    let ended = match renewed {
        Ok(()) => payments.ledger.expire(now).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(0) => {}
        Ok(ended) => tracing::warn!(ended, "claims that no work held any more are ended"),
        Err(error) => tracing::error!(%error, "leases could not be renewed"),
    }
}

/// The looks at settlements that are under way.
#[derive(Default)]
struct Looks {
    tasks: JoinSet<()>,
    payments: HashMap<Id, PaymentId>,
    under_way: HashSet<PaymentId>,
}

impl Looks {
    fn free(&self) -> u32 {
        u32::try_from(MAX_LOOKS.saturating_sub(self.payments.len())).unwrap_or(u32::MAX)
    }

    /// Begins a look, unless an earlier one at the same payment still waits for a block.
    fn begin(&mut self, payments: &Arc<Payments>, used: &Arc<UsedAuthorizations>, entry: Pending) {
        let id = entry.hold.id.clone();
        if !self.under_way.insert(id.clone()) {
            return;
        }
        let (payments, used) = (Arc::clone(payments), Arc::clone(used));
        let task = self.tasks.spawn(async move {
            let id = entry.hold.id.clone();
            match look(&payments, &used, entry).await {
                // Only at an end: a client that is notified looks again at once, and each of its looks hurries
                // recovery.
                Ok(true) => {
                    used.forget(&id);
                    payments.open_settlements.ended(&id);
                    payments.waiting.ended(&id);
                }
                Ok(false) => {}
                Err(error) => {
                    // The request has written the end, or it is written in a later look.
                    used.forget(&id);
                    tracing::warn!(payment = %id, %error, "a recovered settlement could not be written");
                }
            }
        });
        self.payments.insert(task.id(), id);
    }

    /// Waits for the end of a look; for ever if none is under way.
    async fn one_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        if let Some(payment) = self.payments.remove(&id) {
            self.under_way.remove(&payment);
        }
    }
}

/// Looks once at a payment, and writes down its end. False if there is none yet.
async fn look(payments: &Payments, used: &UsedAuthorizations, entry: Pending) -> Result<bool, LedgerError> {
    let id = &entry.hold.id;
    let Ok(request) = serde_json::from_str::<PaymentRequest>(&entry.request) else {
        tracing::error!(payment = %id, "an unfinished settlement cannot be read");
        return Ok(false);
    };
    let method = payments.payment_methods.iter().find(|method| method.takes(id));
    let probe = probe(payments, method, id);
    if method.is_none() && probe.is_none() {
        tracing::warn!(payment = %id, "an unfinished settlement is in an asset that is no longer taken");
    }
    let situation = Situation {
        asker: Asker::Recovery,
        has_node: probe.is_some(),
        valid_before: entry.valid_before,
        now: payments.now(),
        looks_used: used.looks(id),
        earlier: EarlierAnswer::of(entry.reason.as_deref()),
        reported: entry.reported,
    };
    let mut submit = true;
    if let Some(probe) = probe {
        let shown = ChainEvidence::look_up(probe, &request, entry.transaction.as_deref()).await;
        used.note(id, &shown.on_chain);
        // Only a payment that the chain does not have is sent again.
        submit = matches!(shown.on_chain, OnChain::Unused { .. });
        let conclusion = conclude(Evidence::Chain(shown), situation);
        if write(payments, &entry, conclusion).await? {
            return Ok(true);
        }
    }
    let Some(method) = method.filter(|_| submit && may_submit(payments, &entry, situation)) else { return Ok(false) };
    let answered = method.facilitator.settle(&request).await;
    write(payments, &entry, conclude(Evidence::Facilitator(answered), situation)).await
}

/// The reader of the chain of a payment, also of one whose asset is no longer taken.
fn probe<'p>(payments: &'p Payments, method: Option<&'p PaymentMethod>, id: &PaymentId) -> Option<&'p SettlementProbe> {
    let of_network = || payments.payment_methods.iter().filter(|method| method.asset.network == *id.network());
    let of_method = method.and_then(|method| method.probe.as_deref());
    of_method.or_else(|| of_network().find_map(|method| method.probe.as_deref()))
}

/// True if the payment may be sent for settlement again. A refused one is only looked at. In the authorization flow the
/// answer must be there, or the money would buy nothing. In the upfront flow no guest has run: the money is taken only
/// while the client waits, who may have given up and paid anew. A dead authorisation moves no money any more; it is
/// sent where the facilitator's word is the only way to learn what became of an earlier sending.
fn may_submit(payments: &Payments, entry: &Pending, situation: Situation) -> bool {
    let learns_only = situation.is_over() && !situation.has_node;
    entry.state != PaymentState::Refused
        && match entry.flow {
            Flow::Authorization => entry.answer_kept || learns_only,
            Flow::Upfront => payments.waiting.has_client(&entry.hold.id) || learns_only,
        }
}

/// Writes the end of a payment down. False if there is none yet.
async fn write(payments: &Payments, entry: &Pending, conclusion: Conclusion) -> Result<bool, LedgerError> {
    let id = &entry.hold.id;
    let watched = entry.state == PaymentState::Refused;
    let step = match conclusion {
        Conclusion::Settled { settlement, alone, block } => {
            if watched {
                tracing::error!(payment = %id, transaction = %settlement.transaction, "settled after it was refused: the answer is owed");
            } else {
                tracing::info!(payment = %id, transaction = %settlement.transaction, "settled after all");
            }
            payments.remember_settlement(id.payer());
            Step::Settled { settlement, by: SettledBy::Recovery { alone }, block }
        }
        Conclusion::Refused { .. } | Conclusion::SettledElsewhere { .. } if watched => Step::Dismissed,
        Conclusion::SettledElsewhere { transaction } => {
            tracing::warn!(payment = %id, ?transaction, "it was settled for another host with this receiver");
            payments.remember_failed_settlement(id.payer(), payments.now());
            settled_elsewhere(transaction)
        }
        Conclusion::Refused { reason, transaction, .. } => {
            tracing::info!(payment = %id, %reason, "not settled");
            payments.remember_failed_settlement(id.payer(), payments.now());
            let transaction = (!transaction.is_empty()).then_some(transaction);
            Step::Refused { reason, transaction, watch: false }
        }
        Conclusion::Undecidable { reason } => {
            tracing::error!(payment = %id, %reason, "nobody who can be asked knows whether it was paid: name an `rpc` in its facilitator's table");
            // By the same time after each start, which looks at the payment anew.
            payments.remember_failed_settlement(id.payer(), entry.valid_before.plus(BLOCK_LAG.as_secs()));
            // The next start judges by what was said first, unless the authorisation has turned out to be used since.
            Step::Undecidable { reason: Some(reason).filter(|reason| reason == Reason::NonceAlreadyUsed.as_str()) }
        }
        Conclusion::AskChain { .. } | Conclusion::NotSent { .. } => return Ok(false),
        Conclusion::Open { why, answer, .. } => {
            tracing::debug!(payment = %id, %why, "its end is not known yet");
            if let Some(reason) = answer {
                let step = Step::Unknown { transaction: None, reason: Some(reason), reported: None };
                payments.ledger.advance(&entry.hold, step, payments.now()).await?;
            }
            return Ok(false);
        }
    };
    payments.ledger.advance(&entry.hold, step, payments.now()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use coinslot_ledger::{Claimed, Ledger, SqliteLedger};

    use super::*;
    use crate::payment::hold_guard::HoldGuard;
    use crate::payment::hold_guard::tests::{claim, id, payments};

    /// An idle host read its ledger every second.
    #[tokio::test]
    async fn recovery_rests_while_no_payment_is_without_an_end_and_hears_of_the_first_claim() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger"));
        let payments = payments(&ledger);
        assert_eq!(pause(&payments).await, IDLE_PAUSE);
        let Ok(Claimed::Won(hold)) = ledger.claim(claim(&id())).await else { panic!("a new claim") };
        let guard = HoldGuard::new(&payments, hold.clone());
        payments.first_claim().await;
        assert!(payments.has_new_claims.load(SeqCst), "something to prune one day");
        assert_eq!(pause(&payments).await, LONGEST_PAUSE, "its lease is renewed");
        ledger.advance(&hold, Step::Released, payments.now()).await.expect("released");
        drop(guard);
        assert_eq!(pause(&payments).await, IDLE_PAUSE);
    }
}
