//! Reads forms with files (`multipart/form-data`, RFC 7578) while they arrive.

use bytes::Bytes;
use http::header::CONTENT_TYPE;

use self::reader::PartReader;
use super::{Extract, Request};
use crate::refusal::Refusal;

/// The parts of a body, by their boundary.
mod reader;

/// The header fields of a part.
mod head;
use self::head::PartHead;

/// The media type of [`Multipart`].
const FORM_DATA: &str = "multipart/form-data";

/// A form with files (`multipart/form-data`), whose fields are read one after the other while they arrive. A body that
/// is none is refused with status 415 or with status 400 and the code `invalid_body`.
///
/// ```
/// # use coinslot_sdk::{Multipart, Result, Text, endpoint, testing};
/// #[endpoint(post, "/pictures", price = "0.02", summary = "Weighs pictures")]
/// async fn weigh(mut form: Multipart) -> Result<Text> {
///     let mut report = String::new();
///     while let Some(mut field) = form.next_field().await? {
///         let name = field.file_name().unwrap_or(field.name()).to_owned();
///         let mut bytes = 0;
///         while let Some(chunk) = field.chunk().await? {
///             bytes += chunk.len();
///         }
///         report += &format!("{name}: {bytes} bytes\n");
///     }
///     Ok(Text(report))
/// }
/// # fn main() {
/// use coinslot_sdk::testing::Part;
/// let parts = [Part::text("title", "two dots"), Part::file("picture", "dots.png", "image/png", [0; 9].as_slice())];
/// let answer = testing::post("/pictures").multipart(&parts).send();
/// assert_eq!(answer.text(), "title: 8 bytes\ndots.png: 9 bytes\n");
/// # }
/// ```
#[derive(Debug)]
pub struct Multipart(PartReader);

/// A field of a [`Multipart`] form. What is not read of it is skipped.
#[derive(Debug)]
pub struct Field<'m> {
    head: PartHead,
    reader: &'m mut PartReader,
}

impl Multipart {
    /// The next field; none at the end of the form.
    ///
    /// A malformed or incomplete body is the caller's fault, so the error is a refusal.
    pub async fn next_field(&mut self) -> Result<Option<Field<'_>>, Refusal> {
        let Some(head) = self.0.next_part().await? else { return Ok(None) };
        let head = PartHead::parse(&head)?;
        Ok(Some(Field { head, reader: &mut self.0 }))
    }
}

impl Field<'_> {
    /// The field's name.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The name of the field's file, as the client says it: no path to write to. None if the field is no file.
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The media type of the field, as the client says it.
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type.as_deref()
    }

    /// Reads the next chunk; none at the end of the field.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.reader.chunk().await
    }

    /// The rest of the field.
    pub async fn bytes(mut self) -> Result<Bytes, Refusal> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// The rest of the field, as text.
    pub async fn text(self) -> Result<String, Refusal> {
        let name = self.head.name.clone();
        String::from_utf8(self.bytes().await?.into())
            .map_err(|_| malformed(format_args!("the field `{name}` is not UTF-8 text")))
    }
}

impl Extract for Multipart {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        let media_type = request.media_type().unwrap_or_default();
        if media_type != FORM_DATA {
            let message = format!("send the body as `content-type: {FORM_DATA}` and not as {media_type:?}");
            return Err(Refusal::new(415, "unsupported_media_type", message));
        }
        let whole = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let parameters = whole.split_once(';').map_or("", |(_, parameters)| parameters);
        let boundary = head::parameters(parameters).find(|(name, _)| name == "boundary").map(|(_, value)| value);
        // RFC 2046, section 5.1.1: from 1 to 70 characters.
        match boundary.filter(|boundary| (1..=70).contains(&boundary.len())) {
            Some(boundary) => Ok(Self(PartReader::new(request.take_body(), &boundary))),
            None => Err(malformed(format_args!("`content-type` has no `boundary` of 1 to 70 characters"))),
        }
    }

    /// None without a `content-type`.
    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        match request.media_type() {
            Some(_) => Self::extract(request).await.map(Some),
            None => Ok(None),
        }
    }
}

fn malformed(problem: std::fmt::Arguments<'_>) -> Refusal {
    Refusal::bad_request("invalid_body", format!("the body is not a form with files: {problem}")).at("/body", "form")
}

#[cfg(test)]
mod tests;
