//! The page on security tells the truth: every test that it names is there, and no row is without one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The rows that must be there.
const ROWS: &[std::ops::RangeInclusive<u32>] = &[1..=51, 59..=76];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of functions in the sources below a folder.
fn functions(dir: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && entry.file_name() != "node_modules" {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            // Stories that a macro makes: a line `name: what it is made of;`.
            found.extend(text.lines().filter_map(|line| {
                let (name, made_of) = line.trim().split_once(": ")?;
                let story = made_of.ends_with(';') && (made_of.starts_with('"') || made_of.starts_with("Mode::"));
                story.then(|| name.to_owned())
            }));
            found.extend(text.split("fn ").skip(1).filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
                rest[end..].starts_with(['(', '<']).then(|| rest[..end].to_owned())
            }));
        }
    }
}

/// Row, and what stands in its column of tests.
fn table() -> Vec<(String, String)> {
    let page = read(&root().join("host/docs/security.md"));
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| A")?.trim_end_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "row, attack, defence, tests: {line}");
        Some((format!("A{}", cells[0]), cells[3].to_owned()))
    });
    rows.collect()
}

#[test]
fn every_attack_of_the_list_has_its_row_once() {
    let rows: Vec<String> = table().into_iter().map(|(row, _)| row).collect();
    let expected: Vec<String> = ROWS.iter().cloned().flatten().map(|row| format!("A{row}")).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut found = HashSet::new();
    for dir in ["tests/it", "host/src", "host/tests", "sdk"] {
        functions(&root().join(dir), &mut found);
    }
    let mut broken = Vec::new();
    for (row, tests) in table() {
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() && !tests.contains("(test missing)") {
            broken.push(format!("{row} names no test"));
        }
        broken.extend(
            names.iter().filter(|name| !found.contains(**name)).map(|name| format!("{row}: there is no test {name}")),
        );
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_row_is_without_a_test() {
    let missing: Vec<String> =
        table().into_iter().filter(|(_, tests)| tests.contains("(test missing)")).map(|(row, _)| row).collect();
    assert!(missing.is_empty(), "rows that say `(test missing)`: {}", missing.join(", "));
}
