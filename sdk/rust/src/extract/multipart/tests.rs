use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::head::PartHead;
use super::reader::PartReader;
use super::{Multipart, Refusal};
use crate::body::{Body, BodyError};
use crate::testing::block_on;

/// A body that arrives in these pieces.
struct Pieces(VecDeque<Bytes>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// Name, file name, media type and contents of a field.
type FieldParts = (String, Option<String>, Option<String>, String);

/// The fields of a body that arrives in pieces of this size.
fn fields(body: &str, size: usize) -> Result<Vec<FieldParts>, Refusal> {
    let pieces = body.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
    let mut form = Multipart(PartReader::new(Body::chunks(Pieces(pieces)), "XyZ"));
    block_on(async {
        let mut fields = Vec::new();
        while let Some(field) = form.next_field().await? {
            let (file_name, content_type) =
                (field.file_name().map(str::to_owned), field.content_type().map(str::to_owned));
            fields.push((field.name().to_owned(), file_name, content_type, field.text().await?));
        }
        assert!(form.next_field().await?.is_none(), "the end stays the end");
        Ok(fields)
    })
}

#[test]
fn fields_are_the_same_in_whatever_pieces_they_arrive() {
    let body = "preamble, to be skipped\r\n--XyZ \t\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n\
        two\r\n--Xy dots\r\n--XyZ\r\ncontent-type: image/png\r\nX-Other: 1\r\n\
        CONTENT-DISPOSITION: Form-Data; filename=\"d\\\"o%22t.png\"; name=picture\r\n\r\n\r\n-\r\n\r\n--XyZ\r\n\
        content-disposition: form-data; name=\"empty\"\r\n\r\n\r\n--XyZ--\r\nepilogue";
    let owned = |text: &str| Some(text.to_owned());
    let expected = vec![
        ("title".to_owned(), None, None, "two\r\n--Xy dots".to_owned()),
        ("picture".to_owned(), owned("d\"o\"t.png"), owned("image/png"), "\r\n-\r\n".to_owned()),
        ("empty".to_owned(), None, None, String::new()),
    ];
    for size in (1..body.len()).chain([10_000]) {
        assert_eq!(fields(body, size).as_ref(), Ok(&expected), "in pieces of {size}");
    }
    assert_eq!(fields("--XyZ--", 3), Ok(Vec::new()));
}

#[test]
fn a_malformed_body_is_the_callers_fault() {
    let part = "--XyZ\r\ncontent-disposition: form-data; name=a\r\n\r\nb";
    for (body, problem) in [
        (String::new(), "last delimiter"),
        ("nothing of the kind".to_owned(), "last delimiter"),
        (part.to_owned(), "last delimiter"),
        (format!("{part}\r\n--XyZ"), "last delimiter"),
        ("--XyZx\r\n\r\n--XyZ--".to_owned(), "behind a delimiter"),
        (format!("--XyZ{}\r\n\r\n--XyZ--", " ".repeat(200)), "within 128 bytes"),
        ("--XyZ\r\n\r\nb\r\n--XyZ--".to_owned(), "content-disposition"),
        ("--XyZ\r\nno field\r\n\r\nb\r\n--XyZ--".to_owned(), "not a header field"),
        ("--XyZ\r\ncontent-disposition: form-data; filename=a\r\n\r\nb\r\n--XyZ--".to_owned(), "no name"),
        (format!("--XyZ\r\nx: {}", "y".repeat(9_000)), "within 8192 bytes"),
    ] {
        let refusal = fields(&body, 100).expect_err(&body);
        assert_eq!((refusal.status(), refusal.code()), (400, "invalid_body"), "{body}");
        assert!(refusal.message().contains(problem), "{body}: {refusal}");
    }
    assert!(PartHead::parse(b"content-disposition: form-data; name=\"\xff\"").is_err());
}

#[test]
fn a_field_that_is_not_read_is_skipped() {
    let body = format!(
        "--XyZ\r\ncontent-disposition: form-data; name=a\r\n\r\n{}\r\n--XyZ\r\n\
         content-disposition: form-data; name=b\r\n\r\nx\r\n--XyZ--",
        "long ".repeat(1_000)
    );
    let mut form = Multipart(PartReader::new(Body::from(body), "XyZ"));
    block_on(async {
        form.next_field().await.expect("a form").expect("a field");
        let field = form.next_field().await.expect("a form").expect("a field");
        assert_eq!(field.text().await.as_deref(), Ok("x"));
    });
}
