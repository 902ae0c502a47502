//! Checks what the server makes of requests that it should refuse.

use serde_json::Value;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::client::Answer;
use crate::doctor::facts::ChallengeFacts;
use crate::doctor::observation::Observed;

pub(super) const CHECKS: &[Check<Observed>] = &[
    Check {
        name: "head",
        why: "frameworks answer HEAD by running the handler of GET: where the payment is checked for GET alone, \
              it runs for free",
        advice: "answer HEAD of a paid route with 402 or 405, and run nothing",
        judge: head,
    },
    Check {
        name: "unknown-path",
        why: "a 402 at a path that does not exist sells nothing for money, and directories list it",
        advice: "find the route first: an unknown path is 404",
        judge: unknown_path,
    },
    Check {
        name: "garbage-payment",
        why: "a header that is no payment must be refused with a reason: 500 tells the client to try again, and \
              200 gives the answer away",
        advice: "answer 400 or 402 with `error`, whatever is in PAYMENT-SIGNATURE or X-PAYMENT",
        judge: garbage,
    },
    Check {
        name: "payment-header-size",
        why: "a payment repeats the challenge: if the server refuses a header of that size, the payer has signed \
              and gets 431",
        advice: "accept request headers of at least 16 KiB, here and in every proxy before it",
        judge: header_size,
    },
    Check {
        name: "large-body",
        why: "a server that closes while the client still sends loses its own answer: the client sees a broken \
              connection and no challenge",
        advice: "answer 402 or 413 at once, and read on for a while before the connection is closed",
        judge: large_body,
    },
];

fn head(observed: &Observed) -> Verdict {
    match &observed.head {
        None => Verdict::skipped("the endpoint is not served by GET"),
        Some(Err(error)) => Verdict::failed(format!("HEAD: {error}")),
        Some(Ok(answer)) => match answer.status {
            200..=299 => Verdict::failed(format!("HEAD is {} without a payment", answer.status)),
            500.. if answer.status != 501 => Verdict::failed(format!("HEAD is {}", answer.status)),
            status => Verdict::ok(format!("HEAD is {status}")),
        },
    }
}

fn unknown_path(observed: &Observed) -> Verdict {
    match &observed.unknown_path {
        Err(error) => Verdict::failed(format!("an unknown path: {error}")),
        Ok(answer) => match answer.status {
            402 => Verdict::failed("an unknown path asks for money"),
            500.. => Verdict::failed(format!("an unknown path is {}", answer.status)),
            200..=299 => Verdict::warning(format!("an unknown path is {}", answer.status)),
            status => Verdict::ok(format!("an unknown path is {status}")),
        },
    }
}

fn garbage(observed: &Observed) -> Verdict {
    let (mut failures, mut warnings) = (Vec::new(), Vec::new());
    for (what, exchange) in &observed.garbage {
        match exchange {
            Err(error) => failures.push(format!("{what}: {error}")),
            Ok(answer) if answer.status < 300 => {
                failures.push(format!("{what} is taken for a payment: the answer is {}", answer.status));
            }
            Ok(answer) if answer.status >= 500 => {
                failures.push(format!("{what} makes the server answer {}", answer.status))
            }
            Ok(answer) if !has_reason(observed, answer) => {
                warnings.push(format!("{what} is {} without a reason", answer.status));
            }
            Ok(_) => {}
        }
    }
    if observed.garbage.is_empty() {
        return Verdict::skipped("there is no challenge");
    }
    Verdict::of(failures, warnings, "refused with a reason")
}

/// True if a refusal says why, in the challenge or in its body.
fn has_reason(observed: &Observed, answer: &Answer) -> bool {
    let challenge = ChallengeFacts::of(observed.url(), answer);
    let in_header = challenge.document().and_then(|document| document.get("error"));
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let in_body = |key: &str| body.as_ref().and_then(|body| body.get(key)).and_then(Value::as_str).is_some();
    in_header.and_then(Value::as_str).is_some() || ["error", "message", "detail"].into_iter().any(in_body)
}

fn header_size(observed: &Observed) -> Verdict {
    let (length, exchange) = &observed.long_header;
    if *length == 0 {
        return Verdict::skipped("there is no challenge");
    }
    match exchange {
        Err(error) => Verdict::failed(format!("a payment header of {length} bytes: {error}")),
        Ok(answer) if matches!(answer.status, 413 | 414 | 431) => {
            Verdict::failed(format!("a payment header of {length} bytes is {}", answer.status))
        }
        Ok(answer) => {
            Verdict::ok(format!("a payment header of {length} bytes is read, and refused with {}", answer.status))
        }
    }
}

fn large_body(observed: &Observed) -> Verdict {
    match &observed.large_body {
        Err(error) => Verdict::failed(format!("a body of 2 MiB: {error}")),
        Ok(answer) if answer.status >= 500 => Verdict::failed(format!("a body of 2 MiB is {}", answer.status)),
        Ok(answer) => Verdict::ok(format!("a body of 2 MiB is answered with {}", answer.status)),
    }
}
