//! The built component: small, short, and with the exports of the contract.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use wit_component::DecodedWasm;

/// Largest component, in bytes.
const MAX_SIZE: usize = 400_000;
/// Longest source, in lines.
const MAX_LINES: usize = 15;

#[test]
fn hello_is_a_small_component_with_the_exports_of_the_contract() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A test's own directory is `tmp` in the target directory; the component goes beside it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("tmp is in the target directory");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--profile", "plugin", "--target", "wasm32-wasip2", "-p", "hello", "--target-dir"])
        .arg(target)
        .current_dir(&workspace)
        .output()
        .expect("cargo runs, as it runs this test");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let wasm = std::fs::read(target.join("wasm32-wasip2/plugin/hello.wasm")).unwrap();
    assert!(wasm.len() < MAX_SIZE, "{} bytes", wasm.len());
    let source = std::fs::read_to_string(workspace.join("plugins/hello/src/lib.rs")).unwrap();
    assert!(source.lines().count() <= MAX_LINES, "{} lines", source.lines().count());

    let DecodedWasm::Component(resolve, world) = wit_component::decode(&wasm).unwrap() else {
        panic!("not a component");
    };
    let world = &resolve.worlds[world];
    let mut exports: Vec<_> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    exports.sort();
    assert_eq!(
        exports,
        ["coinslot:plugin/manifest@0.2.0", "coinslot:plugin/quote@0.2.0", "wasi:http/incoming-handler@0.2.12"]
    );
    // It reads no receipt, so it imports nothing of the contract and nothing beyond WASI.
    for key in world.imports.keys() {
        let name = resolve.name_world_key(key);
        assert!(name.starts_with("wasi:"), "{name}");
    }
}
