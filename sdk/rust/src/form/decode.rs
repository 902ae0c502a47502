//! Splits queries and undoes percent-encoding.

/// Names and values of a path's parameters, decoded, in the order of the template.
pub(crate) type Pairs = Vec<(String, String)>;

/// A field of a query or of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormField {
    pub(super) name: String,
    pub(super) text: String,
    /// False if name or text are not percent-encoded UTF-8. What cannot be decoded stands in them as the URL standard
    /// has it: a percent sign stays one, and bytes that are no UTF-8 are replaced.
    pub(super) is_encoded: bool,
}

/// Splits and decodes a query, or a body of `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), in its
/// order.
pub(crate) fn parse_query(query: &str) -> Vec<FormField> {
    query.split('&').filter(|pair| !pair.is_empty()).map(field).collect()
}

fn field(pair: &str) -> FormField {
    let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
    let (name, has_name) = query_part(name);
    let (text, has_text) = query_part(text);
    FormField { name, text, is_encoded: has_name && has_text }
}

/// Undoes the encoding of a name or a value in a query, where a plus is a space. Also tells whether it is encoded
/// right.
fn query_part(text: &str) -> (String, bool) {
    let (bytes, is_encoded) = percent_decoded(&text.replace('+', " "));
    match String::from_utf8(bytes) {
        Ok(text) => (text, is_encoded),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), false),
    }
}

/// Undoes percent-encoding. None for text that is not percent-encoded UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let (bytes, is_encoded) = percent_decoded(text);
    String::from_utf8(bytes).ok().filter(|_| is_encoded)
}

/// The bytes of percent-encoded text. A percent sign that two hexadecimal digits do not follow stays one, and the text
/// is then not encoded right.
fn percent_decoded(text: &str) -> (Vec<u8>, bool) {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (mut decoded, mut is_encoded) = (Vec::with_capacity(text.len()), true);
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let byte = match (first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        if byte.is_some() {
            rest = &after[2..];
        }
        is_encoded &= byte.is_some() || *first != b'%';
        decoded.push(byte.unwrap_or(*first));
    }
    (decoded, is_encoded)
}
