//! Writes lines to the operator's log.
//!
//! The lines go to standard error. The host collects them, puts the plugin's name before them, and bounds their number
//! and length. `println!` works as well. Invariant: one call is one line, whatever control characters its text
//! contains.
//!
//! ```
//! coinslot_sdk::log::warn(format_args!("the server answered with status {}", 503));
//! ```

use std::error::Error;
use std::fmt::Display;

/// Logs an event that is as expected.
pub fn info(message: impl Display) {
    line("info", &message);
}

/// Logs an oddity that does not keep the request from being served.
pub fn warn(message: impl Display) {
    line("warn", &message);
}

/// Logs a failure.
pub fn error(message: impl Display) {
    line("error", &message);
}

/// Logs an error with its causes, which an error's own text leaves out, as one line.
pub fn failure(error: &dyn Error) {
    line("error", &chain(error));
}

/// An error's text and those of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn line(level: &str, message: &dyn Display) {
    eprintln!("{level}: {}", one_line(&message.to_string()));
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(super::one_line("a\r\nerror: b\u{1b}[0m"), "a  error: b [0m");
    }
}
