//! Finds the plugins of a folder, and names what is not built.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coinslot_base::text::{printable, printable_lines};

use super::PluginBuilder;
use crate::cli::build::plugin_source::{PluginSource, SourceKind, WHAT_IS_BUILT};
use crate::cli::dev::left_out;
use crate::cli::dev::sources::is_generated;
use crate::cli::{Failure, print};

impl PluginBuilder {
    /// The plugins of the folder, sorted by name.
    pub(super) fn find(&self) -> Result<Vec<PluginSource>, Failure> {
        let unreadable = |error: std::io::Error| Failure::new(format!("{}: {error}", self.sources.display()));
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.sources).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.sort();
        let (mut sources, mut others, mut misnamed) = (Vec::new(), Vec::new(), BTreeSet::new());
        for path in paths.into_iter().filter(|path| !left_out::is_left_out(path)) {
            match PluginSource::at(&path) {
                Some(source) => sources.push(source),
                None if left_out::is_plugins_name(&path) => {
                    misnamed.insert(file_name(&path));
                    self.name_ignored(&path, &left_out::why_no_plugin(&path));
                }
                None if path.is_dir() && !is_generated(Path::new(path.file_name().unwrap_or_default())) => {
                    others.push(path);
                }
                None => {}
            }
        }
        *self.misnamed.lock() = misnamed;
        if !self.find_project(&mut sources) {
            others.iter().for_each(|path| self.name_ignored(path, WHAT_IS_BUILT));
        }
        // A component beside its source, as `coinslot build` puts it, is no second plugin.
        sources.sort_by_key(|source: &PluginSource| (source.name.clone(), source.kind == SourceKind::Finished));
        sources.dedup_by(|later, first| {
            let is_second = later.name == first.name;
            if is_second && later.kind != SourceKind::Finished {
                let why = format!("{} has the same name, and one of them is served", file_name(&first.path));
                self.name_ignored(&later.path, &why);
            }
            is_second
        });
        Ok(sources)
    }

    /// The names in the folder that look like those of plugins, and lead to none.
    pub(in crate::cli::dev) fn misnamed(&self) -> BTreeSet<String> {
        self.misnamed.lock().clone()
    }

    /// Leaves out the component that `coinslot build` has made of this folder, if the folder itself is a plugin. A
    /// folder whose source is no file in it, such as a crate, is added as a whole, unless there are other plugins in it.
    /// True if it was.
    fn find_project(&self, sources: &mut Vec<PluginSource>) -> bool {
        let Some(project) = PluginSource::at(&self.sources) else { return false };
        for path in left_out::take_outputs(&project, sources) {
            let text = "is left out: `coinslot build` makes it of this folder, whose source is built";
            self.name_once(&path, &format!("{} {text}", file_name(&path)));
        }
        let is_added = matches!(project.kind, SourceKind::Cargo | SourceKind::Script)
            && sources.iter().all(|source| source.kind == SourceKind::Finished);
        if is_added {
            sources.push(project);
        }
        is_added
    }

    /// Says once that a path is not built, and why.
    fn name_ignored(&self, path: &Path, why: &str) {
        self.name_once(path, &format!("{} is not built: {why}", file_name(path)));
    }

    /// Prints a text about a path, unless one was printed before.
    pub(super) fn name_once(&self, path: &Path, text: &str) {
        if self.named.lock().insert(path.to_owned()) {
            self.progress.suspend(|| drop(print::line(printable_lines(text))));
        }
    }

    /// The folder of the plugins, and the folders of plugins to which links in it lead, each with its canonical path.
    /// Each canonical path occurs once, because a watch goes through the whole folder.
    pub(in crate::cli::dev) fn roots(&self) -> Vec<(PathBuf, PathBuf)> {
        let mut roots = self.sources();
        roots.extend(
            self.find().into_iter().flatten().filter(|plugin| plugin.path.is_symlink()).map(|plugin| plugin.path),
        );
        let mut targets = BTreeSet::new();
        let meant = roots.into_iter().filter_map(|root| Some((root.clone(), root.canonicalize().ok()?)));
        meant.filter(|(root, target)| root.is_dir() && targets.insert(target.clone())).collect()
    }
}

/// The name of a file or a folder, which may have any characters.
fn file_name(path: &Path) -> String {
    printable(&path.file_name().unwrap_or_default().to_string_lossy())
}
