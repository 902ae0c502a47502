//! Brings the components of a folder of plugin sources up to date.

mod find;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coinslot_base::text::printable;
use indicatif::MultiProgress;
use parking_lot::Mutex;

use super::left_out;
use super::records::{SealedRecords, remove_record};
use super::sources::{BuildRecord, MOST_ENTRIES, Snapshot};
use super::spinner::Spinner;
use crate::cli::build::compile::{self, BuildResult};
use crate::cli::build::plugin_source::{PluginSource, SourceKind};
use crate::cli::{Failure, LARGEST_WASM};

/// Builds the plugins of one folder into another.
#[derive(Clone, Debug)]
pub(super) struct PluginBuilder {
    sources: PathBuf,
    output: PathBuf,
    progress: MultiProgress,
    records: SealedRecords,
    /// The last build of each plugin in this process, successful or not, by name.
    builds: Arc<Mutex<HashMap<String, BuildRecord>>>,
    /// Folders and files that are not built or not watched, each of which is named once.
    named: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The names in the folder that look like those of plugins, and lead to none.
    misnamed: Arc<Mutex<BTreeSet<String>>>,
}

/// The results of sources that need no compiler, by name.
pub(super) type Placed = Vec<(String, BuildResult)>;

impl PluginBuilder {
    /// Creates the output folder; the sources must exist.
    pub(super) fn open(sources: &Path, output: &Path) -> Result<Self, Failure> {
        if !sources.is_dir() {
            // The folder of the folder of one plugin, which is where most authors are.
            let advice = match Path::new(".").canonicalize().ok().and_then(|folder| PluginSource::at(&folder)) {
                Some(plugin) => format!("this folder is the plugin {}, which `--plugins ..` serves", plugin.name),
                None => {
                    let example = sources.join("shop");
                    format!(
                        "name your plugins' folder with --plugins, or make one: coinslot new {}",
                        printable(&example.to_string_lossy())
                    )
                }
            };
            return Err(Failure::usage(format!("there is no folder `{}`: {advice}", sources.display())));
        }
        std::fs::create_dir_all(output).map_err(|error| Failure::new(format!("{}: {error}", output.display())))?;
        let absolute =
            |path: &Path| path.canonicalize().map_err(|error| Failure::new(format!("{}: {error}", path.display())));
        let output = absolute(output)?;
        let records = SealedRecords::of(&output);
        let unkept = |error| Failure::new(format!("{}: a key cannot be kept there: {error}", output.display()));
        Ok(Self {
            sources: absolute(sources)?,
            records: records.map_err(unkept)?,
            output,
            progress: MultiProgress::new(),
            builds: Arc::default(),
            named: Arc::default(),
            misnamed: Arc::default(),
        })
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
        let (shared, mut linked) = (self.shared_files(), LinkedFiles::default());
        self.builds.lock().retain(|name, _| sources.iter().any(|source| source.name == *name));
        for source in sources {
            let out = self.component(&source);
            if source.kind == SourceKind::Finished {
                let files = self.files_of(&source, &shared, &BTreeSet::new());
                let record = BuildRecord::of(&BuildRecord::default(), &files, &files, BTreeSet::new());
                // Before the component: what has no record is not removed when its source is gone.
                self.records.write(&record, &out);
                self.builds.lock().insert(source.name.clone(), record);
                let is_fresh = is_same(&source.path, &out);
                let result = if is_fresh { BuildResult::Fresh } else { compile::place(&source.path, &out) };
                placed.push((source.name, result));
            } else if self.is_stale(&source, &shared, &mut linked) {
                stale.push(source);
            } else if out.is_file() {
                placed.push((source.name, BuildResult::Fresh));
            }
        }
        Ok((placed, stale))
    }

    /// Returns whether [`PluginBuilder::place`] would have something to do. For file systems without events.
    pub(super) fn has_changes(&self) -> bool {
        let Ok(sources) = self.find() else { return false };
        let is_gone = |name: &String| sources.iter().all(|source| source.name != *name);
        if self.builds.lock().keys().any(is_gone) {
            return true;
        }
        let (shared, mut linked) = (self.shared_files(), LinkedFiles::default());
        sources.iter().any(|source| self.is_stale(source, &shared, &mut linked))
    }

    /// Builds one plugin. What was served before stays if that fails.
    pub(super) fn build(&self, source: &PluginSource) -> BuildResult {
        let out = self.component(source);
        let former = self.record(source).unwrap_or_default();
        let shared = self.shared_files();
        let mut before = self.files_of(source, &shared, &former.read);
        tracing::debug!(name = %source.name, "a build begins");
        let spinner = Spinner::start(&self.progress, &source.name);
        let (result, read) = compile::build_for_author(source, &out);
        let result = left_out::with_place_of_helpers(source, result);
        spinner.end(&result);
        tracing::debug!(name = %source.name, "a build has ended");
        let read = if result == BuildResult::Built { read } else { former.read.clone() };
        // Files that were read for the first time count as they are now: their stamps before the build are not known.
        add_read(&mut before, read.difference(&former.read));
        let record = BuildRecord::of(&former, &before, &self.files_of(source, &shared, &read), read);
        if result == BuildResult::Built {
            self.records.write(&record, &out);
        }
        self.builds.lock().insert(source.name.clone(), record);
        result
    }

    fn component(&self, source: &PluginSource) -> PathBuf {
        self.output.join(format!("{}.wasm", source.name))
    }

    /// True if the plugin was not built since its sources changed, or its component is gone. One that failed is not
    /// built again before they change.
    fn is_stale(&self, source: &PluginSource, shared: &Snapshot, linked: &mut LinkedFiles) -> bool {
        let Some(record) = self.record(source) else { return true };
        let own = match linked_folder(source) {
            None => Snapshot::of(&source.path),
            Some(folder) => linked.entry(folder.clone()).or_insert_with(|| Snapshot::of(&folder)).clone(),
        };
        !record.is_of(&self.with_own(source, shared, own, &record.read))
    }

    /// The record of the last build: of this process, or of an earlier one whose component is there.
    fn record(&self, source: &PluginSource) -> Option<BuildRecord> {
        let out = self.component(source);
        let known = self.builds.lock().get(&source.name).cloned();
        known.or_else(|| self.records.read(&out))
    }

    /// The SDK and the WIT as they are now, and the manifests of the folders above: workspaces.
    fn shared_files(&self) -> Snapshot {
        let mut files = Snapshot::default();
        self.shared().iter().for_each(|path| files.add(path));
        self.sources.ancestors().for_each(|above| files.add(&above.join("Cargo.toml")));
        files
    }

    /// The files that a plugin is made of, as they are now: those of its folder, those of `shared`, and those that its
    /// compiler read.
    fn files_of(&self, source: &PluginSource, shared: &Snapshot, read: &BTreeSet<PathBuf>) -> Snapshot {
        let own = Snapshot::of(linked_folder(source).as_ref().unwrap_or(&source.path));
        self.with_own(source, shared, own, read)
    }

    /// The files of a plugin, with `own` as the files of its folder.
    fn with_own(&self, source: &PluginSource, shared: &Snapshot, own: Snapshot, read: &BTreeSet<PathBuf>) -> Snapshot {
        let mut files = own;
        files.extend(shared);
        add_read(&mut files, read.iter());
        for folder in files.too_large() {
            let shown = folder.strip_prefix(&self.sources).unwrap_or(folder).display();
            let why = format!(
                "`{shown}` has more than {MOST_ENTRIES} files and folders, or links to them: edits there are noticed \
                 when another file of the plugin is saved. Move what is no source out of the plugin's folder"
            );
            self.name_once(folder, &format!("{}: {why}", printable(&source.name)));
        }
        files
    }

    /// Removes the components whose sources are gone. A file that this builder has not put there stays.
    fn remove_others(&self, sources: &[PluginSource]) {
        let expected: Vec<PathBuf> = sources.iter().map(|source| self.component(source)).collect();
        let Ok(entries) = std::fs::read_dir(&self.output) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_component = path.extension().is_some_and(|extension| extension == "wasm");
            if is_component && !expected.contains(&path) && remove_record(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// The files of the folders to which links in the folder of the plugins lead, by canonical path. Each folder is read
/// once in one look, however many links lead to it.
type LinkedFiles = HashMap<PathBuf, Snapshot>;

/// The canonical path of a plugin that is a link to a folder.
fn linked_folder(source: &PluginSource) -> Option<PathBuf> {
    let is_linked = source.path.is_symlink() && source.path.is_dir();
    is_linked.then(|| source.path.canonicalize().ok()).flatten()
}

/// Adds files that a compiler read, each with the manifest of its package.
fn add_read<'p>(files: &mut Snapshot, read: impl Iterator<Item = &'p PathBuf>) {
    for path in read {
        files.add(path);
        let manifest = path.ancestors().map(|above| above.join("Cargo.toml")).find(|manifest| manifest.is_file());
        manifest.iter().for_each(|manifest| files.add(manifest));
    }
}

/// True if two files have the same content. A component that is copied may keep an old time.
fn is_same(one: &Path, other: &Path) -> bool {
    let bytes = coinslot_base::file::read_regular(one, LARGEST_WASM);
    bytes.is_ok_and(|bytes| coinslot_base::file::holds(other, &bytes))
}
