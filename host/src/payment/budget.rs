//! Bounds the bytes that payments hold in memory: request bodies, answers that wait for their settlement, and stored
//! answers on their way to a client.
//!
//! One budget counts for the whole process. Half of it is out of reach for [`BudgetPart::Newcomers`]: clients that make
//! keys without money, or repeat what is paid, leave that half to the payers who have paid. One client and one payer
//! each have at most a share. What a body or an answer holds grows as its bytes arrive: a declared length alone
//! reserves nothing, or a client could use the budget up by promises.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use coinslot_base::client::is_of_one_client;
use parking_lot::Mutex;

use super::client::prefix_of;

/// One client or payer may hold one part in this many of the budget, or of the newcomers' half.
const SHARE: usize = 4;

/// All newcomers together may hold one part in this many of the budget.
const NEWCOMERS: usize = 2;

/// The unit in which holders grow: fewer, larger steps spare the lock.
pub(super) const STEP: usize = 64 << 10;

/// The budget of a process.
#[derive(Debug)]
pub(super) struct ByteBudget {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    newcomers: usize,
    by_holder: HashMap<HolderName, usize>,
}

/// A holder that has a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HolderName {
    Client(IpAddr),
    Payer(String),
}

/// The part of the budget that a holder draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetPart {
    /// The newcomers' half: nothing shows that money is or was behind the request, or the money has bought its answer
    /// already.
    Newcomers,
    /// All of it: the payer has paid here before, or the payment is at work.
    Whole,
}

/// Bytes that one body or answer holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    of: Arc<ByteBudget>,
    part: BudgetPart,
    /// The client, unless its address does not tell one client from another, and the payer, if there is one.
    names: Vec<HolderName>,
    bytes: usize,
}

/// The budget, or the share of the client or of the payer, is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// The least budget in which one payer can send this many bytes and have this many answered.
pub(crate) fn least_budget(request: u64, response: u64) -> u64 {
    let stepped = |bytes: u64| bytes.checked_next_multiple_of(STEP as u64).unwrap_or(u64::MAX);
    stepped(request).saturating_add(stepped(response)).saturating_mul(SHARE as u64)
}

impl ByteBudget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// A holder of nothing, for a client without a payment.
    pub(super) fn client(self: &Arc<Self>, client: IpAddr) -> HeldBytes {
        let names = is_of_one_client(client).then(|| HolderName::Client(prefix_of(client)));
        HeldBytes { of: Arc::clone(self), part: BudgetPart::Newcomers, names: names.into_iter().collect(), bytes: 0 }
    }

    /// A holder of nothing, for what this payer has bought.
    pub(super) fn of_payer(self: &Arc<Self>, payer: &str) -> HeldBytes {
        let names = vec![HolderName::Payer(payer.to_owned())];
        HeldBytes { of: Arc::clone(self), part: BudgetPart::Whole, names, bytes: 0 }
    }

    /// A holder of nothing, for a client that has proven that this payer signed its payment.
    pub(super) fn payer(self: &Arc<Self>, client: IpAddr, payer: &str, part: BudgetPart) -> HeldBytes {
        let mut held = Self::client(self, client);
        held.part = part;
        held.names.push(HolderName::Payer(payer.to_owned()));
        held
    }
}

/// Bytes with their part of the budget.
struct CountedBytes {
    bytes: Bytes,
    _held: HeldBytes,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBytes {
    /// The bytes, which count for the budget until their last copy is dropped.
    pub(super) fn counted(self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(CountedBytes { bytes, _held: self })
    }

    /// The bytes that count.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room for this many bytes in all. On an error the holder keeps what it has.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let more = (bytes - self.bytes).next_multiple_of(STEP);
        let mut held = self.of.held.lock();
        let (all, newcomers) = (held.all.saturating_add(more), held.newcomers.saturating_add(more));
        let (most, exhausted) = match self.part {
            BudgetPart::Newcomers => (self.of.most / NEWCOMERS, newcomers > self.of.most / NEWCOMERS),
            BudgetPart::Whole => (self.of.most, false),
        };
        let of_holder = |name| held.by_holder.get(name).copied().unwrap_or(0).saturating_add(more);
        if exhausted || all > self.of.most || self.names.iter().any(|name| of_holder(name) > most / SHARE) {
            return Err(Exhausted);
        }
        for name in &self.names {
            *held.by_holder.entry(name.clone()).or_default() += more;
        }
        held.all = all;
        if self.part == BudgetPart::Newcomers {
            held.newcomers = newcomers;
        }
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
        if self.part == BudgetPart::Newcomers {
            held.newcomers = held.newcomers.saturating_sub(self.bytes);
        }
        for name in &self.names {
            if let Some(of_holder) = held.by_holder.get_mut(name) {
                *of_holder = of_holder.saturating_sub(self.bytes);
                if *of_holder == 0 {
                    held.by_holder.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn all_holders_together_stay_within_the_budget_and_give_it_back() {
        let budget = ByteBudget::new(16 * STEP);
        let mut holders: Vec<_> =
            (0..5).map(|number| budget.payer(LOCAL, &format!("0x{number}"), BudgetPart::Whole)).collect();
        for holder in &mut holders[..3] {
            assert_eq!(holder.grow_to(4 * STEP), Ok(()));
            assert_eq!(holder.grow_to(2 * STEP), Ok(()), "it has them");
        }
        assert_eq!(holders[3].grow_to(3 * STEP), Ok(()));
        assert_eq!(holders[4].grow_to(2 * STEP), Err(Exhausted));
        assert_eq!(holders[4].grow_to(1), Ok(()));
        drop(holders.remove(0));
        assert_eq!(holders[3].grow_to(4 * STEP), Ok(()));
        drop(holders);
        let held = budget.held.lock();
        assert!(held.all == 0 && held.newcomers == 0 && held.by_holder.is_empty());
    }

    #[test]
    fn one_client_has_a_share_where_its_address_is_known() {
        let budget = ByteBudget::new(16 * STEP);
        let client = IpAddr::from([93, 184, 216, 34]);
        let (mut one, mut two) = (budget.client(client), budget.client(client));
        assert_eq!((one.grow_to(STEP), two.grow_to(STEP)), (Ok(()), Ok(())));
        assert_eq!(one.grow_to(2 * STEP), Err(Exhausted));
        assert_eq!(budget.client(IpAddr::from([93, 184, 216, 35])).grow_to(2 * STEP), Ok(()));
        drop((one, two));
        assert!(budget.held.lock().by_holder.is_empty());
    }

    #[test]
    fn one_payer_has_a_share_from_whatever_address() {
        let budget = ByteBudget::new(8 * STEP);
        let (mut one, mut two) =
            (budget.payer(LOCAL, "0xa", BudgetPart::Whole), budget.payer(LOCAL, "0xa", BudgetPart::Whole));
        assert_eq!((one.grow_to(STEP), two.grow_to(STEP)), (Ok(()), Ok(())));
        assert_eq!(two.grow_to(2 * STEP), Err(Exhausted));
        assert_eq!(budget.payer(LOCAL, "0xb", BudgetPart::Whole).grow_to(2 * STEP), Ok(()));
    }

    #[test]
    fn newcomers_leave_a_part_to_those_who_have_paid() {
        let budget = ByteBudget::new(8 * STEP);
        let mut newcomers: Vec<_> = (0..8).map(|_| budget.client(LOCAL)).collect();
        let room = newcomers.iter_mut().filter_map(|newcomer| newcomer.grow_to(STEP).ok()).count();
        assert_eq!(room, 4);
        let mut payer = budget.payer(LOCAL, "0xa", BudgetPart::Whole);
        assert_eq!(payer.grow_to(2 * STEP), Ok(()));
        drop(newcomers);
        assert_eq!(budget.held.lock().newcomers, 0);
        assert_eq!(budget.payer(LOCAL, "0xb", BudgetPart::Newcomers).grow_to(STEP), Ok(()));
    }
}
