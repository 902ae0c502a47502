//! The map of the rooms holds: what a room never imports, read from its code.

use std::path::{Path, PathBuf};

/// A room, the rooms that it must not import beside [`TOP`], and words that must not stand in its code.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("config", &["serve", "payment", "ledger", "facilitator", "respond", "route", "wallet"], &["tokio", "hyper"]),
    ("serve", &["ledger", "chain", "facilitator"], &["wasmtime", "alloy", "rusqlite"]),
    ("catalog", &["payment", "ledger", "facilitator"], &["rusqlite"]),
    ("route", &["payment", "ledger", "facilitator", "catalog", "plugin"], &["wasmtime", "alloy", "tokio"]),
    ("price", &["payment", "ledger", "facilitator", "catalog", "plugin", "route"], &["tokio", "reqwest", "std::fs"]),
    (
        "x402",
        &[
            "payment",
            "ledger",
            "facilitator",
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
    ("payment", &["chain", "serve", "respond", "catalog"], &["hyper", "rusqlite", "alloy::providers"]),
    ("facilitator", &["plugin", "ledger", "payment", "catalog", "serve"], &["wasmtime", "rusqlite"]),
    ("chain", &["plugin", "payment", "ledger", "catalog"], &["wasmtime", "rusqlite"]),
    ("plugin", &["x402", "payment", "ledger", "facilitator", "price"], &["alloy", "rusqlite"]),
    ("ledger", &["plugin", "payment", "facilitator", "catalog"], &["tokio::net", "hyper", "wasmtime"]),
    ("respond", &["ledger", "facilitator", "catalog"], &["wasmtime", "rusqlite"]),
    ("wallet", &["serve", "catalog", "payment", "ledger"], &["wasmtime", "rusqlite"]),
];

/// Nobody but `main` imports `cli`, and nobody but `cli` imports `config`.
const TOP: &[&str] = &["cli", "config"];

/// Who names a status beside `respond`, and why it is not an answer of this host.
const STATUSES: &[(&str, &str)] = &[
    ("chain/devnet/server.rs", "the embedded chain's JSON-RPC is a server of its own"),
    ("cli/pay.rs", "a client reads the answer of the server that it pays"),
    ("facilitator/http.rs", "`coinslot facilitator` is a server of its own, with the protocol's statuses"),
    ("facilitator/remote.rs", "a client reads the answer of its facilitator"),
    ("facilitator/remote/answer.rs", "the same"),
    ("facilitator/testing.rs", "a node that fails, for tests"),
    ("plugin/status.rs", "what a guest may say by its status"),
];

/// Who may know a word that its room must not, and why.
const WORDS: &[(&str, &str, &str)] =
    &[("plugin/keyvalue/disk.rs", "rusqlite", "what plugins keep is in files of their own, and none of it is money")];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

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

fn files(room: &str) -> Vec<PathBuf> {
    let mut found = vec![src().join(format!("{room}.rs"))];
    walk(&src().join(room), &mut found);
    found
}

/// Code without comments and without the tests at its end.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path that a `use` names, groups written out.
fn uses(code: &str) -> Vec<String> {
    fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
        let Some((head, group)) = tree.split_once('{') else {
            found.push(format!("{prefix}{}", tree.trim()));
            return;
        };
        let prefix = format!("{prefix}{}", head.trim());
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        let (mut depth, mut from) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&prefix, &group[from..at], found);
                    from = at + 1;
                }
                _ => {}
            }
        }
        expand(&prefix, &group[from..], found);
    }
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        if !before.is_empty() && !before.starts_with("pub") {
            continue;
        }
        if let Some((tree, _)) = code[at + 4..].split_once(';') {
            expand("", tree, &mut found);
        }
    }
    found
}

/// A path from the crate's root, if it leads into the crate.
fn absolute(file: &Path, path: &str) -> Option<String> {
    if path.starts_with("crate::") {
        return Some(path.to_owned());
    }
    let file = file.strip_prefix(src()).ok()?.with_extension("");
    let mut module: Vec<String> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let mut rest = path;
    while let Some(above) = rest.strip_prefix("super::") {
        module.pop();
        rest = above;
    }
    module.push(rest.to_owned());
    (rest != path).then(|| format!("crate::{}", module.join("::")))
}

/// The rooms that a file names, in its imports and elsewhere.
fn rooms_named(file: &Path, code: &str) -> Vec<String> {
    let imported = uses(code).into_iter().filter_map(|path| absolute(file, &path));
    let elsewhere = code.match_indices("crate::").map(|(at, _)| code[at..].to_owned());
    let room = |path: String| {
        let rest = path.strip_prefix("crate::")?;
        let room = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        (!room.is_empty()).then(|| room.to_owned())
    };
    let mut named: Vec<String> = imported.chain(elsewhere).filter_map(room).collect();
    named.sort();
    named.dedup();
    named
}

#[test]
fn rooms_import_only_what_their_row_allows() {
    let mut broken = Vec::new();
    for (room, rooms, words) in ROOMS {
        for file in files(room) {
            let code = code(&file);
            for other in rooms_named(&file, &code) {
                if other != *room && (rooms.contains(&other.as_str()) || TOP.contains(&other.as_str())) {
                    broken.push(format!("{}: the room {room} must not import {other}", file.display()));
                }
            }
            for word in *words {
                let allowed = WORDS.iter().any(|(path, known, _)| file.ends_with(path) && known == word);
                if code.contains(word) != allowed {
                    broken.push(format!("{}: the room {room} must not know {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn an_import_is_seen_in_every_shape() {
    let file = src().join("serve/front.rs");
    let code = "pub use crate::{\n    ledger::{Embedded, Ledger as _},\n    price,\n};\nuse super::super::chain::{self};\n\
                use std::fmt;\nfn f() { crate::config::Config::read() }";
    assert_eq!(rooms_named(&file, code), ["chain", "config", "ledger", "price"]);
    assert!(uses(code).contains(&"crate::ledger::Embedded".to_owned()), "{:?}", uses(code));
}

#[test]
fn only_respond_names_a_status_code() {
    let mut all = Vec::new();
    walk(&src(), &mut all);
    let mut broken = Vec::new();
    for file in all {
        let name = file.strip_prefix(src()).expect("a file of the host").to_string_lossy().into_owned();
        let named = |line: &&str| {
            let number = |word: &str| word.len() == 3 && word.parse::<u16>().is_ok_and(|n| (100..600).contains(&n));
            line.contains("StatusCode")
                || line.contains("status") && line.split(|c: char| !c.is_ascii_alphanumeric()).any(number)
        };
        let code = code(&file);
        let allowed = name == "respond.rs" || STATUSES.iter().any(|(other, _)| *other == name);
        match (code.lines().find(named), allowed) {
            (Some(line), false) => broken.push(format!("{name}: {}", line.trim())),
            (None, true) => broken.push(format!("{name}: it names none any more; take it off the list")),
            _ => {}
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn leave_to_run_is_granted_in_three_places() {
    let mut grants = Vec::new();
    for room in ["serve", "payment", "catalog", "route", "cli", "wallet", "respond"] {
        for file in files(room) {
            grants.extend((0..code(&file).matches("Permit::grant").count()).map(|_| file.display().to_string()));
        }
    }
    assert_eq!(grants.len(), 3, "for a free route, a reserved payment, and one that is paid already: {grants:?}");
}
