//! Brings the components of a folder of plugin sources up to date: Rust with cargo, everything else with the folder's
//! own `build.sh`, and finished components as they are.

#![expect(clippy::disallowed_methods, reason = "the time of a build is compared with its files")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::compile::{self, BuildResult};
use crate::cli::Failure;

/// Builds the plugins of one folder into another.
#[derive(Clone, Debug)]
pub(super) struct PluginBuilder {
    sources: PathBuf,
    output: PathBuf,
    progress: MultiProgress,
}

/// The source of one plugin.
#[derive(Clone, Debug)]
pub(super) struct PluginSource {
    /// The name of the folder or file, without its extension.
    pub(super) name: String,
    path: PathBuf,
    kind: SourceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceKind {
    /// A folder with a Cargo.toml.
    Cargo,
    /// A folder with a build.sh.
    Script,
    /// A component.
    Finished,
}

/// The results of sources that need no compiler, by name.
pub(super) type Placed = Vec<(String, BuildResult)>;

impl PluginBuilder {
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
        Ok(Self { sources: absolute(sources)?, output: absolute(output)?, progress: MultiProgress::new() })
    }

    /// The folder of the components.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// The spinner of the build that runs; what is printed meanwhile suspends it.
    pub(super) fn progress(&self) -> MultiProgress {
        self.progress.clone()
    }

    /// Folders whose files plugins are made of.
    pub(super) fn sources(&self) -> Vec<PathBuf> {
        let mut list = vec![self.sources.clone()];
        list.extend(self.shared());
        list
    }

    /// The SDK and the WIT that the plugins are built with, if this is their workspace.
    fn shared(&self) -> Vec<PathBuf> {
        let Some(root) = self.sources.parent() else { return Vec::new() };
        ["sdk", "wit"].iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect()
    }

    /// Does everything that takes no compiler: removes components whose source is gone, places finished ones, and
    /// gives the results for these and for components that are up to date; and the sources that have to be built.
    pub(super) fn place(&self) -> Result<(Placed, Vec<PluginSource>), Failure> {
        let (mut placed, mut stale) = (Vec::new(), Vec::new());
        let sources = self.find()?;
        self.remove_others(&sources);
        for source in sources {
            let out = self.component(&source);
            if self.is_fresh(&source, &out) {
                placed.push((source.name, BuildResult::Fresh));
            } else if source.kind == SourceKind::Finished {
                let result = compile::place(&source.path, &out);
                placed.push((source.name, result));
            } else {
                stale.push(source);
            }
        }
        Ok((placed, stale))
    }

    /// The plugins of the folder, sorted by name.
    fn find(&self) -> Result<Vec<PluginSource>, Failure> {
        let unreadable = |error: std::io::Error| Failure::new(format!("{}: {error}", self.sources.display()));
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.sources).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.sort();
        Ok(paths.into_iter().filter_map(PluginSource::at).collect())
    }

    /// Builds one plugin. What was served before stays if that fails.
    pub(super) fn build(&self, source: &PluginSource) -> BuildResult {
        if source.kind == SourceKind::Cargo
            && let Err(failure) = compile::ensure_target()
        {
            return BuildResult::Skipped(failure.message);
        }
        let out = self.component(source);
        let begun = SystemTime::now();
        let spinner = Spinner::start(&self.progress, &source.name);
        let result = match source.kind {
            SourceKind::Cargo => compile::cargo(&source.path, &out),
            SourceKind::Script => compile::script(&source.path, &out),
            SourceKind::Finished => compile::place(&source.path, &out),
        };
        if result == BuildResult::Built {
            // The component gets the time at which the build began, so that a source saved meanwhile is newer.
            let _ = std::fs::File::options().append(true).open(&out).and_then(|file| file.set_modified(begun));
        }
        spinner.end(&result);
        result
    }

    fn component(&self, source: &PluginSource) -> PathBuf {
        self.output.join(format!("{}.wasm", source.name))
    }

    /// True if the component is newer than everything that it is made of.
    fn is_fresh(&self, source: &PluginSource, out: &Path) -> bool {
        let Ok(built) = std::fs::metadata(out).and_then(|meta| meta.modified()) else { return false };
        if source.kind == SourceKind::Finished {
            // By content: a component that is copied may keep an old time.
            return matches!((std::fs::read(&source.path), std::fs::read(out)), (Ok(one), Ok(other)) if one == other);
        }
        let shared = self.shared();
        let newest = shared.iter().chain([&source.path]).filter_map(|path| newest(path)).max();
        newest.is_some_and(|newest| newest <= built)
    }

    fn remove_others(&self, sources: &[PluginSource]) {
        let expected: Vec<PathBuf> = sources.iter().map(|source| self.component(source)).collect();
        let Ok(entries) = std::fs::read_dir(&self.output) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "wasm") && !expected.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl PluginSource {
    /// The plugin at a path, if there is one.
    fn at(path: PathBuf) -> Option<Self> {
        let name = path.file_stem()?.to_str()?.to_owned();
        if name.starts_with('.') {
            return None;
        }
        let kind = if path.is_dir() && path.join("Cargo.toml").is_file() {
            SourceKind::Cargo
        } else if path.is_dir() && path.join("build.sh").is_file() {
            SourceKind::Script
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
            SourceKind::Finished
        } else {
            return None;
        };
        Some(Self { name, path, kind })
    }
}

/// The time of the newest file in a folder, leaving out what builds put there.
fn newest(path: &Path) -> Option<SystemTime> {
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() {
        return meta.modified().ok();
    }
    let entries = std::fs::read_dir(path).ok()?.flatten();
    let sources = entries.filter(|entry| !is_generated(Path::new(&entry.file_name())));
    sources.filter_map(|entry| newest(&entry.path())).max()
}

/// True if a path lies in a folder that tools fill, or is an editor's own file.
pub(super) fn is_generated(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        (name.starts_with('.') && name.len() > 2)
            || name.ends_with('~')
            || matches!(&*name, "target" | "node_modules" | "__pycache__")
    })
}

/// A spinner on a terminal, a line elsewhere.
struct Spinner {
    bar: ProgressBar,
    name: String,
}

impl Spinner {
    fn start(progress: &MultiProgress, name: &str) -> Self {
        let bar = progress.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(format!("building {name}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        if bar.is_hidden() {
            println!("building {name}");
        }
        Self { bar, name: name.to_owned() }
    }

    fn end(self, result: &BuildResult) {
        let took = self.bar.elapsed();
        self.bar.finish_and_clear();
        if *result == BuildResult::Built {
            println!("built {} in {:.1} s", self.name, took.as_secs_f64());
        }
    }
}
