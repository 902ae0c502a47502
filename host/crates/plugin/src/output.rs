//! Keeps the last lines that each plugin has printed, and which of its lines get into the log of the host.
//!
//! The lines are kept whatever the log shows, so that an operator who looks for the reason of a fault finds them. Lines
//! and bytes of each plugin are bounded, and the oldest lines go first.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// The lines of one plugin that are kept, and their bytes.
const MOST_LINES: usize = 500;
const MOST_BYTES: usize = 128 << 10;

/// The bytes of a line that are kept.
const LINE: usize = 2_000;

/// The lines of a plugin that get into the log of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputLevel {
    /// None.
    Off,
    /// Those of stderr, and what the host has to say to the author.
    Warn,
    /// All.
    #[default]
    Info,
}

impl OutputLevel {
    pub const ALL: [Self; 3] = [Self::Off, Self::Warn, Self::Info];

    /// Its name in the configuration, the API and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// A line that a plugin has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// Grows with each line of the plugin, from 1.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// True for stderr.
    pub is_warning: bool,
    /// Without control characters.
    pub text: String,
}

/// The output of all plugins, by name: it outlives their builds.
#[derive(Debug, Default)]
pub struct GuestOutput {
    by_name: Mutex<BTreeMap<String, PluginOutput>>,
}

#[derive(Debug, Default)]
struct PluginOutput {
    lines: VecDeque<OutputLine>,
    bytes: usize,
    last: u64,
    /// The level of the configuration.
    configured: OutputLevel,
    /// The level that an operator has set since, and its end. None: until a restart.
    chosen: Option<(OutputLevel, Option<Instant>)>,
}

impl GuestOutput {
    /// Takes over the levels of the configuration, by the names of plugins. Others have the default.
    pub fn configure(&self, levels: &BTreeMap<String, OutputLevel>) {
        let mut by_name = self.by_name.lock();
        for (name, output) in &mut *by_name {
            output.configured = levels.get(name).copied().unwrap_or_default();
        }
        for (name, level) in levels {
            by_name.entry(name.clone()).or_default().configured = *level;
        }
    }

    /// Sets the level of a plugin, until a restart or for this time. Returns the one before.
    pub fn choose(&self, plugin: &str, level: OutputLevel, time: Option<Duration>) -> OutputLevel {
        let mut by_name = self.by_name.lock();
        let output = by_name.entry(plugin.to_owned()).or_default();
        let before = output.level();
        output.chosen = Some((level, time.and_then(|time| Instant::now().checked_add(time))));
        before
    }

    /// The level of a plugin now.
    pub fn level(&self, plugin: &str) -> OutputLevel {
        self.by_name.lock().get(plugin).map(PluginOutput::level).unwrap_or_default()
    }

    /// The kept lines of a plugin after this one, the oldest first.
    pub fn lines(&self, plugin: &str, after: u64) -> Vec<OutputLine> {
        let by_name = self.by_name.lock();
        let lines = by_name.get(plugin).into_iter().flat_map(|output| &output.lines);
        lines.filter(|line| line.number > after).cloned().collect()
    }

    /// Keeps a line. Returns whether it gets into the log of the host.
    pub(crate) fn keep(&self, plugin: &str, is_warning: bool, text: &str) -> bool {
        #[expect(clippy::disallowed_methods, reason = "a line says when it was printed")]
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let mut by_name = self.by_name.lock();
        if !by_name.contains_key(plugin) {
            by_name.insert(plugin.to_owned(), PluginOutput::default());
        }
        let Some(output) = by_name.get_mut(plugin) else { return true };
        output.last += 1;
        let mut text = coinslot_base::text::bounded(text.to_owned(), LINE);
        // What is cut off would be kept all the same.
        text.shrink_to_fit();
        output.bytes += text.len();
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        output.lines.push_back(OutputLine { number: output.last, at, is_warning, text });
        while output.lines.len() > MOST_LINES || output.bytes > MOST_BYTES {
            let Some(oldest) = output.lines.pop_front() else { break };
            output.bytes -= oldest.text.len();
        }
        let least = if is_warning { OutputLevel::Warn } else { OutputLevel::Info };
        output.level() >= least
    }
}

impl PluginOutput {
    fn level(&self) -> OutputLevel {
        match self.chosen {
            Some((level, None)) => level,
            Some((level, Some(end))) if Instant::now() < end => level,
            Some(_) | None => self.configured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_within_their_bounds_whatever_the_level() {
        let output = GuestOutput::default();
        output.choose("p", OutputLevel::Off, None);
        for number in 1..=MOST_LINES + 10 {
            assert!(!output.keep("p", true, &number.to_string()));
        }
        let kept = output.lines("p", 0);
        assert_eq!((kept.len(), &*kept[0].text, kept[0].number), (MOST_LINES, "11", 11));
        assert_eq!(output.lines("p", 508).into_iter().map(|line| line.text).collect::<Vec<_>>(), ["509", "510"]);
        for _ in 0..MOST_LINES {
            output.keep("p", false, &"x".repeat(LINE * 2));
        }
        let bytes: usize = output.lines("p", 0).iter().map(|line| line.text.len()).sum();
        assert!(bytes <= MOST_BYTES && bytes > MOST_BYTES / 2, "{bytes}");
        assert_eq!(output.lines("other", 0), []);
    }

    #[test]
    fn a_chosen_level_holds_for_its_time_and_then_the_configured_one_again() {
        let output = GuestOutput::default();
        output.configure(&BTreeMap::from([("p".to_owned(), OutputLevel::Warn)]));
        assert!(output.keep("p", true, "a") && !output.keep("p", false, "a") && output.keep("q", false, "a"));
        assert_eq!(output.choose("p", OutputLevel::Info, Some(Duration::ZERO)), OutputLevel::Warn);
        assert_eq!(output.level("p"), OutputLevel::Warn, "its time is over");
        output.choose("p", OutputLevel::Off, Some(Duration::from_secs(600)));
        assert!(!output.keep("p", true, "a"));
        output.configure(&BTreeMap::new());
        assert_eq!(output.level("p"), OutputLevel::Off, "a reload leaves what an operator has chosen");
    }
}
