//! Remembers what the requests to a node showed of its health: that it answers, and that its chain moves.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The start of `web3_clientVersion` of every embedded chain of `coinslot dev`.
pub(crate) const DEVNET_CLIENT: &str = "coinslot-devnet/";

/// Requests without an answer in a row that count as trouble, if they have gone on for [`NO_ANSWER_FOR`].
const NO_ANSWERS: u32 = 3;
const NO_ANSWER_FOR: Duration = Duration::from_secs(2);

/// The reason for which a chain cannot be used at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainTrouble {
    #[error("the node has not answered for {} seconds", .since.as_secs())]
    NoAnswer { since: Duration },
    #[error("the chain has made no block for {} seconds", .since.as_secs())]
    StandsStill { since: Duration },
}

/// The health of one node, as its answers show it.
#[derive(Debug)]
pub(crate) struct NodeHealth {
    /// The age of the newest block at which the chain counts as standing still.
    max_head_age: Option<Duration>,
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    no_answers: u32,
    no_answer_since: Option<Instant>,
    head: Option<HeadSeen>,
}

#[derive(Clone, Copy, Debug)]
struct HeadSeen {
    number: u64,
    /// The time at which this block was first seen.
    since: Instant,
    /// Its age at that time, by its own clock, if it was made before this process was there.
    age: Duration,
    read: Instant,
}

impl NodeHealth {
    pub(crate) fn new(max_head_age: Option<Duration>) -> Self {
        Self { max_head_age, state: Mutex::default() }
    }

    pub(crate) fn answered(&self) {
        let mut state = self.state.lock();
        state.no_answers = 0;
        state.no_answer_since = None;
    }

    pub(crate) fn did_not_answer(&self, now: Instant) {
        let mut state = self.state.lock();
        state.no_answers = state.no_answers.saturating_add(1);
        state.no_answer_since.get_or_insert(now);
    }

    /// Takes note of the number of the newest block, and of its time in Unix seconds if that was read. A node behind a
    /// balancer may show an older block than the node before: the newest counts.
    pub(crate) fn saw_head(&self, number: u64, time: Option<u64>, now: Instant) {
        let mut state = self.state.lock();
        match &mut state.head {
            Some(head) if number > head.number => {
                *head = HeadSeen { number, since: now, age: Duration::ZERO, read: now };
            }
            Some(head) => head.read = now,
            // The age by the block's own time shows a chain that stood still before this process began. Later the time
            // since the last new block is measured by our clock alone, which may differ from the chain's.
            None => {
                let age = time.and_then(age_of).unwrap_or_default();
                state.head = Some(HeadSeen { number, since: now, age, read: now });
            }
        }
    }

    /// The time since the newest block was last read. None if it never was.
    pub(crate) fn head_read(&self, now: Instant) -> Option<Duration> {
        self.state.lock().head.map(|head| now.saturating_duration_since(head.read))
    }

    pub(crate) fn trouble(&self, now: Instant) -> Option<ChainTrouble> {
        let state = self.state.lock();
        let silent = state.no_answer_since.map(|since| now.saturating_duration_since(since));
        if let Some(since) = silent.filter(|since| state.no_answers >= NO_ANSWERS && *since >= NO_ANSWER_FOR) {
            return Some(ChainTrouble::NoAnswer { since });
        }
        // Only the time until the last reading counts: a head that was not read again says nothing.
        let still = state.head.map(|head| head.read.saturating_duration_since(head.since) + head.age);
        still
            .zip(self.max_head_age)
            .filter(|(since, most)| since > most)
            .map(|(since, _)| ChainTrouble::StandsStill { since })
    }
}

#[expect(clippy::disallowed_methods, reason = "a block's time is a time of the calendar")]
fn age_of(time: u64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    now.checked_sub(Duration::from_secs(time))
}

/// The age of the newest block at which a chain counts as standing still: twenty block times or more. None for chains
/// that are not known, and may make blocks only when there are transactions.
pub(crate) const fn max_head_age(chain_id: u64) -> Option<Duration> {
    match chain_id {
        // Ethereum, Sepolia, Hoodi: 12 seconds.
        1 | 11_155_111 | 560_048 => Some(Duration::from_secs(300)),
        // Gnosis, Chiado: 5 seconds. Arbitrum One, Nova and Sepolia, Avalanche C-Chain and Fuji: when there are
        // transactions, which on these is several times in a second.
        100 | 10_200 | 42_161 | 42_170 | 421_614 | 43_114 | 43_113 => Some(Duration::from_secs(180)),
        // Base, Optimism and their testnets, Polygon PoS, Amoy: 2 seconds. BNB Smart Chain, its testnet, Celo: less.
        8_453 | 84_532 | 10 | 11_155_420 | 137 | 80_002 | 56 | 97 | 42_220 => Some(Duration::from_secs(90)),
        _ => None,
    }
}

/// True for nodes whose chain makes a block when there is a transaction, and stands still otherwise: the embedded
/// chain, and the development chains of other projects, which may have a real chain's id.
pub(crate) fn makes_blocks_on_demand(client_version: &str) -> bool {
    [DEVNET_CLIENT, "anvil/", "HardhatNetwork/"].iter().any(|client| client_version.starts_with(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_does_not_answer_and_a_chain_that_stands_still_are_trouble_until_they_recover() {
        let health = NodeHealth::new(Some(Duration::from_secs(90)));
        let mut now = Instant::now();
        assert_eq!(health.trouble(now), None, "nothing is known yet");
        for _ in 0..NO_ANSWERS {
            health.did_not_answer(now);
        }
        assert_eq!(health.trouble(now), None, "one moment");
        now += NO_ANSWER_FOR;
        assert!(matches!(health.trouble(now), Some(ChainTrouble::NoAnswer { .. })));
        health.answered();
        assert_eq!(health.trouble(now), None);

        health.saw_head(7, None, now);
        now += Duration::from_secs(300);
        assert_eq!(health.trouble(now), None, "the chain was not looked at since");
        health.saw_head(6, None, now);
        assert!(matches!(health.trouble(now), Some(ChainTrouble::StandsStill { .. })), "an older block is no news");
        health.saw_head(8, None, now);
        assert_eq!(health.trouble(now), None);
    }

    #[test]
    fn a_chain_that_stood_still_before_the_start_is_trouble_at_once() {
        let health = NodeHealth::new(Some(Duration::from_secs(90)));
        let hour_ago = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() - 3_600;
        let now = Instant::now();
        health.saw_head(7, Some(hour_ago), now);
        assert!(
            matches!(health.trouble(now), Some(ChainTrouble::StandsStill { .. })),
            "however long this machine is up"
        );
    }
}
