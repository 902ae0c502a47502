//! Remembers at which member a payment was verified, and at which its settlement may have arrived.
//!
//! Invariant: while a settlement may have arrived at one member, [`Affinities::begin`] refuses all others.
//! The number of entries is bounded: when it is reached the oldest entries go, and those of payments that were only
//! verified go first. A forgotten payment can be settled at any member, which costs gas at worst: a chain takes an
//! authorisation once.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Payments remembered at most.
const MAX_ENTRIES: usize = 65_536;

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
    /// Settlements are under way at the member, or an earlier one may have arrived there.
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

/// The members that may settle a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettleAt {
    Any,
    /// Any member, this one first: it has verified the payment.
    Preferably(usize),
    /// This member alone.
    Only(usize),
}

impl Affinities {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.lock().is_empty()
    }

    pub(super) fn members_for(&self, payment: &[u8; 32]) -> SettleAt {
        match self.entries.lock().get(payment) {
            Some(Affinity { member, stage: AffinityStage::Settling { .. }, .. }) => SettleAt::Only(*member),
            Some(Affinity { member, stage: AffinityStage::Verified, expires }) if *expires > Instant::now() => {
                SettleAt::Preferably(*member)
            }
            _ => SettleAt::Any,
        }
    }

    /// Remembers the member that called a payment valid. It changes nothing for a payment that is being settled.
    pub(super) fn verified(&self, payment: [u8; 32], member: usize, keep: Duration) {
        let mut entries = self.entries.lock();
        if !matches!(entries.get(&payment), Some(Affinity { stage: AffinityStage::Settling { .. }, .. })) {
            make_room(&mut entries);
            entries
                .insert(payment, Affinity { member, stage: AffinityStage::Verified, expires: Instant::now() + keep });
        }
    }

    /// Remembers that a settlement is about to be sent to this member. False if one may have arrived at another.
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

    /// Remembers that a settlement that was begun may have arrived.
    pub(super) fn sent(&self, payment: &[u8; 32]) {
        if let Some(Affinity { stage: AffinityStage::Settling { at_work, arrived }, .. }) =
            self.entries.lock().get_mut(payment)
        {
            *at_work = at_work.saturating_sub(1);
            *arrived = Arrival::Perhaps;
        }
    }

    /// Remembers that a settlement that was begun has not arrived. True if none has: other members may be called.
    #[must_use]
    pub(super) fn not_sent(&self, payment: &[u8; 32]) -> bool {
        let mut entries = self.entries.lock();
        let Some(Affinity { stage: AffinityStage::Settling { at_work, arrived }, .. }) = entries.get_mut(payment)
        else {
            // The entry was forgotten, because too many came after it: another call may have arrived.
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

/// Removes entries when there are too many: the expired ones, then the oldest of payments that were only verified, then
/// the oldest.
fn make_room(entries: &mut HashMap<[u8; 32], Affinity>) {
    if entries.len() < MAX_ENTRIES {
        return;
    }
    let now = Instant::now();
    entries.retain(|_, entry| entry.expires > now);
    for settling_too in [false, true] {
        // An eighth at once, so that this is not done for every payment of a flood.
        let most = MAX_ENTRIES - MAX_ENTRIES / 8;
        if entries.len() <= most {
            return;
        }
        let mut oldest: Vec<([u8; 32], Instant)> = entries
            .iter()
            .filter(|(_, entry)| settling_too || matches!(entry.stage, AffinityStage::Verified))
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
        assert_eq!(affinities.members_for(&ONE), SettleAt::Any);
        affinities.verified(ONE, 1, KEEP);
        assert_eq!(affinities.members_for(&ONE), SettleAt::Preferably(1));
        assert!(affinities.begin(ONE, 0, KEEP), "a verification binds no payment");
        assert_eq!(affinities.members_for(&ONE), SettleAt::Only(0));
        affinities.sent(&ONE);
        affinities.verified(ONE, 1, KEEP);
        assert_eq!(affinities.members_for(&ONE), SettleAt::Only(0));
        assert!(!affinities.begin(ONE, 1, KEEP));
        assert!(affinities.begin(ONE, 0, KEEP), "the same member may be asked again");
        assert!(!affinities.not_sent(&ONE), "an earlier call may have arrived");
        assert_eq!(affinities.members_for(&ONE), SettleAt::Only(0));
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
        for number in 0..2 * MAX_ENTRIES as u64 {
            let mut payment = [0; 32];
            payment[..8].copy_from_slice(&number.to_be_bytes());
            affinities.verified(payment, 0, KEEP);
        }
        assert!(affinities.entries.lock().len() <= MAX_ENTRIES);
        assert_eq!(affinities.members_for(&ONE), SettleAt::Only(1));
    }
}
