//! Tells whether a paid request would find an instance of its plugin in time, before anybody pays for it.

use std::sync::Arc;
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
    state: Mutex<FullnessState>,
    refusals: Arc<Refusals>,
}

/// The requests of a plugin that were refused for want of an instance, for the log.
#[derive(Debug)]
struct Refusals {
    /// Instances of the plugin at once.
    instances: usize,
    /// The time between two lines.
    pause: Duration,
    state: Mutex<RefusalsState>,
}

#[derive(Debug, Default)]
struct RefusalsState {
    /// Requests that no line tells yet.
    untold: u64,
    /// A task counts them, and tells how many there were in a pause.
    is_counting: bool,
}

#[derive(Debug, Default)]
struct FullnessState {
    full: Option<FullSince>,
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
        let refusals = Arc::new(Refusals { instances, pause: SAY_EVERY, state: Mutex::default() });
        Self { most: wait / 2, state: Mutex::default(), refusals }
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

    /// Counts a request that was refused for want of an instance. The first one is in the log at once, and then a line for
    /// each [`SAY_EVERY`] tells how many there were in it, the last ones too.
    pub(crate) fn refused(&self, plugin: &Arc<str>) {
        let mut state = self.refusals.state.lock();
        state.untold += 1;
        if state.is_counting {
            return;
        }
        state.is_counting = true;
        drop(state);
        self.refusals.tell(plugin);
        let (refusals, plugin) = (Arc::clone(&self.refusals), Arc::clone(plugin));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(refusals.pause).await;
                if !refusals.tell(&plugin) {
                    break;
                }
            }
        });
    }
}

impl Refusals {
    /// Logs how many requests were refused since the last line. False if there was none: then nothing counts any more.
    fn tell(&self, plugin: &str) -> bool {
        let mut state = self.state.lock();
        let requests = std::mem::take(&mut state.untold);
        state.is_counting = requests > 0;
        drop(state);
        if requests > 0 {
            let most = self.instances;
            tracing::warn!(
                plugin,
                requests,
                "refused: no instance was free in time; `limits.max_instances_per_plugin` is {most} for this plugin, \
                 `limits.max_memory_per_plugin` bounds their memory, and `limits.max_instances` is for all together"
            );
        }
        requests > 0
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

    /// The number of refused requests was in the log with the next one that came after the pause: hours late, or never.
    #[tokio::test]
    async fn the_refused_requests_are_told_when_the_pause_is_over_and_not_with_the_next_one() {
        let pause = Duration::from_millis(200);
        let refusals = Arc::new(Refusals { instances: 4, pause, state: Mutex::default() });
        let (mut full, plugin) = (Fullness::new(Duration::from_secs(2), 4), Arc::from("shop"));
        full.refusals = Arc::clone(&refusals);
        full.refused(&plugin);
        assert_eq!(refusals.state.lock().untold, 0, "the first one is told at once");
        (0..56).for_each(|_| full.refused(&plugin));
        assert_eq!(refusals.state.lock().untold, 56);
        // After another pause without a refused request nothing counts any more.
        let told = async {
            while refusals.state.lock().is_counting {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("no task is left");
        assert_eq!(refusals.state.lock().untold, 0);
    }
}
