//! Keeps how long the last answers of an endpoint took, so that buyers can be told how long one takes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The answers that are kept.
const MOST: usize = 128;

/// The age from which on an answer says nothing any more.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// The durations of the last answers.
#[derive(Debug, Default)]
pub struct RecentDurations(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    /// When each answer ended, and how long it took.
    all: Vec<(Instant, Duration)>,
    /// The place of the next answer, once there are [`MOST`].
    next: usize,
}

impl RecentDurations {
    /// Adds an answer that has just ended.
    pub fn add(&self, took: Duration) {
        self.add_at(Instant::now(), took);
    }

    /// The median of the last minutes. None: there was no answer.
    pub fn median(&self) -> Option<Duration> {
        self.median_at(Instant::now())
    }

    fn add_at(&self, now: Instant, took: Duration) {
        let mut answers = self.0.lock();
        let Answers { all, next } = &mut *answers;
        if all.len() < MOST {
            all.push((now, took));
        } else {
            all[*next] = (now, took);
            *next = (*next + 1) % MOST;
        }
    }

    fn median_at(&self, now: Instant) -> Option<Duration> {
        let answers = self.0.lock();
        let recent = answers.all.iter().filter(|(ended, _)| now.saturating_duration_since(*ended) < LONGEST);
        let mut durations: Vec<Duration> = recent.map(|(_, took)| *took).collect();
        drop(answers);
        durations.sort_unstable();
        durations.get(durations.len().checked_sub(1)? / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_last_answers_of_the_last_minutes() {
        let (durations, begun) = (RecentDurations::default(), Instant::now());
        assert_eq!(durations.median_at(begun), None);
        let seconds = Duration::from_secs;
        for (at, took) in [(0, 100), (300, 1), (301, 3), (302, 2)] {
            durations.add_at(begun + seconds(at), seconds(took));
        }
        assert_eq!(durations.median_at(begun + seconds(302)), Some(seconds(2)));
        assert_eq!(durations.median_at(begun + seconds(700)), Some(seconds(2)), "the first is forgotten");
        assert_eq!(durations.median_at(begun + seconds(1_000)), None);
        for _ in 0..1_000 {
            durations.add_at(begun + seconds(400), seconds(7));
        }
        assert_eq!(durations.0.lock().all.len(), MOST);
        assert_eq!(durations.median_at(begun + seconds(401)), Some(seconds(7)));
    }
}
