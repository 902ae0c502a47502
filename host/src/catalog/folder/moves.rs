//! Chooses which of several candidates move together, each from the present build of its file to a new one.
//!
//! # Why this is no list of tries
//!
//! A route can pass from one plugin to another in one step only, and two plugins can change routes with each other: alone,
//! the new owner conflicts with the old one, and with the old owner gone first the route would be missing in between. So
//! a candidate that wants a place which is taken needs the other's candidate to move, too, and with it all that this one
//! needs: its *closure*. Candidates are tried in their order, each with its closure, and a closure moves whole or not at
//! all. The present builds conflict with each other nowhere, so a closure is all that has to move.
//!
//! A closure that does not fit never fits later: what stands in its way has moved and does not move back, has no
//! candidate, or is part of the closure. So one pass finds a choice to which no candidate can be added. Each closure
//! visits each conflict at most once, which bounds the work by the candidates times their conflicts.
//!
//! Some candidates are bound to move, because the present builds of their files cannot stay. Their closures come first:
//! a candidate that has to make room for a bound one goes before one that only comes earlier. If their closures do not
//! fit, no choice does.

/// The candidates and their conflicts. A candidate is named by its place in the order.
#[derive(Clone, Debug)]
pub(super) struct Moves {
    candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, Default)]
struct Candidate {
    /// The candidates whose files' present builds it conflicts with.
    needs: Vec<usize>,
    /// The candidates that it conflicts with.
    excludes: Vec<usize>,
    /// It conflicts with something that has no candidate.
    is_blocked: bool,
}

/// The reason why candidates cannot move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The candidate that does not fit.
    pub(super) candidate: usize,
    /// The candidate that it conflicts with. None if that is something without a candidate.
    pub(super) other: Option<usize>,
    /// The candidate that needs it to move. None if it moves for its own sake.
    pub(super) displaced_by: Option<usize>,
}

impl Moves {
    /// So many candidates without conflicts.
    pub(super) fn new(candidates: usize) -> Self {
        Self { candidates: vec![Candidate::default(); candidates] }
    }

    /// Notes that a candidate conflicts with the present build of the other one's file.
    pub(super) fn needs(&mut self, candidate: usize, other: usize) {
        self.candidates[candidate].needs.push(other);
    }

    /// Notes that two candidates conflict with each other.
    pub(super) fn excludes(&mut self, one: usize, other: usize) {
        self.candidates[one].excludes.push(other);
        self.candidates[other].excludes.push(one);
    }

    /// Notes that a candidate conflicts with something that stays in any case.
    pub(super) fn blocks(&mut self, candidate: usize) {
        self.candidates[candidate].is_blocked = true;
    }

    /// Chooses the candidates that move: true for each of them. Fails if those that are bound to move cannot.
    pub(super) fn choose(&self, bound: &[usize]) -> Result<Vec<bool>, Obstacle> {
        let nothing = vec![false; self.candidates.len()];
        let mut is_moved = self.with_closure(&nothing, bound)?;
        for candidate in 0..self.candidates.len() {
            if !is_moved[candidate]
                && let Ok(moved) = self.with_closure(&is_moved, &[candidate])
            {
                is_moved = moved;
            }
        }
        Ok(is_moved)
    }

    /// The candidates that move if these do beside those that move already. Fails with the first that does not fit.
    fn with_closure(&self, is_moved: &[bool], begin: &[usize]) -> Result<Vec<bool>, Obstacle> {
        let mut is_moved = is_moved.to_vec();
        // Each candidate is in the queue once, behind the one that needs it.
        let mut queue: Vec<(usize, Option<usize>)> = begin.iter().map(|&candidate| (candidate, None)).collect();
        begin.iter().for_each(|&candidate| is_moved[candidate] = true);
        let mut next = 0;
        while let Some(&(at, displaced_by)) = queue.get(next) {
            next += 1;
            let candidate = &self.candidates[at];
            let other = candidate.excludes.iter().copied().find(|&other| is_moved[other]);
            if candidate.is_blocked || other.is_some() {
                return Err(Obstacle { candidate: at, other, displaced_by });
            }
            for &needed in &candidate.needs {
                if !std::mem::replace(&mut is_moved[needed], true) {
                    queue.push((needed, Some(at)));
                }
            }
        }
        Ok(is_moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// True if these may move together.
    fn fits(moves: &Moves, is_moved: &[bool]) -> bool {
        moves.candidates.iter().zip(is_moved).filter(|(_, moved)| **moved).all(|(candidate, _)| {
            !candidate.is_blocked
                && candidate.needs.iter().all(|&other| is_moved[other])
                && candidate.excludes.iter().all(|&other| !is_moved[other])
        })
    }

    /// Numbers that look random and are the same in each run.
    struct Numbers(u64);

    impl Numbers {
        /// True once in so many times.
        fn once_in(&mut self, times: u64) -> bool {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33).is_multiple_of(times)
        }
    }

    const CANDIDATES: usize = 6;

    fn random(numbers: &mut Numbers) -> (Moves, Vec<usize>) {
        let mut moves = Moves::new(CANDIDATES);
        for one in 0..CANDIDATES {
            if numbers.once_in(9) {
                moves.blocks(one);
            }
            for other in (0..CANDIDATES).filter(|&other| other != one) {
                if numbers.once_in(5) {
                    moves.needs(one, other);
                }
                if other < one && numbers.once_in(9) {
                    moves.excludes(one, other);
                }
            }
        }
        (moves, (0..CANDIDATES).filter(|_| numbers.once_in(6)).collect())
    }

    /// All sets of candidates.
    fn all_sets() -> impl Iterator<Item = Vec<bool>> {
        (0..1_u32 << CANDIDATES).map(|set| (0..CANDIDATES).map(|candidate| set >> candidate & 1 == 1).collect())
    }

    #[test]
    fn a_choice_fits_has_room_for_no_other_and_is_found_whenever_there_is_one() {
        let mut numbers = Numbers(1);
        let (mut found, mut impossible) = (0, 0);
        for _ in 0..3_000 {
            let (moves, bound) = random(&mut numbers);
            let holds = |set: &[bool]| bound.iter().all(|&candidate| set[candidate]) && fits(&moves, set);
            match moves.choose(&bound) {
                Ok(chosen) => {
                    assert!(holds(&chosen), "{moves:?} {bound:?} {chosen:?}");
                    let is_more = |set: &Vec<bool>| {
                        *set != chosen && set.iter().zip(&chosen).all(|(in_set, in_chosen)| *in_set || !in_chosen)
                    };
                    let better = all_sets().find(|set| is_more(set) && fits(&moves, set));
                    assert_eq!(better, None, "{moves:?} {bound:?} {chosen:?}");
                    found += 1;
                }
                Err(obstacle) => {
                    assert_eq!(all_sets().find(|set| holds(set)), None, "{moves:?} {bound:?} {obstacle:?}");
                    impossible += 1;
                }
            }
        }
        assert!(found > 100 && impossible > 100, "{found} {impossible}");
    }

    #[test]
    fn the_first_of_two_that_exclude_each_other_moves_unless_the_other_one_makes_room_for_a_bound_one() {
        let mut moves = Moves::new(3);
        moves.excludes(0, 1);
        moves.needs(2, 1);
        assert_eq!(moves.choose(&[]), Ok(vec![true, false, false]));
        assert_eq!(moves.choose(&[2]), Ok(vec![false, true, true]));
        moves.blocks(1);
        let stuck = Obstacle { candidate: 1, other: None, displaced_by: Some(2) };
        assert_eq!(moves.choose(&[2]), Err(stuck));
    }

    /// Rounds that try each candidate again until none fits took a time that grew with the cube of their number.
    #[test]
    fn a_chain_in_which_each_candidate_needs_the_next_moves_whole() {
        let mut moves = Moves::new(2_000);
        (1..2_000).for_each(|candidate| moves.needs(candidate, candidate - 1));
        assert_eq!(moves.choose(&[]), Ok(vec![true; 2_000]));
        moves.blocks(0);
        assert_eq!(moves.choose(&[]), Ok(vec![false; 2_000]));
    }
}
