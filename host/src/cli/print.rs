//! Writes lines to stdout for a reader that may leave early, as `head` does: `println!` panics when the pipe is closed.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use super::Failure;

/// Writes a line to stdout. When its reader has closed it, the line is dropped without an error.
pub(super) fn line(text: impl Display) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Ok(()),
        Err(error) => ended(&error),
    }
}

/// The end of a write to stdout that failed.
pub(super) fn ended(error: &std::io::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::new(format!("cannot write to stdout: {error}"))),
    }
}
