//! Writes lines of guests to the operator's log.

use std::sync::Arc;

use super::LogStream;
use crate::output::GuestOutput;

/// The place where lines are written. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum LogWriter {
    /// The lines that are kept of the plugin, and the log of the host as far as its level admits them.
    Host(Arc<GuestOutput>),
    /// A channel, for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    Channel(std::sync::mpsc::Sender<String>),
}

impl LogWriter {
    pub(super) fn write(&self, plugin: &str, stream: LogStream, line: &str) {
        match (self, stream) {
            #[cfg(any(test, feature = "fuzzing"))]
            (Self::Channel(lines), _) => lines.send(line.to_owned()).unwrap_or_default(),
            (Self::Host(output), LogStream::Stdout) => {
                if output.keep(plugin, false, line) {
                    tracing::info!(target: "coinslot::guest", plugin, "{line}");
                }
            }
            (Self::Host(output), LogStream::Stderr) => {
                if output.keep(plugin, true, line) {
                    tracing::warn!(target: "coinslot::guest", plugin, "{line}");
                }
            }
        }
    }

    /// A writer whose lines go to a channel, for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn to_channel() -> (Self, std::sync::mpsc::Receiver<String>) {
        let (sender, lines) = std::sync::mpsc::channel();
        (Self::Channel(sender), lines)
    }
}
