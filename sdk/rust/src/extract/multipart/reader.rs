//! Splits a body into parts by their boundary (RFC 2046, section 5.1.1).
//!
//! Invariant: a chunk is passed on only when it cannot hold the beginning of a delimiter, so a file that contains most
//! of one arrives whole. The buffer holds one chunk of the body and at most one delimiter or head beside it.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::malformed;
use crate::body::Body;
use crate::refusal::Refusal;

/// Longest header fields of one part, in bytes: several times those of a browser with a long file name.
const MAX_HEAD: usize = 8 * 1024;
/// Longest white space behind a delimiter, in bytes.
const MAX_PADDING: usize = 128;

#[derive(Debug)]
pub(super) struct PartReader {
    body: Body,
    buffer: BytesMut,
    /// The line break that belongs to the delimiter, two hyphens and the boundary.
    delimiter: Vec<u8>,
    place: ReadPosition,
}

/// The place in the body up to which it has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadPosition {
    /// In the contents of a part, or before the first part, which is read alike.
    Contents,
    /// Behind a delimiter.
    Delimiter,
    /// Behind the last delimiter.
    End,
}

impl PartReader {
    pub(super) fn new(body: Body, boundary: &str) -> Self {
        // The first delimiter may stand at the very beginning, where no line has ended.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Self { body, buffer, delimiter: format!("\r\n--{boundary}").into_bytes(), place: ReadPosition::Contents }
    }

    /// Skips the rest of this part, and returns the header fields of the next one; none at the end.
    pub(super) async fn next_part(&mut self) -> Result<Option<Bytes>, Refusal> {
        while self.chunk().await?.is_some() {}
        if self.place == ReadPosition::End || self.is_last().await? {
            return Ok(None);
        }
        let padding = self.until(b"\r\n", MAX_PADDING, "a delimiter").await?;
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(malformed(format_args!("something stands behind a delimiter")));
        }
        self.fill(2).await?;
        // A part without header fields begins with the empty line that ends them.
        let head = if self.buffer.starts_with(b"\r\n") {
            self.buffer.split_to(2).split_to(0).freeze()
        } else {
            self.until(b"\r\n\r\n", MAX_HEAD, "the header fields of a part").await?
        };
        self.place = ReadPosition::Contents;
        Ok(Some(head))
    }

    /// The next chunk of this part; none at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.place != ReadPosition::Contents {
            return Ok(None);
        }
        loop {
            let safe = match memmem::find(&self.buffer, &self.delimiter) {
                Some(0) => {
                    let _ = self.buffer.split_to(self.delimiter.len());
                    self.place = ReadPosition::Delimiter;
                    return Ok(None);
                }
                Some(at) => at,
                // The last bytes may be the beginning of a delimiter.
                None => (self.buffer.len() + 1).saturating_sub(self.delimiter.len()),
            };
            if safe > 0 {
                return Ok(Some(self.buffer.split_to(safe).freeze()));
            }
            self.more().await?;
        }
    }

    /// True if the delimiter that was just read is the last.
    async fn is_last(&mut self) -> Result<bool, Refusal> {
        self.fill(2).await?;
        if !self.buffer.starts_with(b"--") {
            return Ok(false);
        }
        self.place = ReadPosition::End;
        Ok(true)
    }

    /// Reads up to a line break, which is not part of the result.
    async fn until(&mut self, end: &[u8], limit: usize, what: &str) -> Result<Bytes, Refusal> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, end) {
                let before = self.buffer.split_to(at).freeze();
                let _ = self.buffer.split_to(end.len());
                return Ok(before);
            }
            if self.buffer.len() > limit {
                return Err(malformed(format_args!("{what} does not end within {limit} bytes")));
            }
            self.more().await?;
        }
    }

    /// Reads until the buffer has this many bytes.
    async fn fill(&mut self, bytes: usize) -> Result<(), Refusal> {
        while self.buffer.len() < bytes {
            self.more().await?;
        }
        Ok(())
    }

    /// Reads one chunk of the body into the buffer.
    async fn more(&mut self) -> Result<(), Refusal> {
        match self.body.next().await {
            Some(Ok(chunk)) => {
                self.buffer.extend_from_slice(&chunk);
                Ok(())
            }
            Some(Err(_)) => {
                Err(Refusal::bad_request("incomplete_body", "the body ended before it was complete; send it again"))
            }
            None => Err(malformed(format_args!("it ends without its last delimiter"))),
        }
    }
}
