//! Looks at JSON without building it: its size as a tree, and the names at its top.
//!
//! A tree of JSON takes up to a hundred times the memory of its text. What comes from a client or a guest is looked at
//! here first, and built only if it is small.

/// The size of a text of JSON as a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonSize {
    /// The number of values and names. Never less than there are.
    pub values: usize,
    /// The number of arrays and objects within each other.
    pub depth: usize,
}

/// A part of a text of JSON: a string with its quotes, or one other byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'j> {
    String(&'j [u8]),
    Byte(u8),
}

/// The parts of a text, whether it is JSON or not.
struct Tokens<'j>(&'j [u8]);

impl<'j> Iterator for Tokens<'j> {
    type Item = Token<'j>;

    fn next(&mut self) -> Option<Token<'j>> {
        let (&first, rest) = self.0.split_first()?;
        if first != b'"' {
            self.0 = rest;
            return Some(Token::Byte(first));
        }
        let mut end = 1;
        while let Some(byte) = self.0.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let (string, rest) = self.0.split_at((end + 1).min(self.0.len()));
        self.0 = rest;
        Some(Token::String(string))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The size of this text as a tree.
pub(crate) fn size(json: &[u8]) -> JsonSize {
    let (mut size, mut depth) = (JsonSize { values: 1, depth: 0 }, 0_usize);
    for token in Tokens(json) {
        match token {
            Token::Byte(b'[' | b'{') => {
                size.values += 1;
                depth += 1;
                size.depth = size.depth.max(depth);
            }
            Token::Byte(b']' | b'}') => depth = depth.saturating_sub(1),
            Token::Byte(b',' | b':') => size.values += 1,
            Token::Byte(_) | Token::String(_) => {}
        }
    }
    size
}

/// True if a text begins an object that has all these names at its top. Readers differ in what else they take for JSON,
/// so the rest of the text is not judged.
pub(crate) fn has_names(json: &[u8], names: &[&str]) -> bool {
    let mut tokens = Tokens(json).filter(|token| !matches!(token, Token::Byte(byte) if is_space(*byte)));
    if tokens.next() != Some(Token::Byte(b'{')) {
        return false;
    }
    let (mut depth, mut last, mut found) = (1_usize, None, vec![false; names.len()]);
    for token in tokens {
        match (token, last.take()) {
            (Token::String(string), _) if depth == 1 => last = Some(string),
            (Token::Byte(b':'), Some(name)) => {
                let name = serde_json::from_slice::<String>(name).unwrap_or_default();
                names
                    .iter()
                    .zip(&mut found)
                    .filter(|(wanted, _)| **wanted == name)
                    .for_each(|(_, found)| *found = true);
            }
            (Token::Byte(b'[' | b'{'), _) => depth += 1,
            (Token::Byte(b']' | b'}'), _) => depth = depth.saturating_sub(1),
            (Token::Byte(_) | Token::String(_), _) => {}
        }
    }
    found.into_iter().all(|found| found)
}

/// The same JSON without spaces between its parts. None if there are none.
pub(crate) fn compact(json: &[u8]) -> Option<Vec<u8>> {
    let has_spaces = Tokens(json).any(|token| matches!(token, Token::Byte(byte) if is_space(byte)));
    has_spaces.then(|| {
        let mut compact = Vec::with_capacity(json.len());
        for token in Tokens(json) {
            match token {
                Token::String(string) => compact.extend_from_slice(string),
                Token::Byte(byte) if is_space(byte) => {}
                Token::Byte(byte) => compact.push(byte),
            }
        }
        compact
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(fields) => fields.values().map(|value| 1 + count(value)).sum(),
            _ => 0,
        }
    }

    #[test]
    fn a_size_is_never_below_that_of_the_tree() {
        for text in ["0", "[]", "[1,2,[3]]", "{\"a\":{\"b\":[1,{}]},\"c,[:\":\"\\\"[,\"}", "[[[[[]]]]]", "\"\\\\\""] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            let size = size(text.as_bytes());
            assert!((count(&value)..=2 * count(&value) + 1).contains(&size.values), "{text}: {size:?}");
        }
        assert_eq!(size(b"[[{\"]\":[]}],[]]").depth, 4);
        for broken in ["\"", "\"\\", "]]]", "{\"a", "\u{0}"] {
            assert!(size(broken.as_bytes()).values > 0);
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        let asks = |text: &str| has_names(text.as_bytes(), &["x402Version", "accepts"]);
        for text in [
            r#"{"x402Version":2,"accepts":[]}"#,
            " {\n\"accepts\" : [{}], \"error\": {\"a\": \"}\"}, \"x402Version\":1}",
            r#"{"\u0078402Version":2,"a\u0063cepts":[]}"#,
            // Python's reader takes this for JSON.
            r#"{"x":NaN,"x402Version":2,"accepts":[]}"#,
            r#"{"accepts":1,"accepts":[],"x402Version":2,"x402Version":2}"#,
        ] {
            assert!(asks(text), "{text}");
        }
        for text in [
            r#"{"x402Version":2}"#,
            r#"{"a":{"x402Version":2,"accepts":[]}}"#,
            r#"["x402Version","accepts"]"#,
            r#"{"a":"x402Version","b":"accepts"}"#,
            r#"x{"x402Version":2,"accepts":[]}"#,
            "",
        ] {
            assert!(!asks(text), "{text}");
        }
    }

    #[test]
    fn spaces_go_and_strings_stay() {
        assert_eq!(compact(b" { \"a b\" : [ 1 ,\n\t\"\\\" \" ] }\r\n"), Some(b"{\"a b\":[1,\"\\\" \"]}".to_vec()));
        assert_eq!(compact(b"{\"a b\":1}"), None);
    }
}
