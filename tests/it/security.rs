//! Checks the page on security: every test that it names exists, and every row names one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The numbers of the rows that the page must have.
const ROWS: &[std::ops::RangeInclusive<u32>] = &[1..=51, 59..=76];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Adds the names of all functions in the sources below a folder.
fn functions(dir: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && entry.file_name() != "node_modules" {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            // Tests that a macro makes: a line `name: arguments;`.
            found.extend(text.lines().filter_map(|line| {
                let (name, arguments) = line.trim().split_once(": ")?;
                let test = arguments.ends_with(';')
                    && (arguments.starts_with(['"', '[']) || arguments.starts_with("FacilitatorMode::"));
                test.then(|| name.to_owned())
            }));
            found.extend(text.split("fn ").skip(1).filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
                rest[end..].starts_with(['(', '<']).then(|| rest[..end].to_owned())
            }));
        }
    }
}

/// The rows of the table: name, and text of the column of tests.
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
fn the_page_has_one_row_for_each_attack() {
    let rows: Vec<String> = table().into_iter().map(|(row, _)| row).collect();
    let expected: Vec<String> = ROWS.iter().cloned().flatten().map(|row| format!("A{row}")).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut found = HashSet::new();
    for dir in ["tests/it", "host/src", "host/crates", "sdk"] {
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
fn every_row_names_a_test() {
    let missing: Vec<String> =
        table().into_iter().filter(|(_, tests)| tests.contains("(test missing)")).map(|(row, _)| row).collect();
    assert!(missing.is_empty(), "rows that say `(test missing)`: {}", missing.join(", "));
}
