//! Decides which of the staged plugins become active together, without changing anything.
//!
//! # Two passes
//!
//! Two plugins can conflict: over a name, a route, or requests that both could answer. The active plugin wins against a
//! staged one, and among staged ones the file that comes first by name, so the outcome does not depend on which of
//! them was compiled faster.
//!
//! First, all staged plugins are tried together, each in the place of its file's active build. Only so can a route move
//! from one plugin to another in one step: alone, the new owner conflicts with the old one, and with the old owner
//! gone first the route would be missing in between. If they do not fit together, they are tried one by one, again and
//! again until a round admits none, because a plugin that gives up a route makes room for another.
//!
//! A plugin that does not fit stays staged. It is tried again at each scan, until its file changes or what it
//! conflicts with goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::generation::{Catalog, ConflictError};
use crate::catalog::install::Installed;

/// The outcome of a swap that was not yet made.
#[derive(Debug)]
pub(super) struct PlannedSwap {
    /// The generation to make active. None if the present one stays.
    pub(super) next: Option<Catalog>,
    /// The staged plugins that are active in it.
    pub(super) admitted: Vec<Arc<Installed>>,
    /// The staged plugins that do not fit, by file.
    pub(super) refused: BTreeMap<String, ConflictError>,
}

/// Plans the next generation. `active` are the plugins that serve, in the order of their files, without those whose
/// files are gone; `has_removals` is whether there are such files. `staged` are the plugins that could become active,
/// by file, and `fresh` those among them that did not conflict before.
pub(super) fn plan(
    current: &Catalog,
    mut active: Vec<Arc<Installed>>,
    has_removals: bool,
    staged: &BTreeMap<String, Arc<Installed>>,
    fresh: &[Arc<Installed>],
) -> PlannedSwap {
    // The plugins that stay fitted together before, so this does not fail.
    let mut next = has_removals.then(|| current.next(active.clone()).ok()).flatten();
    let mut waiting = staged.clone();
    let mut admitted = Vec::new();
    if fresh.len() > 1
        && let Ok((with_all, catalog)) = with(current, &active, fresh)
    {
        (active, next) = (with_all, Some(catalog));
        admitted.extend(fresh.iter().cloned());
        waiting.retain(|file, _| fresh.iter().all(|installed| installed.file != *file));
    }
    let mut refused = BTreeMap::new();
    loop {
        let before = waiting.len();
        waiting.retain(|file, candidate| match with(current, &active, std::slice::from_ref(candidate)) {
            // The refusals of this round may be out of date now, so the loop goes round again.
            Ok((with_one, catalog)) => {
                (active, next) = (with_one, Some(catalog));
                refused.remove(file);
                admitted.push(Arc::clone(candidate));
                false
            }
            Err(conflict) => {
                refused.insert(file.clone(), conflict);
                true
            }
        });
        if waiting.len() == before {
            return PlannedSwap { next, admitted, refused };
        }
    }
}

/// The generation with these plugins in the place of their files' active builds. They come last, so that a conflict is
/// theirs.
fn with(
    current: &Catalog,
    active: &[Arc<Installed>],
    newcomers: &[Arc<Installed>],
) -> Result<(Vec<Arc<Installed>>, Catalog), ConflictError> {
    let is_replaced = |other: &Arc<Installed>| newcomers.iter().any(|newcomer| newcomer.file == other.file);
    let mut all: Vec<_> = active.iter().filter(|other| !is_replaced(other)).cloned().collect();
    all.extend(newcomers.iter().cloned());
    let catalog = current.next(all.clone())?;
    Ok((all, catalog))
}
