//! Splits queries and undoes percent-encoding.

use serde::de::Error;

use super::error::FormError;

/// Names and values, decoded, in the order of the request.
pub(crate) type Pairs = Vec<(String, String)>;

/// Splits and decodes a query (WHATWG URL, section 5.1).
pub(crate) fn parse_query(query: &str) -> Result<Pairs, FormError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode_query_part(key)?, decode_query_part(value)?))
        })
        .collect()
}

/// Undoes the encoding of a name or a value in a query, where a plus is a space.
fn decode_query_part(text: &str) -> Result<String, FormError> {
    decode(&text.replace('+', " "))
}

/// Undoes percent-encoding.
pub(crate) fn decode(text: &str) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"),
                _ => {
                    return Err(FormError::custom("a percent sign that two hexadecimal digits do not follow"));
                }
            },
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| FormError::custom("text that is not UTF-8"))
}
