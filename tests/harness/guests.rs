//! The components that tests load: built once per run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A component: a guest of `tests/plugins`, or `hello` and `aurora` of `plugins`.
///
/// # Panics
/// If it does not build, or there is no such guest.
pub fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let file = format!("{}.wasm", name.replace('-', "_"));
    if root.join("plugins").join(name).join("Cargo.toml").is_file() {
        static OURS: OnceLock<PathBuf> = OnceLock::new();
        let dir = OURS.get_or_init(|| {
            let target = target();
            build(root, &target, &["-p", "hello", "-p", "aurora", "--profile", "plugin"]);
            target.join("wasm32-wasip2/plugin")
        });
        return existing(dir.join(file));
    }
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    let dir = GUESTS.get_or_init(|| {
        let target = target();
        build(&root.join("tests/plugins"), &target, &["--release"]);
        target.join("wasm32-wasip2/release")
    });
    existing(dir.join(format!("guest_{file}")))
}

/// Beside the profile's folder that this test runs from, so that all tests share what they build.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a path of this test");
    own.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).expect("cargo's target folder").join("guests")
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "there is no guest at {}", path.display());
    path
}

fn build(dir: &Path, target: &Path, arguments: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .current_dir(dir)
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(target)
        .args(arguments)
        .status()
        .expect("cargo");
    assert!(status.success(), "the guests in {} do not build", dir.display());
}
