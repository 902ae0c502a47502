//! From the queue to the node: what goes together, whether it would succeed, and under which nonce.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy::primitives::{Address, Bytes, U256};
use alloy::rpc::types::TransactionRequest;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::super::CallError;
use super::super::abi::MULTICALL3;
use super::super::fees::TxFees;
use super::super::multicall::{self, CallOutcome};
use super::super::refusal::NodeRefusal;
use super::SendError;
use super::flight::{CallProgress, PendingTx, QueuedCall, TxPlan, TxState};
use super::signer::{GAS_BASE, Lane, MOST_EACH};

/// Transactions larger than 128 KiB are taken by no node; a call takes half a KiB.
const MOST_CALLS: usize = 200;

/// Without Multicall3 more transactions have to wait for a block.
const MORE_IN_FLIGHT: usize = 4;

/// Each transaction that waits for a block makes the next one wait for company once more, up to so often: they
/// will be in the same block, and the fuller the cheaper.
const MOST_PATIENCE: u32 = 3;

/// Times that a nonce is looked for.
const ATTEMPTS: u32 = 4;

/// Until the sequencer is dropped, and the queue is empty.
pub(super) async fn run(signer: Arc<Lane>, mut jobs: mpsc::UnboundedReceiver<QueuedCall>) {
    let settings = signer.common.settings;
    let by_gas = usize::try_from(signer.common.limits.max_batch_gas / MOST_EACH).unwrap_or(MOST_CALLS);
    let most = settings.max_batch.min(by_gas).clamp(1, MOST_CALLS);
    let together = signer.common.multicall && most > 1;
    let mut queue = VecDeque::new();
    let mut next = None;
    let mut last: Option<Instant> = None;
    loop {
        if queue.is_empty() {
            tokio::select! {
                biased;
                Some(job) = jobs.recv() => queue.push_back(job),
                () = signer.common.stop.cancelled() => return,
            }
        }
        let alone = |queue: &VecDeque<QueuedCall>| !together || queue.front().is_some_and(|job| job.order.alone);
        if let Some(last) = last
            && !alone(&queue)
        {
            let waiting = u32::try_from(signer.flights().waiting()).unwrap_or(u32::MAX);
            let due = last + settings.batch_delay * (1 + waiting.min(MOST_PATIENCE));
            while queue.len() < most
                && let Ok(Some(job)) = timeout_at(due, jobs.recv()).await
            {
                queue.push_back(job);
            }
        }
        signer.room(if together { settings.max_in_flight } else { settings.max_in_flight * MORE_IN_FLIGHT }).await;
        while let Ok(job) = jobs.try_recv() {
            queue.push_back(job);
        }
        last = Some(Instant::now());
        let batch = if alone(&queue) { queue.pop_front().into_iter().collect() } else { first(&mut queue, most) };
        signer.send(batch, &mut next).await;
    }
}

/// The first that may go together, at most so many.
fn first(queue: &mut VecDeque<QueuedCall>, most: usize) -> Vec<QueuedCall> {
    let mut batch = Vec::new();
    let mut rest = VecDeque::with_capacity(queue.len());
    for job in queue.drain(..) {
        if job.order.alone || batch.len() == most { rest.push_back(job) } else { batch.push(job) }
    }
    *queue = rest;
    batch
}

fn end_all(jobs: Vec<QueuedCall>, error: &SendError) {
    for job in jobs {
        job.end(CallProgress::NotSent(error.clone()));
    }
}

impl Lane {
    /// Waits until fewer than so many transactions wait for a block.
    async fn room(&self, most: usize) {
        while self.flights().waiting() >= most.max(1) {
            self.landed.notified().await;
        }
    }

    async fn send(&self, mut jobs: Vec<QueuedCall>, next: &mut Option<u64>) {
        if jobs.len() > 1 {
            let (ended, gas) = match self.try_together(&jobs).await {
                Ok(tried) => tried,
                Err(CallError::Unreachable(error)) => {
                    return end_all(jobs, &SendError::Unreachable(CallError::Unreachable(error)));
                }
                // Not together, then.
                Err(error) => {
                    tracing::debug!(%error, calls = jobs.len(), "calls are sent one by one");
                    (vec![CallOutcome::Silently; jobs.len()], 0)
                }
            };
            let mut good = Vec::new();
            let mut alone = Vec::new();
            for (job, ended) in jobs.into_iter().zip(ended) {
                match ended {
                    CallOutcome::Well => good.push(job),
                    CallOutcome::Reverted(text) => job.end(CallProgress::NotSent(SendError::Reverts(text))),
                    CallOutcome::Silently => alone.push(job),
                }
            }
            if good.len() > 1 {
                let data = multicall::data(good.iter().map(|job| (job.order.to, &job.order.data)));
                self.launch(good, MULTICALL3, data, gas, next).await;
            } else {
                alone.append(&mut good);
            }
            jobs = alone;
        }
        for job in jobs {
            self.send_alone(job, next).await;
        }
    }

    /// How each would end after the others, and the gas for all. Calls share what they are given, so
    /// one that ends without a word is tried with more.
    async fn try_together(&self, jobs: &[QueuedCall]) -> Result<(Vec<CallOutcome>, u64), CallError> {
        let common = &self.common;
        let data = multicall::data(jobs.iter().map(|job| (job.order.to, &job.order.data)));
        let count = jobs.len() as u64;
        let most = common.limits.max_batch_gas / 11 * 10;
        let gas_for = |each: u64| (GAS_BASE + count * each).min(most);
        let sent_with = |gas: u64| gas + gas / 10;
        let tight = gas_for(common.gas_each.load(Ordering::Relaxed));
        let tried = multicall::simulate(&common.chain, self.address(), data.clone(), tight).await;
        match tried {
            Ok(ended) if ended.len() == jobs.len() && !ended.contains(&CallOutcome::Silently) => {
                return Ok((ended, sent_with(tight)));
            }
            Err(error @ CallError::Unreachable(_)) => return Err(error),
            _ => {}
        }
        common.gas_each.fetch_max(MOST_EACH * 3 / 4, Ordering::Relaxed);
        let ample = gas_for(MOST_EACH);
        let ended = multicall::simulate(&common.chain, self.address(), data, ample).await?;
        if ended.len() != jobs.len() {
            return Err(CallError::Refused("Multicall3 did not answer for every call".to_owned()));
        }
        Ok((ended, sent_with(ample)))
    }

    /// The estimate is the last simulation.
    async fn send_alone(&self, job: QueuedCall, next: &mut Option<u64>) {
        let most = self.common.limits.max_gas;
        let (to, data) = (job.order.to, job.order.data.clone());
        let request = TransactionRequest::default().from(self.address()).to(to).input(data.clone().into());
        let error = match self.common.chain.estimate(request).await {
            Ok(gas) if gas <= most => {
                let gas = gas.saturating_add(gas / 4).min(most);
                return self.launch(vec![job], to, data, gas, next).await;
            }
            Ok(gas) => SendError::Reverts(format!("it takes {gas} gas, more than the limit of {most}")),
            Err(CallError::Reverted(text)) => SendError::Reverts(text),
            Err(CallError::Refused(text)) => SendError::Refused(text),
            Err(error @ CallError::Unreachable(_)) => SendError::Unreachable(error),
        };
        job.end(CallProgress::NotSent(error));
    }

    async fn bid(&self) -> Result<TxFees, SendError> {
        let fees = self.common.fees.now().await.map_err(SendError::Unreachable)?;
        let limit = self.common.limits.max_fee_per_gas;
        if fees.base > limit {
            return Err(SendError::Refused(format!("the base fee is {} wei, above the limit of {limit}", fees.base)));
        }
        Ok(fees.bid(limit))
    }

    /// Whether the wallet has so much. Asks again before it says no.
    async fn affords(&self, cost: U256) -> Result<(), SendError> {
        let known = *self.balance();
        if known.is_none_or(|balance| balance >= cost) {
            return Ok(());
        }
        let balance = self.weigh().await.map_err(SendError::Unreachable)?;
        if balance >= cost {
            return Ok(());
        }
        Err(SendError::Refused(format!(
            "the gas wallet {} has {balance} wei, and the transaction may cost {cost}",
            self.address()
        )))
    }

    /// Signs and hands over. The hash is told before the first byte leaves, so that no transaction
    /// exists that nobody remembers.
    async fn launch(&self, jobs: Vec<QueuedCall>, to: Address, data: Bytes, gas: u64, next: &mut Option<u64>) {
        let bid = match self.bid().await {
            Ok(bid) => bid,
            Err(error) => return end_all(jobs, &error),
        };
        let cost = U256::from(gas).saturating_mul(U256::from(bid.max_fee));
        if let Err(error) = self.affords(cost).await {
            return end_all(jobs, &error);
        }
        if let Err(exhausted) = self.common.budget.reserve(cost, U256::ZERO) {
            return end_all(jobs, &SendError::Refused(exhausted.to_string()));
        }
        let (jobs, error) = match self.hand_over_under_some_nonce(jobs, to, data, gas, bid, cost, next).await {
            Ok(()) => return self.launched.notify_one(),
            Err(failed) => failed,
        };
        self.common.budget.settle(cost, U256::ZERO);
        end_all(jobs, &error);
    }

    #[expect(clippy::too_many_arguments, reason = "what one transaction is made of")]
    async fn hand_over_under_some_nonce(
        &self,
        mut jobs: Vec<QueuedCall>,
        to: Address,
        data: Bytes,
        gas: u64,
        bid: TxFees,
        cost: U256,
        next: &mut Option<u64>,
    ) -> Result<(), (Vec<QueuedCall>, SendError)> {
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let nonce = match next.take() {
                Some(nonce) => nonce,
                None => match self.next_nonce().await {
                    Ok(nonce) => nonce,
                    Err(error) => return Err((jobs, SendError::Unreachable(error))),
                },
            };
            let plan = TxPlan { nonce, to, data: data.clone(), gas };
            let sent = match self.sign(&plan, bid) {
                Ok(sent) => sent,
                Err(error) => {
                    *next = Some(nonce);
                    return Err((jobs, error));
                }
            };
            for job in &jobs {
                job.is(CallProgress::Sent(sent.hash));
            }
            let now = Instant::now();
            let flight = PendingTx {
                plan,
                bid,
                sent: vec![sent.clone()],
                jobs,
                reserved: Some(cost),
                state: TxState::Handing,
                handed: now,
                priced: now,
                priced_at: None,
            };
            self.flights().of.insert(nonce, flight);
            let answer = self.common.chain.hand_over(&sent.raw).await;
            let state = match &answer {
                Ok(()) => TxState::Pooled,
                Err(CallError::Unreachable(error)) => {
                    tracing::warn!(transaction = %sent.hash, error, "no reply to a transaction; it is sent again");
                    TxState::Unheard
                }
                Err(CallError::Refused(text) | CallError::Reverted(text)) => {
                    let taken_back = self.flights().of.remove(&nonce);
                    jobs = taken_back.map(|flight| flight.jobs).unwrap_or_default();
                    match NodeRefusal::of(text) {
                        NodeRefusal::NonceTaken => {
                            refusal.clone_from(text);
                            continue;
                        }
                        NodeRefusal::Funds => *self.balance() = Some(U256::ZERO),
                        NodeRefusal::Known | NodeRefusal::Other => {}
                    }
                    *next = Some(nonce);
                    return Err((jobs, SendError::Refused(text.clone())));
                }
            };
            if let Some(flight) = self.flights().of.get_mut(&nonce) {
                flight.state = state;
            }
            *next = Some(nonce + 1);
            return Ok(());
        }
        Err((jobs, SendError::Refused(refusal)))
    }

    /// After all that the node has, and all that it may have lost.
    async fn next_nonce(&self) -> Result<u64, CallError> {
        let pending = self.common.chain.nonce(self.address(), true).await?;
        let ours = self.flights().of.last_key_value().map_or(0, |(nonce, _)| nonce + 1);
        Ok(pending.max(ours))
    }
}
