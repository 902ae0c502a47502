//! Checks that the current contract with plugins accepts plugins of every released one, kept in `wit/released/`.

use std::path::{Path, PathBuf};

use wit_parser::{Resolve, WorldId};

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// Checks that a host of the new world accepts a plugin of the old one. Both texts are of the same package.
fn compatible(old: &str, new: &str, world: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let mut package = |text: &str, version: &str| -> WorldId {
        // Two packages of one name need two versions, later than every `@since`; the comparison ignores them.
        let line = text.lines().find(|line| line.starts_with("package ")).expect("a package");
        let (name, _) = line.split_once('@').expect("a version");
        let text = text.replacen(line, &format!("{name}@{version};"), 1);
        let package = resolve.push_str("plugin.wit", &text).expect("a package that parses");
        resolve.packages[package].worlds[world]
    };
    let (old, new) = (package(old, "99.0.1"), package(new, "99.0.2"));
    wit_component::semver_check(resolve, old, new).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_current_contract_is_compatible_with_every_released_one() {
    let today = std::fs::read_to_string(wit().join("plugin.wit")).expect("the contract");
    let mut released: Vec<PathBuf> = std::fs::read_dir(wit().join("released"))
        .expect("the released contracts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    released.sort();
    assert!(!released.is_empty());
    for dir in released {
        let version = dir.file_name().and_then(|name| name.to_str()).expect("a version").to_owned();
        let text = std::fs::read_to_string(dir.join("plugin.wit")).expect("a contract");
        assert!(text.contains(&format!("package coinslot:plugin@{version};")), "{version} is in the wrong folder");
        for world in ["narrow", "narrow-quoting"] {
            compatible(&text, &today, world).unwrap_or_else(|error| panic!("{version}, {world}: {error}"));
        }
    }
}

#[test]
fn a_grown_record_and_a_removed_import_are_detected() {
    let today = std::fs::read_to_string(wit().join("plugin.wit")).expect("the contract");
    let field = "    payer: string,\n";
    assert!(today.contains(field), "the receipt's first field");
    let grown = today.replacen(field, &format!("{field}    nickname: string,\n"), 1);
    compatible(&today, &grown, "narrow").expect_err("a record never grows");
    let import = "  import usage;\n";
    assert!(today.contains(import), "an import of every plugin");
    compatible(&today, &today.replacen(import, "", 1), "narrow").expect_err("an import never goes");
    let more = today.replacen(import, "  import usage;\n  import more;\n", 1) + "\ninterface more { say: func(); }\n";
    compatible(&today, &more, "narrow").expect("a new interface breaks no plugin");
}
