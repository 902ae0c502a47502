//! Makes forms with files.

use bytes::Bytes;

/// A boundary that no test's own text contains by chance.
const BOUNDARY: &str = "coinslot-test-7c1f2b90d4";

/// The media type of [`body`].
pub(super) const MEDIA_TYPE: &str = "multipart/form-data; boundary=coinslot-test-7c1f2b90d4";

/// A field of a form with files, for [`TestRequest::multipart`](super::TestRequest::multipart).
#[derive(Clone, Debug)]
pub struct Part {
    head: String,
    contents: Bytes,
}

impl Part {
    /// A field that is text.
    pub fn text(name: &str, text: &str) -> Self {
        let head = format!("content-disposition: form-data; name=\"{}\"", escape(name));
        Self { head, contents: Bytes::copy_from_slice(text.as_bytes()) }
    }

    /// A field that is a file.
    pub fn file(name: &str, file_name: &str, media_type: &str, contents: impl AsRef<[u8]>) -> Self {
        let (name, file_name) = (escape(name), escape(file_name));
        let head = format!(
            "content-disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\ncontent-type: {media_type}"
        );
        Self { head, contents: Bytes::copy_from_slice(contents.as_ref()) }
    }
}

/// Replaces what would end a name, as browsers do.
fn escape(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// The body of these parts.
pub(super) fn body(parts: &[Part]) -> Vec<u8> {
    let mut body = Vec::new();
    for Part { head, contents } in parts {
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(contents);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}
