//! Makes texts that fit the keywords of a JSON Schema: `format`, `pattern` and lengths.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};
use serde_json::{Map, Value};

use super::steps::Steps;

/// The most characters that are made.
const MAX_LENGTH: usize = 100_000;
/// The most characters of one round of a repetition that are tried to reach a length.
const LONGEST_PIECE: usize = 32;

/// A text for the keywords of this schema. None if there are not enough steps for it.
pub(super) fn of(schema: &Map<String, Value>, steps: &Steps) -> Option<String> {
    let length = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let (least, most) = (length("minLength").unwrap_or(0).min(MAX_LENGTH), length("maxLength").unwrap_or(usize::MAX));
    if let Some(Value::String(pattern)) = schema.get("pattern") {
        return matching(pattern, least, most, steps);
    }
    if let Some(text) = schema.get("format").and_then(Value::as_str).and_then(formatted) {
        return Some(text.to_owned());
    }
    steps.take(least)?;
    let padding = std::iter::repeat_n('e', least.saturating_sub("example".len()));
    Some("example".chars().chain(padding).take(most).collect())
}

/// A text of a format that JSON Schema 2020-12 defines, section 7.3 of its validation.
fn formatted(format: &str) -> Option<&'static str> {
    Some(match format {
        "date-time" => "2024-02-29T12:00:00Z",
        "date" => "2024-02-29",
        "time" => "12:00:00Z",
        "duration" => "PT1H",
        "email" | "idn-email" => "ada@example.com",
        "hostname" | "idn-hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "iri" | "url" => "https://example.com/",
        "uri-reference" | "iri-reference" => "/example",
        "uuid" => "8d8ac610-566d-4ef0-9c22-186b2a5ed793",
        "json-pointer" => "/example",
        "regex" => "^example$",
        _ => return None,
    })
}

/// A text that a pattern matches, of a length between the two if its repetitions allow one, and otherwise the shortest.
/// Any text for a pattern that is not in the syntax of Rust, such as one with look-around. None if there are not enough
/// steps.
fn matching(pattern: &str, least: usize, most: usize, steps: &Steps) -> Option<String> {
    let Ok(parsed) = regex_syntax::Parser::new().parse(pattern) else { return Some("example".to_owned()) };
    let made = |more: usize| {
        let mut maker = TextMaker { steps, more, text: String::new() };
        maker.write(&parsed)?;
        Some(maker.text)
    };
    let shortest = made(0)?;
    let missing = least.saturating_sub(shortest.chars().count());
    // A repetition adds whole pieces, so that a text of exactly this length may not be among those that are made.
    let mut longer = (missing..=missing + LONGEST_PIECE).map_while(made);
    let fitting = |text: &String| (least..=most).contains(&text.chars().count());
    Some(longer.find(fitting).unwrap_or(shortest))
}

/// Makes the shortest text of an expression, and at most so many characters more: the first repetitions take what their
/// bounds allow.
struct TextMaker<'s> {
    steps: &'s Steps,
    /// The characters that no repetition has taken.
    more: usize,
    text: String,
}

impl TextMaker<'_> {
    /// Each visit of a part is a step: a repetition of an empty part makes no character, as often as it is repeated.
    fn write(&mut self, hir: &Hir) -> Option<()> {
        self.steps.take(1)?;
        if self.text.len() > MAX_LENGTH {
            return None;
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.text.push_str(std::str::from_utf8(&literal.0).ok()?),
            HirKind::Class(class) => self.text.push(character(class)?),
            HirKind::Repetition(repetition) => self.repeat(repetition)?,
            HirKind::Capture(capture) => self.write(&capture.sub)?,
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.write(part))?,
            HirKind::Alternation(parts) => self.write(parts.first()?)?,
        }
        Some(())
    }

    fn repeat(&mut self, repetition: &Repetition) -> Option<()> {
        for _ in 0..repetition.min {
            self.write(&repetition.sub)?;
        }
        let mut piece = TextMaker { steps: self.steps, more: 0, text: String::new() };
        piece.write(&repetition.sub)?;
        let length = piece.text.chars().count();
        let room = repetition.max.map_or(usize::MAX, |most| most.abs_diff(repetition.min) as usize);
        let rounds = self.more.checked_div(length).unwrap_or(0).min(room);
        self.steps.take(rounds * length)?;
        self.text.push_str(&piece.text.repeat(rounds));
        self.more -= rounds * length;
        Some(())
    }
}

/// A character of a class: a letter or a digit if there is one.
fn character(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let mut plain = ('a'..='z').chain('A'..='Z').chain('0'..='9');
    let has = |c: &char| ranges.iter().any(|(from, to)| from <= c && c <= to);
    plain.find(has).or_else(|| ranges.first().map(|(from, _)| *from))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_has_its_format_its_pattern_and_its_length() {
        let of = |schema: Value| of(schema.as_object().expect("an object"), &Steps::all()).expect("a text");
        assert_eq!(of(json!({})), "example");
        assert_eq!(of(json!({ "minLength": 9 })), "exampleee");
        assert_eq!(of(json!({ "maxLength": 3 })), "exa");
        assert_eq!(of(json!({ "format": "date" })), "2024-02-29");
        assert_eq!(of(json!({ "pattern": "^(0x)?[0-9a-f]{4}$" })), "aaaa");
        assert_eq!(of(json!({ "pattern": "^a+$", "minLength": 3 })), "aaa");
        assert_eq!(of(json!({ "pattern": "^(ab)+$", "minLength": 3 })), "abab", "rounds are whole");
        assert_eq!(of(json!({ "pattern": "^(?:[a-z]+-){2}x$", "minLength": 9 })), "aaaaa-a-x");
        assert_eq!(of(json!({ "pattern": "^(?=x)x$" })), "example", "a pattern that cannot be read");
    }

    /// Each repetition made up the whole of what was missing, so that two of them made a text that was too long.
    #[test]
    fn a_text_of_several_repetitions_is_no_longer_than_it_may_be() {
        for (pattern, length, made) in [
            ("^[A-Z]+-[a-z]+$", 10, "AAAAAAAA-a"),
            ("^[a-z]{1,3}[0-9]*$", 5, "aaa00"),
            ("^(abc){1,3}x*$", 5, "abcxx"),
            ("^[a-z]+([.][a-z]+)?$", 4, "aaaa"),
        ] {
            let schema = json!({ "pattern": pattern, "minLength": length, "maxLength": length });
            let text = of(schema.as_object().expect("an object"), &Steps::all());
            assert_eq!(text.as_deref(), Some(made), "{pattern}");
        }
    }

    /// A repetition of something that may be empty was written round by round, a million times a million.
    #[test]
    fn a_pattern_that_repeats_next_to_nothing_without_end_has_no_text() {
        for pattern in ["((a?){1000000}){1000000}", "((a*b?){500000})+", "(a{1000}){1000}"] {
            let schema = json!({ "pattern": pattern, "minLength": 1 });
            assert_eq!(of(schema.as_object().expect("an object"), &Steps::all()), None, "{pattern}");
        }
    }
}
