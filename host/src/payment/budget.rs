//! Bounds the bytes that payments hold in memory: request bodies, and answers that wait for their settlement.
//!
//! One budget counts for the whole process, and one client has at most a share of it. What a body or an answer holds
//! grows as its bytes arrive: a declared length alone reserves nothing, or a client could use the budget up by promises.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::client::{is_known, prefix_of};

/// The part of the budget that one client may hold.
const SHARE: usize = 4;

/// The unit in which holders grow: fewer, larger steps spare the lock.
const STEP: usize = 64 << 10;

/// The budget of a process.
#[derive(Debug)]
pub(super) struct ByteBudget {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Bytes that one body or answer holds, until this is dropped.
#[derive(Debug)]
pub(super) struct HeldBytes {
    of: Arc<ByteBudget>,
    /// None: the address does not tell one client from another, so none has a share.
    client: Option<IpAddr>,
    bytes: usize,
}

/// The budget, or the client's share of it, is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl ByteBudget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// A holder of nothing, for this client.
    pub(super) fn holder(self: &Arc<Self>, client: IpAddr) -> HeldBytes {
        let client = is_known(client).then(|| prefix_of(client));
        HeldBytes { of: Arc::clone(self), client, bytes: 0 }
    }
}

impl HeldBytes {
    /// Makes room for so many bytes in all. On an error the holder keeps what it has.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let more = (bytes - self.bytes).next_multiple_of(STEP);
        let mut held = self.of.held.lock();
        let all = held.all.saturating_add(more);
        if all > self.of.most {
            return Err(Exhausted);
        }
        if let Some(client) = self.client {
            let of_client = held.by_client.entry(client).or_default();
            if of_client.saturating_add(more) > self.of.most / SHARE {
                return Err(Exhausted);
            }
            *of_client += more;
        }
        held.all = all;
        drop(held);
        self.bytes += more;
        Ok(())
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.of.held.lock();
        held.all = held.all.saturating_sub(self.bytes);
        if let Some(client) = self.client
            && let Some(of_client) = held.by_client.get_mut(&client)
        {
            *of_client = of_client.saturating_sub(self.bytes);
            if *of_client == 0 {
                held.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_holders_together_stay_within_the_budget_and_give_it_back() {
        let budget = ByteBudget::new(4 * STEP);
        let local = IpAddr::from([127, 0, 0, 1]);
        let mut one = budget.holder(local);
        let mut other = budget.holder(local);
        assert_eq!(one.grow_to(3 * STEP), Ok(()));
        assert_eq!(one.grow_to(2 * STEP), Ok(()), "it has them");
        assert_eq!(other.grow_to(2 * STEP), Err(Exhausted));
        assert_eq!(other.grow_to(1), Ok(()));
        drop(one);
        assert_eq!(other.grow_to(4 * STEP), Ok(()));
        drop(other);
        assert_eq!(budget.held.lock().all, 0);
    }

    #[test]
    fn one_client_has_a_share_where_its_address_is_known() {
        let budget = ByteBudget::new(8 * STEP);
        let client = IpAddr::from([93, 184, 216, 34]);
        let (mut one, mut two) = (budget.holder(client), budget.holder(client));
        assert_eq!((one.grow_to(STEP), two.grow_to(STEP)), (Ok(()), Ok(())));
        assert_eq!(one.grow_to(2 * STEP), Err(Exhausted));
        assert_eq!(budget.holder(IpAddr::from([93, 184, 216, 35])).grow_to(2 * STEP), Ok(()));
        drop((one, two));
        assert!(budget.held.lock().by_client.is_empty());
    }
}
