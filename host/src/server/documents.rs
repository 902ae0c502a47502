//! Answers with what the host publishes itself: its documents, and the page for a browser that has to pay.

use std::sync::Arc;

use coinslot_x402::header;
use http::HeaderMap;
use http::header::HeaderName;

use crate::catalog::Catalog;
use crate::discover::{DocumentName, PaywallRequest, Publisher};
use crate::endpoint::Endpoint;
use crate::payment::{Charged, Payments};
use crate::respond::{self, Reply, Unroutable};

static PAYMENT_REQUIRED: HeaderName = HeaderName::from_static(header::PAYMENT_REQUIRED);

/// A request for a document of the host.
pub(super) struct DocumentCall {
    pub(super) name: DocumentName,
    pub(super) query: Option<String>,
    /// The generation of its arrival.
    pub(super) catalog: Arc<Catalog>,
    pub(super) headers: HeaderMap,
    pub(super) head_only: bool,
}

/// Answers with a document.
pub(super) async fn publish(publisher: Arc<Publisher>, payments: Arc<Payments>, call: DocumentCall) -> Reply {
    let reply = match publisher.document(call.name, call.query.as_deref(), &call.catalog, &payments).await {
        Some(document) => respond::document(document, &call.headers),
        None => respond::unroutable(&Unroutable::NotFound, Charged::unasked(&call.headers)),
    };
    if call.head_only { respond::head_only(reply) } else { reply }
}

/// The challenge for a browser: the same, with a page that pays in place of its body, if the operator has one.
pub(super) fn paywall(
    publisher: &Publisher,
    reply: Reply,
    endpoint: &Arc<Endpoint>,
    (params, query): (&[(String, String)], Option<&str>),
    public_url: &str,
) -> Reply {
    let challenge = reply.headers().get(&PAYMENT_REQUIRED).filter(|_| publisher.has_paywall());
    let page = challenge
        .and_then(|challenge| publisher.paywall(&PaywallRequest { endpoint, params, query, challenge, public_url }));
    match page {
        Some(page) => respond::paywall(reply, page),
        None => reply,
    }
}
