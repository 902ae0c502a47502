//! Builds plugins from source: Rust with cargo, everything else with the folder's own `build.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Failure;

/// What Rust plugins are compiled for.
const TARGET: &str = "wasm32-wasip2";
/// `build.sh` ends with this (EX_UNAVAILABLE) when its toolchain is not installed.
const NO_TOOLCHAIN: i32 = 69;

/// Where plugins come from and where their components go.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    sources: PathBuf,
    output: PathBuf,
}

/// What became of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing changed since it was built.
    Fresh,
    /// Built and put into the output folder.
    Built,
    /// Its toolchain is not here: how to get it.
    Skipped(String),
    /// It does not compile: what the compiler said.
    Failed(String),
}

impl Workshop {
    /// Creates the output folder; the sources must exist.
    pub(super) fn open(sources: &Path, output: &Path) -> Result<Self, Failure> {
        if !sources.is_dir() {
            return Err(Failure::usage(format!(
                "there is no folder `{}`: name your plugins' folder with --plugins",
                sources.display()
            )));
        }
        std::fs::create_dir_all(output).map_err(|error| Failure::new(format!("{}: {error}", output.display())))?;
        let absolute =
            |path: &Path| path.canonicalize().map_err(|error| Failure::new(format!("{}: {error}", path.display())));
        Ok(Self { sources: absolute(sources)?, output: absolute(output)? })
    }

    /// Where the components are.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Folders whose files make plugins.
    pub(super) fn sources(&self) -> Vec<PathBuf> {
        let mut list = vec![self.sources.clone()];
        list.extend(self.shared());
        list
    }

    /// Beside the plugins: the SDK and the WIT that they are built with, if this is their workspace.
    fn shared(&self) -> Vec<PathBuf> {
        let Some(root) = self.sources.parent() else { return Vec::new() };
        ["sdk", "wit"].iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect()
    }

    /// Brings every component up to date and removes those whose source is gone. One at a time.
    pub(super) fn build_all(&self) -> Result<Vec<(String, Outcome)>, Failure> {
        let unreadable = |error: std::io::Error| Failure::new(format!("{}: {error}", self.sources.display()));
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.sources).map_err(unreadable)? {
            entries.push(entry.map_err(unreadable)?.path());
        }
        entries.sort();
        let mut outcomes = Vec::new();
        let mut expected = Vec::new();
        let mut target_ready = false;
        for path in entries {
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).map(ToOwned::to_owned) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let out = self.output.join(format!("{name}.wasm"));
            let kind = if path.is_dir() && path.join("Cargo.toml").is_file() {
                Kind::Cargo
            } else if path.is_dir() && path.join("build.sh").is_file() {
                Kind::Script
            } else if path.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
                Kind::Finished
            } else {
                continue;
            };
            expected.push(out.clone());
            if self.fresh(&path, &out, kind) {
                outcomes.push((name, Outcome::Fresh));
                continue;
            }
            if kind == Kind::Cargo && !target_ready {
                if let Err(failure) = ensure_target() {
                    outcomes.push((name, Outcome::Skipped(failure.message)));
                    continue;
                }
                target_ready = true;
            }
            let begun = SystemTime::now();
            let progress = Progress::start(&name);
            let outcome = match kind {
                Kind::Cargo => cargo(&path, &out),
                Kind::Script => script(&path, &out),
                Kind::Finished => place(&path, &out),
            };
            if outcome == Outcome::Built {
                // As old as the sources that were read: what was saved meanwhile is built next.
                let _ = std::fs::File::options().append(true).open(&out).and_then(|file| file.set_modified(begun));
            }
            progress.end(&outcome);
            outcomes.push((name, outcome));
        }
        self.remove_others(&expected);
        Ok(outcomes)
    }

    /// Whether the component is newer than everything that it is made of.
    fn fresh(&self, source: &Path, out: &Path, kind: Kind) -> bool {
        let Ok(built) = std::fs::metadata(out).and_then(|meta| meta.modified()) else { return false };
        if kind == Kind::Finished {
            return matches!((std::fs::read(source), std::fs::read(out)), (Ok(one), Ok(other)) if one == other);
        }
        let mut newest = newest(source);
        for shared in self.shared() {
            newest = newest.max(self::newest(&shared));
        }
        newest.is_some_and(|newest| newest <= built)
    }

    fn remove_others(&self, expected: &[PathBuf]) {
        let Ok(entries) = std::fs::read_dir(&self.output) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "wasm") && !expected.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cargo,
    Script,
    Finished,
}

/// The newest file in a folder, leaving out what builds put there.
fn newest(path: &Path) -> Option<SystemTime> {
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() {
        return meta.modified().ok();
    }
    let mut newest = None;
    for entry in std::fs::read_dir(path).ok()?.flatten() {
        if is_made(Path::new(&entry.file_name())) {
            continue;
        }
        newest = newest.max(self::newest(&entry.path()));
    }
    newest
}

/// Whether a path lies in a folder that tools fill, or is an editor's own file.
pub(super) fn is_made(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        (name.starts_with('.') && name.len() > 2)
            || name.ends_with('~')
            || matches!(&*name, "target" | "node_modules" | "__pycache__")
    })
}

/// Adds the compilation target if it is missing.
fn ensure_target() -> Result<(), Failure> {
    let rustc = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let installed = rustc.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if installed {
        return Ok(());
    }
    println!("adding the Rust target {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).stdout(Stdio::null()).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(Failure::new(format!(
            "the Rust target {TARGET} cannot be added: install rustup (https://rustup.rs) and run `rustup target add {TARGET}`"
        ))),
    }
}

fn cargo(source: &Path, out: &Path) -> Outcome {
    let command = Command::new("cargo")
        .arg("build")
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        // Ours is defined in this workspace; elsewhere it is the release profile under our name.
        .args(["--profile", "plugin", "--config", "profile.plugin.inherits=\"release\""])
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics", "--quiet"])
        .stdin(Stdio::null())
        .output();
    let output = match command {
        Ok(output) => output,
        Err(error) => {
            return Outcome::Skipped(format!("cargo cannot be run ({error}): install Rust from https://rustup.rs"));
        }
    };
    if !output.status.success() {
        return Outcome::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let manifest = source.join("Cargo.toml");
    let made = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
        })
        .next_back();
    match made {
        Some(file) => place(&file, out),
        None => {
            Outcome::Failed("it makes no .wasm: set crate-type = [\"cdylib\"] under [lib] in its Cargo.toml".to_owned())
        }
    }
}

fn script(source: &Path, out: &Path) -> Outcome {
    let part = out.with_extension("part");
    let command = Command::new("sh").arg(source.join("build.sh")).arg(&part).stdin(Stdio::null()).output();
    let output = match command {
        Ok(output) => output,
        Err(error) => return Outcome::Skipped(format!("sh cannot be run: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(NO_TOOLCHAIN) {
        return Outcome::Skipped(said);
    }
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return Outcome::Failed(format!("{}\n{said}", text.trim()).trim().to_owned());
    }
    let placed = place(&part, out);
    let _ = std::fs::remove_file(part);
    placed
}

/// Puts a component into the output folder in one step, so that a scan never sees half of it. Equal
/// bytes are only touched.
fn place(made: &Path, out: &Path) -> Outcome {
    let moved = (|| {
        let bytes = std::fs::read(made)?;
        if std::fs::read(out).is_ok_and(|old| old == bytes) {
            return std::fs::File::options().append(true).open(out)?.set_modified(SystemTime::now());
        }
        let temporary = out.with_extension("new");
        std::fs::write(&temporary, bytes)?;
        std::fs::rename(&temporary, out)
    })();
    match moved {
        Ok(()) => Outcome::Built,
        Err(error) => Outcome::Failed(format!("{}: {error}", out.display())),
    }
}

/// A spinner on a terminal, a line elsewhere.
struct Progress(ProgressBar, String);

impl Progress {
    fn start(name: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(format!("building {name}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        if bar.is_hidden() {
            println!("building {name}");
        }
        Self(bar, name.to_owned())
    }

    fn end(self, outcome: &Outcome) {
        let took = self.0.elapsed();
        self.0.finish_and_clear();
        if *outcome == Outcome::Built {
            println!("built {} in {:.1} s", self.1, took.as_secs_f64());
        }
    }
}
