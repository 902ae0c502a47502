//! Writes lines of guests from a thread of its own.
//!
//! The log may be a pipe that its reader does not empty. A worker thread that waits for it would hold up every
//! connection of that thread, so guests only queue their lines.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::time::Duration;

use tracing::Dispatch;

use super::LogStream;

/// Lines that wait to be written. With the length of a line this bounds their memory to 8 MiB.
const QUEUE: usize = 1_024;
/// The longest wait for queued lines when the runtime ends.
const FLUSH: Duration = Duration::from_secs(1);

/// The queue of lines to be written. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter(SyncSender<LogEntry>);

#[derive(Debug)]
enum LogEntry {
    Line {
        plugin: Arc<str>,
        stream: LogStream,
        text: String,
        /// The subscriber of the thread that the guest runs on.
        dispatch: Dispatch,
    },
    /// Reports that every line before it has been written.
    Flush(Sender<()>),
}

impl LogWriter {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        std::thread::Builder::new().name("coinslot-log".into()).spawn(move || write_all(&entries))?;
        Ok(Self(queue))
    }

    /// Queues a line. False if the queue is full; the line is dropped then.
    pub(super) fn write(&self, plugin: &Arc<str>, stream: LogStream, text: String) -> bool {
        let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
        self.0.try_send(LogEntry::Line { plugin: Arc::clone(plugin), stream, text, dispatch }).is_ok()
    }

    /// Waits a moment for the lines that are queued.
    pub(super) fn flush(&self) {
        let (done, written) = std::sync::mpsc::channel();
        if self.0.try_send(LogEntry::Flush(done)).is_ok() {
            // Lines of a log that takes none are given up.
            let _ = written.recv_timeout(FLUSH);
        }
    }

    /// A writer whose lines go to a channel, for tests.
    #[cfg(test)]
    pub(crate) fn to_channel() -> (Self, TestLines) {
        let (queue, entries) = sync_channel(QUEUE);
        (Self(queue), TestLines(entries))
    }
}

fn write_all(entries: &Receiver<LogEntry>) {
    for entry in entries {
        match entry {
            LogEntry::Line { plugin, stream, text, dispatch } => {
                tracing::dispatcher::with_default(&dispatch, || write(&plugin, stream, &text));
            }
            LogEntry::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn write(plugin: &str, stream: LogStream, line: &str) {
    match stream {
        LogStream::Stdout => tracing::info!(target: "coinslot::guest", plugin, "{line}"),
        LogStream::Stderr => tracing::warn!(target: "coinslot::guest", plugin, "{line}"),
    }
}

/// The lines of a writer, for tests.
#[cfg(test)]
pub(crate) struct TestLines(Receiver<LogEntry>);

#[cfg(test)]
impl TestLines {
    /// The lines that are queued at the moment.
    pub(crate) fn try_iter(&self) -> impl Iterator<Item = String> {
        self.0.try_iter().filter_map(|entry| match entry {
            LogEntry::Line { text, .. } => Some(text),
            LogEntry::Flush(_) => None,
        })
    }
}
