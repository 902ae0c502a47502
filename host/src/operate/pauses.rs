//! Pauses and resumes plugins, and keeps on disk which are paused: a restart must not begin to sell again.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coinslot_base::file::{read_regular, replace_durably};
use coinslot_plugin::PausedPlugins;
use parking_lot::Mutex;

/// The mode of the file. It holds no secret.
const MODE: u32 = 0o644;

/// The largest file that is read: some thousand names.
const MOST_BYTES: u64 = 1 << 20;

/// The plugins that are paused, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Pauses {
    file: PathBuf,
    plugins: Arc<PausedPlugins>,
    /// Held while the file is written, so that two changes do not undo each other.
    writing: Mutex<()>,
}

impl Pauses {
    /// The name of the file, in the folder of the history of builds.
    pub(crate) const FILE: &'static str = "paused.json";

    /// Reads the file. A host whose pauses cannot be read does not start: it would sell what its operator has stopped.
    pub(crate) fn open(file: PathBuf) -> io::Result<Self> {
        let names = read(&file)?;
        let plugins = Arc::new(PausedPlugins::new(names.iter().map(String::as_str)));
        Ok(Self { file, plugins, writing: Mutex::default() })
    }

    /// The flags that the runtime reads before each call.
    pub(crate) fn plugins(&self) -> &Arc<PausedPlugins> {
        &self.plugins
    }

    pub(crate) fn is_paused(&self, plugin: &str) -> bool {
        self.plugins.names().iter().any(|name| name == plugin)
    }

    /// Pauses or resumes a plugin, after that is on disk. Returns whether it changes anything. If the file cannot be
    /// written, nothing changes.
    pub(super) fn set(&self, plugin: &str, is_paused: bool) -> io::Result<bool> {
        let _writing = self.writing.lock();
        let mut names: BTreeSet<String> = self.plugins.names().into_iter().collect();
        let changes = if is_paused { names.insert(plugin.to_owned()) } else { names.remove(plugin) };
        if changes {
            let text = serde_json::to_vec_pretty(&names)?;
            replace_durably(&self.file, MODE, &text)?;
            self.plugins.set(plugin, is_paused);
        }
        Ok(changes)
    }
}

/// Reads the names of the plugins that are paused. Without a file none is.
pub(crate) fn read(file: &Path) -> io::Result<BTreeSet<String>> {
    let bytes = match read_regular(file, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let problem = format!("{error}: write the names of the plugins that are to stay paused, such as [\"echo\"]");
        io::Error::new(ErrorKind::InvalidData, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_outlive_the_process_and_a_damaged_file_is_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("paused.json");
        let pauses = Pauses::open(file.clone()).expect("none are paused");
        assert!(pauses.set("echo", true).expect("written") && !pauses.set("echo", true).expect("as it was"));
        assert!(pauses.set("aurora", true).expect("written") && pauses.set("echo", false).expect("written"));
        let again = Pauses::open(file.clone()).expect("read");
        assert!(again.is_paused("aurora") && !again.is_paused("echo"));
        std::fs::write(&file, "aurora").expect("written");
        assert!(Pauses::open(file).expect_err("damaged").to_string().contains("[\"echo\"]"));
    }

    #[test]
    fn a_pause_that_is_not_on_disk_does_not_hold() {
        let dir = tempfile::tempdir().expect("a folder");
        let pauses = Pauses::open(dir.path().join("missing").join("paused.json")).expect("none are paused");
        pauses.set("echo", true).expect_err("no such folder");
        assert!(!pauses.is_paused("echo"));
    }
}
