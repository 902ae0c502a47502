//! Reads the fields of a `multipart/form-data` body (RFC 7578).
//!
//! A file counts as a field whose text has one character for each byte of the file, so that a schema can ask for a file
//! and bound its size.

use http::HeaderValue;

use super::form::FormField;
use super::input::{InputPart, NoValue};
use super::text;

/// The most fields of a form. It bounds the work for a body that has nothing but boundaries.
const MAX_FIELDS: usize = 10_000;

/// The longest boundary, in bytes (RFC 2046, section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The fields of a form, in its order. Fails if the body is not one, and if it has too many fields.
pub(super) fn fields(media_type: Option<&HeaderValue>, body: &[u8]) -> Result<Vec<FormField>, NoValue> {
    let no_form =
        || NoValue::refused(InputPart::Body, "form", "it is not a multipart form whose parts have names".to_owned());
    let boundary = media_type.and_then(|value| parameter(value.to_str().ok()?, "boundary")).ok_or_else(no_form)?;
    if boundary.len() > LONGEST_BOUNDARY {
        return Err(no_form());
    }
    let mut fields = Vec::new();
    for part in Parts::of(body, &boundary).ok_or_else(no_form)? {
        if fields.len() == MAX_FIELDS {
            return Err(NoValue::TooLarge);
        }
        fields.push(part.and_then(field).ok_or_else(no_form)?);
    }
    Ok(fields)
}

/// The parts of a body, each with its head. The last one is none if the body ends before its last boundary.
struct Parts<'b> {
    /// The bytes behind a boundary. None at the end.
    rest: Option<&'b [u8]>,
    boundary: Vec<u8>,
}

impl<'b> Parts<'b> {
    fn of(body: &'b [u8], boundary: &str) -> Option<Self> {
        let boundary = format!("--{boundary}").into_bytes();
        // What stands before the first boundary has no meaning (RFC 2046, section 5.1.1).
        let first = find(body, &boundary)? + boundary.len();
        Some(Self { rest: Some(&body[first..]), boundary: [b"\r\n", &boundary[..]].concat() })
    }
}

impl<'b> Iterator for Parts<'b> {
    type Item = Option<&'b [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take().filter(|rest| !rest.starts_with(b"--"))?;
        let part = rest.strip_prefix(b"\r\n");
        let end = part.and_then(|part| find(part, &self.boundary));
        Some(part.zip(end).map(|(part, end)| {
            self.rest = Some(&part[end + self.boundary.len()..]);
            &part[..end]
        }))
    }
}

/// One part: its name, and its content as text.
fn field(part: &[u8]) -> Option<FormField> {
    let end = find(part, b"\r\n\r\n")?;
    let (head, content) = (std::str::from_utf8(&part[..end]).ok()?, &part[end + 4..]);
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then_some(value)
        })
    };
    let disposition = header("content-disposition")?;
    let media_type = header("content-type").and_then(|value| HeaderValue::from_str(value.trim()).ok());
    let is_text = media_type.is_none_or(|value| text::is_text(&text::essence(value.to_str().unwrap_or_default())));
    let is_file = parameter(disposition, "filename").is_some() || !is_text;
    let content = if is_file { text::of_file(content) } else { text::of_text(content) };
    Some(FormField::decoded(parameter(disposition, "name")?, content))
}

/// A parameter of a header field's value, without its quotes.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (content, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end(), &after[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(content.to_owned()).filter(|content| !content.is_empty());
        }
        rest = next.trim_start().strip_prefix(';')?;
    }
}

/// The first place of a text. Linear but for texts that repeat themselves, which [`LONGEST_BOUNDARY`] bounds.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(text) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: &str, body: &[u8]) -> Option<Vec<FormField>> {
        fields(Some(&HeaderValue::from_str(media_type).expect("a value")), body).ok()
    }

    #[test]
    fn fields_and_files_have_names_and_texts() {
        let body = "ignored\r\n--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\u{e9}\r\n--xx\r\n\
                    content-disposition: form-data; filename=\"f;.png\"; name=b\r\ncontent-type: image/png\r\n\r\n\
                    --x\u{e9}\r\n\r\n--xx--\r\n";
        let field = |name: &str, text: &str| FormField::decoded(name.to_owned(), text.to_owned());
        // The file has a character for each of its bytes.
        let expected = vec![field("a", "1\u{e9}"), field("b", "--x\u{c3}\u{a9}\r\n")];
        assert_eq!(read("multipart/form-data; boundary=xx", body.as_bytes()), Some(expected.clone()));
        assert_eq!(read("multipart/form-data; charset=utf-8; Boundary=\"xx\"", body.as_bytes()), Some(expected));
        assert_eq!(read("multipart/form-data; boundary=xx", b"--xx--"), Some(Vec::new()));
    }

    #[test]
    fn a_form_that_is_not_one_has_no_fields() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for (media_type, body) in [
            ("multipart/form-data", "--xx--"),
            ("multipart/form-data; boundary=", "--xx--"),
            (&long, &"x".repeat(200)),
            ("multipart/form-data; boundary=xx", "{}"),
            ("multipart/form-data; boundary=xx", "--xx\r\n\r\n1\r\n--xx--"),
            ("multipart/form-data; boundary=xx", "--xx\r\nContent-Disposition: form-data; name=a\r\n\r\n1"),
        ] {
            assert_eq!(read(media_type, body.as_bytes()), None, "{media_type} {body}");
        }
    }
}
