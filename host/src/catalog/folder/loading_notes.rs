//! Notes in the catalogue which plugins are still being loaded, for the readiness path and the router.

use std::collections::{HashMap, HashSet};

use super::Folder;
use super::tracked_file::TrackedFile;
use crate::catalog::loading::Loading;
use crate::catalog::scan_report::ScanReport;
use crate::catalog::staging::Staging;

impl Folder {
    /// Notes how far the start is, for the readiness path, and which routes have plugins that are being loaded.
    pub(super) fn note_loading(&mut self, report: &mut ScanReport) {
        let mut missing = Vec::new();
        if !self.start.is_over() {
            let is_pending = pending(&self.files, &self.staging, self.start.restoring());
            let progress = self.start.update(is_pending);
            self.is_changed |= progress.admits_new_builds;
            report.unsettled |= progress.admits_new_builds;
            report.completed = self.start.is_over();
            missing = progress.loading;
        }
        self.show_loading(missing);
    }

    /// Shows the readiness path these files of the start as missing, and the router the routes whose plugins are being
    /// loaded. Plugins are also loaded after the start: see [`Start::load_anew`](super::start::Start::load_anew).
    pub(super) fn show_loading(&self, missing: Vec<String>) {
        let is_pending = pending(&self.files, &self.staging, self.start.restoring());
        let kept: Vec<_> = self.start.kept_routes().into_iter().filter(|kept| is_pending(&kept.file)).collect();
        self.live.load().set_loading(Loading::new(missing, &kept));
    }
}

/// Returns a function that is true for a file that is being loaded, or that is neither active nor refused.
fn pending(
    files: &HashMap<String, TrackedFile>,
    staging: &Staging,
    restoring: HashSet<String>,
) -> impl Fn(&str) -> bool {
    move |name| {
        let is_unseen = |file: &TrackedFile| file.stamp.is_none() && file.failure.is_none();
        let is_open = |file: &TrackedFile| file.active.is_none() && (file.is_retried_soon() || is_unseen(file));
        restoring.contains(name) || staging.contains(name) || files.get(name).is_some_and(is_open)
    }
}
