//! A ledger whose process dies before or after one of its steps.

use std::sync::Arc;
use std::time::Duration;

use super::point;
use coinslot_ledger::{
    Answer, Claim, Claimed, Ledger, Payment, PaymentId, Pending, Retained, Retention, SettledBy, StoredAnswer,
};
use coinslot_x402::{SettlementResponse, UnixTime};

/// See the module.
#[derive(Debug)]
pub(crate) struct Crashing(pub(crate) Arc<dyn Ledger>);

fn around<'a, T: 'a>(step: &'static str, take: impl FnOnce() -> Answer<'a, T>) -> Answer<'a, T> {
    point("before", step);
    let taken = take();
    Box::pin(async move {
        let done = taken.await;
        if done.is_ok() {
            point("after", step);
        }
        done
    })
}

impl Ledger for Crashing {
    fn claim(&self, claim: Claim) -> Answer<'_, Claimed> {
        around("claimed", || self.0.claim(claim))
    }

    fn standing(&self, claim: Claim) -> Answer<'_, Option<Claimed>> {
        self.0.standing(claim)
    }

    fn release<'a>(&'a self, id: &'a PaymentId) -> Answer<'a, ()> {
        around("released", || self.0.release(id))
    }

    fn executing<'a>(&'a self, id: &'a PaymentId, at: UnixTime) -> Answer<'a, ()> {
        around("executing", || self.0.executing(id, at))
    }

    fn settling<'a>(
        &'a self,
        id: &'a PaymentId,
        request: String,
        answer: Option<StoredAnswer>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        around("settling", || self.0.settling(id, request, answer, at))
    }

    fn unknown<'a>(&'a self, id: &'a PaymentId, transaction: Option<String>, at: UnixTime) -> Answer<'a, ()> {
        around("unknown", || self.0.unknown(id, transaction, at))
    }

    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        settlement: SettlementResponse,
        by: SettledBy,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        around("settled", || self.0.settled(id, settlement, by, at))
    }

    fn answered<'a>(&'a self, id: &'a PaymentId, kept: Retained, run: Duration, at: UnixTime) -> Answer<'a, ()> {
        around("answered", || self.0.answered(id, kept, run, at))
    }

    fn owe<'a>(&'a self, id: &'a PaymentId, reason: String, at: UnixTime) -> Answer<'a, ()> {
        around("owed", || self.0.owe(id, reason, at))
    }

    fn refused<'a>(
        &'a self,
        id: &'a PaymentId,
        reason: String,
        transaction: Option<String>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        around("refused", || self.0.refused(id, reason, transaction, at))
    }

    fn delivered<'a>(&'a self, id: &'a PaymentId, keep: bool, at: UnixTime) -> Answer<'a, ()> {
        around("delivered", || self.0.delivered(id, keep, at))
    }

    fn pending(&self, settling_before: UnixTime, limit: u32) -> Answer<'_, Vec<Pending>> {
        self.0.pending(settling_before, limit)
    }

    fn strikes(&self, since: UnixTime) -> Answer<'_, Vec<(String, u32)>> {
        self.0.strikes(since)
    }

    fn prune(&self, now: UnixTime, kept: Retention) -> Answer<'_, u64> {
        self.0.prune(now, kept)
    }

    fn payments(&self, limit: u32) -> Answer<'_, Vec<Payment>> {
        self.0.payments(limit)
    }

    fn writable(&self) -> bool {
        self.0.writable()
    }

    fn probe(&self, at: UnixTime) -> Answer<'_, ()> {
        self.0.probe(at)
    }
}
