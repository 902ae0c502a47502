//! Builds the plugins once, and again whenever a source is saved, in the background. The host's watch of the output
//! folder loads what is built.
//!
//! File events say at once that something was saved. Mounts from other machines have none, and the folders from which a
//! plugin's compiler reads more are not watched, so the sources are also compared with those of the last builds now and
//! then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use notify_debouncer_full::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer_opt};
use tokio::sync::mpsc;

use super::build::PluginBuilder;
use super::sources::is_generated;
use crate::catalog::ScanReport;
use crate::cli::Failure;
use crate::cli::build::compile::BuildResult;

/// Edits within this time are one. An editor replaces a file, or empties and writes it, within a few milliseconds.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// The time between two looks at the sources without events.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// An event of the builder or of the host that `coinslot dev` prints.
#[derive(Debug)]
pub(super) enum DevEvent {
    /// A plugin was built, or could not be.
    Built(String, BuildResult),
    /// Every plugin is in the output folder that needs no building. With the names that look like those of plugins, and
    /// lead to none.
    Placed(BTreeSet<String>),
    /// Every plugin was built, or could not be.
    Finished,
    /// The folder of the sources cannot be read.
    Unreadable(Failure),
    /// The host took other plugins.
    Changed(ScanReport),
}

/// Builds for ever. An edit that is made while a build runs starts the next one.
pub(super) async fn follow(builder: PluginBuilder, events: mpsc::UnboundedSender<DevEvent>) {
    let (wake, mut woken) = mpsc::channel::<()>(1);
    // The watch begins before the first build, so that an edit meanwhile is not lost.
    let mut watch = SourceWatch::new(&builder, wake.clone());
    loop {
        watch.update(&builder);
        let (building, sender) = (builder.clone(), events.clone());
        let round = tokio::task::spawn_blocking(move || build_all(&building, &sender)).await;
        if let Ok(Err(failure)) = round {
            let _ = events.send(DevEvent::Unreadable(failure));
        }
        // `wake` is there, so the channel does not end.
        while tokio::time::timeout(LOOK_INTERVAL, woken.recv()).await.is_err() {
            let looking = builder.clone();
            if tokio::task::spawn_blocking(move || looking.has_changes()).await.unwrap_or(false) {
                break;
            }
        }
    }
}

/// One round: first what needs no building, then one plugin after another.
fn build_all(builder: &PluginBuilder, events: &mpsc::UnboundedSender<DevEvent>) -> Result<(), Failure> {
    let (placed, stale) = builder.place()?;
    for (name, result) in placed {
        let _ = events.send(DevEvent::Built(name, result));
    }
    let _ = events.send(DevEvent::Placed(builder.misnamed()));
    for source in stale {
        let result = builder.build(&source);
        let _ = events.send(DevEvent::Built(source.name, result));
    }
    let _ = events.send(DevEvent::Finished);
    Ok(())
}

/// Wakes the builder when a source is saved. Without file events the next look finds what was saved.
struct SourceWatch {
    debouncer: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
    /// The folders that are watched, each with the one that it led to.
    roots: BTreeSet<(PathBuf, PathBuf)>,
}

impl SourceWatch {
    fn new(builder: &PluginBuilder, wake: mpsc::Sender<()>) -> Self {
        let roots = builder.sources();
        let handler = move |events: DebounceEventResult| {
            // What a build writes beside the sources must not start the next build.
            let is_source = |path: &PathBuf| {
                let relative = roots.iter().find_map(|root| path.strip_prefix(root).ok());
                relative.is_some_and(|relative| !is_generated(relative))
            };
            let edited = events.is_ok_and(|events| {
                events.iter().any(|event| !event.kind.is_access() && event.paths.iter().any(is_source))
            });
            if edited {
                let _ = wake.try_send(());
            }
        };
        // A link within a plugin may lead to the whole disk.
        let config = notify::Config::default().with_follow_symlinks(false);
        let debouncer = new_debouncer_opt(DEBOUNCE, None, handler, RecommendedCache::new(), config);
        if debouncer.is_err() {
            tracing::warn!("no file events: edited plugins are found within {LOOK_INTERVAL:?}");
        }
        Self { debouncer: debouncer.ok(), roots: BTreeSet::new() }
    }

    /// Watches the folders that are not watched yet: a plugin may be a link to a folder elsewhere, and may come later.
    fn update(&mut self, builder: &PluginBuilder) {
        let Some(debouncer) = &mut self.debouncer else { return };
        for (root, target) in builder.roots() {
            if self.roots.insert((root.clone(), target))
                && let Err(error) = debouncer.watch(&root, RecursiveMode::Recursive)
            {
                tracing::warn!(%error, dir = %root.display(), "no file events: edits here are found a little later");
            }
        }
    }
}
