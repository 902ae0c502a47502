//! Writes the output of guests to the operator's log, line by line and with the plugin's name.
//!
//! The length of a line and the bytes of one request are bounded, and control characters are replaced: a guest can
//! neither flood the log nor forge lines in it.

use std::sync::Arc;

use coinslot_base::text::printable;

/// The longest line, in bytes. A longer one is broken.
const LINE: usize = 8 << 10;
/// The stream of a line. Lines of stderr are warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStream {
    Stdout,
    Stderr,
}

/// The log of one guest: its unfinished lines, and the bytes that it may still print.
#[derive(Debug)]
pub(crate) struct GuestLog {
    plugin: Arc<str>,
    /// Bytes that one request may print, both streams together.
    limit: usize,
    left: usize,
    /// Set once the warning about dropped output has been written.
    full: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl GuestLog {
    pub(crate) fn new(plugin: Arc<str>, limit: usize) -> Self {
        Self { plugin, limit, left: limit, full: false, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Adds the share of a request that has come into the instance, which has this many now.
    pub(crate) fn grant(&mut self, inside: usize) {
        self.left = self.left.saturating_add(self.limit).min(self.limit.saturating_mul(inside));
        self.full = false;
    }

    pub(crate) fn plugin(&self) -> &str {
        &self.plugin
    }

    pub(crate) fn write(&mut self, stream: LogStream, bytes: &[u8]) {
        let kept = &bytes[..bytes.len().min(self.left)];
        self.left -= kept.len();
        for piece in kept.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for chunk in text.chunks(LINE) {
                if self.line(stream).len() + chunk.len() > LINE {
                    self.emit(stream);
                }
                self.line(stream).extend_from_slice(chunk);
            }
            if ended {
                self.emit(stream);
            }
        }
        if kept.len() < bytes.len() && !self.full {
            self.full = true;
            tracing::warn!(
                target: "coinslot::guest",
                plugin = &*self.plugin,
                "it printed more than {} bytes while handling one request; the rest is dropped",
                self.limit
            );
        }
    }

    fn line(&mut self, stream: LogStream) -> &mut Vec<u8> {
        match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        }
    }

    fn emit(&mut self, stream: LogStream) {
        let line = std::mem::take(self.line(stream));
        let line = printable(&String::from_utf8_lossy(&line));
        let plugin = &*self.plugin;
        match stream {
            LogStream::Stdout => tracing::info!(target: "coinslot::guest", plugin, "{line}"),
            LogStream::Stderr => tracing::warn!(target: "coinslot::guest", plugin, "{line}"),
        }
    }

    /// Writes the unfinished lines. The last line often lacks its newline, above all when the guest trapped.
    pub(crate) fn finish(&mut self) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            if !self.line(stream).is_empty() {
                self.emit(stream);
            }
        }
    }
}

impl Drop for GuestLog {
    fn drop(&mut self) {
        self.finish();
    }
}
