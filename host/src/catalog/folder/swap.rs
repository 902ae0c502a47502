//! Plans which of the staged plugins become active together, without changing anything.
//!
//! Two plugins can conflict: over a name, a route, or requests that both could answer. The active plugin wins against a
//! staged one, and among staged ones the file that comes first by name, so the outcome does not depend on which of
//! them was compiled faster. [`Moves`] decides by these rules.
//!
//! A candidate that does not fit stays staged. It is tried again when anything is staged or goes: without a change it
//! would not fit either. One catalogue is built in the end, whatever the number of candidates, and not on a thread that
//! serves requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::moves::{Moves, Obstacle};
use crate::catalog::conflict::{ConflictError, conflict};
use crate::catalog::generation::Catalog;
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
    /// The plugins that can stay as they are, at most one for each file, in the order of their files. No two of them
    /// conflict.
    pub(super) active: Vec<Arc<Installed>>,
    /// They are not those of the present generation.
    pub(super) has_changes: bool,
    /// The plugins that could become active, by file, each in the place of its file's active build.
    pub(super) staged: BTreeMap<String, Arc<Installed>>,
    /// The files of `staged` whose candidates have to become active, because their active builds cannot stay.
    pub(super) bound: Vec<String>,
    /// Name and routes of each file that served before the start and does not serve yet.
    pub(super) kept: Vec<KeptRoutes>,
}

/// A candidate that has to become active and cannot.
#[derive(Debug)]
pub(super) struct BoundConflict {
    pub(super) file: String,
    /// The reason why the candidate does not fit.
    pub(super) conflict: ConflictError,
    /// The reason why its file's active build cannot stay, if that is another candidate which has to become active.
    pub(super) displaced: Option<ConflictError>,
}

/// Plans the next generation. Fails if a candidate that has to become active does not fit.
pub(super) fn plan(input: SwapInput) -> Result<PlannedSwap, BoundConflict> {
    let SwapInput { current, active, has_changes, staged, bound, kept } = input;
    let candidates = in_order(staged, &kept);
    let places = Places { active: &active, kept: &kept, candidates: &candidates };
    let bound: Vec<usize> = (0..candidates.len()).filter(|&at| bound.contains(&candidates[at].file)).collect();
    let moves = places.moves();
    let is_moved = moves.choose(&bound).map_err(|obstacle| places.explain(&obstacle))?;
    let chosen = |wanted: bool| candidates.iter().zip(&is_moved).filter(move |(_, moved)| **moved == wanted);
    let admitted: Vec<Arc<Installed>> = chosen(true).map(|(candidate, _)| Arc::clone(candidate)).collect();
    let is_admitted = |file: &str| admitted.iter().any(|candidate| candidate.file == *file);
    let mut next: Vec<_> = active.iter().filter(|active| !is_admitted(&active.file)).cloned().collect();
    next.extend(admitted.iter().cloned());
    let still_kept: Vec<&KeptRoutes> = kept.iter().filter(|kept| !is_admitted(&kept.file)).collect();
    let refused = chosen(false).filter_map(|(candidate, _)| {
        let others: Vec<_> = next.iter().filter(|other| other.file != candidate.file).cloned().collect();
        let conflict = conflict(&others, candidate)
            .and_then(|()| still_kept.iter().try_for_each(|kept| kept.check(candidate)))
            .err()?;
        Some((candidate.file.clone(), conflict))
    });
    let refused = refused.collect();
    if !has_changes && admitted.is_empty() {
        return Ok(PlannedSwap { next: None, admitted, refused });
    }
    // They were compared two by two, so this does not fail; if it does, the present generation stays.
    let next = current.next(next).map_err(|conflict| {
        let file = admitted.first().map_or_else(String::new, |candidate| candidate.file.clone());
        BoundConflict { file, conflict, displaced: None }
    })?;
    Ok(PlannedSwap { next: Some(next), admitted, refused })
}

/// The candidates in the order in which they are chosen. One that serves what its file served before the start comes
/// before those that serve something else, so that a changed configuration takes nothing from it.
fn in_order(staged: BTreeMap<String, Arc<Installed>>, kept: &[KeptRoutes]) -> Vec<Arc<Installed>> {
    let mut candidates: Vec<_> = staged.into_values().collect();
    candidates.sort_by_key(|candidate| {
        let own = kept.iter().find(|kept| kept.file == candidate.file);
        !own.is_some_and(|own| own.is_as_before(candidate))
    });
    candidates
}

/// The plugins of each file: the active one or what is kept for it, and the candidate.
struct Places<'p> {
    active: &'p [Arc<Installed>],
    kept: &'p [KeptRoutes],
    candidates: &'p [Arc<Installed>],
}

impl Places<'_> {
    /// Compares each candidate with everything else once.
    fn moves(&self) -> Moves {
        let mut moves = Moves::new(self.candidates.len());
        let at = |file: &str| self.candidates.iter().position(|candidate| candidate.file == *file);
        for (index, candidate) in self.candidates.iter().enumerate() {
            let active = self.active.iter().filter(|other| is_in_the_way(other, candidate)).map(|other| &*other.file);
            let kept = self.kept.iter().filter(|kept| kept.check(candidate).is_err()).map(|kept| &*kept.file);
            for file in active.chain(kept) {
                match at(file) {
                    Some(other) => moves.needs(index, other),
                    None => moves.blocks(index),
                }
            }
            for (other, earlier) in self.candidates[..index].iter().enumerate() {
                if is_in_the_way(earlier, candidate) {
                    moves.excludes(index, other);
                }
            }
        }
        moves
    }

    /// The obstacle in the words of the plugins.
    fn explain(&self, obstacle: &Obstacle) -> BoundConflict {
        let candidate = &self.candidates[obstacle.candidate];
        let against = |others: &[Arc<Installed>]| conflict(others, candidate);
        let immovable = |file: &str| self.candidates.iter().all(|candidate| candidate.file != *file);
        let found = match obstacle.other {
            Some(other) => against(std::slice::from_ref(&self.candidates[other])),
            None => {
                let active: Vec<_> = self.active.iter().filter(|active| immovable(&active.file)).cloned().collect();
                let mut kept = self.kept.iter().filter(|kept| immovable(&kept.file));
                against(&active).and_then(|()| kept.try_for_each(|kept| kept.check(candidate)))
            }
        };
        let displaced = obstacle.displaced_by.and_then(|by| {
            let own = self.active.iter().find(|active| active.file == candidate.file)?;
            conflict(std::slice::from_ref(&self.candidates[by]), own).err()
        });
        let file = candidate.file.clone();
        let conflict = found.err().unwrap_or_else(|| ConflictError::SameName(file.clone()));
        BoundConflict { file, conflict, displaced }
    }
}

/// True if two plugins of different files cannot be active together.
fn is_in_the_way(other: &Arc<Installed>, candidate: &Installed) -> bool {
    other.file != candidate.file && conflict(std::slice::from_ref(other), candidate).is_err()
}
