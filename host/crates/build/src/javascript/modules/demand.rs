//! Tells which modules only a call asks for, and leaves out those of them that cannot be loaded.
//!
//! A package may try a module and go on without it: `try { require("fast") } catch {}`. The engine has no module of
//! ECMAScript that is evaluated later than its importer, so a module behind `import()` or `require` is evaluated when the
//! plugin is built, with all that it imports, and one that fails would fail the build. So its imports are looked through
//! first, and a call for a module of which one is not found throws the message. The same is done with a module whose
//! evaluation fails: the plugin is evaluated again without it, unless something that is always evaluated imports it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::syntax::{self, Goal};
use super::{How, Modules, SDK};
use crate::javascript::source::on_a_large_stack;

/// The modules that only a call asks for.
#[derive(Debug, Default)]
pub(super) struct OnDemand {
    /// Those that may be left out.
    wanted: BTreeSet<String>,
    /// Those that are left out, and what a call throws.
    failing: BTreeMap<String, String>,
    /// The modules before each module, or why one of them is not found.
    before: HashMap<String, Result<Arc<Vec<String>>, String>>,
    /// Modules before which all are found.
    sound: HashSet<String>,
}

impl OnDemand {
    /// A module, and all of those known that are evaluated after it because they import it.
    fn all_behind(&self, name: &str) -> BTreeSet<String> {
        let mut behind: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, before) in &self.before {
            for before in before.iter().flat_map(|before| before.iter()) {
                behind.entry(before).or_default().push(name);
            }
        }
        let (mut open, mut seen) = (vec![name], BTreeSet::new());
        while let Some(name) = open.pop() {
            if seen.insert(name.to_owned()) {
                open.extend(behind.get(name).into_iter().flatten());
            }
        }
        seen
    }
}

impl Modules {
    /// Returns a module that a call asks for, if it can be loaded with all that it imports. Fails with what the call
    /// throws.
    pub(super) fn on_demand(&self, target: String) -> Result<String, String> {
        if target.starts_with(SDK) {
            return Ok(target);
        }
        if let Some(message) = self.0.found.lock().on_demand.failing.get(&target) {
            return Err(message.clone());
        }
        let found = self.check_before(&target);
        let mut all = self.0.found.lock();
        if let Err(message) = &found {
            all.on_demand.failing.insert(target.clone(), message.clone());
        } else {
            all.on_demand.wanted.insert(target.clone());
        }
        found.map(|()| target)
    }

    /// Leaves out the modules whose evaluation failed: `stack` is that of the error, and `message` tells it. Returns
    /// false if no module that can be left out is the reason.
    pub(in crate::javascript) fn leave_out(&self, stack: &[&str], message: &str) -> bool {
        let reason = self.0.found.lock().failed.clone();
        // The outermost frame is that of the module which is evaluated: it may call functions of others.
        let Some(failed) = reason.map(|(name, _)| name).or_else(|| stack.last().map(|name| (*name).to_owned())) else {
            return false;
        };
        self.read_all_before(self.0.name(&self.0.entry));
        let mut found = self.0.found.lock();
        let behind = found.on_demand.all_behind(&failed);
        let without: Vec<_> = found.on_demand.wanted.intersection(&behind).cloned().collect();
        if behind.contains(&found.names[&self.0.entry]) || without.is_empty() {
            return false;
        }
        for target in without {
            found.on_demand.wanted.remove(&target);
            found.on_demand.failing.insert(target, message.to_owned());
        }
        // What calls throw stands in the texts of CommonJS.
        found.commonjs.values_mut().for_each(|text| *text = None);
        found.failed = None;
        true
    }

    /// Fails if a module, or one that is evaluated before it, cannot be read or is not found.
    fn check_before(&self, target: &str) -> Result<(), String> {
        let (mut open, mut seen) = (vec![target.to_owned()], HashSet::new());
        while let Some(name) = open.pop() {
            if self.0.found.lock().on_demand.sound.contains(&name) || !seen.insert(name.clone()) {
                continue;
            }
            open.extend(self.before(&name)?.iter().cloned());
        }
        self.0.found.lock().on_demand.sound.extend(seen);
        Ok(())
    }

    /// Finds the modules before this one, and those before them.
    fn read_all_before(&self, target: String) {
        let (mut open, mut seen) = (vec![target], HashSet::new());
        while let Some(name) = open.pop() {
            if let Ok(before) = self.before(&name)
                && seen.insert(name)
            {
                open.extend(before.iter().cloned());
            }
        }
    }

    /// The modules that one imports at its top. CommonJS asks for others by calls, and so has none.
    fn before(&self, name: &str) -> Result<Arc<Vec<String>>, String> {
        if name.starts_with(SDK) {
            return Ok(Arc::default());
        }
        if let Some(known) = self.0.found.lock().on_demand.before.get(name) {
            return known.clone();
        }
        let found = self.find_before(name).map(Arc::new);
        self.0.found.lock().on_demand.before.insert(name.to_owned(), found.clone());
        found
    }

    fn find_before(&self, name: &str) -> Result<Vec<String>, String> {
        let text = self.whole(name)?;
        if self.is_commonjs(name) || !["import", "export"].iter().any(|word| text.contains(word)) {
            return Ok(Vec::new());
        }
        let syntax = on_a_large_stack(|| syntax::read(name, &text, Goal::Module))?;
        // The engine has the interfaces of the component.
        let is_file = |specifier: &&String| !specifier.starts_with("wasi:") && !specifier.starts_with("coinslot:");
        let found = syntax.before.iter().filter(is_file).map(|specifier| {
            let found = self.find(name, specifier, How::Import);
            found.map(|(target, _)| target).map_err(|cause| self.0.at_import(name, specifier, &cause))
        });
        found.collect()
    }
}
