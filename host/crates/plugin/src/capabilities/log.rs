//! What a guest prints becomes lines in the operator's log, with the plugin's name.
//!
//! Lines are bounded and so is what one request may print; control characters are replaced, so a
//! guest can neither flood the log nor forge lines in it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::instance::meter::GuestMeter;

/// The longest line, in bytes; a longer one is broken.
const LINE: usize = 8 << 10;
/// What a guest is told that it may write at once, in bytes.
const PIECE: usize = 64 << 10;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStream {
    Stdout,
    Stderr,
}

/// Unfinished lines of one guest, and how much it may still print.
#[derive(Debug)]
pub(crate) struct GuestLog {
    plugin: Arc<str>,
    /// What one request may print, in bytes, both streams together.
    limit: usize,
    left: usize,
    full: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl GuestLog {
    pub(crate) fn new(plugin: Arc<str>, limit: usize) -> Self {
        Self { plugin, limit, left: limit, full: false, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Another request begins, and the instance has so many: together they may print as often as much.
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
}

impl GuestLog {
    /// The last line often lacks its newline, above all when the guest trapped.
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

/// Replaces control characters, tabs excepted.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A guest's stdout or stderr.
#[derive(Clone, Debug)]
pub(crate) struct OutputPipe {
    pub(crate) stream: LogStream,
    /// Of the request that is being answered now: a guest may keep its stream for the next one.
    pub(crate) meter: Arc<ArcSwap<GuestMeter>>,
}

impl IsTerminal for OutputPipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputPipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for OutputPipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.meter.load().log().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for OutputPipe {
    async fn ready(&mut self) {}
}

impl AsyncWrite for OutputPipe {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.load().log().write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
