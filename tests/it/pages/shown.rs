//! Compares what a page shows with what there is: lines of output, and documents.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fences::Block;

/// The documents of a block of JSON, one after another. `..` stands for parts that are left out.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let plain = without_dots(text);
    // A member by itself stands for the object that it is in.
    let plain = if plain.trim_start().starts_with('"') { format!("{{{plain}}}") } else { plain };
    let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&plain).into_iter().collect();
    parsed.unwrap_or_else(|error| panic!("{error} in\n{plain}"))
}

/// The text without the dots outside of strings, and without the commas before them.
fn without_dots(text: &str) -> String {
    let (mut plain, mut is_string, mut is_escaped) = (String::new(), false, false);
    for (at, c) in text.char_indices() {
        if !is_string && (text[at..].starts_with("..") || plain_ends_in_dots(text, at)) {
            let kept = plain.trim_end().trim_end_matches(',').len();
            plain.truncate(kept);
            continue;
        }
        is_string ^= c == '"' && !is_escaped;
        is_escaped = is_string && c == '\\' && !is_escaped;
        plain.push(c);
    }
    plain
}

/// Whether the character here is the last of some dots.
fn plain_ends_in_dots(text: &str, at: usize) -> bool {
    text[at..].starts_with('.') && text[..at].ends_with('.')
}

/// Asserts that a real document has each member that the page shows, with a value of the same kind.
fn has_the_shape(place: &str, path: &str, shown: &Value, real: &Value) {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            for (key, value) in shown {
                let real = real.get(key).unwrap_or_else(|| panic!("{place}: there is no {path}/{key}"));
                has_the_shape(place, &format!("{path}/{key}"), value, real);
            }
        }
        (Value::Array(shown), Value::Array(real)) => {
            for (value, real) in shown.iter().zip(real) {
                has_the_shape(place, &format!("{path}/0"), value, real);
            }
        }
        (Value::String(_), Value::String(_)) => {}
        _ => assert_eq!(std::mem::discriminant(shown), std::mem::discriminant(real), "{place}: {path}"),
    }
}

/// Holds the documents of the page about x402 to real ones, each known by a member that no other has.
pub(super) fn x402_documents_are_real(blocks: &[Block], real: &BTreeMap<&str, &Value>) {
    let mut compared = Vec::new();
    for block in blocks.iter().filter(|block| block.language == "json") {
        for shown in documents(&block.text) {
            let member = if !shown["accepts"][0]["maxAmountRequired"].is_null() {
                "maxAmountRequired"
            } else if !shown["payload"].is_null() && shown["x402Version"] == 2 {
                "payload"
            } else {
                continue;
            };
            let Some(real) = real.get(member) else { continue };
            let mut shown = shown;
            // The version that is shown has what this wallet leaves out.
            for left_out in ["resource", "extensions"] {
                if member == "payload" {
                    shown.as_object_mut().expect("an object").remove(left_out);
                }
            }
            has_the_shape(&block.place(), "", &shown, real);
            compared.push(member);
        }
    }
    compared.sort_unstable();
    assert_eq!(compared, ["maxAmountRequired", "payload"]);
}

/// Asserts that each line that the page shows is in the output, in this order. `..` stands for anything; figures of
/// time and size, addresses and digests may differ. A document is compared as a document.
pub(super) fn is_printed(place: &str, shown: &[&str], output: &str) {
    let text = shown.join("\n");
    if text.starts_with('{') && text.ends_with('}') {
        let real: Value =
            serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{place}: {error}: {output}"));
        return has_the_shape(place, "", &documents(&text)[0], &real);
    }
    let mut lines = output.lines().map(masked);
    for line in shown.iter().filter(|line| !matches!(line.trim(), "" | ".." | "...")) {
        let pattern = masked(line);
        let is_there = lines.any(|line| fits(&pattern, &line));
        assert!(is_there, "{place}: this line is not printed, or not there: {line}\n--- printed:\n{output}");
    }
}

/// Whether the parts between the dots of a pattern are in the line, in this order, from its beginning to its end.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((first, others)) = pattern.split_once("..") else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = others.split("..").map(|part| part.trim_start_matches('.')).collect();
    for part in &parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    parts.last().is_none_or(|last| line.ends_with(*last))
}

/// The line with `#` for what differs from run to run, and with single spaces.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut masked = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let unit = words.get(index + 1).map(|next| next.trim_end_matches(','));
        let bare = word.trim_end_matches([',', ';']);
        let is_figure = matches!(unit, Some("MB" | "KB" | "kB" | "s" | "ms")) && bare.parse::<f64>().is_ok();
        let digits = bare.strip_prefix("0x").unwrap_or(bare).replace("..", "");
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits.bytes().any(|b| b.is_ascii_digit());
        let is_digest = is_hex && (bare.starts_with("0x") || digits.len() >= 8);
        masked.push(if is_figure || is_digest { word.replace(bare, "#") } else { (*word).to_owned() });
    }
    masked.join(" ")
}

#[test]
fn lines_are_compared_by_what_is_stable() {
    let fit = |pattern: &str, line: &str| fits(&masked(pattern), &masked(line));
    assert!(fit(
        "a.wasm  1.9 MB, sha256 38d3f0c2a91b, built in 0.4 s",
        "a.wasm  2.0 MB, sha256 8e9f698c29aa, built in 9 s"
    ));
    assert!(!fit("a.wasm  1.9 MB", "b.wasm  1.9 MB"));
    assert!(fit(
        "paid 0.001 USDC to 0x1D19..E9b6, transaction 0x746e..08b0",
        "paid 0.001 USDC to 0x12ab, transaction 0x34"
    ));
    assert!(!fit("paid 0.001 USDC", "paid 0.002 USDC"));
    assert!(fit("a .. z", "a to z") && !fit("a .. z", "a to y") && fit("eyJ..", "eyJ4NDAy"));
    assert_eq!(documents("{ \"a\": \"..\", \"b\": [ .. ], .. } { \"c\": { .. } }").len(), 2);
}
