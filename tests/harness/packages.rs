//! Installs the packages of npm that tests need, at the versions of the folders with their lock files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::guests::target;

/// The folder `node_modules` with the packages that plugins of the tests import, at the versions of `tests/libraries`.
///
/// # Panics
/// If npm is missing, or the packages cannot be installed.
pub fn node_modules() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| installed("libraries").join("node_modules"))
}

/// The folder with what drives a browser, at the versions of `tests/browser`, and with the scripts from there.
pub(crate) fn browser_scripts() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = installed("browser");
        for script in ["inspect.mjs", "look.mjs", "steer.mjs", "wallet.mjs"] {
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(script);
            std::fs::copy(own, folder.join(script)).expect("a script to copy");
        }
        folder
    })
}

/// The folder with the official client of MCP, at the version of `tests/mcp`, and with the script that drives it.
pub(crate) fn mcp_scripts() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = installed("mcp");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("mcp").join("drive.mjs");
        std::fs::copy(own, folder.join("drive.mjs")).expect("a script to copy");
        folder
    })
}

/// Judges a description of an API in OpenAPI, and answers of the API by it, with the packages of `tests/openapi`: see
/// `judge.mjs` there. Returns the faults.
///
/// # Panics
/// If Node.js or npm is missing, or the packages cannot be installed.
pub fn judge_api(job: &serde_json::Value) -> Vec<String> {
    serde_json::from_value(judged("judge.mjs", job)).expect("a list of faults")
}

/// Judges a running host as directories of x402 do: see `discover.mjs` in `tests/openapi`. Returns what was found, and the
/// faults.
///
/// # Panics
/// If Node.js or npm is missing, or the packages cannot be installed.
pub fn judge_discovery(job: &serde_json::Value) -> (serde_json::Value, Vec<String>) {
    let mut judged = judged("discover.mjs", job);
    let faults = serde_json::from_value(judged["faults"].take()).expect("a list of faults");
    (judged["found"].take(), faults)
}

/// Runs a judge of `tests/openapi` on a job.
fn judged(judge: &str, job: &serde_json::Value) -> serde_json::Value {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = installed("openapi");
        for judge in ["judge.mjs", "discover.mjs"] {
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi").join(judge);
            std::fs::copy(own, folder.join(judge)).expect("a script to copy");
        }
        folder
    });
    let mut node = Command::new("node");
    node.arg(judge).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judging = node.spawn().expect("node: install Node.js 20 or newer");
    judging.stdin.take().expect("a pipe").write_all(job.to_string().as_bytes()).expect("a job");
    let output = judging.wait_with_output().expect("an end");
    assert!(output.status.success(), "the judge failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The folder of the packages of this name, which is made once in cargo's target folder and anew when the versions
/// change. Needs npm, and its registry when there is something to install.
fn installed(name: &str) -> PathBuf {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let lock = std::fs::read_to_string(pinned.join("package-lock.json")).expect("the versions");
    let folder = target().join(name);
    let installed = folder.join("installed");
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&lock) {
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(pinned.join(file), folder.join(file)).expect("a file to copy");
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
        let status = npm.current_dir(&folder).status().expect("npm: install Node.js 20 or newer");
        assert!(status.success(), "npm did not install the packages of {}", pinned.display());
        std::fs::write(&installed, lock).expect("a file");
    }
    folder
}
