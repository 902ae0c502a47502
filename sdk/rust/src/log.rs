//! Lines in the operator's log.
//!
//! They go to standard error, which the host collects, names and bounds; `println!` works as well.
//! Invariant: one call is one line, whatever a stranger's text contains.

use std::fmt::Display;

/// Something went on as it should.
pub fn info(message: impl Display) {
    line("info", &message);
}

/// Something is odd, and the request goes on.
pub fn warn(message: impl Display) {
    line("warn", &message);
}

/// Something failed.
pub fn error(message: impl Display) {
    line("error", &message);
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
