//! Fills captured values into the texts of an entry.
//!
//! Invariant: a captured value enters a command only if it cannot change what the command does.

use super::pattern::Captures;

/// Fills a line of prose.
pub(super) fn fill_prose(line: &str, captures: &Captures) -> String {
    fill(line, captures, |_| true)
}

/// Fills a command. A value that a shell would not read as one plain word is left out.
pub(super) fn fill_command(line: &str, captures: &Captures) -> String {
    fill(line, captures, is_plain_word)
}

/// Fills a step: prose with commands between backticks.
pub(super) fn fill_step(line: &str, captures: &Captures) -> String {
    let mut out = String::new();
    for (at, piece) in line.split('`').enumerate() {
        if at > 0 {
            out.push('`');
        }
        let in_code = at % 2 == 1;
        out.push_str(&if in_code { fill_command(piece, captures) } else { fill_prose(piece, captures) });
    }
    out
}

/// Replaces `{name}` and `{name|text without the value}` by captured values. A value that is not captured or not
/// allowed is replaced by the text, or by `<name>`.
fn fill(line: &str, captures: &Captures, allow: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|at| open + at) else {
            break;
        };
        let (name, otherwise) = match rest[open + 1..close].split_once('|') {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (&rest[open + 1..close], None),
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        out.push_str(&rest[..open]);
        if is_name {
            let value = captures.iter().find(|(known, value)| *known == name && allow(value)).map(|(_, value)| value);
            match (value, otherwise) {
                (Some(value), _) => out.push_str(value),
                (None, Some(otherwise)) => out.push_str(otherwise),
                (None, None) => out.push_str(&format!("<{name}>")),
            }
        } else {
            out.push_str(&rest[open..=close]);
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    out
}

/// Whether a shell reads the value as one plain word: no quoting, no expansion, no option.
fn is_plain_word(value: &str) -> bool {
    !value.starts_with('-')
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'@' | b'+'))
}
