//! Makes text from outside safe to print and short: in a log line, an error message or a table.

use std::fmt::Write as _;

/// Replaces each character that [drives a terminal](drives_terminal) but the tab by U+FFFD, so that text from outside can
/// neither break a line nor show what it is not.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if drives_terminal(c) && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A text on one line. White space, and what [drives a terminal](drives_terminal), is one space between words.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || drives_terminal(c)).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Returns whether a character is shown as no character and changes how others are shown: a control character, a
/// separator of lines or paragraphs, or one that sets the direction of text (UAX #9, section 2), by which the rest of a
/// line can be shown in another order.
pub fn drives_terminal(c: char) -> bool {
    let sets_direction = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    c.is_control() || sets_direction || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Makes each line of a text [`printable`], and keeps the lines: for messages of tools, which have several.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Escapes the characters that [drive a terminal](drives_terminal) in a JSON text, which stays the same JSON. A writer
/// of JSON escapes some control characters, and none that sets the direction of text. Line breaks between tokens are
/// kept.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if drives_terminal(c) && c != '\n' {
            // All of these characters are in the basic multilingual plane, so one escape is enough.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The longest start of a text with at most `most` characters.
pub fn first_chars(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

/// As much of a text as belongs in a message: at most `most` characters, [`printable`], and `...` where
/// something was cut off.
pub fn excerpt(text: &str, most: usize) -> String {
    let start = first_chars(text, most);
    let mut excerpt = printable(start);
    if start.len() < text.len() {
        excerpt.push_str("...");
    }
    excerpt
}

/// Cuts a text off at the last edge of a character within its first `most` bytes, and marks the cut with `...`,
/// which comes on top.
pub fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_replaced_and_tabs_are_kept() {
        for (text, expected) in [
            ("plain, \u{e9}\u{20ac}", "plain, \u{e9}\u{20ac}"),
            ("a\tb", "a\tb"),
            ("a\nb\r\0", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("\u{1b}[31mred\u{7f}\u{85}", "\u{fffd}[31mred\u{fffd}\u{fffd}"),
            ("", ""),
            ("a\u{202e}gpj.exe\u{2069}\u{200f}\u{61c}", "a\u{fffd}gpj.exe\u{fffd}\u{fffd}\u{fffd}"),
            ("a\u{2028}b\u{2029}", "a\u{fffd}b\u{fffd}"),
            (
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f469}\u{200d}\u{1f52c}",
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f469}\u{200d}\u{1f52c}",
            ),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_lines_of_a_message_stay_lines() {
        let text = "error: a\r\n  --> b.rs:1\u{1b}[2K\n\tc\n";
        assert_eq!(printable_lines(text), "error: a\n  --> b.rs:1\u{fffd}[2K\n\tc");
        assert_eq!(printable_lines(""), "");
    }

    #[test]
    fn an_escaped_json_text_is_the_same_json_without_what_drives_a_terminal() {
        for (json, expected) in [
            ("{\n  \"a\": \"b\\u001b\"\n}", "{\n  \"a\": \"b\\u001b\"\n}"),
            ("\"\u{202e}x\u{7f}\u{9b}2J\u{2028}\"", "\"\\u202ex\\u007f\\u009b2J\\u2028\""),
            ("\"\u{5e9}\u{1f469}\u{200d}\u{1f52c}\"", "\"\u{5e9}\u{1f469}\u{200d}\u{1f52c}\""),
        ] {
            assert_eq!(escaped_json(json), expected);
        }
    }

    #[test]
    fn characters_are_counted_and_never_split() {
        for (text, most, start, shown) in [
            ("abc", 3, "abc", "abc"),
            ("abcd", 3, "abc", "abc..."),
            ("\u{20ac}\u{20ac}\u{20ac}", 2, "\u{20ac}\u{20ac}", "\u{20ac}\u{20ac}..."),
            ("a\nb", 2, "a\n", "a\u{fffd}..."),
            ("a", 0, "", "..."),
            ("", 0, "", ""),
        ] {
            assert_eq!(first_chars(text, most), start, "{text:?} {most}");
            assert_eq!(excerpt(text, most), shown, "{text:?} {most}");
        }
    }

    #[test]
    fn bytes_are_cut_at_the_edge_of_a_character() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc..."),
            ("\u{20ac}\u{20ac}", 5, "\u{20ac}..."),
            ("\u{20ac}", 2, "..."),
            ("", 0, ""),
        ] {
            assert_eq!(bounded(text.to_owned(), most), expected, "{text:?} {most}");
        }
    }
}
