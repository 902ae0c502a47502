//! Checks whether a cache on the way can give one client's answer to another.

use crate::doctor::check::{Check, Verdict};
use crate::doctor::client::Answer;
use crate::doctor::observation::{Observed, PaymentFacts};

pub(super) const CHECKS: &[Check<Observed>] = &[
    Check {
        name: "cache-challenge",
        why: "a stored 402 is given to those who have paid, and one client's challenge to another",
        advice: "send Cache-Control: no-store with every 402",
        judge: challenge,
    },
    Check {
        name: "fresh-secret",
        why: "the secret of a challenge shows who may fetch the paid answer again: if two clients get the same \
              one, each can fetch the other's",
        advice: "see that no cache stores the 402; make a new secret for each challenge",
        judge: secret,
    },
    Check {
        name: "price-stable",
        why: "a client pays what its challenge says: if the next challenge says something else, its payment may \
              be refused",
        advice: "give the same request the same price, or honour a quoted price for its maxTimeoutSeconds",
        judge: price,
    },
    Check {
        name: "cache-paid",
        why: "a shared cache that stores a paid answer gives it to everybody",
        advice: "send Cache-Control: private or no-store with paid answers, and Vary: PAYMENT-SIGNATURE, X-PAYMENT",
        judge: paid,
    },
];

/// The directives by which a shared cache may store the answer.
fn stored_by(answer: &Answer) -> Vec<String> {
    let is_positive = |value: &str| value.trim_matches('"').parse::<u64>().is_ok_and(|seconds| seconds > 0);
    let mut directives = answer.list("cache-control");
    directives.retain(|directive| {
        directive == "public"
            || directive
                .split_once('=')
                .is_some_and(|(name, value)| matches!(name, "max-age" | "s-maxage") && is_positive(value))
    });
    directives
}

/// The header that shows that a cache has answered.
fn hit(answer: &Answer) -> Option<String> {
    let is_hit = |name: &str| answer.header(name).filter(|value| value.to_ascii_lowercase().contains("hit"));
    let age = answer.header("age").filter(|age| age != "0").map(|age| format!("Age: {age}"));
    age.or_else(|| is_hit("x-cache").map(|value| format!("X-Cache: {value}")))
        .or_else(|| is_hit("cf-cache-status").map(|value| format!("CF-Cache-Status: {value}")))
}

fn challenge(observed: &Observed) -> Verdict {
    let Some(answer) = &observed.challenged else { return Verdict::skipped("there is no challenge") };
    if let Some(hit) = hit(answer) {
        return Verdict::failed(format!("a cache has answered ({hit})"));
    }
    let directives = answer.list("cache-control");
    let shown = if directives.is_empty() {
        "no Cache-Control".to_owned()
    } else {
        format!("Cache-Control: {}", directives.join(", "))
    };
    if directives.iter().any(|directive| directive == "no-store") {
        return Verdict::ok(shown);
    }
    match stored_by(answer).is_empty() {
        true => Verdict::warning(format!("the 402 has {shown}")),
        false => Verdict::failed(format!("the 402 has {shown}")),
    }
}

fn secret(observed: &Observed) -> Verdict {
    let (Some(first), Some(again)) = (&observed.challenge, &observed.again) else {
        return Verdict::skipped("there are no two challenges");
    };
    match (first.secret(), again.secret()) {
        (Some(first), Some(again)) if first == again => Verdict::failed("two challenges have the same secret"),
        (Some(_), Some(_)) => Verdict::ok("two challenges have different secrets"),
        _ => Verdict::skipped(
            "the challenges have no secret: the server knows a payer again by other means, or not at all",
        ),
    }
}

fn price(observed: &Observed) -> Verdict {
    let (Some(first), Some(again)) = (&observed.challenge, &observed.again) else {
        return Verdict::skipped("there are no two challenges");
    };
    match first.terms() == again.terms() {
        true => Verdict::ok("the same request costs the same"),
        false => Verdict::warning("the same request has another price the second time"),
    }
}

fn paid(observed: &Observed) -> Verdict {
    let PaymentFacts::Paid(paid) = &observed.payment else { return Verdict::skipped("nothing was paid") };
    let Some(answer) = paid.answer.as_ref().ok().filter(|answer| answer.status < 400) else {
        return Verdict::skipped("there is no paid answer");
    };
    let directives = answer.list("cache-control");
    let is_kept = directives.iter().any(|directive| matches!(directive.as_str(), "private" | "no-store"));
    let shown = if directives.is_empty() {
        "no Cache-Control".to_owned()
    } else {
        format!("Cache-Control: {}", directives.join(", "))
    };
    match (is_kept, stored_by(answer).is_empty()) {
        (true, _) => Verdict::ok(shown),
        (false, true) => Verdict::warning(format!("the paid answer has {shown}")),
        (false, false) => Verdict::failed(format!("the paid answer has {shown}")),
    }
}
