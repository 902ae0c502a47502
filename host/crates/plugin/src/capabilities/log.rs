//! Writes the output of guests to the operator's log, line by line and with the plugin's name.
//!
//! The length of a line, the output of one request and the output of one plugin over time are bounded, and control
//! characters are replaced: a guest can neither flood the log nor forge lines in it. An empty line costs as much as a
//! line of [`LINE_COST`] bytes. Lines that are dropped are counted, and the log says how many.

mod rate;
mod writer;

use std::sync::Arc;

use coinslot_base::request_id::RequestId;
use coinslot_base::text::{excerpt, printable};

pub(crate) use self::rate::{PluginLog, PluginLogs};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::writer::LogWriter;

/// The longest line, in bytes. A longer one is broken.
const LINE: usize = 8 << 10;
/// Bytes that a line counts for at least: the log writes about as much beside the text.
const LINE_COST: usize = 128;

/// The most characters of a panic's message that are kept.
const PANIC: usize = 200;

/// The stream of a line. Lines of stderr are warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStream {
    Stdout,
    Stderr,
}

/// The log of one guest: its unfinished lines, and the bytes that it may still print.
#[derive(Debug)]
pub(crate) struct GuestLog {
    plugin: Arc<PluginLog>,
    /// The request that the guest handles. None in an instance of several: it is not known which of them prints.
    request: Option<RequestId>,
    /// Bytes that one request may print, both streams together.
    limit: usize,
    left: usize,
    /// Lines that were dropped because nothing was left, and not reported.
    dropped: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    panic: Option<Panic>,
}

/// A panic of a Rust guest, as its runtime prints it before the trap: `thread 'main' panicked at src/lib.rs:1:2:`, and
/// the message on the next lines.
#[derive(Debug)]
struct Panic {
    place: String,
    /// The first line of the message. None until it is printed.
    message: Option<String>,
}

impl GuestLog {
    pub(crate) fn new(plugin: Arc<PluginLog>, limit: usize) -> Self {
        Self {
            plugin,
            request: None,
            limit,
            left: limit,
            dropped: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            panic: None,
        }
    }

    /// Names the request in each line.
    pub(crate) fn of_request(mut self, request: Option<RequestId>) -> Self {
        self.request = request;
        self
    }

    /// Writes a line in the name of the request.
    fn print(&self, stream: LogStream, text: String) {
        match self.request {
            Some(request) => request.within(|| self.plugin.line(stream, text)),
            None => self.plugin.line(stream, text),
        }
    }

    /// Adds the share of a request that has come into the instance, which has this many now.
    pub(crate) fn grant(&mut self, inside: usize) {
        self.left = self.left.saturating_add(self.limit).min(self.limit.saturating_mul(inside));
    }

    pub(crate) fn plugin(&self) -> &str {
        self.plugin.name()
    }

    /// The log that all requests of the plugin share.
    pub(crate) fn of_plugin(&self) -> Arc<PluginLog> {
        Arc::clone(&self.plugin)
    }

    pub(crate) fn write(&mut self, stream: LogStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                // An unfinished line counts as well.
                let ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
                self.dropped = self.dropped.saturating_add(ends.max(1));
                return;
            }
            let text = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
            let room = LINE - self.line(stream).len();
            let taken = text.min(room).min(self.left);
            self.line(stream).extend_from_slice(&bytes[..taken]);
            self.left -= taken;
            bytes = &bytes[taken..];
            if let Some(rest) = bytes.strip_prefix(b"\n") {
                bytes = rest;
                self.emit(stream);
            } else if taken == room {
                self.emit(stream);
            }
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
        // Its text has been counted; its end counts, too.
        self.left = self.left.saturating_sub(LINE_COST.saturating_sub(line.len()).max(1));
        let text = printable(&String::from_utf8_lossy(&line));
        if stream == LogStream::Stderr {
            self.note_panic(&text);
        }
        self.print(stream, text);
    }

    /// Keeps the panic that a line of stderr reports.
    fn note_panic(&mut self, line: &str) {
        if let Some((thread, place)) = line.split_once(" panicked at ")
            && thread.starts_with("thread '")
        {
            self.panic = Some(Panic { place: excerpt(place, PANIC), message: None });
        } else if let Some(Panic { message: message @ None, .. }) = &mut self.panic {
            *message = Some(excerpt(line, PANIC));
        }
    }

    /// The place and the message of the last panic that the guest has printed: `src/lib.rs:1:2: no such item`.
    pub(crate) fn panic(&self) -> Option<String> {
        let Panic { place, message } = self.panic.as_ref()?;
        // The message may lack its newline.
        let unfinished = || excerpt(&String::from_utf8_lossy(&self.stderr), PANIC);
        Some(format!("{place} {}", message.clone().unwrap_or_else(unfinished)).trim_end().to_owned())
    }

    /// Writes the unfinished lines, and the number of dropped ones. The last line often lacks its newline, above all
    /// when the guest trapped.
    pub(crate) fn finish(&mut self) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            if !self.line(stream).is_empty() {
                self.emit(stream);
            }
        }
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.print(
                LogStream::Stderr,
                format!(
                    "it printed more than {} bytes, its `limits.log`, while handling one request; the rest is dropped: {dropped} lines",
                    self.limit
                ),
            );
        }
    }
}

impl Drop for GuestLog {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let (writer, lines) = LogWriter::to_channel();
        let mut log = GuestLog::new(PluginLog::new("p".into(), 1 << 20, writer), limit);
        for piece in pieces {
            log.write(LogStream::Stdout, piece);
        }
        drop(log);
        lines.try_iter().collect()
    }

    #[test]
    fn pieces_make_lines_and_a_long_line_is_broken() {
        assert_eq!(lines(1 << 20, &[b"a", b"b\nc\n\nd"]), ["ab", "c", "", "d"]);
        let long = vec![b'x'; LINE + 1];
        assert_eq!(lines(1 << 20, &[&long, b"\ny"]), ["x".repeat(LINE), "x".to_owned(), "y".to_owned()]);
    }

    #[test]
    fn a_panic_is_kept_with_its_message_and_in_pieces() {
        for (pieces, kept) in [
            (&["\nthread 'main' (1) panicked at src/lib.rs:1:2:\nno such item\nnote: run with\n"][..], true),
            (&["thread '<unnamed>' panic", "ked at src/lib.rs:1:2:\nno such", " item"], true),
            (&["it panicked at src/lib.rs:1:2:\nno such item\n"], false),
            (&["all is well\n"], false),
        ] {
            let (writer, _lines) = LogWriter::to_channel();
            let mut log = GuestLog::new(PluginLog::new("p".into(), 1 << 20, writer), 1 << 20);
            pieces.iter().for_each(|piece| log.write(LogStream::Stderr, piece.as_bytes()));
            assert_eq!(log.panic(), kept.then(|| "src/lib.rs:1:2: no such item".to_owned()), "{pieces:?}");
        }
        let (writer, _lines) = LogWriter::to_channel();
        let mut log = GuestLog::new(PluginLog::new("p".into(), 1 << 20, writer), 1 << 20);
        log.write(LogStream::Stdout, b"thread 'main' panicked at src/lib.rs:1:2:\nx\n");
        assert_eq!(log.panic(), None, "a runtime prints it to stderr");
    }

    #[test]
    fn an_empty_line_costs_and_dropped_lines_are_counted() {
        let flood = [b'\n'; 64 << 10];
        let written = lines(64 << 10, &[&flood]);
        assert_eq!(written.len(), (64 << 10) / LINE_COST + 1);
        let dropped = (64 << 10) - (64 << 10) / LINE_COST;
        let said = written.last().map(String::as_str).unwrap_or_default();
        assert!(said.ends_with(&format!("the rest is dropped: {dropped} lines")), "{said}");
        assert_eq!(
            lines(0, &[b"x\n"]),
            [
                "it printed more than 0 bytes, its `limits.log`, while handling one request; the rest is dropped: 1 lines"
            ]
        );
    }
}
