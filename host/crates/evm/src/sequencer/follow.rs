//! From the node into a block: what was sent is looked for, sent again, outbid, and confirmed.
//!
//! The transactions of one key are mined in the order of their nonces, so one question for the
//! account's count of transactions tells which of them to ask a receipt of.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy::primitives::{B256, Bytes, U256};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::fees::TxFees;
use super::super::refusal::NodeRefusal;
use super::super::{CallError, Chain, TxReceipt};
use super::flight::{CallProgress, PendingTx, SignedTx, TxPlan, TxState};
use super::signer::{LEAST_EACH, Lane, MOST_EACH};
use super::{Inclusion, SendError};

/// A node behind a balancer may tell the block before it has the receipts.
const RECHECK: Duration = Duration::from_secs(2);

/// How soon a transaction is sent again that the node gave no answer to.
const UNHEARD: Duration = Duration::from_millis(250);

/// How long what was sent is followed after the sequencer was dropped.
const FAREWELL: Duration = Duration::from_secs(600);

/// Times that a call may lose its nonce.
const MOST_DISPLACED: u32 = 3;

/// Gas of a transaction that does nothing.
const NOTHING: u64 = 21_000;

/// What the last look at the chain saw.
#[derive(Debug, Default)]
struct LastLook {
    head: Option<u64>,
    looked: Option<Instant>,
    weighed: Option<Instant>,
}

/// Until the sequencer is dropped, and everything has landed.
pub(super) async fn run(signer: Arc<Lane>) {
    let common = signer.common.clone();
    let mut seen = LastLook { weighed: Some(Instant::now()), ..LastLook::default() };
    let mut stopped: Option<Instant> = None;
    loop {
        let flying = !signer.flights().of.is_empty();
        if common.stop.is_cancelled() {
            let since = *stopped.get_or_insert_with(Instant::now);
            // What is queued is still sent, and what was sent still lands.
            if (!flying && signer.open() == 0) || since.elapsed() > FAREWELL {
                return;
            }
        }
        if flying || stopped.is_some() {
            tokio::time::sleep(common.chain.poll).await;
        } else {
            tokio::select! {
                // The first after a while may be in a block already.
                () = signer.launched.notified() => seen.looked = None,
                () = common.stop.cancelled() => continue,
                () = tokio::time::sleep(signer.weigh_every()) => {}
            }
        }
        if seen.weighed.is_none_or(|weighed| weighed.elapsed() >= signer.weigh_every()) {
            seen.weighed = Some(Instant::now());
            if let Err(error) = signer.weigh().await {
                tracing::debug!(%error, "the balance of the gas wallet cannot be read");
            }
            drop(common.fees.now().await);
        }
        signer.look(&mut seen).await;
    }
}

/// A nonce to be sent once more: as a plan at a new price, or as the bytes that went before.
type Resend = (u64, Option<(TxPlan, TxFees)>, Option<Bytes>);

impl Lane {
    /// One look at the chain, and what follows from it.
    async fn look(&self, seen: &mut LastLook) {
        if self.flights().of.is_empty() {
            return;
        }
        let head = self.common.chain.head().await.ok();
        let news = head.is_some() && head != seen.head;
        if news || seen.looked.is_none_or(|looked| looked.elapsed() >= RECHECK) {
            match self.common.chain.nonce(self.address(), false).await {
                Ok(count) => {
                    seen.head = head.or(seen.head);
                    seen.looked = Some(Instant::now());
                    self.land(count).await;
                    if let Some(head) = head {
                        self.confirm(head).await;
                    }
                    self.close_gap(count).await;
                }
                Err(error) => tracing::debug!(%error, "the gas wallet's transactions cannot be counted"),
            }
        }
        self.urge(head).await;
    }

    /// Finds those that are in a block, now that so many transactions are.
    async fn land(&self, count: u64) {
        let mut asked = JoinSet::new();
        for (nonce, flight) in &mut self.flights().of {
            if *nonce >= count && matches!(flight.state, TxState::Included { .. } | TxState::Missing(_)) {
                tracing::warn!(nonce, "a settlement is in no block any more; it is sent again");
                flight.state = TxState::Unheard;
            }
            if *nonce < count && !flight.is_landed() && !flight.is_handing() {
                let (nonce, chain) = (*nonce, self.common.chain.clone());
                let hashes: Vec<B256> = flight.sent.iter().rev().map(|sent| sent.hash).collect();
                asked.spawn(async move { (nonce, any_receipt(&chain, &hashes).await) });
            }
        }
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok((nonce, Ok(Some(receipt)))) => self.landed_in(nonce, receipt),
                Ok((nonce, Ok(None))) => self.missed(nonce),
                Ok((_, Err(error))) => tracing::debug!(%error, "a receipt cannot be read"),
                Err(error) => tracing::error!(%error, "a receipt was not read"),
            }
        }
    }

    fn landed_in(&self, nonce: u64, receipt: TxReceipt) {
        let (number, hash, receipt) = (receipt.block_number.to(), receipt.block_hash, Arc::new(receipt));
        let done = {
            let mut flights = self.flights();
            let Some(flight) = flights.of.get_mut(&nonce) else { return };
            // Once, however often blocks come and go.
            if let Some(reserved) = flight.reserved.take() {
                let cost = receipt.cost();
                self.common.budget.settle(reserved, cost);
                if let Some(balance) = self.balance().as_mut() {
                    *balance = balance.saturating_sub(cost);
                }
                self.learn(flight, &receipt);
            }
            flight.state = TxState::Included { number, hash, receipt: receipt.clone() };
            if self.common.settings.confirmations <= 1 { flights.finish(nonce) } else { None }
        };
        self.landed.notify_one();
        if let Some(flight) = done {
            tell(flight, &receipt);
        }
    }

    /// What a call among many takes.
    fn learn(&self, flight: &PendingTx, receipt: &TxReceipt) {
        let count = flight.jobs.len() as u64;
        if count < 2 || !receipt.succeeded() {
            return;
        }
        let took = receipt.gas_used.to::<u64>().saturating_sub(NOTHING) / count;
        let wanted = took + took / 4;
        let known = self.common.gas_each.load(Ordering::Relaxed);
        let now = wanted.max((3 * known + wanted) / 4).clamp(LEAST_EACH, MOST_EACH);
        self.common.gas_each.store(now, Ordering::Relaxed);
    }

    /// Its nonce is used, and not by us as far as the node knows.
    fn missed(&self, nonce: u64) {
        let displaced = {
            let mut flights = self.flights();
            let Some(flight) = flights.of.get_mut(&nonce) else { return };
            match flight.state {
                TxState::Missing(since) if since.elapsed() >= self.common.settings.displaced_after => {}
                TxState::Missing(_) => return,
                _ => {
                    flight.state = TxState::Missing(Instant::now());
                    return;
                }
            }
            flights.of.remove(&nonce)
        };
        let Some(flight) = displaced else { return };
        tracing::warn!(nonce, "a settlement lost its nonce to another transaction; it is sent anew");
        self.common.budget.settle(flight.reserved.unwrap_or_default(), U256::ZERO);
        self.landed.notify_one();
        for mut job in flight.jobs {
            job.displaced += 1;
            if job.displaced > MOST_DISPLACED {
                let error = SendError::Refused("the transaction lost its nonce again and again".to_owned());
                job.end(CallProgress::NotSent(error));
            } else {
                job.is(CallProgress::Queued);
                self.take(job);
            }
        }
    }

    /// Ends those that are deep enough, once the node has shown them again.
    async fn confirm(&self, head: u64) {
        let confirmations = self.common.settings.confirmations;
        let deep: Vec<(u64, B256, B256)> = self
            .flights()
            .of
            .iter()
            .filter_map(|(nonce, flight)| match &flight.state {
                TxState::Included { number, hash, receipt }
                    if head.saturating_add(1).saturating_sub(*number) >= confirmations =>
                {
                    Some((*nonce, *hash, receipt.transaction_hash))
                }
                _ => None,
            })
            .collect();
        for (nonce, block, transaction) in deep {
            let receipt = match self.common.chain.receipt(transaction).await {
                Ok(receipt) => receipt,
                Err(error) => {
                    tracing::debug!(%error, "a settlement cannot be confirmed yet");
                    continue;
                }
            };
            let done = {
                let mut flights = self.flights();
                let Some(flight) = flights.of.get_mut(&nonce) else { continue };
                match receipt {
                    Some(receipt) if receipt.block_hash == block => {
                        flights.finish(nonce).map(|flight| (flight, Arc::new(receipt)))
                    }
                    Some(receipt) => {
                        flight.state = TxState::Included {
                            number: receipt.block_number.to(),
                            hash: receipt.block_hash,
                            receipt: Arc::new(receipt),
                        };
                        None
                    }
                    None => {
                        flight.state = TxState::Unheard;
                        None
                    }
                }
            };
            if let Some((flight, receipt)) = done {
                tell(flight, &receipt);
            }
        }
    }

    /// Sees to a nonce before ours that no transaction has: those after it would wait for ever. What
    /// had it is sent again; what we do not know is, after a while, outbid by nothing.
    async fn close_gap(&self, count: u64) {
        let (lost, fill) = {
            let mut flights = self.flights();
            let first = flights.of.iter().find(|(_, flight)| !flight.is_landed() && !flight.is_handing());
            let Some(first) = first.map(|(nonce, _)| *nonce).filter(|first| *first > count) else {
                flights.gap = None;
                return;
            };
            let since = *flights.gap.get_or_insert_with(Instant::now);
            let lost: Vec<Bytes> = flights
                .past
                .iter()
                .filter(|(nonce, _)| (count..first).contains(nonce))
                .map(|(_, sent)| sent.raw.clone())
                .collect();
            let stuck = since.elapsed() >= self.common.settings.stuck_after && !flights.of.contains_key(&count);
            (lost, stuck)
        };
        for raw in &lost {
            drop(self.common.chain.hand_over(raw).await);
        }
        if lost.is_empty() && fill {
            self.fill(count).await;
        }
    }

    async fn fill(&self, nonce: u64) {
        let Ok(fees) = self.common.fees.now().await else { return };
        let limit = self.common.limits.max_fee_per_gas;
        let bid = fees.bid(limit);
        let bid = bid.raised(bid, limit).unwrap_or(bid);
        let plan = TxPlan { nonce, to: self.address(), data: Bytes::new(), gas: NOTHING };
        let cost = U256::from(NOTHING).saturating_mul(U256::from(bid.max_fee));
        let Ok(sent) = self.sign(&plan, bid) else { return };
        if self.common.budget.reserve(cost, U256::ZERO).is_err() {
            return;
        }
        tracing::warn!(nonce, transaction = %sent.hash, "no transaction has a nonce before ours; it is filled");
        let now = Instant::now();
        let flight = PendingTx {
            plan,
            bid,
            sent: vec![sent],
            jobs: Vec::new(),
            reserved: Some(cost),
            state: TxState::Unheard,
            handed: now,
            priced: now,
            priced_at: None,
        };
        let mut flights = self.flights();
        flights.gap = None;
        flights.of.insert(nonce, flight);
    }

    /// Sends again what the node did not hear of or may have forgotten, and outbids what is stuck.
    async fn urge(&self, head: Option<u64>) {
        let settings = &self.common.settings;
        let mut again: Vec<Resend> = Vec::new();
        for (nonce, flight) in &mut self.flights().of {
            let patience = match flight.state {
                TxState::Handing | TxState::Included { .. } | TxState::Missing(_) => continue,
                TxState::Unheard => UNHEARD,
                TxState::Pooled => settings.resend_after,
            };
            flight.priced_at = flight.priced_at.or(head);
            let moved = head.zip(flight.priced_at).is_some_and(|(head, then)| head > then);
            if moved && flight.priced.elapsed() >= settings.stuck_after {
                flight.priced = Instant::now();
                flight.priced_at = head;
                again.push((*nonce, Some((flight.plan.clone(), flight.bid)), None));
            } else if flight.handed.elapsed() >= patience {
                flight.handed = Instant::now();
                again.push((*nonce, None, flight.newest().map(|sent| sent.raw.clone())));
            }
        }
        for (nonce, outbid, raw) in again {
            let raw = match outbid {
                Some((plan, bid)) => self.outbid(&plan, bid).await,
                None => raw,
            };
            let Some(raw) = raw else { continue };
            match self.common.chain.hand_over(&raw).await {
                Ok(()) => {
                    if let Some(flight) = self.flights().of.get_mut(&nonce)
                        && matches!(flight.state, TxState::Unheard)
                    {
                        flight.state = TxState::Pooled;
                    }
                }
                Err(CallError::Refused(text)) => {
                    if NodeRefusal::of(&text) == NodeRefusal::Funds {
                        *self.balance() = Some(U256::ZERO);
                    }
                    tracing::debug!(nonce, text, "the node does not take a transaction again");
                }
                Err(error) => {
                    // Nor will it answer for the others.
                    tracing::debug!(nonce, %error, "the node does not take a transaction again");
                    return;
                }
            }
        }
    }

    /// The same transaction for a higher price, remembered beside the older ones; none when our limits
    /// are reached.
    async fn outbid(&self, plan: &TxPlan, bid: TxFees) -> Option<Bytes> {
        let limit = self.common.limits.max_fee_per_gas;
        let market = self.common.fees.now().await.map_or(bid, |fees| fees.bid(limit));
        let Some(raised) = bid.raised(market, limit) else {
            tracing::warn!(nonce = plan.nonce, limit, "a transaction is stuck, and the fee limit leaves no room");
            return None;
        };
        let sent: SignedTx = self.sign(plan, raised).ok()?;
        let cost = U256::from(plan.gas).saturating_mul(U256::from(raised.max_fee));
        let mut flights = self.flights();
        let flight = flights.of.get_mut(&plan.nonce).filter(|flight| !flight.is_landed())?;
        if let Err(exhausted) = self.common.budget.reserve(cost, flight.reserved.unwrap_or_default()) {
            tracing::warn!(nonce = plan.nonce, %exhausted, "a transaction is stuck");
            return None;
        }
        tracing::info!(nonce = plan.nonce, transaction = %sent.hash, "a stuck transaction is replaced");
        for job in &flight.jobs {
            job.is(CallProgress::Sent(sent.hash));
        }
        let raw = sent.raw.clone();
        flight.reserved = Some(cost);
        flight.bid = raised;
        flight.sent.push(sent);
        flight.handed = Instant::now();
        Some(raw)
    }
}

fn tell(flight: PendingTx, receipt: &Arc<TxReceipt>) {
    let shared = flight.jobs.len() > 1;
    for job in flight.jobs {
        job.end(CallProgress::Included(Inclusion { receipt: receipt.clone(), shared }));
    }
}

async fn any_receipt(chain: &Chain, hashes: &[B256]) -> Result<Option<TxReceipt>, CallError> {
    for hash in hashes {
        if let Some(receipt) = chain.receipt(*hash).await? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}
