//! Builds the components that tests load, each set once per process and only what has changed.
//!
//! The unit tests of `coinslot-plugin`, these tests and `tests/run` build into the same folders with the same flags:
//! guests of `tests/plugins` into `target/guests`, plugins of the workspace into `target` as `coinslot dev` does. So
//! the first of them compiles, and for the others cargo finds everything fresh.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of a component: a guest of `tests/plugins`, or a Rust plugin of `plugins`.
///
/// # Panics
/// If the component does not build, or none has this name.
pub fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let file = format!("{}.wasm", name.replace('-', "_"));
    let component = if root.join("plugins").join(name).join("Cargo.toml").is_file() {
        static PLUGINS: OnceLock<PathBuf> = OnceLock::new();
        let dir = PLUGINS.get_or_init(|| {
            let target = target();
            // One after the other, as `coinslot dev` builds them: together they could get other features.
            for plugin in ["aurora", "hello", "primes", "rates", "redact"] {
                build(root, &target, &["--profile", "plugin", "-p", plugin]);
            }
            target.join("wasm32-wasip2/plugin")
        });
        dir.join(file)
    } else {
        static GUESTS: OnceLock<PathBuf> = OnceLock::new();
        let dir = GUESTS.get_or_init(|| {
            let (guests, target) = (root.join("tests/plugins"), target().join("guests"));
            build(&guests, &target, &["--release"]);
            build(&guests, &target, &["--release", "-p", "guest-wasi3", "-p", "guest-wasi3-examples"]);
            target.join("wasm32-wasip2/release")
        });
        dir.join(format!("guest_{file}"))
    };
    assert!(component.is_file(), "there is no component at {}", component.display());
    component
}

/// The bytes of a component; see [`guest`].
///
/// # Panics
/// As [`guest`] does.
pub fn component(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).expect("a component")
}

/// The bytes of the guest `declared` with this declaration, for example `POST:/path exact 0.01`, or several between
/// semicolons. At most 70 bytes: the guest has a slot of that size.
///
/// # Panics
/// If the declaration is longer, and as [`guest`] does.
pub fn declaring(declaration: &str) -> Vec<u8> {
    const SLOT: &[u8] = b"[declared]";
    let mut bytes = component("declared");
    let at = bytes.windows(SLOT.len()).position(|found| found == SLOT).expect("its slot") + SLOT.len();
    bytes[at..at + 70].copy_from_slice(format!("{declaration:<70}").as_bytes());
    bytes
}

/// The bytes of a component in which one text is replaced by another of the same length: another build of it, which
/// behaves otherwise.
///
/// # Panics
/// If the component does not have the text exactly once, and as [`guest`] does.
pub fn altered(name: &str, text: &str, by: &str) -> Vec<u8> {
    assert_eq!(text.len(), by.len(), "the component keeps its length");
    let mut bytes = component(name);
    let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    let [at] = found[..] else { panic!("{name} has {text:?} {} times", found.len()) };
    bytes[at..at + by.len()].copy_from_slice(by.as_bytes());
    bytes
}

/// The target folder that this program was built into. Cargo puts a test at `TARGET/PROFILE/deps/NAME`, and a benchmark
/// at `TARGET/PROFILE/NAME`.
pub fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a path of this program");
    let folder = own.parent().expect("a folder");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    profile.and_then(Path::parent).expect("cargo's target folder").to_owned()
}

fn build(dir: &Path, target: &Path, arguments: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .current_dir(dir)
        .args(["build", "--quiet", "--locked", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(target)
        .args(arguments)
        // Other flags than those of .cargo/config.toml would make another build of everything.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo");
    assert!(status.success(), "the components of {} do not build", dir.display());
}
