//! Parts of lists: each answer says by a field where the list goes on (RFC 8288), so that no list ends unnoticed.

use axum::Json;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::Uri;
use axum::http::header::LINK;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A part of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) records: Vec<T>,
    /// The parameter that asks for the part that follows. None: this is the end of the list.
    pub(crate) next: Option<NextPart>,
}

/// The parameter of a query that asks for the part that follows, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextPart {
    pub(crate) parameter: &'static str,
    pub(crate) value: String,
}

impl<T> Page<T> {
    /// Makes a part of at most `limit` records of the rows that were read, which are one more if the list goes on.
    /// `place` is the place of a row in the list.
    pub(crate) fn of<R>(
        rows: &[R],
        limit: u32,
        parameter: &'static str,
        place: impl Fn(&R) -> String,
        record: impl Fn(&R) -> T,
    ) -> Self {
        let shown = &rows[..rows.len().min(limit as usize)];
        let last = shown.last().filter(|_| rows.len() > shown.len());
        let next = last.map(|last| NextPart { parameter, value: place(last) });
        Self { records: shown.iter().map(record).collect(), next }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.records).into_response();
        if let Some(next) = self.next {
            response.extensions_mut().insert(next);
        }
        response
    }
}

/// Writes the address of the part that follows into `Link`.
pub(in crate::operate) async fn link(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    let part = response.extensions_mut().remove::<NextPart>();
    let field = part.and_then(|part| HeaderValue::try_from(format!("<{}>; rel=\"next\"", address(&uri, &part))).ok());
    if let Some(field) = field {
        response.headers_mut().insert(LINK, field);
    }
    response
}

/// The address of the request with this parameter.
fn address(uri: &Uri, next: &NextPart) -> String {
    let asked = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = asked.filter(|(name, _)| name != next.parameter);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(kept).append_pair(next.parameter, &next.value).finish();
    format!("{}?{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_part_is_asked_for_with_the_same_choice() {
        let next = NextPart { parameter: "after", value: "7-3".to_owned() };
        for (asked, expected) in [
            ("/api/v1/owed", "/api/v1/owed?after=7-3"),
            ("/x?limit=2&after=9-9&endpoint=GET%20/a%3Eb", "/x?limit=2&endpoint=GET+%2Fa%3Eb&after=7-3"),
        ] {
            assert_eq!(address(&asked.parse().expect("an address"), &next), expected);
        }
    }

    #[test]
    fn a_list_goes_on_if_a_row_more_was_read() {
        let part = |rows: &[u32]| Page::of(rows, 2, "after", ToString::to_string, |row| *row * 10);
        let (full, end) = (part(&[1, 2, 3]), part(&[1, 2]));
        assert_eq!((full.records, full.next.map(|next| next.value)), (vec![10, 20], Some("2".to_owned())));
        assert_eq!((end.records, end.next), (vec![10, 20], None));
        assert_eq!(part(&[]).next, None);
    }
}
