//! Decides what the status of an answer means: for the payment, for the facilitator's circuit, and for this host.

#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use reqwest::StatusCode;

/// True if a facilitator refuses the caller and not the payment: a key that it does not know, or too many requests.
/// Whatever the body says of the payment, an earlier request may have settled it.
fn refuses_the_caller(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
}

/// True if the status objects to one payment, however little its body says: the next payment may be served. Every
/// client can send a payment that a facilitator cannot read, so that such a status must not open the circuit for all.
///
/// The statuses that are left out are about the facilitator, its address or this host: a key, a fee, a path that is not
/// there, a time-out, a rate.
pub(super) fn objects_to_the_payment(status: StatusCode) -> bool {
    status.is_client_error()
        && !refuses_the_caller(status)
        && !matches!(
            status,
            StatusCode::PAYMENT_REQUIRED
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::GONE
                | StatusCode::MISDIRECTED_REQUEST
                | StatusCode::TOO_EARLY
                | StatusCode::UPGRADE_REQUIRED
                | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
        )
}

/// True if the status of an answer without a verdict is about the facilitator, its address or this host, whatever the
/// payment is. A 5xx is not: a facilitator may fail in it for some payments only, which every client can send.
pub(super) fn is_about_the_facilitator(status: StatusCode) -> bool {
    status.is_redirection()
        || (status.is_client_error() && !objects_to_the_payment(status))
        || is_gateway_time_out(status)
}

/// True if something between the facilitator and this host says that the facilitator did not answer in time. 524 is
/// Cloudflare's word for 504.
pub(super) fn is_gateway_time_out(status: StatusCode) -> bool {
    status == StatusCode::GATEWAY_TIMEOUT || status.as_u16() == 524
}

/// True if the body can be the answer to the payment.
pub(super) fn is_answer(status: StatusCode) -> bool {
    status == StatusCode::OK || (status.is_client_error() && !refuses_the_caller(status))
}
