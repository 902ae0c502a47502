//! Bounds the lines of one plugin over time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use coinslot_base::text::printable;
use parking_lot::Mutex;

use super::writer::LogWriter;
use super::{LINE_COST, LogStream};
use crate::output::GuestOutput;

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Seconds of a plugin's rate that it may print at once after a silence.
const BURST: usize = 16;

/// The logs of all plugins.
#[derive(Debug)]
pub(crate) struct PluginLogs {
    writer: LogWriter,
    open: Mutex<HashMap<String, Weak<PluginLog>>>,
}

impl PluginLogs {
    pub(crate) fn new(output: Arc<GuestOutput>) -> Self {
        Self { writer: LogWriter::Host(output), open: Mutex::default() }
    }

    /// The log of the plugin of this name, the same for all of its generations as long as the rate is the same.
    pub(crate) fn of(&self, plugin: &str, rate: usize) -> Arc<PluginLog> {
        let mut open = self.open.lock();
        open.retain(|_, log| log.strong_count() > 0);
        if let Some(log) = open.get(plugin).and_then(Weak::upgrade).filter(|log| log.rate == rate) {
            return log;
        }
        let log = PluginLog::new(plugin.into(), rate, self.writer.clone());
        open.insert(plugin.to_owned(), Arc::downgrade(&log));
        log
    }
}

/// The log of one plugin, which all of its guests share.
#[derive(Debug)]
pub(crate) struct PluginLog {
    plugin: Arc<str>,
    /// Bytes in a second.
    rate: usize,
    budget: Mutex<LogBudget>,
    writer: LogWriter,
}

/// The bytes that a plugin may print now.
#[derive(Debug)]
struct LogBudget {
    left: usize,
    /// The time up to which `left` has been filled up.
    filled: Instant,
    /// Lines that were dropped and not reported.
    dropped: u64,
}

impl PluginLog {
    /// The log of a plugin that may print this many bytes in a second, on average.
    pub(crate) fn new(plugin: Arc<str>, rate: usize, writer: LogWriter) -> Arc<Self> {
        let budget = LogBudget { left: rate.saturating_mul(BURST), filled: Instant::now(), dropped: 0 };
        Arc::new(Self { plugin, rate, budget: Mutex::new(budget), writer })
    }

    pub(crate) fn name(&self) -> &str {
        &self.plugin
    }

    /// Writes what the host has to say to the author, as a warning. It counts as the plugin's own output, so that a
    /// guest cannot fill the log with it.
    pub(crate) fn remark(&self, text: &str) {
        self.line(LogStream::Stderr, printable(text));
    }

    /// Writes a line, or drops it and counts it. The first line of a series that is dropped, and the number of
    /// lines in it, are reported.
    pub(super) fn line(&self, stream: LogStream, text: String) {
        let mut budget = self.budget.lock();
        budget.fill(Instant::now(), self.rate);
        if !budget.take(text.len().max(LINE_COST)) {
            budget.dropped += 1;
            if budget.dropped == 1 {
                let report = format!(
                    "it prints more than {} bytes in a second, its `limits.log_rate`: lines are dropped",
                    self.rate
                );
                self.writer.write(&self.plugin, LogStream::Stderr, &report);
            }
            return;
        }
        let dropped = std::mem::take(&mut budget.dropped);
        drop(budget);
        self.report(dropped);
        self.writer.write(&self.plugin, stream, &text);
    }

    /// Writes how many lines were dropped.
    fn report(&self, dropped: u64) {
        if dropped > 0 {
            let were = if dropped == 1 { "line of its output was" } else { "lines of its output were" };
            let report = format!("{dropped} {were} dropped");
            self.writer.write(&self.plugin, LogStream::Stderr, &report);
        }
    }
}

impl Drop for PluginLog {
    fn drop(&mut self) {
        let dropped = self.budget.get_mut().dropped;
        self.report(dropped);
    }
}

impl LogBudget {
    /// Adds the bytes of the time since the last call.
    fn fill(&mut self, now: Instant, rate: usize) {
        let most = rate.saturating_mul(BURST);
        if self.left >= most {
            self.filled = now;
            return;
        }
        let elapsed = now.saturating_duration_since(self.filled);
        let added = elapsed.as_nanos().saturating_mul(rate as u128) / SECOND;
        if added >= (most - self.left) as u128 {
            (self.left, self.filled) = (most, now);
            return;
        }
        // The rest of a byte is not lost: only the time is used up that the added bytes stand for. A plugin that prints
        // every few milliseconds would otherwise have a part of its rate.
        let used = (added * SECOND).div_ceil((rate as u128).max(1));
        self.left += usize::try_from(added).unwrap_or(usize::MAX);
        self.filled += Duration::from_nanos(u64::try_from(used).unwrap_or(u64::MAX));
    }

    fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plugin that printed steadily had about half of its rate: parts of a millisecond were lost at each line.
    #[test]
    fn a_plugin_that_prints_steadily_has_all_of_its_rate() {
        let begun = Instant::now();
        let rate = 100_000;
        for pause in [Duration::from_micros(1_900), Duration::from_micros(700), Duration::from_nanos(10_001)] {
            let mut budget = LogBudget { left: 0, filled: begun, dropped: 0 };
            let (mut now, mut printed) = (begun, 0);
            while now < begun + Duration::from_secs(2) {
                now += pause;
                budget.fill(now, rate);
                printed += std::mem::take(&mut budget.left);
            }
            assert!((199_990..=200_200).contains(&printed), "{pause:?}: {printed}");
        }
    }

    #[test]
    fn a_plugin_prints_a_bounded_amount_over_time_and_the_rest_is_counted() {
        let (writer, lines) = LogWriter::to_channel();
        // Slow enough that nothing is added while this test runs.
        let log = PluginLog::new("p".into(), 1, writer);
        log.budget.lock().left = 3 * LINE_COST;
        for number in 0..8 {
            log.line(LogStream::Stdout, number.to_string());
        }
        let said = "it prints more than 1 bytes in a second, its `limits.log_rate`: lines are dropped";
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["0", "1", "2", said]);
        log.budget.lock().left = LINE_COST;
        log.line(LogStream::Stdout, "8".to_owned());
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["5 lines of its output were dropped", "8"]);
    }
}
