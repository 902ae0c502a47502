//! Finds the names that a module of CommonJS exports, as far as its text shows them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::syntax::{self, Goal};
use super::{How, IGNORED, Modules};
use crate::javascript::source::on_a_large_stack;

impl Modules {
    /// The names of a module, with those of the modules whose exports it has. None of a module of ECMAScript.
    pub(super) fn exports_of(&self, name: &str) -> BTreeSet<String> {
        if let Some(known) = self.0.found.lock().all_exports.get(name) {
            return known.clone();
        }
        let (mut open, mut seen, mut names) = (vec![name.to_owned()], BTreeSet::new(), BTreeSet::new());
        while let Some(name) = open.pop() {
            if seen.insert(name.clone()) {
                let own = self.own_exports(&name);
                names.extend(own.0.iter().cloned());
                open.extend(own.1.iter().cloned());
            }
        }
        names.remove("__esModule");
        names.remove("default");
        self.0.found.lock().all_exports.insert(name.to_owned(), names.clone());
        names
    }

    /// The names that a module has itself, and the modules whose exports it has.
    fn own_exports(&self, name: &str) -> Arc<(BTreeSet<String>, Vec<String>)> {
        if let Some(known) = self.0.found.lock().exports.get(name) {
            return Arc::clone(known);
        }
        let own = Arc::new(self.read_exports(name).unwrap_or_default());
        self.0.found.lock().exports.insert(name.to_owned(), Arc::clone(&own));
        own
    }

    fn read_exports(&self, name: &str) -> Option<(BTreeSet<String>, Vec<String>)> {
        if name == IGNORED || !self.is_commonjs(name) {
            return None;
        }
        let source = self.whole(name).ok()?;
        let syntax = on_a_large_stack(|| syntax::read(name, &source, Goal::CommonJs)).ok()?;
        let targets = syntax.reexports.iter().filter_map(|it| self.find(name, it, How::Require).ok());
        let targets = targets.map(|(target, _)| target).collect();
        Some((syntax.exports, targets))
    }
}
