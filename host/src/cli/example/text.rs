//! Makes texts that fit the keywords of a JSON Schema: `format`, `pattern` and lengths.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value};

/// The most characters that are made.
const MAX_LENGTH: usize = 100_000;

/// A text for the keywords of this schema.
pub(super) fn of(schema: &Map<String, Value>) -> String {
    let length = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let (least, most) = (length("minLength").unwrap_or(0).min(MAX_LENGTH), length("maxLength").unwrap_or(usize::MAX));
    if let Some(Value::String(pattern)) = schema.get("pattern") {
        return matching(pattern, least).unwrap_or_else(|| "example".to_owned());
    }
    if let Some(text) = schema.get("format").and_then(Value::as_str).and_then(formatted) {
        return text.to_owned();
    }
    let padding = std::iter::repeat_n('e', least.saturating_sub("example".len()));
    "example".chars().chain(padding).take(most).collect()
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

/// A text that a pattern matches, of at least this length where the pattern repeats something without an end. None for
/// a pattern that is not in the syntax of Rust, such as one with look-around.
fn matching(pattern: &str, least: usize) -> Option<String> {
    let parsed = regex_syntax::Parser::new().parse(pattern).ok()?;
    let mut text = String::new();
    // The first repetition without an end makes up what is missing, where its pieces have one character.
    write(&parsed, 0, &mut text)?;
    let missing = least.saturating_sub(text.chars().count());
    if missing > 0 {
        text.clear();
        write(&parsed, u32::try_from(missing).ok()?, &mut text)?;
    }
    Some(text)
}

/// Writes the shortest text of an expression, with so many more rounds of repetitions as the bounds allow.
fn write(hir: &Hir, more: u32, text: &mut String) -> Option<()> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(character(class)?),
        HirKind::Repetition(repetition) => {
            let wanted = repetition.min.saturating_add(more);
            let rounds = repetition.max.map_or(wanted, |most| most.min(wanted));
            for _ in 0..rounds {
                write(&repetition.sub, 0, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, more, text)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, more, text)?;
            }
        }
        HirKind::Alternation(parts) => write(parts.first()?, more, text)?,
    }
    Some(())
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
        let of = |schema: Value| of(schema.as_object().expect("an object"));
        assert_eq!(of(json!({})), "example");
        assert_eq!(of(json!({ "minLength": 9 })), "exampleee");
        assert_eq!(of(json!({ "maxLength": 3 })), "exa");
        assert_eq!(of(json!({ "format": "date" })), "2024-02-29");
        assert_eq!(of(json!({ "pattern": "^(0x)?[0-9a-f]{4}$" })), "aaaa");
        assert_eq!(of(json!({ "pattern": "^a+$", "minLength": 3 })), "aaa");
        assert_eq!(of(json!({ "pattern": "^(?=x)x$" })), "example", "a pattern that cannot be read");
    }
}
