//! Finds the patterns of the knowledge base in a message. A pattern is literal text with captures, as in `{name}`.
//!
//! Letters match in any case, one space matches any run of blanks on the line or across lines, and a
//! capture never leaves its line. A pattern that begins or ends with a letter or digit matches only at a
//! word's edge, so `E0382` is not found in `ME03821`. A set of the message's letter pairs rejects nearly
//! every pattern without a search: hundreds of them must fit in the few milliseconds before a payment.

/// Captured values by name, in the order of the pattern.
pub(crate) type Captures = Vec<(&'static str, String)>;

/// Longest capture, in bytes. A longer one is no name.
const LONGEST_CAPTURE: usize = 160;

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Literal(&'static str),
    Capture(&'static str),
}

fn parts(pattern: &'static str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else {
            break;
        };
        let name = &rest[open + 1..open + close];
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            break;
        }
        if open > 0 {
            parts.push(Part::Literal(&rest[..open]));
        }
        parts.push(Part::Capture(name));
        rest = &rest[open + close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    parts
}

/// The names that a pattern captures.
#[cfg(test)]
pub(crate) fn names(pattern: &'static str) -> Vec<&'static str> {
    parts(pattern)
        .into_iter()
        .filter_map(|part| match part {
            Part::Capture(name) => Some(name),
            Part::Literal(_) => None,
        })
        .collect()
}

/// The number of literal bytes of a pattern, which measures how specific a match is.
pub(crate) fn weight(pattern: &'static str) -> usize {
    parts(pattern).iter().map(|part| if let Part::Literal(text) = part { text.trim().len() } else { 0 }).sum()
}

/// A message, prepared for many patterns.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    text: &'a str,
    /// `text` in ASCII lower case: the same bytes otherwise.
    lower: String,
    /// One bit for each pair of neighbouring bytes that occurs.
    pairs: Vec<u64>,
}

impl<'a> Message<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let lower = text.to_ascii_lowercase();
        let mut pairs = vec![0_u64; 1024];
        for pair in lower.as_bytes().windows(2) {
            let bit = usize::from(pair[0]) << 8 | usize::from(pair[1]);
            pairs[bit / 64] |= 1 << (bit % 64);
        }
        Self { text, lower, pairs }
    }

    pub(crate) fn lower(&self) -> &str {
        &self.lower
    }

    /// Whether the message may have the literal. It has not if this is false.
    fn may_hold(&self, literal: &str) -> bool {
        literal.as_bytes().windows(2).all(|pair| {
            let bit = usize::from(pair[0].to_ascii_lowercase()) << 8 | usize::from(pair[1].to_ascii_lowercase());
            // A space matches any run of blanks, so a pair with a space rules nothing out.
            pair.contains(&b' ') || self.pairs[bit / 64] & (1 << (bit % 64)) != 0
        })
    }
}

/// Finds `pattern` in the message.
pub(crate) fn find(pattern: &'static str, message: &Message<'_>) -> Option<Captures> {
    let parts = parts(pattern);
    if !parts
        .iter()
        .all(|part| matches!(part, Part::Capture(_)) || matches!(part, Part::Literal(text) if message.may_hold(text)))
    {
        return None;
    }
    let (text, lower) = (message.text, message.lower.as_str());
    let first = parts.iter().position(|part| matches!(part, Part::Literal(_)))?;
    let Part::Literal(anchor) = parts[first] else {
        return None;
    };
    let mut from = 0;
    let edges = (first == 0, first + 1 == parts.len());
    while let Some((start, end)) = literal(anchor, lower, from, edges) {
        if let Some(captures) = at(&parts, first, text, lower, start, end) {
            return Some(captures);
        }
        from = start + 1;
        while !lower.is_char_boundary(from) {
            from += 1;
        }
    }
    None
}

/// Matches the whole pattern, given that its first literal is at `start..end`.
fn at(parts: &[Part], first: usize, text: &str, lower: &str, start: usize, end: usize) -> Option<Captures> {
    let mut captures = Captures::new();
    if first == 1 {
        let Part::Capture(name) = parts[0] else {
            return None;
        };
        captures.push((name, word_before(&text[..start])?));
    }
    let mut cursor = end;
    let mut index = first + 1;
    while index < parts.len() {
        let Part::Capture(name) = parts[index] else {
            return None;
        };
        let line_end = lower[cursor..].find('\n').map_or(lower.len(), |at| cursor + at);
        let (value, next) = match parts.get(index + 1) {
            Some(Part::Literal(following)) => {
                let edges = (false, index + 2 == parts.len());
                let (stop, after) = literal_in(following, lower, cursor + 1, line_end, edges)?;
                (text[cursor..stop].trim(), after)
            }
            _ => {
                let value = word_after(&text[cursor..line_end]);
                (value, cursor + value.len())
            }
        };
        if value.is_empty() || value.len() > LONGEST_CAPTURE {
            return None;
        }
        captures.push((name, value.to_owned()));
        cursor = next;
        index += 2;
    }
    Some(captures)
}

/// Finds `needle` at or after `from`, and at most at `limit`.
fn literal_in(needle: &str, lower: &str, from: usize, limit: usize, edges: Edges) -> Option<(usize, usize)> {
    let from = (from..=limit).find(|at| lower.is_char_boundary(*at))?;
    literal(needle, lower, from, edges).filter(|(start, _)| *start <= limit)
}

/// Whether the literal begins the pattern, and whether it ends it. Beside a capture, a literal may be a part of a word.
type Edges = (bool, bool);

fn literal(needle: &str, lower: &str, mut from: usize, edges: Edges) -> Option<(usize, usize)> {
    let hay = lower.as_bytes();
    let needle = needle.as_bytes();
    let head = needle.first()?.to_ascii_lowercase();
    while from < hay.len() {
        let start =
            from + hay[from..].iter().position(|byte| *byte == head || (head == b' ' && byte.is_ascii_whitespace()))?;
        if let Some(end) = literal_at(needle, hay, start, edges) {
            return Some((start, end));
        }
        from = start + 1;
    }
    None
}

fn literal_at(needle: &[u8], hay: &[u8], start: usize, (begins, ends): Edges) -> Option<usize> {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if begins && word(needle.first()) && start > 0 && word(hay.get(start - 1)) {
        return None;
    }
    let mut cursor = start;
    for byte in needle {
        if *byte == b' ' {
            let blanks = hay[cursor..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if blanks == 0 {
                return None;
            }
            cursor += blanks;
        } else if hay.get(cursor) == Some(&byte.to_ascii_lowercase()) {
            cursor += 1;
        } else {
            return None;
        }
    }
    (!(ends && word(needle.last()) && word(hay.get(cursor)))).then_some(cursor)
}

fn is_edge(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '(' | ')' | '[' | ']' | '<' | '>')
}

/// Up to the next blank, quote or bracket, without a sentence's own punctuation.
fn word_after(text: &str) -> &str {
    text.split(is_edge).next().unwrap_or("").trim_end_matches(['.', ':', '!', '?'])
}

fn word_before(text: &str) -> Option<String> {
    let text = text.trim_end_matches([' ', ':', '"', '\'', '`']);
    let word = text.rsplit(is_edge).next().unwrap_or("").trim_matches(':');
    (!word.is_empty() && word.len() <= LONGEST_CAPTURE).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &'static str, text: &str) -> Option<Vec<String>> {
        find(pattern, &Message::new(text)).map(|found| found.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn names_are_captured_between_and_after_literals() {
        assert_eq!(
            captures("No module named '{module}'", "ModuleNotFoundError: No module named 'foo.bar'"),
            Some(vec!["foo.bar".into()])
        );
        assert_eq!(
            captures(
                "address already in use :::{port}",
                "Error: listen EADDRINUSE: address already in use :::3000\n at x"
            ),
            Some(vec!["3000".into()])
        );
        assert_eq!(captures("{command}: command not found", "bash: jq: command not found"), Some(vec!["jq".into()]));
        assert_eq!(
            captures("type {a} is not {b}", "Type Foo Bar  is not  Baz."),
            Some(vec!["Foo Bar".into(), "Baz".into()])
        );
    }

    #[test]
    fn words_are_whole_and_captures_stay_on_their_line() {
        assert_eq!(captures("E0382", "XE0382 E03821"), None);
        assert_eq!(captures("E0382", "error[E0382]: x"), Some(vec![]));
        assert_eq!(captures("open '{path}'", "open 'a\nb'"), None);
        assert_eq!(captures("open '{path}'", "open ''"), None, "an empty name is no name");
    }

    #[test]
    fn blanks_and_letter_case_do_not_matter_and_any_text_is_survived() {
        assert_eq!(captures("connection refused", "Connection\n   REFUSED"), Some(vec![]));
        for text in ["", "\u{e9}", "open '\u{e9}", "open '\u{1F600}' open", "K open"] {
            let _ = captures("open '{path}'", text);
            let _ = captures("{a} open {b}", text);
        }
        assert_eq!(captures("open '{path}'", "open '\u{e9}\u{1F600}'"), Some(vec!["\u{e9}\u{1F600}".into()]));
    }
}
