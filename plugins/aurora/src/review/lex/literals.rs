//! Measures words, numbers, strings and regular expressions. All lengths are in bytes, from the start of `rest`.

/// Whether a byte can be part of a word. Every byte of a character beyond ASCII can.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The length of a word, with Rust's prefix `r#`.
pub(super) fn word_length(rest: &[u8]) -> usize {
    let raw = if rest.starts_with(b"r#") { 2 } else { 0 };
    raw + rest[raw.min(rest.len())..].iter().take_while(|byte| is_word(**byte)).count()
}

/// The length of a number, with its suffix and exponent.
pub(super) fn number_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        let sign_of_exponent = matches!(rest[at], b'+' | b'-')
            && at > 0
            && matches!(rest[at - 1], b'e' | b'E')
            && !rest.starts_with(b"0x");
        let point = rest[at] == b'.' && rest.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(is_word(rest[at]) || sign_of_exponent || point) {
            break;
        }
        at += 1;
    }
    at
}

/// The length of a string whose opening quote ends at `at`, with its closing quote. Without `lines` the end of the line
/// ends it too.
pub(super) fn quoted(rest: &[u8], mut at: usize, quote: u8, lines: bool) -> usize {
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'\n' if !lines => return at,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a string without escapes, whose content starts at `from` and that ends with `end`.
pub(super) fn raw_end(rest: &[u8], from: usize, end: &[u8]) -> usize {
    rest[from..].windows(end.len()).position(|window| window == end).map_or(rest.len(), |at| from + at + end.len())
}

/// The length of a Rust string or character, with its prefix; none if there is none.
pub(super) fn rust_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest.iter().take(2).take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count();
    let raw = rest[..prefix].last() == Some(&b'r');
    let after = &rest[prefix..];
    if raw {
        let hashes = after.iter().take_while(|byte| **byte == b'#').count();
        if after.get(hashes) == Some(&b'"') {
            let mut end = vec![b'"'];
            end.resize(hashes + 1, b'#');
            return Some(raw_end(rest, prefix + hashes + 1, &end));
        }
        return None;
    }
    match after.first()? {
        b'"' => Some(quoted(rest, prefix + 1, b'"', true)),
        b'\'' if prefix <= 1 => {
            // `'a'` and `'\n'` are characters, `'a` is a lifetime.
            let body = &after[1..];
            if body.first() == Some(&b'\\') {
                return Some(quoted(rest, prefix + 1, b'\'', false));
            }
            let width = match body.first()? {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            (body.get(width) == Some(&b'\'')).then_some(prefix + width + 2)
        }
        _ => None,
    }
}

/// The length of a Python string, with its prefix; none if there is none.
pub(super) fn python_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte.to_ascii_lowercase(), b'r' | b'b' | b'f' | b'u' | b't'))
        .count();
    let quote = *rest.get(prefix).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let triple = [quote; 3];
    if !rest[prefix..].starts_with(&triple) {
        return Some(quoted(rest, prefix + 1, quote, false));
    }
    let mut at = prefix + 3;
    while at < rest.len() {
        if rest[at] == b'\\' {
            at += 2;
        } else if rest[at..].starts_with(&triple) {
            return Some(at + 3);
        } else {
            at += 1;
        }
    }
    Some(rest.len())
}

/// The length of a regular expression; none if the line ends before it does, since the slash is then a division.
pub(super) fn regex_length(rest: &[u8]) -> Option<usize> {
    let (mut at, mut in_class) = (1, false);
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'\n' => return None,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => {
                return Some(at + 1 + rest[at + 1..].iter().take_while(|byte| is_word(**byte)).count());
            }
            _ => {}
        }
        at += 1;
    }
    None
}
