//! Decodes queries and forms into fields.

use url::form_urlencoded;

/// The most fields. It bounds the memory for a body of nothing but ampersands and names.
const MAX_FIELDS: usize = 50_000;

/// A field of a path, a query or a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FormField {
    pub(super) name: String,
    pub(super) text: String,
    /// False if name or text are not percent-encoded UTF-8. What cannot be decoded stands in them as the URL standard
    /// has it: a percent sign stays one, and bytes that are no UTF-8 are replaced.
    pub(super) is_encoded: bool,
}

impl FormField {
    /// A field that needs no decoding.
    pub(super) fn decoded(name: String, text: String) -> Self {
        Self { name, text, is_encoded: true }
    }
}

/// Splits and decodes a query, or a body of `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), in its
/// order. None if there are too many fields.
pub(super) fn fields(bytes: &[u8]) -> Option<Vec<FormField>> {
    let pairs = || bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let has_too_many = pairs().nth(MAX_FIELDS).is_some();
    (!has_too_many).then(|| pairs().filter_map(field).collect())
}

fn field(pair: &[u8]) -> Option<FormField> {
    let (name, text) = form_urlencoded::parse(pair).next()?;
    let is_encoded = std::str::from_utf8(pair).is_ok_and(|pair| !pair.contains('%') || percent_decoded(pair).is_some());
    Some(FormField { name: name.into_owned(), text: text.into_owned(), is_encoded })
}

/// Undoes percent-encoding. None if a percent sign is not followed by two hexadecimal digits, or the bytes are not
/// UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, text: &str, is_encoded: bool) -> FormField {
        FormField { name: name.to_owned(), text: text.to_owned(), is_encoded }
    }

    #[test]
    fn a_query_is_split_before_it_is_decoded() {
        let decoded = [field("q", "a b c&d", true), field("x", "", true), field("y", "1=2", true)];
        assert_eq!(fields(b"q=a+b%20c%26d&&x&y=1=2"), Some(decoded.to_vec()));
        assert_eq!(fields("a&".repeat(MAX_FIELDS).as_bytes()).map(|fields| fields.len()), Some(MAX_FIELDS));
        assert_eq!(fields("a&".repeat(MAX_FIELDS + 1).as_bytes()), None);
    }

    #[test]
    fn what_cannot_be_decoded_is_read_as_the_url_standard_has_it_and_marked() {
        for (query, name, text) in [
            (&b"q=100%"[..], "q", "100%"),
            (b"q=%zz", "q", "%zz"),
            (b"%=1", "%", "1"),
            (b"q=%ff", "q", "\u{fffd}"),
            (b"q=\xff", "q", "\u{fffd}"),
        ] {
            assert_eq!(fields(query), Some(vec![field(name, text, false)]));
        }
    }
}
