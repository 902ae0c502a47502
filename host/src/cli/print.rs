//! Writes lines to stdout for a reader that may leave early, as `head` does: `println!` panics when the pipe is closed.
//! Writes sizes as all commands show them.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use coinslot_base::text::{escaped_json, printable, printable_lines};

use super::Failure;

/// Writes a line to stdout, or several. When its reader has closed it, they are dropped without an error. They may name
/// files, plugins and what servers say, so nothing in them may drive the terminal.
pub(super) fn line(text: impl Display) -> Result<(), Failure> {
    write(&printable_lines(&text.to_string()))
}

/// Writes a JSON document for programs. A person may see the document, too, so its texts are escaped and cannot drive
/// the terminal.
pub(super) fn document(json: impl Display) -> Result<(), Failure> {
    write(&escaped_json(&json.to_string()))
}

/// Writes a line that begins with a word in a colour, by its number in SGR (ECMA-48).
pub(super) fn marked(word: &str, colour: Option<u8>, rest: impl Display) -> Result<(), Failure> {
    let rest = printable(&rest.to_string());
    match colour {
        Some(colour) => write(&format!("\x1b[{colour}m{word}\x1b[0m {rest}")),
        None => write(&format!("{word} {rest}")),
    }
}

fn write(text: &str) -> Result<(), Failure> {
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

/// The size of a file as people read it: `41 KB` below a megabyte, rounded up, and `1.9 MB` from there on. A KB is 1000
/// bytes.
#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
pub(super) fn size(bytes: usize) -> String {
    match bytes.div_ceil(1_000) {
        kilobytes @ ..1_000 => format!("{kilobytes} KB"),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_small_file_is_shown_in_kilobytes_and_a_large_one_in_megabytes() {
        let sizes = [(0, "0 KB"), (1, "1 KB"), (1_000, "1 KB"), (40_960, "41 KB"), (999_000, "999 KB")];
        for (bytes, shown) in sizes.into_iter().chain([(999_001, "1.0 MB"), (1_893_400, "1.9 MB")]) {
            assert_eq!(size(bytes), shown);
        }
    }
}
