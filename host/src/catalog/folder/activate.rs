//! Makes staged plugins active, as the plan of the swap says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Folder;
use super::swap::{self, PlannedSwap, SwapInput};
use crate::catalog::install::Installed;
use crate::catalog::scan_report::{NOT_ANEW, ScanReport};
use crate::catalog::watch::CHANGES;

impl Folder {
    /// Makes the staged plugins that fit active, and takes out those whose files are gone.
    ///
    /// The generation is swapped whole: a request sees the former generation or the next one. [`plan`](swap::plan)
    /// decides which plugin wins a conflict.
    pub(super) async fn swap(&mut self, report: &mut ScanReport) {
        if self.is_changed {
            let input = self.swap_input();
            match tokio::task::spawn_blocking(move || swap::plan(input)).await {
                Ok(Ok(planned)) => self.carry_out(planned, report),
                // No candidate of a scan has to become active.
                Ok(Err(stuck)) => tracing::error!(?stuck, "the catalogue could not be built; what served still does"),
                Err(error) => tracing::error!(%error, "the catalogue could not be built; what served still does"),
            }
            (self.is_changed, self.has_removals) = (false, false);
        }
        // A file that is still being staged may end a conflict, so conflicts are reported after that.
        if self.staging.is_empty() {
            for (name, conflict) in &self.refused {
                let file = self.files.entry(name.clone()).or_default();
                let anew = if file.is_active_content() { NOT_ANEW } else { "" };
                file.refused.clone_from(&file.staged);
                if let Some(reason) = file.fail(format!("{anew}{conflict}")) {
                    report.failed.push((name.clone(), reason));
                }
            }
        }
    }

    fn swap_input(&self) -> SwapInput {
        let is_admitted = |name: &str, installed: &Installed| self.start.admits(name, installed.plugin.sha256());
        let staged = self.staged.iter().filter(|(name, installed)| is_admitted(name, installed));
        let staged: BTreeMap<_, _> = staged.map(|(name, installed)| (name.clone(), Arc::clone(installed))).collect();
        let (current, active, has_removals) = (self.live.load_full(), self.active(), self.has_removals);
        SwapInput {
            current,
            active,
            has_changes: has_removals,
            staged,
            bound: Vec::new(),
            kept: self.start.kept_routes(),
        }
    }

    fn carry_out(&mut self, planned: PlannedSwap, report: &mut ScanReport) {
        if let Some(next) = planned.next {
            self.live.store(Arc::new(next));
        }
        for installed in planned.admitted {
            let (name, info, sha256) = (installed.file.clone(), installed.plugin.info(), installed.plugin.sha256());
            tracing::info!(target: CHANGES, file = %name, plugin = %info.name, version = %info.version, sha256, "active");
            self.staged.remove(&name);
            self.start.note_active(&name);
            let file = self.files.entry(name.clone()).or_default();
            if file.put_back.take().is_some_and(|sha256| sha256 == installed.plugin.sha256()) {
                report.put_back.push(name.clone());
            }
            (file.active, file.failure) = (Some(installed), None);
            report.loaded.push(name);
        }
        self.refused = planned.refused;
    }
}
