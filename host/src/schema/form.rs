//! Decodes queries and forms into names and values.

/// Names and values, decoded, in the order of the request.
pub(super) type Pairs = Vec<(String, String)>;

/// The most names with values. It bounds the memory for a body of nothing but ampersands and names.
const MAX_PAIRS: usize = 50_000;

/// Splits and decodes a query, or the body of `application/x-www-form-urlencoded` (WHATWG URL, section 5.1). None if a
/// name or a value is not percent-encoded UTF-8, or if there are too many.
pub(super) fn pairs(text: &str) -> Option<Pairs> {
    let pairs = || text.split('&').filter(|pair| !pair.is_empty());
    if pairs().nth(MAX_PAIRS).is_some() {
        return None;
    }
    pairs()
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decoded(&name.replace('+', " "))?, percent_decoded(&value.replace('+', " "))?))
        })
        .collect()
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

    #[test]
    fn a_query_is_split_before_it_is_decoded() {
        let owned = |pairs: &[(&str, &str)]| -> Pairs {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(pairs("q=a+b%20c%26d&&x&y=1=2"), Some(owned(&[("q", "a b c&d"), ("x", ""), ("y", "1=2")])));
        for broken in ["q=%4", "q=%zz", "%=1", "q=%ff", &"a&".repeat(MAX_PAIRS + 1)] {
            assert_eq!(pairs(broken), None, "{broken:.9}");
        }
    }
}
