//! Builds the components that tests load, each set once per process and only what has changed.
//!
//! The unit tests of `coinslot-plugin`, these tests and `tests/run` build into the same folders with the same flags:
//! guests of `tests/plugins` into `target/guests`, plugins of the workspace into `target` as `coinslot dev` does, and
//! plugins in other languages into `target/plugins`. So the first of them compiles, and the others find everything done.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use crate::run;

/// The folders that tools fill.
const FILLED_BY_TOOLS: [&str; 2] = ["node_modules", "__pycache__"];

/// The examples of the SDK, which are the same in each language.
pub const SDK_EXAMPLES: [&str; 6] = ["binary", "quoted", "secret", "store", "stream", "upload"];

/// The path of a component: a guest of `tests/plugins`, a plugin of `plugins`, or the examples of the SDK in TypeScript
/// or Python as one plugin: `examples-ts` and `examples-python`.
///
/// # Panics
/// If the component does not build, or none has this name.
pub fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let file = format!("{}.wasm", name.replace('-', "_"));
    let component = match name {
        "text-js" => once(name, || scripted_plugin(root, name, &["plugins/text-js", "wit"])),
        "stats-py" => once(name, || scripted_plugin(root, name, &["plugins/stats-py", "sdk/python", "wit"])),
        "examples-ts" => once(name, || sdk_examples(root, "ts", "ts", |example| format!("import './{example}.ts';\n"))),
        "examples-python" => once(name, || sdk_examples(root, "python", "py", |example| format!("import {example}\n"))),
        _ if root.join("plugins").join(name).join("Cargo.toml").is_file() => plugins(root).join(file),
        _ => guests(root).join(format!("guest_{file}")),
    };
    assert!(component.is_file(), "there is no component at {}", component.display());
    component
}

/// The folder of the plugins of `plugins` in Rust.
fn plugins(root: &Path) -> &'static Path {
    static PLUGINS: OnceLock<PathBuf> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let target = target();
        // One after the other, as `coinslot dev` builds them: together they could get other features.
        for plugin in ["aurora", "hello", "primes", "rates", "redact"] {
            build(root, &target, &["--profile", "plugin", "-p", plugin]);
        }
        target.join("wasm32-wasip2/plugin")
    })
}

/// The folder of the guests of `tests/plugins`.
fn guests(root: &Path) -> &'static Path {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let (guests, target) = (root.join("tests/plugins"), target().join("guests"));
        build(&guests, &target, &["--release"]);
        build(&guests, &target, &["--release", "-p", "guest-wasi3", "-p", "guest-wasi3-examples"]);
        target.join("wasm32-wasip2/release")
    })
}

/// The component that `build` makes. It runs once for each name.
fn once(name: &str, build: impl FnOnce() -> PathBuf) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().expect("every component before has been built");
    built.entry(name.to_owned()).or_insert_with(build).clone()
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

/// A plugin of `plugins` that its own script builds, if a source is newer than what it built last.
fn scripted_plugin(root: &Path, name: &str, sources: &[&str]) -> PathBuf {
    let out = target().join("plugins").join(format!("{name}.wasm"));
    let built = std::fs::metadata(&out).and_then(|component| component.modified()).ok();
    let changed = sources.iter().filter_map(|folder| last_change(&root.join(folder))).max();
    if built < changed {
        std::fs::create_dir_all(target().join("plugins")).expect("a folder");
        let script = root.join("plugins").join(name).join("build.sh");
        let status = Command::new(&script).arg(&out).status().expect("a script that runs");
        assert!(status.success(), "{} failed", script.display());
    }
    out
}

/// The time at which a file below the folder was last written.
fn last_change(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let own = entries.filter(|entry| !FILLED_BY_TOOLS.map(OsStr::new).contains(&&*entry.file_name()));
    let time = |entry: std::fs::DirEntry| match entry.file_type().expect("a type").is_dir() {
        true => last_change(&entry.path()),
        false => entry.metadata().and_then(|file| file.modified()).ok(),
    };
    own.filter_map(time).max()
}

/// The examples of a language as one plugin, because the host compiles it in a fraction of the time. A module that
/// imports them all is written by `import`.
fn sdk_examples(root: &Path, language: &str, extension: &str, import: fn(&str) -> String) -> PathBuf {
    let dir = target().join("sdk-examples").join(language);
    std::fs::create_dir_all(&dir).expect("a folder");
    let mut all = String::new();
    for example in SDK_EXAMPLES {
        let file = format!("{example}.{extension}");
        std::fs::copy(root.join("sdk/examples").join(language).join(&file), dir.join(&file)).expect("an example");
        all += &import(example);
    }
    // The plugin has the name of its module, with hyphens.
    let module = format!("examples_{language}.{extension}");
    std::fs::write(dir.join(&module), all).expect("a file");
    let component = format!("examples-{language}.wasm");
    let built = run(&dir, &["build", &module, "-o", &component]);
    assert!(built.status.success(), "{module}: {}", String::from_utf8_lossy(&built.stderr));
    dir.join(component)
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
