//! Checks the pages on security and conformance: every test that they name exists, and every row names one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The numbers of the rows of known attacks that the page on security must have.
const KNOWN: &[std::ops::RangeInclusive<u32>] = &[1..=51, 59..=76];

/// The lines that the page on conformance must have.
const LINES: std::ops::RangeInclusive<u32> = 1..=84;

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

/// The rows of a page's table whose first cell is a number behind this letter: the number, the third cell, and the
/// tests.
fn rows(page: &str, letter: &str) -> Vec<(u32, String, String)> {
    let text = read(&root().join("host/docs").join(page));
    let row = |line: &str| {
        let line = line.strip_prefix("| ")?.strip_prefix(letter)?;
        let cells: Vec<&str> = line.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let number = cells[0].parse().ok()?;
        assert_eq!(cells.len(), 4, "four cells: {line}");
        Some((number, cells[2].to_owned(), cells[3].to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn the_pages_have_one_row_for_each_attack_and_each_line() {
    let numbers = |page, letter| rows(page, letter).into_iter().map(|(number, ..)| number).collect::<Vec<_>>();
    assert_eq!(numbers("security.md", "A"), KNOWN.iter().cloned().flatten().collect::<Vec<_>>());
    for letter in ["B", "C"] {
        let found = numbers("security.md", letter);
        assert!(!found.is_empty() && found.iter().copied().eq(1..=found.len() as u32), "{letter}: {found:?}");
    }
    assert_eq!(numbers("conformance.md", ""), LINES.collect::<Vec<_>>());
}

#[test]
fn every_test_that_a_page_names_exists_and_every_row_names_one() {
    let mut found = HashSet::new();
    for dir in ["tests/it", "host/src", "host/crates", "sdk"] {
        functions(&root().join(dir), &mut found);
    }
    let mut broken = Vec::new();
    for (page, letter) in [("security.md", "A"), ("security.md", "B"), ("security.md", "C"), ("conformance.md", "")] {
        for (row, state, tests) in rows(page, letter) {
            let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
            // What is not built says so instead.
            if names.is_empty() && !(page == "conformance.md" && state.contains(" yet")) {
                broken.push(format!("{page} {letter}{row} names no test"));
            }
            let missing = names.iter().filter(|name| !found.contains(**name));
            broken.extend(missing.map(|name| format!("{page} {letter}{row}: there is no test {name}")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
