//! Compares the folder with what is known of it: begins to load what is new, forgets what is gone, and takes what was
//! loaded.

use std::io;

use sha2::{Digest, Sha256};

use super::Folder;
use super::regular_file::wasm_files;
use super::tracked_file::FileLook;
use crate::catalog::scan_report::{NOT_ANEW, ScanReport};

impl Folder {
    /// Begins to stage what is new, and forgets files that are gone. True if a new file waits for room in the staging.
    pub(super) async fn look(&mut self, report: &mut ScanReport) -> io::Result<bool> {
        let names = wasm_files(&self.dir)?;
        let mut has_waiting = self.restore(&names);
        for name in &names {
            if self.start.is_restoring(name) {
                continue;
            }
            let known = self.files.entry(name.clone()).or_default();
            let was_read = known.stamp.is_some();
            match known.look(&self.dir.join(name), self.staging.has_room_for(name), self.quiet).await {
                FileLook::Unchanged => {}
                FileLook::NoRoom => has_waiting = true,
                FileLook::Unsettled => report.unsettled = true,
                FileLook::Failed(reason) => {
                    known.refused = None;
                    report.failed.push((name.clone(), reason));
                }
                FileLook::Changed(wasm) => self.stage(name, wasm, was_read, report),
            }
        }
        self.forget_gone(&names, report);
        Ok(has_waiting)
    }

    /// Begins to load the builds that served before the start. True if some wait for room in the staging.
    fn restore(&mut self, names: &[String]) -> bool {
        self.start.note(names);
        while self.staging.has_room()
            && let Some((file, dir, build)) = self.start.next(names)
        {
            self.files.entry(file.clone()).or_default().staged = Some(build.sha256.clone());
            self.staging.begin(&file, self.loader.clone().restore(file.clone(), dir, build));
        }
        self.start.has_waiting(names)
    }

    /// Forgets files that are not among these names any more.
    fn forget_gone(&mut self, names: &[String], report: &mut ScanReport) {
        let is_emptied = names.is_empty();
        if is_emptied && self.files.values().any(|file| file.active.is_some() && !file.is_missing()) {
            tracing::warn!(dir = %self.dir.display(), "the plugin folder is empty; what serves stays for some seconds");
        }
        if is_emptied && self.start.awaits_files() {
            for name in self.start.restoring() {
                self.files.entry(name).or_default().await_return();
            }
            report.unsettled = true;
            return;
        }
        let mut gone = Vec::new();
        for (name, file) in &mut self.files {
            if names.binary_search(name).is_ok() {
                continue;
            }
            if file.is_gone(is_emptied) {
                gone.push(name.clone());
            } else {
                report.unsettled = true;
            }
        }
        for name in gone {
            self.staging.cancel(&name);
            self.is_changed |= self.start.forget(&name);
            self.is_changed |= self.staged.remove(&name).is_some();
            self.refused.remove(&name);
            match self.files.remove(&name) {
                Some(file) if file.active.is_some() => {
                    (self.is_changed, self.has_removals) = (true, true);
                    report.removed.push(name);
                }
                _ => report.forgotten.push(name),
            }
        }
    }

    /// Begins to stage the new content of a file, unless it is what was staged last: a file that was only touched, or
    /// that has the build which served before the start. `was_read` is whether its content was read before.
    fn stage(&mut self, name: &str, wasm: Vec<u8>, was_read: bool, report: &mut ScanReport) {
        let file = self.files.entry(name.to_owned()).or_default();
        let sha256 = hex::encode(Sha256::digest(&wasm));
        if file.staged.as_ref() == Some(&sha256) {
            let serves = file.active.as_ref().is_some_and(|active| active.plugin.sha256() == sha256);
            match &file.failure {
                Some(_) if serves => {
                    file.failure = None;
                    report.loaded.push(name.to_owned());
                }
                // What is still staged has not been refused: a failure to read the file is over.
                Some(_) if self.staging.contains(name) => file.failure = None,
                // The same content was put there again. It is refused again, because a rollback waits for an answer.
                Some(reason) if was_read => report.failed.push((name.to_owned(), reason.clone())),
                Some(_) | None => {}
            }
            return;
        }
        (file.staged, file.failure) = (Some(sha256), None);
        let former = file.active.as_ref().map(|active| active.plugin.info().name.clone());
        self.staged.remove(name);
        self.refused.remove(name);
        self.staging.begin(name, self.loader.clone().load(name.to_owned(), former, wasm));
    }

    /// Takes what the staging has finished. True if files can be looked at now whose kept builds were loaded, or could
    /// not be.
    pub(super) fn collect(&mut self, report: &mut ScanReport) -> bool {
        let mut has_restored = false;
        while let Some((name, result)) = self.staging.take() {
            let is_restored = self.start.note_ended(&name);
            has_restored |= is_restored;
            let file = self.files.entry(name.clone()).or_default();
            match result {
                Ok(installed) => {
                    file.end_retries();
                    self.is_changed = true;
                    self.staged.insert(name, installed);
                }
                Err(error) if is_restored => {
                    file.staged = None;
                    tracing::warn!(file = %name, reason = %error.reason, "what served before cannot serve again");
                }
                Err(error) => {
                    let is_active = file.is_active_content();
                    // The same content is tried again when it is copied again: the cause may not have been the content.
                    file.refused = file.staged.take();
                    if error.is_passing {
                        file.try_again_later();
                    } else {
                        file.end_retries();
                    }
                    let reason = if is_active { format!("{NOT_ANEW}{}", error.reason) } else { error.reason };
                    file.failure = Some(reason.clone());
                    report.failed.push((name, reason));
                }
            }
        }
        has_restored
    }
}
