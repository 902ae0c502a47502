//! Where a payment was verified, and where its settlement may have arrived.
//!
//! Invariant: while a settlement may have arrived at one member, [`Memory::begin`] refuses all others.
//! Bounded: when it is full the oldest entries go, those first that were only verified. A forgotten
//! payment can be settled anywhere, which costs gas at worst: a chain takes an authorisation once.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Payments remembered at most.
const MOST: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: Mutex<HashMap<[u8; 32], Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    member: usize,
    stage: Stage,
    expires: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Verified,
    /// Calls on their way, and whether one before them may have arrived.
    Settling {
        at_work: u32,
        arrived: Arrived,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrived {
    No,
    Perhaps,
}

/// Who may settle a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// Anybody; this one knows it.
    Verified(usize),
    /// This one alone.
    Bound(usize),
}

impl Memory {
    pub(super) fn place(&self, payment: &[u8; 32]) -> Place {
        match self.entries.lock().get(payment) {
            Some(Entry { member, stage: Stage::Settling { .. }, .. }) => Place::Bound(*member),
            Some(Entry { member, stage: Stage::Verified, expires }) if *expires > Instant::now() => {
                Place::Verified(*member)
            }
            _ => Place::Free,
        }
    }

    /// A member called the payment valid. Changes nothing for one that is being settled.
    pub(super) fn verified(&self, payment: [u8; 32], member: usize, keep: Duration) {
        let mut entries = self.entries.lock();
        if !matches!(entries.get(&payment), Some(Entry { stage: Stage::Settling { .. }, .. })) {
            make_room(&mut entries);
            entries.insert(payment, Entry { member, stage: Stage::Verified, expires: Instant::now() + keep });
        }
    }

    /// A settlement is about to be sent to this member. False if it may have arrived at another.
    #[must_use]
    pub(super) fn begin(&self, payment: [u8; 32], member: usize, keep: Duration) -> bool {
        let mut entries = self.entries.lock();
        let stage = match entries.get(&payment) {
            Some(entry) => match entry.stage {
                Stage::Settling { .. } if entry.member != member => return false,
                Stage::Settling { at_work, arrived } => Stage::Settling { at_work: at_work + 1, arrived },
                Stage::Verified => Stage::Settling { at_work: 1, arrived: Arrived::No },
            },
            None => {
                make_room(&mut entries);
                Stage::Settling { at_work: 1, arrived: Arrived::No }
            }
        };
        entries.insert(payment, Entry { member, stage, expires: Instant::now() + keep });
        true
    }

    /// A settlement that was begun may have arrived.
    pub(super) fn sent(&self, payment: &[u8; 32]) {
        if let Some(Entry { stage: Stage::Settling { at_work, arrived }, .. }) = self.entries.lock().get_mut(payment) {
            *at_work = at_work.saturating_sub(1);
            *arrived = Arrived::Perhaps;
        }
    }

    /// A settlement that was begun has not arrived. Gives whether none has: then others may be asked.
    #[must_use]
    pub(super) fn not_sent(&self, payment: &[u8; 32]) -> bool {
        let mut entries = self.entries.lock();
        let Some(Entry { stage: Stage::Settling { at_work, arrived }, .. }) = entries.get_mut(payment) else {
            // Forgotten, because too many came after it: nobody knows.
            return false;
        };
        *at_work = at_work.saturating_sub(1);
        let free = *at_work == 0 && *arrived == Arrived::No;
        if free {
            entries.remove(payment);
        }
        free
    }
}

fn make_room(entries: &mut HashMap<[u8; 32], Entry>) {
    if entries.len() < MOST {
        return;
    }
    let now = Instant::now();
    entries.retain(|_, entry| entry.expires > now);
    for least in [false, true] {
        // An eighth at once, so that this is not done for every payment of a flood.
        let most = MOST - MOST / 8;
        if entries.len() <= most {
            return;
        }
        let mut oldest: Vec<([u8; 32], Instant)> = entries
            .iter()
            .filter(|(_, entry)| least || matches!(entry.stage, Stage::Verified))
            .map(|(payment, entry)| (*payment, entry.expires))
            .collect();
        oldest.sort_unstable_by_key(|(_, expires)| *expires);
        for (payment, _) in oldest.into_iter().take(entries.len() - most) {
            entries.remove(&payment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);
    const ONE: [u8; 32] = [1; 32];

    #[test]
    fn a_settlement_that_may_have_arrived_stays_where_it_is() {
        let memory = Memory::default();
        assert_eq!(memory.place(&ONE), Place::Free);
        memory.verified(ONE, 1, KEEP);
        assert_eq!(memory.place(&ONE), Place::Verified(1));
        assert!(memory.begin(ONE, 0, KEEP), "a verification binds nobody");
        assert_eq!(memory.place(&ONE), Place::Bound(0));
        memory.sent(&ONE);
        memory.verified(ONE, 1, KEEP);
        assert_eq!(memory.place(&ONE), Place::Bound(0));
        assert!(!memory.begin(ONE, 1, KEEP));
        assert!(memory.begin(ONE, 0, KEEP), "the same member may be asked again");
        assert!(!memory.not_sent(&ONE), "an earlier call may have arrived");
        assert_eq!(memory.place(&ONE), Place::Bound(0));
    }

    #[test]
    fn what_was_never_sent_is_free_unless_another_call_is_on_its_way() {
        let memory = Memory::default();
        assert!(memory.begin(ONE, 0, KEEP) && memory.begin(ONE, 0, KEEP));
        assert!(!memory.not_sent(&ONE));
        assert!(!memory.begin(ONE, 1, KEEP));
        assert!(memory.not_sent(&ONE));
        assert!(memory.begin(ONE, 1, KEEP));
    }

    #[test]
    fn a_flood_of_verifications_displaces_no_settlement() {
        let memory = Memory::default();
        assert!(memory.begin(ONE, 1, KEEP));
        memory.sent(&ONE);
        for number in 0..2 * MOST as u64 {
            let mut payment = [0; 32];
            payment[..8].copy_from_slice(&number.to_be_bytes());
            memory.verified(payment, 0, KEEP);
        }
        assert!(memory.entries.lock().len() <= MOST);
        assert_eq!(memory.place(&ONE), Place::Bound(1));
    }
}
