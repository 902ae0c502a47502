//! Makes the 402, and every other response that carries a challenge.

use coinslot_base::request_id::RequestId;
use coinslot_x402::header;
use coinslot_x402::price::Challenge;
use http::StatusCode;
use http::header::HeaderName;

use super::error::ErrorCode;
use super::{Reply, uncached, with_cors};
use crate::payment::{self, Charged};

static PAYMENT_REQUIRED: HeaderName = HeaderName::from_static(header::PAYMENT_REQUIRED);

/// The prepared challenge, for a request without a payment. Only a page gets CORS headers: no cache stores the
/// response, so a page is never given the response to a program.
pub fn challenge(challenge: &Challenge, to_page: bool) -> Reply {
    let reply = bare(challenge);
    if to_page { with_cors(reply) } else { reply }
}

/// A 402 whose only reason is the missing payment.
pub(super) fn bare(challenge: &Challenge) -> Reply {
    let reply = uncached(StatusCode::PAYMENT_REQUIRED, challenge.body.clone());
    with_header(reply, challenge)
}

/// A challenge for a payment that was refused. The reason and the advice join the version 1 body, which stays one that
/// version 1 clients parse.
pub(super) fn refused(
    status: StatusCode,
    challenge: &Challenge,
    reason: &str,
    message: String,
    charged: Charged,
) -> Reply {
    let body = match serde_json::from_slice::<serde_json::Value>(&challenge.body) {
        Ok(serde_json::Value::Object(mut document)) => {
            document.insert("error".to_owned(), reason.into());
            document.insert("message".to_owned(), message.into());
            document.insert("charged".to_owned(), charged.as_str().into());
            document.extend(RequestId::current().map(|id| ("request_id".to_owned(), id.as_str().into())));
            serde_json::Value::Object(document).to_string().into()
        }
        _ => challenge.body.clone(),
    };
    let mut reply = with_header(uncached(status, body), challenge);
    reply.extensions_mut().insert(ErrorCode(reason.to_owned()));
    reply
}

fn with_header(mut reply: Reply, challenge: &Challenge) -> Reply {
    if let Some(value) = challenge.header(&payment::challenge::new_secret()) {
        reply.headers_mut().insert(&PAYMENT_REQUIRED, value);
    }
    reply
}
