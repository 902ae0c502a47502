//! Checks the challenge of version 1, and whether both versions say the same.

use coinslot_x402::Network;
use serde_json::Value;
use url::Url;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::facts::{ChallengeFacts, Entry};

pub(super) const CHECKS: &[Check<ChallengeFacts>] = &[
    Check {
        name: "v1-body",
        why: "clients of version 1 refuse the whole body for one entry that they cannot read, such as a null or \
              a network they do not know",
        advice: "write into the body only what version 1 has: names of networks, texts for description and \
              mimeType, `exact`, no null",
        judge: body,
    },
    Check {
        name: "versions-agree",
        why: "a payer must pay the same price, whichever version its client speaks",
        advice: "make both documents of one offer: the same token, receiver and amount on each network",
        judge: agree,
    },
    Check {
        name: "plain-client",
        why: "programs cannot read a page that is made for browsers",
        advice: "send a page only where Accept has text/html and User-Agent has Mozilla; send JSON to all others",
        judge: plain_client,
    },
];

/// The names of Solana in version 1. Those of EVM chains are in the table of networks.
const SOLANA: [&str; 2] = ["solana", "solana-devnet"];

fn body(facts: &ChallengeFacts) -> Verdict {
    let Some(document) = &facts.v1 else {
        return Verdict::skipped("the body has no challenge of version 1: clients of version 1 cannot pay");
    };
    let mut failures = Vec::new();
    if document.get("x402Version").and_then(Value::as_u64) != Some(1) {
        failures.push("x402Version is not the number 1".to_owned());
    }
    if document.get("error").is_some_and(|error| !error.is_string()) {
        failures.push("error is no text".to_owned());
    }
    let entries = facts.entries_of(1);
    if entries.is_empty() {
        failures.push("accepts has no entry".to_owned());
    }
    entries.iter().for_each(|entry| of_entry(entry, &mut failures));
    Verdict::of(failures, Vec::new(), "clients of version 1 can read it")
}

fn of_entry(entry: &Entry<'_>, failures: &mut Vec<String>) {
    let name = entry.name();
    for key in ["maxAmountRequired", "payTo", "asset", "description", "mimeType"] {
        if entry.text(key).is_none() {
            failures.push(format!("{name}.{key} is no text"));
        }
    }
    match entry.text("scheme") {
        Some("exact") => {}
        other => failures.push(format!("{name}.scheme is {:?}, and only `exact` is known", other.unwrap_or_default())),
    }
    match entry.text("network") {
        Some(network) if is_known(network) => {}
        other => failures.push(format!("{name}.network is {:?}, which they do not know", other.unwrap_or_default())),
    }
    if entry.text("resource").is_none_or(|resource| Url::parse(resource).is_err()) {
        failures.push(format!("{name}.resource is no absolute URL"));
    }
    if entry.object.get("maxTimeoutSeconds").and_then(Value::as_u64).is_none() {
        failures.push(format!("{name}.maxTimeoutSeconds is no integer"));
    }
    for key in ["outputSchema", "extra"] {
        if entry.object.get(key).is_some_and(|value| !value.is_object()) {
            failures.push(format!("{name}.{key} is neither an object nor absent"));
        }
    }
}

/// True for a name of the closed list of clients of version 1 (npm x402 1.2.0).
fn is_known(name: &str) -> bool {
    SOLANA.contains(&name) || Network::parse_v1(name).is_ok_and(|network| network.v1_name() == Some(name))
}

fn agree(facts: &ChallengeFacts) -> Verdict {
    let (v1, v2) = (facts.entries_of(1), facts.entries_of(2));
    if v1.is_empty() || v2.is_empty() {
        return Verdict::skipped("there is one version alone");
    }
    let lower = |entry: &Entry<'_>, key: &str| entry.text(key).unwrap_or_default().to_ascii_lowercase();
    let mut failures = Vec::new();
    for old in &v1 {
        let same = v2.iter().find(|new| new.network() == old.network() && lower(new, "asset") == lower(old, "asset"));
        let Some(new) = same else {
            failures.push(format!("version 1 offers {} of a token that version 2 does not", lower(old, "network")));
            continue;
        };
        if new.amount() != old.amount() {
            let [new, old] = [new, old].map(|entry| entry.amount().unwrap_or("nothing").to_owned());
            failures.push(format!("version 1 asks for {old}, version 2 for {new}"));
        }
        if lower(new, "payTo") != lower(old, "payTo") {
            failures.push(format!("version 1 pays {}, version 2 {}", lower(old, "payTo"), lower(new, "payTo")));
        }
    }
    Verdict::of(failures, Vec::new(), "the same token, receiver and amount")
}

fn plain_client(facts: &ChallengeFacts) -> Verdict {
    let Some(media) = &facts.media_type else {
        return match facts.called.is_none() || facts.body.is_empty() {
            true => Verdict::skipped("the body has no media type"),
            false => Verdict::warning("the body has no media type"),
        };
    };
    match media.to_ascii_lowercase().contains("html") {
        true => Verdict::warning(format!("the body of the 402 is {media}")),
        false => Verdict::ok(media.as_str()),
    }
}
