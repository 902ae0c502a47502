//! Makes texts of plugins and operators fit for documents: bounded, on one line where the format asks for it, and without
//! a meaning of their own in it.
//!
//! JSON needs nothing but its own escapes. CommonMark, as OpenAPI and `/llms.txt` have it, would take a text for links,
//! markup or HTML.

use coinslot_base::text::{bounded, drives_terminal, one_line};

/// The characters that begin markup in CommonMark.
const MARKUP: [char; 10] = ['\\', '`', '*', '_', '[', ']', '<', '>', '#', '|'];

/// A text on one line, of at most so many bytes. What is no character, or sets the direction of text, is a space.
pub(super) fn line(text: &str, most: usize) -> String {
    bounded(one_line(text), most)
}

/// A text with its line breaks, of at most so many bytes.
pub(super) fn lines(text: &str, most: usize) -> String {
    let plain = |c: char| if c != '\n' && drives_terminal(c) { ' ' } else { c };
    bounded(text.trim().chars().map(plain).collect(), most)
}

/// A text that CommonMark shows as it is.
pub(super) fn common_mark(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if MARKUP.contains(&c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A code span of CommonMark: a fence longer than any in the text (CommonMark 0.31, section 6.1).
pub(super) fn code_span(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        let hostile = "  </script>\u{202e}gnp.exe\u{0}\r\n# [x](javascript:1) `y` \u{2028}";
        assert_eq!(line(hostile, 200), "</script> gnp.exe # [x](javascript:1) `y`");
        assert_eq!(lines("a\u{202e}b\n\u{7}c ", 200), "a b\n c");
        assert_eq!(common_mark(&line(hostile, 200)), "\\</script\\> gnp.exe \\# \\[x\\](javascript:1) \\`y\\`");
        assert_eq!(line(&"\u{e9}".repeat(100), 7), "\u{e9}\u{e9}\u{e9}...");
    }

    #[test]
    fn a_code_span_ends_where_its_text_does() {
        for (text, span) in [("a", "`a`"), ("a`b", "``a`b``"), ("``", "``` `` ```"), ("", "``")] {
            assert_eq!(code_span(text), span, "{text}");
        }
    }
}
