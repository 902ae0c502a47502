//! Removes from a guest's answer, and from its trailers, the headers that a guest may not write.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use coinslot_plugin::{FAILED, Fault};
use coinslot_x402::header::is_payment_header;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, VARY};
use http_body::{Body, Frame, SizeHint};

use super::intermediaries::{is_allowed_on_free_answers, is_allowed_on_paid_answers};
use crate::payment::PAGE;

/// The header with the payment's identifier, by which an operator finds it in the ledger.
pub(super) const PAYMENT_ID: &str = "x-coinslot-payment-id";

/// The header that says whether a request that was not served has cost the client something: `no`, `yes` or `unknown`.
/// The plugin's own answer of 400 or above has no field for it.
pub(crate) const CHARGED: &str = "x-coinslot-charged";

/// The headers of a connection, which only the host writes. A guest's value never reaches a client.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The kind of route that a guest answers at, which decides the headers that the guest may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    Free,
    Paid,
}

/// Keeps a paid answer out of shared caches, which would give it to the next client. The guest's own directives stay,
/// except for those that make the answer public.
pub(super) fn private(headers: &mut HeaderMap) {
    let directives: Vec<String> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .filter(|directive| {
            !directive.is_empty()
                && !directive.starts_with("public")
                && !directive.starts_with("private")
                && !directive.starts_with("s-maxage")
        })
        .collect();
    let value = std::iter::once("private".to_owned()).chain(directives).collect::<Vec<_>>().join(", ");
    headers
        .insert(CACHE_CONTROL, HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("private, no-store")));
    headers.append(VARY, HeaderValue::from_static("PAYMENT-SIGNATURE, X-PAYMENT"));
}

/// Removes the headers that a guest may not write at a route of this kind.
pub(super) fn clean(headers: &mut HeaderMap, kind: RouteKind) {
    let refused: Vec<HeaderName> = headers.keys().filter(|name| !is_allowed(name, kind)).cloned().collect();
    for name in refused {
        tracing::debug!(%name, "a header of a plugin was dropped");
        headers.remove(name);
    }
}

fn is_allowed(name: &HeaderName, kind: RouteKind) -> bool {
    !is_host_only(name)
        && !OF_THE_CONNECTION.contains(&name.as_str())
        && match kind {
            RouteKind::Free => is_allowed_on_free_answers(name),
            RouteKind::Paid => is_allowed_on_paid_answers(name),
        }
}

/// True for a header about a payment, which only the host may write: in a guest's answer it would speak for the host,
/// and in a client's request a guest could take it for a receipt. The mark of a failed plugin is for the host alone.
pub(crate) fn is_host_only(name: &HeaderName) -> bool {
    is_payment_header(name.as_str()) || name == PAYMENT_ID || name == CHARGED || *name == FAILED || *name == PAGE
}

/// A guest's body whose trailers are cleaned like headers.
pub(super) struct Clean<B> {
    pub(super) body: B,
    pub(super) kind: RouteKind,
}

impl<B: Body<Data = Bytes, Error = Fault> + Unpin> Body for Clean<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let kind = self.kind;
        Pin::new(&mut self.body).poll_frame(context).map_ok(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                clean(&mut trailers, kind);
                if kind == RouteKind::Paid {
                    // The head has said it, and no trailer may take it back.
                    trailers.remove(CACHE_CONTROL);
                }
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
