//! The map of the rooms holds: what a room never imports, read from its code.

use std::path::{Path, PathBuf};

/// A room, the rooms it must not import, and words that must not stand in its code.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("serve", &["ledger", "chain", "facilitator", "config"], &["wasmtime", "alloy", "rusqlite"]),
    ("catalog", &["payment", "ledger", "facilitator", "config"], &["rusqlite"]),
    ("route", &["payment", "ledger", "facilitator", "config", "catalog", "plugin"], &["wasmtime", "alloy", "tokio"]),
    (
        "price",
        &["payment", "ledger", "facilitator", "config", "catalog", "plugin", "route"],
        &["tokio", "reqwest", "std::fs"],
    ),
    (
        "x402",
        &[
            "payment",
            "ledger",
            "facilitator",
            "config",
            "catalog",
            "plugin",
            "route",
            "price",
            "chain",
            "respond",
            "serve",
            "wallet",
        ],
        &["tokio", "hyper", "wasmtime", "SystemTime::now"],
    ),
    (
        "payment",
        &["config", "chain", "serve", "respond", "catalog"],
        &["hyper", "rusqlite", "StatusCode", "alloy::providers"],
    ),
    ("facilitator", &["plugin", "ledger", "payment", "catalog", "serve", "config"], &["wasmtime", "rusqlite"]),
    ("chain", &["plugin", "payment", "config", "ledger", "catalog"], &["wasmtime", "rusqlite"]),
    ("plugin", &["x402", "payment", "ledger", "facilitator", "price", "config"], &["alloy", "rusqlite"]),
    ("ledger", &["plugin", "payment", "facilitator", "config", "catalog"], &["tokio::net", "hyper", "wasmtime"]),
    ("respond", &["ledger", "facilitator", "config", "catalog"], &["wasmtime", "rusqlite"]),
    ("wallet", &["serve", "catalog", "config", "payment", "ledger"], &["wasmtime", "rusqlite"]),
];

fn files(room: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                walk(&path, found);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src");
    let mut found = vec![src.join(format!("{room}.rs"))];
    walk(&src.join(room), &mut found);
    found
}

/// Code without comments and without the tests at its end.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_import_only_what_their_row_allows() {
    let mut broken = Vec::new();
    for (room, rooms, words) in ROOMS {
        for file in files(room) {
            let code = code(&file);
            for other in *rooms {
                let whole = format!("crate::{other}");
                let named = code.match_indices(&whole).any(|(at, _)| {
                    !code[at + whole.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                });
                if named {
                    broken.push(format!("{}: the room {room} must not import {other}", file.display()));
                }
            }
            for word in *words {
                if code.contains(word) {
                    broken.push(format!("{}: the room {room} must not know {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_respond_names_a_status_code() {
    for room in ["payment", "catalog", "route", "price", "ledger", "x402"] {
        for file in files(room) {
            assert!(!code(&file).contains("StatusCode"), "{}", file.display());
        }
    }
}

#[test]
fn leave_to_run_is_granted_in_two_places() {
    let mut grants = Vec::new();
    for room in ["serve", "payment", "catalog", "route", "cli", "wallet", "respond"] {
        for file in files(room) {
            grants.extend((0..code(&file).matches("Permit::grant").count()).map(|_| file.display().to_string()));
        }
    }
    assert_eq!(grants.len(), 2, "one for a free route, one for a reserved payment: {grants:?}");
}
