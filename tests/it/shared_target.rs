//! Keeps the compiled code that crates on their own share within bounds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use coinslot_tests::binary;

/// Builds a crate without dependencies, with this cache.
fn build(dir: &Path, name: &str, cache: &Path) {
    fs::create_dir_all(dir.join(name).join("src")).expect("a folder");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\n\
         crate-type = [\"cdylib\"]\n"
    );
    fs::write(dir.join(name).join("Cargo.toml"), manifest).expect("a manifest");
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn one() -> u8 {\n    1\n}\n";
    fs::write(dir.join(name).join("src/lib.rs"), source).expect("a source");
    let mut command = Command::new(binary());
    command.current_dir(dir).args(["build", name]).env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
    let built = command.output().expect("the coinslot binary");
    let said = String::from_utf8_lossy(&built.stderr);
    // cargo has built it, and no host loads a plugin without an endpoint.
    assert_eq!(built.status.code(), Some(65), "{said}");
    assert!(said.contains("it exports no HTTP handler"), "{said}");
}

/// Makes a file that was last written forty days ago, as were the folders above it up to `top`.
fn old(top: &Path, file: &str) -> PathBuf {
    let path = top.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, "compiled").expect("a file");
    path
}

fn age(path: &Path) {
    if path.is_dir() {
        fs::read_dir(path).expect("a folder").flatten().for_each(|entry| age(&entry.path()));
    }
    let made = SystemTime::now() - Duration::from_secs(40 * 24 * 3600);
    File::open(path).and_then(|file| file.set_modified(made)).expect("a time");
}

/// The folder only grew: with each version of a dependency, of the compiler and of coinslot.
#[test]
fn compiled_code_that_no_build_used_for_long_is_removed_and_never_that_of_a_running_build() {
    let (dir, cache) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    build(dir.path(), "one", cache.path());
    let versions = cache.path().join("coinslot");
    let own = fs::read_dir(&versions).expect("the cache").flatten().map(|entry| entry.path().join("cargo"));
    let own = own.into_iter().find(|cargo| cargo.is_dir()).expect("the folder for compiled code");

    let unit = old(&own, "wasm32-wasip2/plugin/deps/libgone-0123456789abcdef.rlib");
    let print = old(&own, "wasm32-wasip2/plugin/.fingerprint/gone-0123456789abcdef/dep-lib-gone");
    let young = old(&own, "wasm32-wasip2/plugin/deps/libyoung-fedcba9876543210.rlib");
    age(&unit);
    age(print.parent().expect("a folder"));
    let former = ["0.0.1", "0.0.2"].map(|version| versions.join(version).join("cargo"));
    let codes = former.each_ref().map(|cargo| old(cargo, "wasm32-wasip2/plugin/deps/libgone.rlib"));
    let locks = former.each_ref().map(|cargo| old(cargo, "coinslot.lock"));
    former.iter().for_each(|cargo| age(cargo));
    let running = File::open(&locks[1]).expect("a lock");
    running.lock().expect("nothing is built there");

    // The folder is looked through once a day.
    fs::remove_file(own.join("coinslot.used")).expect("the note of what was used when");
    build(dir.path(), "one", cache.path());
    assert!(!unit.exists() && !print.parent().expect("a folder").exists(), "no build used it for forty days");
    assert!(young.exists());
    assert!(!codes[0].exists() && codes[1].exists(), "a build runs in the second one");
    assert!(own.join("wasm32-wasip2/plugin/deps/one.wasm").exists());
}
