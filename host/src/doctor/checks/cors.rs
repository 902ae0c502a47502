//! Checks whether a page of another origin can pay.

use crate::doctor::check::{Check, Verdict};
use crate::doctor::observation::Observed;

/// The headers that the official clients send with a payment.
pub(in crate::doctor) const SENT: &str = "access-control-expose-headers,content-type,payment-signature,x-payment";

/// The headers that they read.
const READ: [&str; 2] = ["payment-required", "payment-response"];

/// The methods that a page may use without being allowed to.
const SIMPLE: [&str; 3] = ["GET", "HEAD", "POST"];

pub(super) const CHECKS: &[Check<Observed>] = &[
    Check {
        name: "cors-preflight",
        why: "a browser asks by OPTIONS before a page may send a payment: where that is refused or costs, no \
              page can pay",
        advice: "answer OPTIONS with 204, Access-Control-Allow-Origin, and Access-Control-Allow-Headers with \
              PAYMENT-SIGNATURE, X-PAYMENT, Content-Type and Access-Control-Expose-Headers; never charge it",
        judge: preflight,
    },
    Check {
        name: "cors-headers",
        why: "a page reads the challenge and the receipt only if the answer exposes their headers",
        advice: "send Access-Control-Allow-Origin, and Access-Control-Expose-Headers with PAYMENT-REQUIRED, \
              PAYMENT-RESPONSE and X-PAYMENT-RESPONSE, on every answer, also on 402; allow no credentials",
        judge: exposed,
    },
];

fn preflight(observed: &Observed) -> Verdict {
    let answer = match &observed.preflight {
        Ok(answer) => answer,
        Err(error) => return Verdict::failed(format!("OPTIONS: {error}")),
    };
    match answer.status {
        200..=299 => {}
        402 => return Verdict::failed("OPTIONS is 402: the preflight of a page asks for money"),
        500.. => return Verdict::failed(format!("OPTIONS is {}", answer.status)),
        status => return Verdict::warning(format!("OPTIONS is {status}")),
    }
    if answer.header("access-control-allow-origin").is_none() {
        return Verdict::warning("OPTIONS names no origin that is allowed");
    }
    let allowed = answer.list("access-control-allow-headers");
    let is_allowed = |name: &&str| !allowed.iter().any(|allowed| allowed == name || allowed == "*");
    let missing: Vec<&str> = SENT.split(',').filter(is_allowed).collect();
    if !missing.is_empty() {
        return Verdict::warning(format!("a page may not send {}", missing.join(", ")));
    }
    let method = observed.target.request.method.as_str();
    let methods = answer.list("access-control-allow-methods");
    let is_listed = methods.iter().any(|listed| listed == "*" || listed.eq_ignore_ascii_case(method));
    if !is_listed && !SIMPLE.contains(&method) {
        return Verdict::warning(format!("a page may not send {method}"));
    }
    Verdict::ok("a page may send payments")
}

fn exposed(observed: &Observed) -> Verdict {
    let answer = match &observed.from_page {
        Ok(answer) => answer,
        Err(error) => return Verdict::failed(format!("a request with Origin: {error}")),
    };
    let Some(origin) = answer.header("access-control-allow-origin") else {
        return Verdict::warning(format!("a page may not read the answer, {}", answer.status));
    };
    let credentials = answer.header("access-control-allow-credentials").is_some_and(|value| value == "true");
    if credentials {
        return Verdict::failed(format!("pages of {origin} are allowed to send a visitor's credentials"));
    }
    let exposed = answer.list("access-control-expose-headers");
    let missing: Vec<&str> =
        READ.into_iter().filter(|name| !exposed.iter().any(|exposed| exposed == name || exposed == "*")).collect();
    match missing.is_empty() {
        true => Verdict::ok(format!("pages of {origin} can read challenge and receipt")),
        false => Verdict::warning(format!("a page cannot read {}", missing.join(", "))),
    }
}
