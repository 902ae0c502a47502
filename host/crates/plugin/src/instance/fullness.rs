//! Tells whether a paid request would find an instance of its plugin in time, before anybody pays for it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::instance::permits::Room;

/// The pause between two lines of the log that say that requests were refused.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The time for which paid requests of one plugin have been waiting for an instance.
///
/// Nothing is counted or reserved here: a request that is verified elsewhere meanwhile holds no instance, and how long
/// guests will run is not known. What is known is the latest time of which a request would still be waiting now. It
/// begins when somebody looks and finds no room, and moves on with each request that is served.
#[derive(Debug)]
pub(crate) struct Fullness {
    /// The wait from which on the plugin counts as full.
    most: Duration,
    /// Instances of the plugin at once, for the log.
    instances: usize,
    state: Mutex<FullnessState>,
}

#[derive(Debug, Default)]
struct FullnessState {
    full: Option<FullSince>,
    /// Requests that were refused and not reported.
    refused: u64,
    reported: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct FullSince {
    /// A request that came at this time would still be waiting.
    since: Instant,
    /// The last look. Nothing is known of the time between two looks that are far from each other.
    seen: Instant,
}

impl Fullness {
    /// For requests that wait at most this long for an instance. A plugin is full when half of it does not suffice: the
    /// other half is left to clients who were told a price already. The plugin has at most so many `instances`.
    pub(crate) fn new(wait: Duration, instances: usize) -> Self {
        Self { most: wait / 2, instances, state: Mutex::default() }
    }

    /// Takes note of a look, which has found this room. Returns whether the plugin is full.
    pub(crate) fn look(&self, room: Room, now: Instant) -> bool {
        let mut state = self.state.lock();
        let served = match room {
            Room::Free => {
                state.full = None;
                return false;
            }
            Room::Taken => None,
            Room::TakenByOthers(freed) => Some(freed),
        };
        let known = state.full.filter(|full| now.saturating_duration_since(full.seen) <= 2 * self.most);
        let since = known.map_or(now, |full| served.map_or(full.since, |served| full.since.max(served)));
        state.full = Some(FullSince { since, seen: now });
        now.saturating_duration_since(since) >= self.most
    }

    /// Takes note that paid requests that came until this time have an instance now, or would have one.
    pub(crate) fn served(&self, came: Instant) {
        if let Some(full) = &mut self.state.lock().full {
            full.since = full.since.max(came);
        }
    }

    /// Counts a request that was refused for want of an instance, and says so in the log now and then.
    pub(crate) fn refused(&self, plugin: &str) {
        let mut state = self.state.lock();
        state.refused += 1;
        if state.reported.is_some_and(|reported| reported.elapsed() < SAY_EVERY) {
            return;
        }
        state.reported = Some(Instant::now());
        let requests = std::mem::take(&mut state.refused);
        drop(state);
        let most = self.instances;
        tracing::warn!(
            plugin,
            requests,
            "refused: no instance was free in time; `limits.max_instances_per_plugin` is {most} for this plugin, and \
             `limits.max_instances` is for all together"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_full_when_a_request_would_have_waited_for_half_of_its_time() {
        let full = Fullness::new(Duration::from_secs(2), 4);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let look = |millis| full.look(Room::Taken, at(millis));
        assert!(!look(0) && !look(999) && look(1_000));
        // The queue moves: the next in it came later.
        full.served(at(600));
        assert!(!look(1_500) && look(1_600));
        // It does not move back.
        full.served(at(100));
        assert!(look(1_700));
        assert!(!full.look(Room::Free, at(1_800)) && !look(1_900));
        // Nobody looked for longer than a request waits.
        assert!(!look(5_000));
        // Others hold the permits, and give them back now and then.
        assert!(!full.look(Room::TakenByOthers(at(5_500)), at(6_400)));
        assert!(full.look(Room::TakenByOthers(at(5_500)), at(6_500)));
    }
}
