//! The report of a scan of the plugin folder.

/// Precedes the reason of content that cannot become active although it is the build that serves: the configuration has
/// changed, and the build keeps what it had.
pub(crate) const NOT_ANEW: &str = "under the present configuration: ";

/// The changes that a scan made and the files that it refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// Files that became active, new or changed.
    pub loaded: Vec<String>,
    /// Those of them that the host itself has put back, because the build after them failed again and again.
    pub put_back: Vec<String>,
    /// Files that were active and are gone.
    pub removed: Vec<String>,
    /// Files that are gone and were not active: they were refused, or were removed while no host ran.
    pub forgotten: Vec<String>,
    /// Files that could not become active, with the reason. Their former builds stay active.
    pub failed: Vec<(String, String)>,
    /// Set while a file is still changing, so that the next scan should follow soon.
    pub unsettled: bool,
    /// Set by the one scan after which everything that the folder held at the start is active or refused.
    pub completed: bool,
}

impl ScanReport {
    /// True if any file was loaded, removed, forgotten or refused.
    pub fn has_changes(&self) -> bool {
        let unchanged = self.loaded.is_empty() && self.removed.is_empty() && self.forgotten.is_empty();
        !(unchanged && self.failed.is_empty())
    }

    /// Adds the report of the scan that followed. Its files are unsettled or not, whatever they were before.
    pub(super) fn extend(&mut self, next: Self) {
        self.loaded.extend(next.loaded);
        self.put_back.extend(next.put_back);
        self.removed.extend(next.removed);
        self.forgotten.extend(next.forgotten);
        self.failed.extend(next.failed);
        self.unsettled = next.unsettled;
        self.completed |= next.completed;
    }
}
