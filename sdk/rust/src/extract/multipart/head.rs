//! Parses the header fields of a part.

use super::malformed;
use crate::refusal::Refusal;

/// The name, the file name and the media type of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartHead {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
}

impl PartHead {
    /// Reads the header fields of a part. Fields other than the two that a form uses are skipped (RFC 7578, section
    /// 4.8).
    pub(super) fn parse(head: &[u8]) -> Result<Self, Refusal> {
        let head = std::str::from_utf8(head).map_err(|_| malformed(format_args!("a header field is not UTF-8")))?;
        let (mut disposition, mut content_type) = (None, None);
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err(malformed(format_args!("{line:?} is not a header field")));
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "content-disposition" => disposition = Some(value.trim()),
                "content-type" => content_type = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let (kind, rest) = disposition.and_then(|value| value.split_once(';')).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(malformed(format_args!("a part has no `content-disposition: form-data; name=\"..\"`")));
        }
        let (mut field, mut file_name) = (None, None);
        for (name, value) in parameters(rest) {
            match name.as_str() {
                "name" => field = Some(unescape(&value)),
                "filename" => file_name = Some(unescape(&value)),
                _ => {}
            }
        }
        let name = field.ok_or_else(|| malformed(format_args!("a part has no name")))?;
        Ok(Self { name, file_name, content_type })
    }
}

/// Undoes what browsers do to the characters that would end a name (WHATWG HTML, section 4.10.21.8).
fn unescape(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// The parameters behind a media type or a disposition: names in lower case, and values without quotes.
pub(super) fn parameters(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), &after[end..])
            }
        };
        rest = after;
        Some((name.trim().to_ascii_lowercase(), value))
    })
}

/// The text up to the closing quote, and what follows it. A backslash stands for itself except before a quote, because
/// some clients send a file's whole path.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' if matches!(chars.peek(), Some((_, '"'))) => {
                chars.next();
                value.push('"');
            }
            other => value.push(other),
        }
    }
    None
}
