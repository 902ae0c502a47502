//! What the tests of the binary share.

use std::path::Path;
use std::process::Command;

/// The binary under test.
pub(crate) const COINSLOT: &str = env!("CARGO_BIN_EXE_coinslot");

/// Builds the guests into the folder that the library's own tests use.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let target = Path::new(COINSLOT).ancestors().nth(2).unwrap().join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(&target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plugins"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(target.join(format!("wasm32-wasip2/release/guest_{name}.wasm"))).unwrap()
}
