//! Makes text from outside safe to print and short: in a log line, an error message or a table.

/// Replaces each control character but the tab by U+FFFD, so that text from outside can neither break a line
/// nor drive a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Makes each line of a text [`printable`], and keeps the lines: for messages of tools, which have several.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
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
    fn control_characters_are_replaced_and_tabs_are_kept() {
        for (text, expected) in [
            ("plain, \u{e9}\u{20ac}", "plain, \u{e9}\u{20ac}"),
            ("a\tb", "a\tb"),
            ("a\nb\r\0", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("\u{1b}[31mred\u{7f}\u{85}", "\u{fffd}[31mred\u{fffd}\u{fffd}"),
            ("", ""),
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
