//! Finds a connection whose client took longer than it may: it sends no request, or does not take its answer.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::{Activity, ticker};

/// The bytes that a client has to take within [`Timeouts::stalled`] while the host waits for it.
const LEAST_TAKEN: usize = 16 << 10;
/// The part of an answer that is held whole which a client has to take in that time, if it is more: one in this many. A
/// client that takes next to nothing would else hold a large answer for a day.
const LEAST_PART: usize = 10;
/// The bytes that a client has to take in that time at most, whatever the size of its answer: 1.6 KB a second. The
/// slowest links that people pay from are faster. Bytes are taken in steps, of 64 KB on some links, so that a client of
/// 3 KB a second takes two of them in some minutes.
const MOST_ASKED: usize = 96 << 10;

/// The times that a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Timeouts {
    /// From connecting to the headers of the first request, and from the first byte of a request to its last header.
    pub(in crate::server) headers: Duration,
    /// On HTTP/1, from an answer to the next request.
    pub(in crate::server) keep_alive: Duration,
    /// For taking the [`least_taken`] bytes of an answer that waits for the client.
    pub(in crate::server) stalled: Duration,
    /// On HTTP/2, from the end of the last answer to the next request.
    pub(in crate::server) unused: Duration,
}

/// The reason why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Overdue {
    /// No request came in time.
    Idle,
    /// The client does not take its answer.
    Stalled,
}

/// The bytes that a client has to take within [`Timeouts::stalled`] of an answer of this size that is held whole.
pub(in crate::server) const fn least_taken(answer: usize) -> usize {
    let part = answer / LEAST_PART;
    if part > MOST_ASKED {
        MOST_ASKED
    } else if part > LEAST_TAKEN {
        part
    } else {
        LEAST_TAKEN
    }
}

impl Activity {
    /// Returns when the client took longer than it may, counted from the last byte that was written to it. At most an
    /// eighth of the shortest time late.
    pub(in crate::server) async fn overdue(&self, timeouts: Timeouts) -> Overdue {
        let shortest = timeouts.headers.min(timeouts.keep_alive).min(timeouts.stalled);
        let mut ticks = ticker(shortest);
        let mut check = Check::new(Instant::now());
        loop {
            ticks.tick().await;
            if let Some(overdue) = check.look(self, timeouts, Instant::now()) {
                return overdue;
            }
        }
    }
}

/// The state between two checks of a connection.
#[derive(Debug)]
struct Check {
    /// The beginning of the time in which a request has to come.
    idle_since: Instant,
    was_reading: bool,
    was_leaving: bool,
    /// The beginning of a time in which a write waited at each check, and the bytes that were taken since.
    stalled_since: Option<(Instant, usize)>,
}

impl Check {
    const fn new(now: Instant) -> Self {
        Self { idle_since: now, was_reading: false, was_leaving: false, stalled_since: None }
    }

    fn look(&mut self, activity: &Activity, timeouts: Timeouts, now: Instant) -> Option<Overdue> {
        if self.is_stalled(activity, timeouts.stalled, now) {
            return Some(Overdue::Stalled);
        }
        self.is_idle(activity, timeouts, now).then_some(Overdue::Idle)
    }

    fn is_stalled(&mut self, activity: &Activity, timeout: Duration, now: Instant) -> bool {
        let written = activity.written.swap(0, Relaxed);
        if !activity.blocked.load(Relaxed) {
            self.stalled_since = None;
            return false;
        }
        let (since, taken) = self.stalled_since.map_or((now, 0), |(since, taken)| (since, taken + written));
        let least = least_taken(activity.answer.load(Relaxed));
        let (is_over, is_enough) = (now - since >= timeout, taken >= least);
        self.stalled_since = Some(if is_over { (now, 0) } else { (since, taken) });
        is_over && !is_enough
    }

    fn is_idle(&mut self, activity: &Activity, timeouts: Timeouts, now: Instant) -> bool {
        let served = activity.served.load(Relaxed);
        let active = activity.active.swap(false, Relaxed) && served;
        let leaving = activity.leaving.load(Relaxed);
        let multiplexed = activity.multiplexed.load(Relaxed);
        let reading = activity.reading.load(Relaxed) && served && !multiplexed;
        let begins = (reading && !self.was_reading) || (leaving && !self.was_leaving);
        (self.was_reading, self.was_leaving) = (reading, leaving);
        // A connection that is told to end writes on: it answers pings.
        let is_alive = if multiplexed { !leaving } else { active && !reading };
        if activity.in_flight.load(Relaxed) > 0 || begins || is_alive {
            self.idle_since = now;
        }
        let limit = if served && !reading && !leaving { timeouts.keep_alive } else { timeouts.headers };
        now - self.idle_since >= limit
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const TIMES: Timeouts = Timeouts {
        headers: Duration::from_secs(30),
        keep_alive: Duration::from_secs(75),
        stalled: Duration::from_secs(60),
        unused: Duration::from_secs(300),
    };

    /// Checks once a second from second 1 on, after `each`. Returns the second at which the connection is overdue.
    fn ends(activity: &Activity, seconds: u64, each: impl Fn(u64)) -> Option<(u64, Overdue)> {
        let start = Instant::now();
        let mut check = Check::new(start);
        (1..=seconds).find_map(|second| {
            each(second);
            let overdue = check.look(activity, TIMES, start + Duration::from_secs(second));
            overdue.map(|overdue| (second, overdue))
        })
    }

    #[test]
    fn a_connection_waits_longer_for_the_next_request_than_for_headers() {
        assert_eq!(ends(&Activity::default(), 100, |_| ()), Some((30, Overdue::Idle)), "no request came");
        let kept = Activity::default();
        kept.request(false);
        kept.answered();
        assert_eq!(ends(&kept, 100, |_| ()), Some((76, Overdue::Idle)), "none came after the first");
        let slow = Activity::default();
        slow.request(false);
        slow.answered();
        let drips = ends(&slow, 100, |second| {
            if second >= 40 {
                slow.read()
            }
        });
        assert_eq!(drips, Some((70, Overdue::Idle)), "the next one began, and its headers do not end");
    }

    #[test]
    fn an_http_2_connection_without_a_request_is_idle_whatever_it_writes() {
        let pinging = Activity::default();
        assert_eq!(ends(&pinging, 100, |_| pinging.wrote(17)), Some((30, Overdue::Idle)));
        let served = Activity::default();
        served.request(true);
        assert_eq!(ends(&served, 1_000, |_| served.wrote(17)), None);
        served.leaving.store(true, Relaxed);
        assert_eq!(ends(&served, 100, |_| served.wrote(17)), Some((31, Overdue::Idle)), "it was told to go");
    }

    #[test]
    fn a_reader_that_takes_nothing_or_next_to_nothing_is_overdue_while_its_answer_is_made() {
        let activity = Arc::new(Activity::default());
        activity.request(false);
        let _work = activity.begin();
        assert_eq!(ends(&activity, 1_000, |_| ()), None, "the plugin takes its time, not the client");
        activity.write_waits();
        assert_eq!(ends(&activity, 1_000, |_| ()), Some((61, Overdue::Stalled)));
        let drip = |bytes| {
            let activity = &activity;
            move |_| {
                activity.wrote(bytes);
                activity.write_waits();
            }
        };
        assert_eq!(ends(&activity, 1_000, drip(1)), Some((61, Overdue::Stalled)));
        assert_eq!(ends(&activity, 1_000, drip(300)), None, "a slow reader is served");
        activity.answer_of(10 << 20);
        assert_eq!(ends(&activity, 1_000, drip(300)), Some((61, Overdue::Stalled)), "not for hours");
        assert_eq!(ends(&activity, 1_000, drip(2_200)), None, "on a slow link an answer of ten megabytes arrives");
        activity.answer_of(1 << 30);
        assert_eq!(ends(&activity, 1_000, drip(2_200)), None, "and any other");
    }
}
