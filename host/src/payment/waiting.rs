//! Lets clients wait for a settlement, each for a bounded time.
//!
//! The work of a payment goes on however long its settlement takes, but a client hears within [`SETTLEMENT_WAIT`] of
//! its beginning that the end is not known yet. A client that sends the same payment again waits in its turn, and is
//! notified when the work for the payment has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::PaymentId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The longest time that a client waits for the end of a settlement. Clients and proxies give up after 30 seconds.
pub(super) const SETTLEMENT_WAIT: Duration = Duration::from_secs(25);

/// The payments that clients wait for, and those for which work is under way.
#[derive(Debug, Default)]
pub(super) struct WaitingClients {
    by_payment: Arc<Mutex<HashMap<PaymentId, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    /// The number of clients that wait for the payment, and of tasks that wait on behalf of one.
    waiting: usize,
    /// The number of clients among them, whose connections are open.
    clients: usize,
    /// The number of requests at work for the payment. Work goes on when its client hangs up.
    works: usize,
    signals: Arc<Signals>,
}

#[derive(Debug, Default)]
struct Signals {
    /// True while a settlement of the payment is under way.
    settling: watch::Sender<bool>,
    ended: Notify,
}

/// One client that waits for a payment, or the work that waits on behalf of one.
#[derive(Debug)]
pub(super) struct WaitingClient {
    role: WaitingRole,
    of: Arc<Mutex<HashMap<PaymentId, Entry>>>,
    id: PaymentId,
    signals: Arc<Signals>,
}

/// The reason for which something waits for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitingRole {
    /// A client, whose connection is open.
    Client,
    /// Work that waits on behalf of a client for what other work does.
    Listener,
    /// Work for the payment.
    Work,
}

impl WaitingClients {
    /// A client that waits for this payment until it is dropped, as it is when the client hangs up.
    pub(super) fn enter(&self, id: &PaymentId) -> WaitingClient {
        self.add(id, WaitingRole::Client)
    }

    /// Work for this payment, until it is dropped.
    pub(super) fn work(&self, id: &PaymentId) -> WaitingClient {
        self.add(id, WaitingRole::Work)
    }

    /// Work that waits for this payment until it is dropped. It goes on when its client hangs up, so it does not count
    /// as a client.
    pub(super) fn listen(&self, id: &PaymentId) -> WaitingClient {
        self.add(id, WaitingRole::Listener)
    }

    fn add(&self, id: &PaymentId, role: WaitingRole) -> WaitingClient {
        let mut by_payment = self.by_payment.lock();
        let none = || Entry { waiting: 0, clients: 0, works: 0, signals: Arc::default() };
        let entry = by_payment.entry(id.clone()).or_insert_with(none);
        entry.waiting += 1;
        entry.clients += usize::from(role == WaitingRole::Client);
        entry.works += usize::from(role == WaitingRole::Work);
        let (of, signals) = (Arc::clone(&self.by_payment), Arc::clone(&entry.signals));
        WaitingClient { role, of, id: id.clone(), signals }
    }

    /// True if a request is at work for this payment.
    pub(super) fn is_at_work(&self, id: &PaymentId) -> bool {
        self.by_payment.lock().get(id).is_some_and(|entry| entry.works > 0)
    }

    /// True if a client waits for this payment.
    pub(super) fn has_client(&self, id: &PaymentId) -> bool {
        self.by_payment.lock().get(id).is_some_and(|entry| entry.clients > 0)
    }

    /// Announces that a settlement of this payment begins.
    pub(super) fn settling(&self, id: &PaymentId) {
        if let Some(entry) = self.by_payment.lock().get(id) {
            entry.signals.settling.send_replace(true);
        }
    }

    /// Announces that the payment is settled, and work for its answer goes on.
    pub(super) fn settled(&self, id: &PaymentId) {
        if let Some(entry) = self.by_payment.lock().get(id) {
            entry.signals.settling.send_replace(false);
        }
    }

    /// Announces that the work for this payment has ended, or that its settlement has.
    pub(super) fn ended(&self, id: &PaymentId) {
        if let Some(entry) = self.by_payment.lock().get(id) {
            entry.signals.ended.notify_waiters();
        }
    }
}

impl WaitingClient {
    /// Returns when a settlement of the payment has been under way for [`SETTLEMENT_WAIT`]. The time that a plugin
    /// takes after a settlement does not count: its own limits bound it.
    pub(super) async fn overdue(&self) {
        self.is_settling_for(SETTLEMENT_WAIT).await;
    }

    async fn is_settling_for(&self, time: Duration) {
        let mut settling = self.signals.settling.subscribe();
        while settling.wait_for(|settling| *settling).await.is_ok() {
            match tokio::time::timeout(time, settling.wait_for(|settling| !*settling)).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Waits for the end of the payment's work, at most this long.
    pub(super) async fn ended(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.signals.ended.notified()).await;
    }
}

impl Drop for WaitingClient {
    fn drop(&mut self) {
        let mut by_payment = self.of.lock();
        if let Some(entry) = by_payment.get_mut(&self.id) {
            entry.clients -= usize::from(self.role == WaitingRole::Client);
            entry.works -= usize::from(self.role == WaitingRole::Work);
            entry.waiting -= 1;
            if entry.waiting == 0 {
                by_payment.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use coinslot_x402::Network;

    use super::*;

    #[tokio::test]
    async fn only_a_settlement_that_is_under_way_for_long_is_overdue() {
        let network = Network::parse("eip155:84532").expect("a network");
        let id = PaymentId::new(network, "0xa".to_owned(), "0xb".to_owned(), "0x1".to_owned());
        let waiting = WaitingClients::default();
        let client = waiting.enter(&id);
        let (short, long) = (Duration::from_millis(20), Duration::from_millis(100));
        let is_overdue = async |most| tokio::time::timeout(long, client.is_settling_for(most)).await.is_ok();
        assert!(!is_overdue(short).await, "nothing is being settled");
        waiting.settling(&id);
        assert!(is_overdue(short).await);
        assert!(!is_overdue(Duration::from_secs(3_600)).await);
        waiting.settled(&id);
        assert!(!is_overdue(short).await, "the plugin is at work");
        waiting.settling(&id);
        assert!(is_overdue(short).await);
    }

    #[tokio::test]
    async fn a_client_is_told_of_the_end_and_is_forgotten_when_it_leaves() {
        let network = Network::parse("eip155:84532").expect("a network");
        let id = PaymentId::new(network, "0xa".to_owned(), "0xb".to_owned(), "0x1".to_owned());
        let waiting = WaitingClients::default();
        let (one, other) = (waiting.enter(&id), waiting.enter(&id));
        let hour = Duration::from_secs(3_600);
        // The client is told of the end, long before its time is over.
        tokio::join!(other.ended(hour), async { waiting.ended(&id) });
        drop(one);
        assert!(waiting.has_client(&id));
        let work = waiting.listen(&id);
        drop(other);
        assert!(!waiting.has_client(&id), "work is no client");
        tokio::join!(work.ended(hour), async { waiting.ended(&id) });
        drop(work);
        let work = waiting.work(&id);
        assert!(waiting.is_at_work(&id) && !waiting.has_client(&id));
        drop(work);
        assert!(waiting.by_payment.lock().is_empty());
    }
}
