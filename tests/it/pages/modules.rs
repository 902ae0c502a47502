//! Builds the modules and crates of pages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coinslot_tests::{node_modules, run, target};

use super::fences::{Block, blocks, root};

fn succeeds(place: &str, output: &Output) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&said));
}

/// Builds a module with a file name. One without is a part of a module: its syntax is checked.
pub(super) fn build(block: &Block) {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(file) = block.file() else {
        assert_eq!(block.language, "js", "{}: its first line names its file", block.place());
        fs::write(dir.path().join("part.mjs"), &block.text).expect("a file");
        let mut node = Command::new("node");
        let checked = node.current_dir(dir.path()).args(["--check", "part.mjs"]).output().expect("Node.js");
        return succeeds(&block.place(), &checked);
    };
    fs::write(dir.path().join(file), &block.text).expect("a file");
    if block.text.contains("from 'zod'") {
        std::os::unix::fs::symlink(node_modules(), dir.path().join("node_modules")).expect("a link");
    }
    succeeds(&block.place(), &run(dir.path(), &["build", file, "-o", "plugin.wasm"]));
    assert!(dir.path().join("plugin.wasm").is_file(), "{}", block.place());
}

/// Builds all modules of Python into one component, because each build starts an interpreter, and runs the tests of the
/// page on their first module, as its reader would.
pub(super) fn build_python(all: &[Block]) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut imports = String::new();
    let mut places = String::new();
    for (index, block) in all.iter().enumerate() {
        let file = block.file().unwrap_or_else(|| panic!("{}: its first line names its file", block.place()));
        if file.starts_with("test_") {
            test_python(block);
            continue;
        }
        fs::write(dir.path().join(format!("block{index}.py")), &block.text).expect("a file");
        writeln!(imports, "import block{index}").expect("text");
        writeln!(places, "block{index}.py is {}", block.place()).expect("text");
    }
    assert!(imports.lines().count() > 9, "{places}");
    fs::write(dir.path().join("all.py"), imports).expect("a file");
    succeeds(&places, &run(dir.path(), &["build", "all.py", "-o", "all.wasm"]));
}

fn test_python(block: &Block) {
    let dir = tempfile::tempdir().expect("a folder");
    let first = blocks(&block.page).into_iter().find(|block| block.file() == Some("app.py")).expect("a module");
    fs::write(dir.path().join("app.py"), first.text).expect("a file");
    fs::write(dir.path().join("test_app.py"), &block.text).expect("a file");
    let mut python = Command::new("python3");
    python.current_dir(dir.path()).args(["-m", "unittest", "-v"]).env("PYTHONPATH", root().join("sdk/python"));
    let tested = python.output().expect("Python");
    succeeds(&block.place(), &tested);
    assert!(!String::from_utf8_lossy(&tested.stderr).contains("Ran 0 tests"), "{}", block.place());
}

/// Builds a crate for each page whose modules are the page's blocks, in a workspace with the profile that the page of
/// Rust shows. Then runs the tests in the blocks.
pub(super) fn build_rust(all: &[Block]) {
    let dir = tempfile::tempdir().expect("a folder");
    let sdk = unpacked_sdk(dir.path());
    let mut pages: BTreeMap<&str, Vec<&Block>> = BTreeMap::new();
    for block in all {
        pages.entry(&block.page).or_default().push(block);
    }
    assert!(pages.len() >= 3 && all.len() > 15, "{} blocks of {} pages", all.len(), pages.len());
    let mut members = Vec::new();
    for (page, blocks) in pages {
        let name = Path::new(page).file_stem().expect("a name").to_string_lossy().to_lowercase();
        let source = dir.path().join(&name).join("src");
        fs::create_dir_all(&source).expect("a folder");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
             [dependencies]\ncoinslot-sdk = {{ path = \"{sdk}\" }}\n"
        );
        fs::write(dir.path().join(&name).join("Cargo.toml"), manifest).expect("a file");
        let mut modules = String::from("#![allow(dead_code)]\n");
        for block in blocks {
            writeln!(modules, "mod line_{};", block.line).expect("text");
            fs::write(source.join(format!("line_{}.rs", block.line)), &block.text).expect("a file");
        }
        fs::write(source.join("lib.rs"), modules).expect("a file");
        members.push(name);
    }
    let profile = blocks("host/docs/rust.md").into_iter().find(|block| block.file() == Some("Cargo.toml"));
    let profile = profile.expect("the profile").text;
    fs::write(
        dir.path().join("Cargo.toml"),
        format!("{profile}[workspace]\nresolver = \"3\"\nmembers = {members:?}\n"),
    )
    .expect("a file");
    // The versions that the repository builds with are compiled already.
    fs::copy(root().join("Cargo.lock"), dir.path().join("Cargo.lock")).expect("a file");
    succeeds("crates", &cargo(dir.path(), &["build", "--quiet", "--profile", "plugin", "--target", "wasm32-wasip2"]));
    let tested = cargo(dir.path(), &["test"]);
    succeeds("tests of crates", &tested);
    assert!(String::from_utf8_lossy(&tested.stdout).contains("it_shouts ... ok"), "the page's tests ran");
}

/// The SDK where `coinslot new` tells cargo that it is.
fn unpacked_sdk(dir: &Path) -> String {
    succeeds("new", &run(dir, &["new", "fresh", "--lang", "rust"]));
    let config = fs::read_to_string(dir.join("fresh/.cargo/config.toml")).expect("a configuration of cargo");
    fs::remove_dir_all(dir.join("fresh")).expect("a folder");
    let path = config.lines().find_map(|line| line.split_once("path = \"")?.1.split('"').next());
    let path: PathBuf = path.expect("the SDK's path").into();
    path.display().to_string()
}

fn cargo(dir: &Path, arguments: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(dir).args(arguments).arg("--target-dir").arg(target());
    // Other flags than those of the plugins' build would make another build of everything.
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    cargo.output().expect("cargo")
}
