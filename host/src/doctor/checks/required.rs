//! Checks that the challenge has every field that clients and directories ask for, in its type.

use coinslot_x402::Object;
use serde_json::Value;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::facts::{ChallengeFacts, Entry, MOST_ENTRIES};

pub(super) const CHECKS: &[Check<ChallengeFacts>] = &[
    Check {
        name: "required-fields",
        why: "clients and directories parse the challenge strictly: one field of a wrong type, or null, refuses \
              all of it",
        advice: "send x402Version 2 as a number, resource.url, and accepts with scheme, network, amount, asset, \
              payTo (texts), maxTimeoutSeconds (an integer) and extra (an object, or absent)",
        judge: required_fields,
    },
    Check {
        name: "extensions",
        why: "clients echo extensions and validate them: one that is malformed refuses the payment or hides the \
              endpoint in directories",
        advice: "send extensions as an object whose values have `info` and, where declared, `schema` that `info` \
              fits; or leave it out",
        judge: extensions,
    },
];

/// The keys of an entry in version 2. Clients in Python drop others from their echo.
const KEYS: [&str; 7] = ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds", "extra"];

fn required_fields(facts: &ChallengeFacts) -> Verdict {
    let Some(document) = &facts.v2 else { return Verdict::skipped("there is no challenge of version 2") };
    let mut failures = Vec::new();
    let mut warnings = Vec::new();
    match document.get("x402Version") {
        Some(version) if version.as_u64() == Some(2) && version.is_number() => {}
        Some(Value::Number(version)) => failures.push(format!("x402Version is {version} in the header of version 2")),
        Some(other) => failures.push(format!("x402Version is {}, not the number 2", kind(other))),
        None => failures.push("x402Version is missing".to_owned()),
    }
    if document.get("error").is_some_and(|error| !error.is_string()) {
        failures.push("error is no text".to_owned());
    }
    if document.get("extensions").is_some_and(Value::is_null) {
        failures.push("extensions is null, which clients in Rust refuse".to_owned());
    }
    match document.get("resource").map(|resource| (resource, resource.get("url"))) {
        Some((_, Some(Value::String(url)))) if !url.is_empty() => {}
        Some((Value::Object(_), _)) => failures.push("resource.url is missing".to_owned()),
        Some((other, _)) => failures.push(format!("resource is {}, not an object", kind(other))),
        None => failures.push("resource is missing".to_owned()),
    }
    match document.get("accepts") {
        Some(Value::Array(entries)) if entries.is_empty() && signs_in(document) => {
            return Verdict::skipped("accepts is empty: the route asks for a sign-in, not for money");
        }
        Some(Value::Array(entries)) if entries.is_empty() => failures.push("accepts is empty".to_owned()),
        Some(Value::Array(entries)) => {
            let objects = entries.iter().filter(|entry| entry.is_object()).count();
            if objects < entries.len() {
                failures.push("an entry of accepts is no object".to_owned());
            }
            if entries.len() > MOST_ENTRIES {
                warnings.push(format!("accepts has {} entries, of which {MOST_ENTRIES} are judged", entries.len()));
            }
        }
        _ => failures.push("accepts is missing".to_owned()),
    }
    for entry in facts.entries_of(2) {
        of_entry(&entry, &mut failures, &mut warnings);
    }
    let count = facts.entries_of(2).len();
    Verdict::of(failures, warnings, format!("every field is there, {count} ways to pay").replace(" 1 ways", " one way"))
}

fn of_entry(entry: &Entry<'_>, failures: &mut Vec<String>, warnings: &mut Vec<String>) {
    let name = entry.name();
    for key in ["scheme", "network", "amount", "asset", "payTo"] {
        match entry.object.get(key) {
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(Value::String(_)) => failures.push(format!("{name}.{key} is empty")),
            Some(other) => failures.push(format!("{name}.{key} is {}, not a text", kind(other))),
            None => failures.push(format!("{name}.{key} is missing")),
        }
    }
    match entry.object.get("maxTimeoutSeconds") {
        Some(Value::Number(number)) if number.as_u64().is_some_and(|seconds| seconds > 0) => {}
        Some(other) => failures.push(format!("{name}.maxTimeoutSeconds is {other}, not a positive integer")),
        None => failures.push(format!("{name}.maxTimeoutSeconds is missing")),
    }
    match entry.object.get("extra") {
        None | Some(Value::Object(_)) => {}
        Some(other) => failures.push(format!("{name}.extra is {}, not an object", kind(other))),
    }
    for key in entry.object.keys().filter(|key| !KEYS.contains(&key.as_str())).take(3) {
        warnings.push(format!("{name}.{key} is no field of version 2: clients in Python drop it from their echo"));
    }
}

/// True for a route that asks who calls, and not for money.
fn signs_in(document: &Object) -> bool {
    document.get("extensions").and_then(|extensions| extensions.get("sign-in-with-x")).is_some()
}

fn extensions(facts: &ChallengeFacts) -> Verdict {
    let Some(document) = &facts.v2 else { return Verdict::skipped("there is no challenge of version 2") };
    let Some(Value::Object(extensions)) = document.get("extensions") else {
        return Verdict::skipped("the challenge has no extensions");
    };
    let mut failures = Vec::new();
    let mut warnings = Vec::new();
    for (name, extension) in extensions.iter().take(MOST_ENTRIES) {
        let Value::Object(extension) = extension else {
            failures.push(format!("extensions.{name} is {}, not an object", kind(extension)));
            continue;
        };
        match (extension.get("info"), extension.get("schema")) {
            (Some(info), Some(schema @ (Value::Object(_) | Value::Bool(_)))) => {
                match jsonschema::draft202012::new(schema) {
                    Ok(schema) if schema.is_valid(info) => {}
                    // The schema also says what the client is to add.
                    Ok(_) if name != "bazaar" => {}
                    Ok(_) => failures.push(format!("extensions.{name}.info does not fit its schema")),
                    Err(_) => failures.push(format!("extensions.{name}.schema is no JSON Schema of 2020-12")),
                }
            }
            (Some(_), None) => {}
            (Some(_), Some(other)) => failures.push(format!("extensions.{name}.schema is {}", kind(other))),
            (None, _) => warnings.push(format!("extensions.{name} has no info")),
        }
    }
    let names = extensions.keys().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    Verdict::of(failures, warnings, if names.is_empty() { "none".to_owned() } else { names })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
