//! Where a payment was verified, and where its settlement may have arrived.
//!
//! Invariant: while a settlement may have arrived at one member, [`Affinities::begin`] refuses all others.
//! Bounded: when it is full the oldest entries go, those first that were only verified. A forgotten
//! payment can be settled anywhere, which costs gas at worst: a chain takes an authorisation once.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Payments remembered at most.
const MOST: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Affinities {
    entries: Mutex<HashMap<[u8; 32], Affinity>>,
}

#[derive(Clone, Copy, Debug)]
struct Affinity {
    member: usize,
    stage: AffinityStage,
    expires: Instant,
}

#[derive(Clone, Copy, Debug)]
enum AffinityStage {
    Verified,
    /// Calls on their way, and whether one before them may have arrived.
    Settling {
        at_work: u32,
        arrived: Arrival,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    No,
    Perhaps,
}

/// Who may settle a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettleAt {
    Free,
    /// Anybody; this one knows it.
    Verified(usize),
    /// This one alone.
    Bound(usize),
}

impl Affinities {
    pub(super) fn place(&self, payment: &[u8; 32]) -> SettleAt {
        match self.entries.lock().get(payment) {
            Some(Affinity { member, stage: AffinityStage::Settling { .. }, .. }) => SettleAt::Bound(*member),
            Some(Affinity { member, stage: AffinityStage::Verified, expires }) if *expires > Instant::now() => {
                SettleAt::Verified(*member)
            }
            _ => SettleAt::Free,
        }
    }

    /// A member called the payment valid. Changes nothing for one that is being settled.
    pub(super) fn verified(&self, payment: [u8; 32], member: usize, keep: Duration) {
        let mut entries = self.entries.lock();
        if !matches!(entries.get(&payment), Some(Affinity { stage: AffinityStage::Settling { .. }, .. })) {
            make_room(&mut entries);
            entries
                .insert(payment, Affinity { member, stage: AffinityStage::Verified, expires: Instant::now() + keep });
        }
    }

    /// A settlement is about to be sent to this member. False if it may have arrived at another.
    #[must_use]
    pub(super) fn begin(&self, payment: [u8; 32], member: usize, keep: Duration) -> bool {
        let mut entries = self.entries.lock();
        let stage = match entries.get(&payment) {
            Some(entry) => match entry.stage {
                AffinityStage::Settling { .. } if entry.member != member => return false,
                AffinityStage::Settling { at_work, arrived } => {
                    AffinityStage::Settling { at_work: at_work + 1, arrived }
                }
                AffinityStage::Verified => AffinityStage::Settling { at_work: 1, arrived: Arrival::No },
            },
            None => {
                make_room(&mut entries);
                AffinityStage::Settling { at_work: 1, arrived: Arrival::No }
            }
        };
        entries.insert(payment, Affinity { member, stage, expires: Instant::now() + keep });
        true
    }

    /// A settlement that was begun may have arrived.
    pub(super) fn sent(&self, payment: &[u8; 32]) {
        if let Some(Affinity { stage: AffinityStage::Settling { at_work, arrived }, .. }) =
            self.entries.lock().get_mut(payment)
        {
            *at_work = at_work.saturating_sub(1);
            *arrived = Arrival::Perhaps;
        }
    }

    /// A settlement that was begun has not arrived. Gives whether none has: then others may be asked.
    #[must_use]
    pub(super) fn not_sent(&self, payment: &[u8; 32]) -> bool {
        let mut entries = self.entries.lock();
        let Some(Affinity { stage: AffinityStage::Settling { at_work, arrived }, .. }) = entries.get_mut(payment)
        else {
            // Forgotten, because too many came after it: nobody knows.
            return false;
        };
        *at_work = at_work.saturating_sub(1);
        let free = *at_work == 0 && *arrived == Arrival::No;
        if free {
            entries.remove(payment);
        }
        free
    }
}

fn make_room(entries: &mut HashMap<[u8; 32], Affinity>) {
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
            .filter(|(_, entry)| least || matches!(entry.stage, AffinityStage::Verified))
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
        let affinities = Affinities::default();
        assert_eq!(affinities.place(&ONE), SettleAt::Free);
        affinities.verified(ONE, 1, KEEP);
        assert_eq!(affinities.place(&ONE), SettleAt::Verified(1));
        assert!(affinities.begin(ONE, 0, KEEP), "a verification binds nobody");
        assert_eq!(affinities.place(&ONE), SettleAt::Bound(0));
        affinities.sent(&ONE);
        affinities.verified(ONE, 1, KEEP);
        assert_eq!(affinities.place(&ONE), SettleAt::Bound(0));
        assert!(!affinities.begin(ONE, 1, KEEP));
        assert!(affinities.begin(ONE, 0, KEEP), "the same member may be asked again");
        assert!(!affinities.not_sent(&ONE), "an earlier call may have arrived");
        assert_eq!(affinities.place(&ONE), SettleAt::Bound(0));
    }

    #[test]
    fn what_was_never_sent_is_free_unless_another_call_is_on_its_way() {
        let affinities = Affinities::default();
        assert!(affinities.begin(ONE, 0, KEEP) && affinities.begin(ONE, 0, KEEP));
        assert!(!affinities.not_sent(&ONE));
        assert!(!affinities.begin(ONE, 1, KEEP));
        assert!(affinities.not_sent(&ONE));
        assert!(affinities.begin(ONE, 1, KEEP));
    }

    #[test]
    fn a_flood_of_verifications_displaces_no_settlement() {
        let affinities = Affinities::default();
        assert!(affinities.begin(ONE, 1, KEEP));
        affinities.sent(&ONE);
        for number in 0..2 * MOST as u64 {
            let mut payment = [0; 32];
            payment[..8].copy_from_slice(&number.to_be_bytes());
            affinities.verified(payment, 0, KEEP);
        }
        assert!(affinities.entries.lock().len() <= MOST);
        assert_eq!(affinities.place(&ONE), SettleAt::Bound(1));
    }
}
