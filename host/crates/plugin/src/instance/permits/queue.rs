//! Orders the requests that wait under one bound: the client with the fewest in use first, then the order of arrival.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeSet, VecDeque};

use super::state::Waiting;
use crate::permit::Client;

/// The requests of one kind under one bound, by client. A client has an entry as long as it holds or waits.
#[derive(Debug, Default)]
pub(super) struct ClientQueue {
    clients: HashMap<Client, ClientRequests>,
    /// Those of the clients that wait, of which the first is the next to run.
    order: BTreeSet<ClientTurn>,
}

/// The requests of one client.
#[derive(Debug, Default)]
struct ClientRequests {
    /// Instances in use.
    running: usize,
    /// In the order of arrival.
    waiting: VecDeque<Waiting>,
}

/// The place of a client in the order: that of its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientTurn {
    /// Instances that the client has in use.
    pub(super) running: usize,
    pub(super) number: u64,
    pub(super) client: Client,
}

impl ClientQueue {
    /// The place of the request that is the next to run.
    pub(super) fn first(&self) -> Option<ClientTurn> {
        self.order.first().copied()
    }

    /// Instances that a client has in use.
    pub(super) fn running(&self, client: Client) -> usize {
        self.clients.get(&client).map_or(0, |requests| requests.running)
    }

    /// The requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.clients.values().map(|requests| requests.waiting.len()).sum()
    }

    /// Adds a request.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.change(waiting.client, |requests| requests.waiting.push_back(waiting));
    }

    /// Removes the request that is the next to run.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let client = self.first()?.client;
        self.change(client, |requests| requests.waiting.pop_front())
    }

    /// Removes the request of this number, if it is still here.
    pub(super) fn remove(&mut self, client: Client, number: u64) -> Option<Waiting> {
        self.change(client, |requests| {
            let index = requests.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
            requests.waiting.remove(index)
        })
    }

    /// Counts an instance of this client as running.
    pub(super) fn take(&mut self, client: Client) {
        self.change(client, |requests| requests.running += 1);
    }

    /// Counts an instance of this client as ended.
    pub(super) fn give_back(&mut self, client: Client) {
        self.change(client, |requests| requests.running = requests.running.saturating_sub(1));
    }

    /// Changes the requests of a client, and its place in the order with them.
    fn change<T>(&mut self, client: Client, change: impl FnOnce(&mut ClientRequests) -> T) -> T {
        let mut entry = match self.clients.entry(client) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert_entry(ClientRequests::default()),
        };
        let before = entry.get().turn(client);
        let result = change(entry.get_mut());
        let after = entry.get().turn(client);
        if after.is_none() && entry.get().running == 0 {
            entry.remove();
        }
        if before != after {
            before.map(|turn| self.order.remove(&turn));
            after.map(|turn| self.order.insert(turn));
        }
        result
    }

    /// Clients that hold or wait, for tests.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }
}

impl ClientRequests {
    fn turn(&self, client: Client) -> Option<ClientTurn> {
        let number = self.waiting.front()?.number;
        Some(ClientTurn { running: self.running, number, client })
    }
}
