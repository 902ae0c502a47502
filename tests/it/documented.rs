//! What a client can be told stands in the docs.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The codes that `respond` writes: the first text after a status, or of a 503.
fn codes() -> BTreeSet<String> {
    let code: String = read("host/src/respond.rs").split_whitespace().collect();
    let mut codes = BTreeSet::new();
    for (before, skip) in [("error(StatusCode::", ",\""), ("unavailable(\"", "")] {
        for rest in code.split(before).skip(1) {
            let rest = if skip.is_empty() { rest } else { rest.split_once(skip).map_or("", |(_, rest)| rest) };
            let word = rest.split('"').next().unwrap_or_default();
            codes.insert(word.to_owned());
        }
    }
    codes.retain(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    codes
}

/// What the ledger writes by itself, and a client reads as an `error`.
const OF_THE_LEDGER: &str = "interrupted";

#[test]
fn every_error_that_a_client_can_read_is_documented() {
    let codes = codes();
    assert!(codes.len() >= 25 && codes.contains("busy") && codes.contains("not_found"), "{codes:?}");
    let schema = read("host/src/ledger/embedded.rs");
    assert!(schema.contains(&format!("state = 'refused', reason = '{OF_THE_LEDGER}'")));
    let page = read("host/docs/operators.md");
    let table: BTreeSet<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| `error` |"))
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .collect();
    let mut known: BTreeSet<&str> = codes.iter().map(String::as_str).chain([OF_THE_LEDGER]).collect();
    let missing: Vec<_> = known.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table of host/docs/operators.md: {missing:?}");
    // Examples of what comes from elsewhere, and the name of the column.
    known.extend(["error", "invalid_exact_evm_signature", "unknown_stack"]);
    let stale: Vec<_> = table.difference(&known).collect();
    assert!(stale.is_empty(), "in the table of host/docs/operators.md, and nowhere in the program: {stale:?}");
}
