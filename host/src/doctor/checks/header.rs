//! Checks the header that carries the challenge.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coinslot_x402::Object;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::facts::ChallengeFacts;

/// The first buffer of nginx for the head of an answer, on machines with pages of 4 KiB.
const PROXY_BUFFER: usize = 4 << 10;
/// The same on machines with pages of 8 KiB, and the limit of several load balancers.
const LARGE_PROXY_BUFFER: usize = 8 << 10;
/// The largest head that Node.js and so most clients read.
const NODE_HEAD: usize = 16 << 10;
/// The longest challenge that was seen to pass all published clients. One of 20 KB passed none.
const LONGEST_CHALLENGE: usize = 14 << 10;

pub(super) const CHECKS: &[Check<ChallengeFacts>] = &[
    Check {
        name: "challenge-header",
        why: "clients of version 2 read the challenge from the header PAYMENT-REQUIRED and nowhere else",
        advice: "send the PaymentRequired document of version 2 in the header PAYMENT-REQUIRED, once; a body \
              alone is not read",
        judge: present,
    },
    Check {
        name: "header-encoding",
        why: "clients decode standard Base64 with padding: base64url breaks all of them, missing padding those \
              in Python and Rust",
        advice: "encode the JSON in UTF-8 with the alphabet A-Z a-z 0-9 + / and pad it with =",
        judge: encoding,
    },
    Check {
        name: "header-size",
        why: "a challenge that is too large breaks proxies (502) and clients (header overflow), and its echo \
              makes requests too large",
        advice: "keep the header below 4 KiB: fewer entries and extensions, shorter descriptions; schemas belong \
              into /openapi.json",
        judge: size,
    },
];

fn present(facts: &ChallengeFacts) -> Verdict {
    match (facts.headers.len(), &facts.v2, &facts.v1) {
        (1, Some(_), _) => Verdict::ok("PAYMENT-REQUIRED has a challenge of version 2"),
        (1, None, _) => Verdict::failed("PAYMENT-REQUIRED is no JSON object, however it is decoded"),
        (0, Some(_), _) => Verdict::failed("the challenge of version 2 is in the body alone"),
        (0, None, Some(_)) => {
            Verdict::warning("there is a challenge of version 1 alone: directories refuse it, and newer clients do")
        }
        (0, None, None) => Verdict::failed("neither PAYMENT-REQUIRED nor the body says how to pay"),
        (many, ..) => Verdict::failed(format!("PAYMENT-REQUIRED comes {many} times")),
    }
}

fn encoding(facts: &ChallengeFacts) -> Verdict {
    let Some(value) = facts.headers.first() else { return Verdict::skipped("there is no PAYMENT-REQUIRED header") };
    if value.iter().any(|byte| matches!(byte, b'-' | b'_')) && !value.starts_with(b"{") {
        return Verdict::failed("it is base64url, with `-` or `_`");
    }
    if let Some(other) = value.iter().find(|byte| !(byte.is_ascii_alphanumeric() || b"+/=".contains(byte))) {
        return Verdict::failed(format!("it has {:?}, which is not of the alphabet of Base64", char::from(*other)));
    }
    if value.len() % 4 != 0 {
        return Verdict::failed("the padding with = is missing");
    }
    let Ok(json) = BASE64_STANDARD.decode(value) else { return Verdict::failed("it is not Base64") };
    let Ok(text) = String::from_utf8(json) else { return Verdict::failed("what it encodes is not UTF-8") };
    match serde_json::from_str::<Object>(&text) {
        Ok(_) => Verdict::ok("padded standard Base64 of JSON in UTF-8"),
        Err(error) => Verdict::failed(format!("what it encodes is no JSON object: {error}")),
    }
}

fn size(facts: &ChallengeFacts) -> Verdict {
    let challenge = facts.headers.iter().map(Vec::len).max().unwrap_or_default();
    if challenge == 0 {
        return Verdict::skipped("there is no PAYMENT-REQUIRED header");
    }
    let head = facts.head_bytes.unwrap_or_default().max(challenge);
    let seen = format!("the challenge has {challenge} bytes, the whole head {head}");
    if challenge > LONGEST_CHALLENGE || head > NODE_HEAD {
        Verdict::failed(format!("{seen}: clients on Node.js read no head above 16 KiB"))
    } else if head > LARGE_PROXY_BUFFER {
        Verdict::warning(format!("{seen}: proxies with buffers of 8 KiB answer 502"))
    } else if head > PROXY_BUFFER {
        Verdict::warning(format!("{seen}: nginx reads 4 KiB unless it is told otherwise, and answers 502"))
    } else {
        Verdict::ok(seen)
    }
}
