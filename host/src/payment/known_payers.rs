//! Remembers the payers whose payments moved money here.
//!
//! Such a payer has shown that it has money, which a signature alone does not: keys cost nothing. Part of the budget of
//! bytes is kept for known payers.

use std::collections::HashSet;

use parking_lot::Mutex;

/// The number of payers after which the older ones are forgotten, and of payments that are read at start.
pub(super) const GENERATION: u32 = 32_768;

/// Payers in two generations: a payer who comes back moves into the new one. When that is full, the old one is dropped.
#[derive(Debug, Default)]
pub(super) struct KnownPayers {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    new: HashSet<String>,
    old: HashSet<String>,
}

impl KnownPayers {
    /// Adds a payer, in lower case as in a payment's identity.
    pub(super) fn add(&self, payer: &str) {
        let mut generations = self.generations.lock();
        if generations.new.contains(payer) {
            return;
        }
        if generations.new.len() >= GENERATION as usize {
            generations.old = std::mem::take(&mut generations.new);
        }
        generations.new.insert(payer.to_owned());
    }

    pub(super) fn has(&self, payer: &str) -> bool {
        let generations = self.generations.lock();
        generations.new.contains(payer) || generations.old.contains(payer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payer_who_comes_back_is_remembered_and_the_others_are_bounded() {
        let payers = KnownPayers::default();
        payers.add("0xa");
        for number in 0..GENERATION {
            payers.add(&number.to_string());
        }
        assert!(payers.has("0xa"), "in the old generation");
        payers.add("0xa");
        for number in 0..GENERATION {
            payers.add(&format!("later {number}"));
        }
        assert!(payers.has("0xa") && !payers.has("5"));
        let generations = payers.generations.lock();
        assert!(generations.new.len() + generations.old.len() <= 2 * GENERATION as usize);
    }
}
