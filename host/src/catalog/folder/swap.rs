//! Decides which of the staged plugins become active together, without changing anything.
//!
//! # Two passes
//!
//! Two plugins can conflict: over a name, a route, or requests that both could answer. The active plugin wins against a
//! staged one, and among staged ones the file that comes first by name, so the outcome does not depend on which of
//! them was compiled faster.
//!
//! First, as many as fit become active together, each in the place of its file's active build: new ones, and those that
//! did not fit before. Only so can a route move from one plugin to another in one step, and two plugins change routes
//! with each other: alone, the new owner conflicts with the old one, and with the old owner gone first the route would be
//! missing in between. Then the rest are tried one by one, again and again until a round admits none, because a plugin
//! that gives up a route makes room for another.
//!
//! A plugin that does not fit stays staged. It is tried again when anything is staged or goes: without a change it
//! would not fit either. One catalogue is built in the end, whatever the number of candidates, and not on a thread that
//! serves requests.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::catalog::generation::{Catalog, ConflictError, conflict};
use crate::catalog::install::Installed;
use crate::catalog::kept_routes::KeptRoutes;

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

/// The state from which a swap is planned.
#[derive(Debug)]
pub(super) struct SwapInput {
    pub(super) current: Arc<Catalog>,
    /// The plugins that serve, in the order of their files, without those whose files are gone.
    pub(super) active: Vec<Arc<Installed>>,
    /// They are not those of the present generation.
    pub(super) has_changes: bool,
    /// The plugins that could become active, by file.
    pub(super) staged: BTreeMap<String, Arc<Installed>>,
    /// Name and routes of each file that served before the start and does not serve yet.
    pub(super) kept: Vec<KeptRoutes>,
}

/// Plans the next generation.
pub(super) fn plan(input: SwapInput) -> PlannedSwap {
    let SwapInput { current, active, has_changes, mut staged, kept } = input;
    let admitted = together(&active, staged.values().cloned().collect(), &kept);
    staged.retain(|file, _| admitted.iter().all(|installed| installed.file != *file));
    let has_changes = has_changes || !admitted.is_empty();
    one_by_one(&current, with(&active, &admitted), has_changes, staged, admitted, &kept)
}

/// Those of the candidates that fit together, each in the place of its file's active build. A candidate that conflicts
/// with a plugin that stays, or with a candidate before it, is left out. Its file's active build stays then, with which
/// others may conflict that fitted without it: they are left out, too, until none is left that conflicts.
///
/// A candidate that serves what its file served before the start comes before those that serve something else, so that
/// a changed configuration takes nothing from it.
fn together(
    active: &[Arc<Installed>],
    mut candidates: Vec<Arc<Installed>>,
    kept: &[KeptRoutes],
) -> Vec<Arc<Installed>> {
    candidates.sort_by_key(|candidate| {
        let own = kept.iter().find(|kept| kept.file == candidate.file);
        !own.is_some_and(|own| own.is_as_before(candidate))
    });
    let mut others: Vec<_> = staying(active, &candidates).cloned().collect();
    let of_others = without(kept, &candidates);
    let mut left_out = Vec::new();
    candidates.retain(|candidate| {
        let fits = fits(&others, &of_others, candidate).is_ok();
        let list = if fits { &mut others } else { &mut left_out };
        list.push(Arc::clone(candidate));
        fits
    });
    // All that is left fits together. Only what comes back with those that are left out can conflict with it.
    while !left_out.is_empty() {
        let is_back = |file: &str| left_out.iter().any(|candidate| candidate.file == file);
        let back: Vec<_> = active.iter().filter(|other| is_back(&other.file)).cloned().collect();
        let of_back: Vec<_> = kept.iter().filter(|kept| is_back(&kept.file)).collect();
        (candidates, left_out) = candidates.into_iter().partition(|candidate| fits(&back, &of_back, candidate).is_ok());
    }
    candidates
}

/// Fails if a plugin cannot be active beside these, or would take what is kept for another file.
fn fits(others: &[Arc<Installed>], kept: &[&KeptRoutes], plugin: &Installed) -> Result<(), ConflictError> {
    conflict(others, plugin)?;
    kept.iter().try_for_each(|kept| kept.check(plugin))
}

/// The reservations of files that have none of these plugins.
fn without<'a>(kept: &'a [KeptRoutes], plugins: &[Arc<Installed>]) -> Vec<&'a KeptRoutes> {
    let is_served = |kept: &&KeptRoutes| plugins.iter().any(|plugin| plugin.file == kept.file);
    kept.iter().filter(|kept| !is_served(kept)).collect()
}

/// Admits one waiting plugin after the other, again and again until a round admits none. `has_changes` is whether the
/// active ones differ from those of the present generation already, by those that were admitted before.
fn one_by_one(
    current: &Catalog,
    mut active: Vec<Arc<Installed>>,
    mut has_changes: bool,
    mut waiting: BTreeMap<String, Arc<Installed>>,
    mut admitted: Vec<Arc<Installed>>,
    kept: &[KeptRoutes],
) -> PlannedSwap {
    let mut refused = BTreeMap::new();
    loop {
        let before = waiting.len();
        waiting.retain(|file, candidate| {
            let others: Vec<_> = active.iter().filter(|other| other.file != *file).cloned().collect();
            // A plugin that stays may conflict with the new build of this file, never with another that stays.
            match fits(&others, &without(kept, &admitted), candidate) {
                // The refusals of this round may be out of date now, so the loop goes round again.
                Ok(()) => {
                    active = others;
                    active.push(Arc::clone(candidate));
                    has_changes = true;
                    refused.remove(file);
                    admitted.push(Arc::clone(candidate));
                    false
                }
                Err(conflict) => {
                    refused.insert(file.clone(), conflict);
                    true
                }
            }
        });
        if waiting.len() == before {
            break;
        }
    }
    let next = has_changes.then(|| current.next(active)).transpose();
    match next {
        Ok(next) => PlannedSwap { next, admitted, refused },
        // They were compared one by one, so this does not happen; if it does, the present generation stays.
        Err(conflict) => {
            refused.extend(admitted.into_iter().map(|installed| (installed.file.clone(), conflict.clone())));
            PlannedSwap { next: None, admitted: Vec::new(), refused }
        }
    }
}

/// These plugins with candidates in the place of their files' active builds. Candidates come last, so that a conflict
/// is theirs.
fn with(active: &[Arc<Installed>], candidates: &[Arc<Installed>]) -> Vec<Arc<Installed>> {
    staying(active, candidates).chain(candidates).cloned().collect()
}

/// The active plugins that are not replaced by candidates.
fn staying<'a>(
    active: &'a [Arc<Installed>],
    candidates: &'a [Arc<Installed>],
) -> impl Iterator<Item = &'a Arc<Installed>> {
    let replaced: HashSet<&str> = candidates.iter().map(|candidate| &*candidate.file).collect();
    active.iter().filter(move |other| !replaced.contains(&*other.file))
}
