//! Tells a client what is left of its free requests or of its pass, and why its key, its account or its pass is refused.
//!
//! The fields are those of draft-ietf-httpapi-ratelimit-headers-10: a policy with its quota and its window, and what is
//! left of it. A window that never ends has neither a length nor a time until it begins anew.

use coinslot_ledger::{FreeQuota, PassRefusal};
use coinslot_x402::price::Challenge;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};

use super::error::{ErrorRow, passing, retry_after, row};
use super::{Reply, required};
use crate::allowance::PayerRefusal;
use crate::payment::{Charged, FreeRemainder, KeyRefusal, pass_reason};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const PAYER_DENIED: ErrorRow =
    row(StatusCode::FORBIDDEN, "payer_denied", "this host takes no payments of this payer, by its operator's decision");
const PAYER_NOT_ALLOWED: ErrorRow = row(
    StatusCode::FORBIDDEN,
    "payer_not_allowed",
    "this host takes payments only of payers whom its operator has listed",
)
.advising("ask the operator, or pay from a listed account");
const KEY_UNKNOWN: ErrorRow = row(StatusCode::UNAUTHORIZED, "api_key_unknown", "this key is not known here")
    .advising("check it, or leave it out and pay");
const KEY_REVOKED: ErrorRow = row(StatusCode::UNAUTHORIZED, "api_key_revoked", "this key was revoked")
    .advising("ask the operator for another one, or leave it out and pay");
const KEY_EXPIRED: ErrorRow = row(StatusCode::UNAUTHORIZED, "api_key_expired", "this key has expired")
    .advising("ask the operator for another one, or leave it out and pay");
const KEY_SCOPE: ErrorRow = row(
    StatusCode::FORBIDDEN,
    "api_key_scope",
    "this key is not for this endpoint: leave it out and pay, or ask the operator for another one",
);
const KEY_EXHAUSTED: ErrorRow =
    row(StatusCode::TOO_MANY_REQUESTS, "api_key_exhausted", "the quota of this key is used up");
const CANNOT_COUNT: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "cannot_count", "free requests cannot be counted now")
        .advising("send the same request again later");

/// Says on an answer what is left behind it.
pub fn allowed(mut reply: Reply, remainder: FreeRemainder) -> Reply {
    let FreeRemainder { kind, quota: FreeQuota { requests, every }, left, resets_in } = remainder;
    let name = kind.as_str();
    let window = every.map(|every| format!(";w={}", every.as_secs())).unwrap_or_default();
    let resets = resets_in.map(|wait| format!(";t={}", wait.as_secs())).unwrap_or_default();
    let policy = format!("\"{name}\";q={requests}{window}");
    let rest = format!("\"{name}\";r={left}{resets}");
    for (field, text) in [(&RATE_LIMIT_POLICY, policy), (&RATE_LIMIT, rest)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            reply.headers_mut().insert(field, value);
        }
    }
    reply
}

/// A payer who may not pay.
pub(super) fn payer_refused(refusal: PayerRefusal, charged: Charged) -> Reply {
    match refusal {
        PayerRefusal::Denied => PAYER_DENIED.reply(charged),
        PayerRefusal::NotAllowed => PAYER_NOT_ALLOWED.reply(charged),
    }
}

/// A key that does not count. Source of the field: RFC 6750, section 3.
pub(super) fn key_refused(refusal: KeyRefusal, charged: Charged) -> Reply {
    let row = match refusal {
        KeyRefusal::Unknown => KEY_UNKNOWN,
        KeyRefusal::Revoked => KEY_REVOKED,
        KeyRefusal::Expired => KEY_EXPIRED,
    };
    let mut reply = row.reply(charged);
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
    reply
}

/// A key for other endpoints, with the challenge of this one.
pub(super) fn key_elsewhere(challenge: &Challenge, charged: Charged) -> Reply {
    let ErrorRow { status, code, message, .. } = KEY_SCOPE;
    required::refused(status, challenge, code, message.to_owned(), charged)
}

/// A key whose quota is used up, with the challenge: its holder may wait, or pay.
pub(super) fn key_exhausted(remainder: FreeRemainder, challenge: &Challenge, charged: Charged) -> Reply {
    let ErrorRow { status, code, message, .. } = KEY_EXHAUSTED;
    let wait = remainder.resets_in.map(|wait| wait.as_secs().max(1));
    let advice = match wait {
        Some(seconds) => format!("send the request again in {seconds} s, or pay for it now"),
        None => "ask the operator for more, or pay for the request".to_owned(),
    };
    let reply = required::refused(status, challenge, code, format!("{message}: {advice}"), charged);
    let reply = match wait {
        Some(seconds) => retry_after(reply, seconds),
        None => reply,
    };
    allowed(reply, remainder)
}

/// A pass that does not serve a request, with the challenge: its holder may pay.
pub(super) fn no_pass(refusal: PassRefusal, challenge: &Challenge, charged: Charged) -> Reply {
    let message = match refusal {
        PassRefusal::Unknown => "there is no such pass",
        PassRefusal::Expired => "the time of your pass is over",
        PassRefusal::UsedUp => "every request of your pass is used",
        PassRefusal::Ended => {
            "the payment of your pass is owed an answer or was paid back, and its pass does not count"
        }
        PassRefusal::BelowPrice => "this request costs more than the payment of your pass was",
    };
    match pass_reason(refusal) {
        None => required::bare(challenge),
        Some(reason) => {
            let message = format!("{message}: pay for this request, which buys a new one");
            required::refused(StatusCode::PAYMENT_REQUIRED, challenge, reason, message, charged)
        }
    }
}

/// A free request that the ledger could not count.
pub(super) fn cannot_count(charged: Charged) -> Reply {
    CANNOT_COUNT.reply(charged)
}
