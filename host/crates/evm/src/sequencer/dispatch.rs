//! Forms transactions of the calls in a lane's queue: groups calls, simulates them, and hands them to `submit`.
//!
//! A batch is a trade of time for gas. Calls that come alone are sent at once. After a transaction the dispatcher
//! waits for `batch_delay` before the next one, and collects what comes; while transactions wait for a block it waits
//! longer, because what is sent later gets into the same block all the same.
//!
//! Every call is simulated before it is sent, in its batch or by the estimate of its gas, and a call that reverts is
//! never sent.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy::primitives::Bytes;
use alloy::rpc::types::TransactionRequest;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::call::{QueuedCall, SendError, TxCall, end_all};
use super::lane::Lane;
use super::shared::{BASE_GAS, MAX_BATCH_GAS, Shared};
use super::submit::Submitter;
use crate::abi::MULTICALL3;
use crate::call_error::CallError;
use crate::multicall::{self, CallOutcome};
use crate::transaction::Transaction;

/// Calls in one transaction, whatever the settings: no node takes a transaction of more than 128 KiB, and a call
/// takes half a KiB.
const MAX_CALLS: usize = 200;

/// The factor by which more transactions may wait for a block on a chain without Multicall3, where each call needs one.
const MORE_IN_FLIGHT: usize = 4;

/// Each transaction that waits for a block adds one `batch_delay` to the wait for the next one, up to this many.
const MAX_EXTRA_DELAYS: u32 = 3;

/// Sends the calls of one lane.
pub(super) struct Dispatcher {
    lane: Arc<Lane>,
    incoming: mpsc::UnboundedReceiver<QueuedCall>,
    queue: VecDeque<QueuedCall>,
    submitter: Submitter,
    max_batch: usize,
}

impl Dispatcher {
    pub(super) fn new(lane: Arc<Lane>, incoming: mpsc::UnboundedReceiver<QueuedCall>) -> Self {
        Self {
            max_batch: max_batch(&lane.shared),
            submitter: Submitter::new(lane.clone()),
            lane,
            incoming,
            queue: VecDeque::new(),
        }
    }

    /// Runs until the sequencer is dropped and the queue is empty.
    pub(super) async fn run(mut self) {
        let settings = self.lane.shared.settings;
        let max_waiting =
            if self.max_batch > 1 { settings.max_in_flight } else { settings.max_in_flight * MORE_IN_FLIGHT };
        let mut last: Option<Instant> = None;
        loop {
            if self.queue.is_empty() {
                tokio::select! {
                    // What was submitted before the end is still sent.
                    biased;
                    Some(call) = self.incoming.recv() => self.queue.push_back(call),
                    () = self.lane.shared.stop.cancelled() => return,
                }
            }
            if let Some(last) = last
                && !self.next_goes_alone()
            {
                self.collect(last).await;
            }
            // Calls that came while a block was awaited may join this batch.
            self.lane.first_in_queue(self.queue.front());
            self.wait_for_room(max_waiting).await;
            self.lane.first_in_queue(None);
            while let Ok(call) = self.incoming.try_recv() {
                self.queue.push_back(call);
            }
            last = Some(Instant::now());
            let calls = self.next_calls();
            self.send(calls).await;
        }
    }

    fn next_goes_alone(&self) -> bool {
        self.max_batch == 1 || self.queue.front().is_some_and(|queued| queued.call.alone)
    }

    /// Fills the queue until a batch is full or due. `last` is the time of the last transaction.
    async fn collect(&mut self, last: Instant) {
        let waiting = u32::try_from(self.lane.pending().waiting()).unwrap_or(u32::MAX);
        let due = last + self.lane.shared.settings.batch_delay * (1 + waiting.min(MAX_EXTRA_DELAYS));
        while self.queue.len() < self.max_batch
            && let Ok(Some(call)) = timeout_at(due, self.incoming.recv()).await
        {
            self.queue.push_back(call);
        }
    }

    /// Waits until fewer than this many transactions wait for a block.
    async fn wait_for_room(&self, max_waiting: usize) {
        while self.lane.pending().waiting() >= max_waiting.max(1) {
            self.lane.included.notified().await;
        }
    }

    /// Takes the next call, or the next calls that may go together.
    fn next_calls(&mut self) -> Vec<QueuedCall> {
        if self.next_goes_alone() {
            return self.queue.pop_front().into_iter().collect();
        }
        let mut batch = Vec::new();
        let mut rest = VecDeque::with_capacity(self.queue.len());
        for queued in self.queue.drain(..) {
            if queued.call.alone || batch.len() == self.max_batch { rest.push_back(queued) } else { batch.push(queued) }
        }
        self.queue = rest;
        batch
    }

    async fn send(&mut self, calls: Vec<QueuedCall>) {
        let one_by_one = if calls.len() > 1 { self.send_together(calls).await } else { calls };
        for call in one_by_one {
            self.send_alone(call).await;
        }
    }

    /// Sends calls in one transaction. Returns those that have to go by themselves.
    async fn send_together(&mut self, calls: Vec<QueuedCall>) -> Vec<QueuedCall> {
        let (outcomes, gas) = match self.simulate(&calls).await {
            Ok(simulated) => simulated,
            Err(error @ CallError::Unreachable(_)) => {
                end_all(calls, &SendError::Unreachable(error));
                return Vec::new();
            }
            // A node that does not run Multicall3 as we ask it to may still take plain transactions.
            Err(error) => {
                tracing::debug!(%error, calls = calls.len(), "calls are sent one by one");
                return calls;
            }
        };
        let mut good = Vec::new();
        let mut alone = Vec::new();
        for (queued, outcome) in calls.into_iter().zip(outcomes) {
            match outcome {
                CallOutcome::Success => good.push(queued),
                CallOutcome::Reverted(text) => queued.give_up(SendError::Reverts(text)),
                CallOutcome::NoReason => alone.push(queued),
            }
        }
        if good.len() > 1 {
            let data = self.data(&good);
            match self.lane.shared.tx_fees().await {
                Ok(fees) => self.submitter.submit(good, Transaction { to: MULTICALL3, data, gas, fees }).await,
                Err(error) => end_all(good, &error),
            }
        } else {
            alone.append(&mut good);
        }
        alone
    }

    /// Simulates calls one after the other in one transaction: the outcome of each, and the gas for all. They share
    /// the gas that they are given, so when one ends without a reason, all are simulated again with more.
    async fn simulate(&self, calls: &[QueuedCall]) -> Result<(Vec<CallOutcome>, u64), CallError> {
        let shared = &self.lane.shared;
        let data = self.data(calls);
        let count = calls.len() as u64;
        // The transaction gets a tenth more than the simulation, and both stay within the limit.
        let most = shared.limits.max_batch_gas / 11 * 10;
        let gas_for = |each: u64| (BASE_GAS + count * each).min(most);
        let sent_with = |gas: u64| gas + gas / 10;
        let tight = gas_for(shared.batch_gas.get());
        let simulated = multicall::simulate(&shared.chain, self.lane.address(), data.clone(), tight).await;
        match simulated {
            Ok(outcomes) if outcomes.len() == calls.len() && !outcomes.contains(&CallOutcome::NoReason) => {
                return Ok((outcomes, sent_with(tight)));
            }
            Err(error @ CallError::Unreachable(_)) => return Err(error),
            _ => {}
        }
        shared.batch_gas.raise();
        let ample = gas_for(MAX_BATCH_GAS);
        let outcomes = multicall::simulate(&shared.chain, self.lane.address(), data, ample).await?;
        if outcomes.len() != calls.len() {
            return Err(CallError::Refused("Multicall3 did not answer for every call".to_owned()));
        }
        Ok((outcomes, sent_with(ample)))
    }

    /// The data of a transaction that makes these calls.
    fn data(&self, calls: &[QueuedCall]) -> Bytes {
        let data = multicall::data(calls.iter().map(|queued| (queued.call.to, &queued.call.data)));
        self.lane.shared.tagged(&data)
    }

    /// Sends one call.
    async fn send_alone(&mut self, queued: QueuedCall) {
        match price_alone(&self.lane, &queued.call).await {
            Ok(transaction) => self.submitter.submit(vec![queued], transaction).await,
            Err(error) => queued.give_up(error),
        }
    }
}

/// Estimates the gas of one call, which is its simulation.
///
/// A call of its own runs the code of a wallet, which may answer otherwise when gas costs nothing or is plenty. So it
/// is estimated at the fees that it will have, and then simulated as it will be sent.
async fn price_alone(lane: &Lane, call: &TxCall) -> Result<Transaction, SendError> {
    let shared = &lane.shared;
    let limit = shared.limits.max_gas;
    let most = call.max_gas.map_or(limit, |most| most.min(limit));
    let fees = shared.tx_fees().await?;
    let data = shared.tagged(&call.data);
    let request = TransactionRequest::default().from(lane.address()).to(call.to).input(data.clone().into());
    let request = if call.alone { fees.priced(request) } else { request };
    let needed = shared.chain.estimate(request.clone()).await.map_err(unsent)?;
    if needed > most {
        let problem = format!("it takes {needed} gas, more than the limit of {most}");
        // A limit of its own is for code that its payer chose; the other one is ours.
        return Err(if call.max_gas.is_some() { SendError::Reverts(problem) } else { SendError::Refused(problem) });
    }
    // A quarter more: the state may change until the transaction runs, and unused gas costs nothing.
    let gas = needed.saturating_add(needed / 4).min(most);
    if call.alone {
        shared.chain.run(request.gas_limit(gas)).await.map_err(unsent)?;
    }
    Ok(Transaction { to: call.to, data, gas, fees })
}

/// The meaning of an error before anything was sent.
fn unsent(error: CallError) -> SendError {
    match error {
        CallError::Reverted(text) => SendError::Reverts(text),
        CallError::Refused(text) => SendError::Refused(text),
        error @ CallError::Unreachable(_) => SendError::Unreachable(error),
    }
}

/// Calls in one transaction, at most: 1 where no batch is possible.
fn max_batch(shared: &Shared) -> usize {
    if !shared.has_multicall {
        return 1;
    }
    let by_gas = usize::try_from(shared.limits.max_batch_gas / MAX_BATCH_GAS).unwrap_or(MAX_CALLS);
    shared.settings.max_batch.min(by_gas).clamp(1, MAX_CALLS)
}
