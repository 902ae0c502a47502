//! Checks that every error code that a client can get is documented.

use std::collections::BTreeSet;
use std::path::Path;

/// The page with the table of error codes.
const PAGE: &str = "host/docs/errors.md";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of all sources of a module: `NAME.rs` and the files of `NAME/`.
fn module(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let children = std::fs::read_dir(root.join(name)).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = std::iter::once(root.join(format!("{name}.rs"))).chain(children);
    files.filter(|file| file.is_file()).map(|file| std::fs::read_to_string(file).expect("a source")).collect()
}

/// The codes that `respond` writes: each stands right behind its status, as an argument or as the field `code`.
fn codes() -> BTreeSet<String> {
    let code: String = module("host/src/respond").split_whitespace().collect();
    let behind_status = code.split("StatusCode::").skip(1).filter_map(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_');
        let rest = rest.strip_prefix(",\"").or_else(|| rest.strip_prefix(",code:\""))?;
        rest.split_once('"').map(|(word, _)| word.to_owned())
    });
    let mut codes: BTreeSet<String> = behind_status.collect();
    codes.retain(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    codes
}

/// The errors that may end a request before the ledger is asked about its payment.
const BEFORE_THE_LEDGER: [&str; 12] = [
    "bad_path",
    "bad_host",
    "body_incomplete",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "body_too_large",
    "misdirected",
    "too_many_payments",
    "host_busy",
    "plugin_loading",
    "closing",
];

/// The table called all of these uncharged, as the host did: a payment that they turn away may have been charged
/// earlier.
#[test]
fn an_error_that_comes_before_the_ledger_is_documented_as_unknown() {
    let page = read(PAGE);
    for code in BEFORE_THE_LEDGER {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{code}` |")));
        let row = row.unwrap_or_else(|| panic!("{code} is not in the table"));
        assert!(row.split('|').nth(3).is_some_and(|charged| charged.contains("unknown")), "{row}");
    }
}

/// The code that the ledger writes by itself for payments that a crash interrupted.
const OF_THE_LEDGER: &str = "interrupted";

/// The error of payments whose money went back.
const OF_A_REFUND: &str = "payment_refunded";

/// The errors of requests whose pass does not serve them.
const OF_A_PASS: [&str; 4] = ["pass_expired", "pass_used_up", "pass_ended", "pass_below_price"];

#[test]
fn every_error_that_a_client_can_read_is_documented() {
    let codes = codes();
    assert!(codes.len() >= 25 && codes.contains("busy") && codes.contains("not_found"), "{codes:?}");
    let schema = module("host/crates/ledger/src/sqlite");
    assert!(schema.contains(&format!("state = 'refused', reason = '{OF_THE_LEDGER}'")));
    assert!(module("host/src/payment").contains(&format!("PAYMENT_REFUNDED: &str = \"{OF_A_REFUND}\"")));
    assert!(OF_A_PASS.iter().all(|code| read("host/src/payment/pass.rs").contains(&format!("Some(\"{code}\")"))));
    let page = read(PAGE);
    let table: BTreeSet<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| `error` |"))
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .collect();
    let mut known: BTreeSet<&str> = codes.iter().map(String::as_str).chain([OF_THE_LEDGER, OF_A_REFUND]).collect();
    known.extend(OF_A_PASS);
    let missing: Vec<_> = known.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table of {PAGE}: {missing:?}");
    // The table also has the column's name, and examples of codes from a facilitator, a proof and a plugin.
    known.extend(["error", "invalid_exact_evm_signature", "invalid_siwx_nonce", "unknown_stack"]);
    let stale: Vec<_> = table.difference(&known).collect();
    assert!(stale.is_empty(), "in the table of {PAGE} and not in the program: {stale:?}");
}
