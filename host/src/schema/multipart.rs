//! Reads the fields of a `multipart/form-data` body (RFC 7578).
//!
//! A file counts as a field whose value is its text; bytes that are not UTF-8 are replaced in it. A schema can so ask
//! for a file, and bound what is text.

use http::HeaderValue;

use super::form::Pairs;

/// The most fields of a form. It bounds the work for a body that has nothing but boundaries.
const MAX_FIELDS: usize = 10_000;

/// The longest boundary, in bytes (RFC 2046, section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The fields of a form, in its order. None if the body is not one: no boundary, or parts without a name.
pub(super) fn fields(media_type: &HeaderValue, body: &[u8]) -> Option<Pairs> {
    let boundary = parameter(media_type.to_str().ok()?, "boundary").filter(|value| value.len() <= LONGEST_BOUNDARY)?;
    let boundary = format!("--{boundary}");
    let boundary = boundary.as_bytes();
    // What stands before the first boundary has no meaning (RFC 2046, section 5.1.1).
    let mut rest = after(body, boundary)?;
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let end = find(part, &[b"\r\n", boundary].concat())?;
        fields.push(field(&part[..end])?);
        if fields.len() > MAX_FIELDS {
            return None;
        }
        rest = &part[end + 2 + boundary.len()..];
    }
}

/// One part: its name, and its content as text.
fn field(part: &[u8]) -> Option<(String, String)> {
    let (head, content) = match find(part, b"\r\n\r\n") {
        Some(end) => (&part[..end], &part[end + 4..]),
        None => return None,
    };
    let head = std::str::from_utf8(head).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    Some((parameter(disposition, "name")?, String::from_utf8_lossy(content).into_owned()))
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

fn after<'b>(bytes: &'b [u8], text: &[u8]) -> Option<&'b [u8]> {
    Some(&bytes[find(bytes, text)? + text.len()..])
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

    fn read(media_type: &str, body: &str) -> Option<Pairs> {
        fields(&HeaderValue::from_str(media_type).expect("a value"), body.as_bytes())
    }

    #[test]
    fn fields_and_files_have_names_and_texts() {
        let body = "ignored\r\n--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xx\r\n\
                    content-disposition: form-data; filename=\"f;.png\"; name=b\r\ncontent-type: image/png\r\n\r\n\
                    --x\r\n\r\n--xx--\r\n";
        let expected = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "--x\r\n".to_owned())];
        assert_eq!(read("multipart/form-data; boundary=xx", body), Some(expected.clone()));
        assert_eq!(read("multipart/form-data; charset=utf-8; Boundary=\"xx\"", body), Some(expected));
        assert_eq!(read("multipart/form-data; boundary=xx", "--xx--"), Some(Vec::new()));
    }

    #[test]
    fn a_form_that_is_not_one_has_no_fields() {
        for (media_type, body) in [
            ("multipart/form-data", "--xx--"),
            ("multipart/form-data; boundary=", "--xx--"),
            ("multipart/form-data; boundary=xx", "{}"),
            ("multipart/form-data; boundary=xx", "--xx\r\n\r\n1\r\n--xx--"),
            ("multipart/form-data; boundary=xx", "--xx\r\nContent-Disposition: form-data; name=a\r\n\r\n1"),
        ] {
            assert_eq!(read(media_type, body), None, "{media_type} {body}");
        }
    }
}
