//! Canonical request paths: every spelling of a path becomes one, or is refused.
//!
//! Each segment is percent-decoded once and encoded again in one way. What is ambiguous (`//`, `%2F`, `\`, `.`, `..`, a
//! broken `%`) is refused, because a proxy in front of the host could read it in another way.

use std::borrow::Cow;

/// The longest request path that is looked up, in bytes.
pub const MAX_PATH: usize = 4096;

/// The path of a request in canonical notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    /// Percent-decoded. No segment holds a slash of its own.
    decoded: String,
    /// Percent-encoded. None where that is the same as `decoded`.
    encoded: Option<String>,
}

/// A request path that has no canonical notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    #[error("the path must start with a slash")]
    NotAbsolute,
    #[error("the path holds an empty segment: write single slashes")]
    EmptySegment,
    #[error("the path holds `.` or `..`: write the path that is meant")]
    DotSegment,
    #[error("the path holds an encoded slash, a backslash or a control character")]
    Forbidden,
    #[error("the path holds a `%` that does not start two hex digits of UTF-8")]
    BadEncoding,
}

impl RequestPath {
    /// Makes the path of a request target canonical. `raw` holds no query.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        if raw.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        let rest = raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let mut decoded = String::with_capacity(raw.len());
        let mut encoded = (!raw.bytes().all(|byte| byte == b'/' || is_pchar(byte))).then(String::new);
        let count = rest.split('/').count();
        for (index, segment) in rest.split('/').enumerate() {
            // The last segment may be empty: in `/` itself, and behind a slash at the end, where `/a/` is another path
            // than `/a`.
            if segment.is_empty() && index + 1 != count {
                return Err(PathError::EmptySegment);
            }
            let segment = decode(segment)?;
            if segment == "." || segment == ".." {
                return Err(PathError::DotSegment);
            }
            if segment.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
                return Err(PathError::Forbidden);
            }
            decoded.push('/');
            decoded.push_str(&segment);
            if let Some(encoded) = &mut encoded {
                encoded.push('/');
                encode(&segment, encoded);
            }
        }
        Ok(Self { encoded: encoded.filter(|encoded| *encoded != decoded), decoded })
    }

    /// The canonical notation as a guest and a URL have it, percent-encoded outside `pchar`.
    pub fn as_str(&self) -> &str {
        self.encoded.as_deref().unwrap_or(&self.decoded)
    }

    /// The path with nothing percent-encoded, as templates match it.
    pub(super) fn decoded(&self) -> &str {
        &self.decoded
    }
}

/// Undoes the percent-encoding of one segment.
fn decode(segment: &str) -> Result<Cow<'_, str>, PathError> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(PathError::BadEncoding);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| PathError::BadEncoding)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| PathError::BadEncoding)
}

/// True if a byte stands in a segment as it is: `pchar` of RFC 3986, section 3.3.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Appends a segment with everything but `pchar` percent-encoded, in upper-case hex.
fn encode(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        if is_pchar(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
}
