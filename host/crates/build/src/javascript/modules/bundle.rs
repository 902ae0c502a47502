//! Writes modules as the engine evaluates them: an `import()` takes its module from the bundle, and CommonJS stands in a
//! function that runs when the module is first required.
//!
//! The engine needs the names of a module before it evaluates the module, and CommonJS has names only afterwards. So each
//! importer of CommonJS imports a module of its own that lies between the two, and that has the names which the importer
//! asks for. Lines stay where they are, and so do columns, but for the first line of CommonJS, which follows [`BEFORE`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::syntax::{self, Dynamic, Goal, Place, Syntax};
use super::{How, Modules, SDK};
use crate::javascript::place;
use crate::javascript::source::on_a_large_stack;

/// The text in front of a module of CommonJS, in its first line.
pub(in crate::javascript) const BEFORE: &str =
    "function $coinslot_body(module,exports,require,__filename,__dirname,global){";
/// The specifier of a module by its name among the modules.
pub(super) const BY_NAME: &str = "coinslot:module:";
/// The prefix of the specifier of an `import()`, which CommonJS resolves otherwise than `require`.
pub(super) const DYNAMIC: &str = "coinslot:import:";
/// The name of a namespace among the exports of a module between.
pub(super) const NAMESPACE: &str = "$ns";
/// The prefix of the specifier of an `export *` of CommonJS whose namespace the module imports, too: that would be among
/// the exported names.
pub(super) const STAR: &str = "coinslot:star:";
/// The function in the place of `import`, with as many characters.
const IMPORT: &str = "$cslot";

/// A module between an importer and the CommonJS that it imports.
#[derive(Clone, Debug)]
pub(super) struct Between {
    pub(super) target: String,
    /// The names that are imported.
    pub(super) names: BTreeSet<String>,
    /// A name that is absent is the importer's fault.
    pub(super) is_of_author: bool,
    /// `default` is `module.exports`, as in Node.js, whatever the module says of itself.
    pub(super) is_as_in_node: bool,
}

/// A text in JavaScript.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text of a module between.
pub(super) fn between(name: &str, it: &Between) -> String {
    let mut text = format!(
        "import{{$coinslot_load}}from{};import{{namespace,pick}}from\"coinslot:commonjs\";\
         const $ns=namespace($coinslot_load(),{});",
        quoted(&format!("{BY_NAME}{}", it.target)),
        it.is_as_in_node
    );
    let absent = if it.is_of_author { quoted(name) } else { "null".to_owned() };
    if it.names.contains(NAMESPACE) {
        text.push_str("export{$ns};");
    }
    for (index, imported) in it.names.iter().filter(|name| *name != NAMESPACE).enumerate() {
        let imported = quoted(imported);
        let _ = write!(text, "const $n{index}=pick($ns,{imported},{absent});export{{$n{index} as {imported}}};");
    }
    text
}

/// Replaces places of a text. Spaces follow a shorter replacement, so that columns stay.
fn replaced(text: &str, mut edits: Vec<(Place, String)>) -> String {
    edits.sort();
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for ((from, to), new) in edits {
        out.push_str(&text[end..from]);
        out.push_str(&new);
        out.extend(std::iter::repeat_n(' ', (to - from).saturating_sub(new.len())));
        end = to;
    }
    out.push_str(&text[end..]);
    out
}

/// The modules behind the specifiers of `require` or `import()`, as imports and as the cases of a `switch`.
#[derive(Debug, Default)]
struct Cases {
    imports: String,
    cases: String,
    messages: serde_json::Map<String, Value>,
    count: usize,
}

impl Cases {
    fn add(&mut self, specifier: &str, from: &str, kind: Bundled) {
        let name = format!("$coinslot_{}{}", if from == specifier { "r" } else { "i" }, self.count);
        self.count += 1;
        let (imported, value) = match kind {
            Bundled::Load => (format!("{{$coinslot_load as {name}}}"), format!("{name}()")),
            Bundled::Default => (name.clone(), name.clone()),
            Bundled::Required => (format!("*as {name}"), format!("$coinslot_from({name},s)")),
            Bundled::Namespace => (format!("*as {name}"), name.clone()),
            Bundled::Between => (format!("{{{NAMESPACE} as {name}}}"), name.clone()),
        };
        let _ = write!(self.imports, "import {imported} from{};", quoted(from));
        let _ = write!(self.cases, "case{}:return {value};", quoted(specifier));
    }

    fn messages(&self) -> String {
        Value::Object(self.messages.clone()).to_string()
    }
}

/// The way in which a module takes part in another.
#[derive(Clone, Copy, Debug)]
enum Bundled {
    /// CommonJS, required.
    Load,
    /// JSON, required.
    Default,
    /// A module of ECMAScript, required.
    Required,
    /// A module of ECMAScript, imported.
    Namespace,
    /// CommonJS, imported.
    Between,
}

impl Modules {
    /// The text of a module of CommonJS as the engine evaluates it.
    pub(super) fn wrap(&self, name: &str, source: &str) -> Result<String, String> {
        let syntax = on_a_large_stack(|| syntax::read(name, source, Goal::CommonJs))?;
        let mut required = Cases::default();
        for specifier in &syntax.requires {
            match self.find(name, specifier, How::Require).and_then(|(target, _)| self.on_demand(target)) {
                Ok(target) if self.is_commonjs(&target) => required.add(specifier, specifier, Bundled::Load),
                Ok(target) if target.ends_with(".json") => required.add(specifier, specifier, Bundled::Default),
                Ok(_) => required.add(specifier, specifier, Bundled::Required),
                Err(message) => drop(required.messages.insert(specifier.clone(), message.into())),
            }
        }
        let mut edits = edits(&syntax);
        let dynamic = self.dynamic(name, source, &syntax.dynamic, &mut edits)?;
        let mut body = replaced(source, edits);
        if body.starts_with("#!") {
            body.replace_range(..2, "//");
        }
        let text = format!(
            "{BEFORE}{body}\n}}\nimport{{run as $coinslot_run,missing as $coinslot_missing,fromNamespace as \
             $coinslot_from}}from\"coinslot:commonjs\";{}function $coinslot_find(s){{switch(s){{{}}}return \
             $coinslot_missing(s,{})}}export function $coinslot_load(){{return \
             $coinslot_run({},$coinslot_body,$coinslot_find,{})}}{dynamic}",
            required.imports,
            required.cases,
            required.messages(),
            quoted(name),
            BEFORE.len()
        );
        match on_a_large_stack(|| Ok(syntax::fault(&text)))? {
            None => Ok(text),
            Some((fault, (from, to))) => {
                let at = (from.saturating_sub(BEFORE.len()), to.saturating_sub(BEFORE.len()));
                let cause = format!("{fault}: CommonJS becomes part of a module here, and runs in strict mode");
                Err(place::message(name, source, at, &cause))
            }
        }
    }

    /// The text of a module of ECMAScript as the engine evaluates it.
    pub(super) fn link(&self, name: &str, text: String) -> Result<String, String> {
        if !["import", "export", "process"].iter().any(|word| text.contains(word)) {
            return Ok(text);
        }
        // The engine reports a text that cannot be parsed.
        let Ok(syntax) = on_a_large_stack(|| syntax::read(name, &text, Goal::Module)) else { return Ok(text) };
        let mut edits = edits(&syntax);
        let mut imports = syntax.imports;
        let is_commonjs = |specifier: &str| {
            self.find(name, specifier, How::Import).is_ok_and(|(target, _)| self.is_commonjs(&target))
        };
        for (specifier, at, local) in syntax.namespaces {
            if is_commonjs(&specifier) {
                edits.push((at, format!("{{{NAMESPACE} as {local}}}")));
                imports.entry(specifier).or_default().insert(NAMESPACE.to_owned());
            }
        }
        for (mut specifier, places) in syntax.stars {
            let Ok((target, _)) = self.find(name, &specifier, How::Import) else { continue };
            if imports.get(&specifier).is_some_and(|names| names.contains(NAMESPACE)) {
                specifier = format!("{STAR}{specifier}");
                edits.extend(places.into_iter().map(|at| (at, quoted(&specifier))));
            }
            imports.entry(specifier).or_default().extend(self.exports_of(&target));
        }
        let dynamic = self.dynamic(name, &text, &syntax.dynamic, &mut edits)?;
        self.0.found.lock().imports.insert(name.to_owned(), imports);
        if edits.is_empty() {
            return Ok(text);
        }
        Ok(replaced(&text, edits) + &dynamic)
    }

    /// Replaces each `import()` in a function by a call that finds its module in the bundle, and returns that function for
    /// the end of the text.
    fn dynamic(
        &self,
        name: &str,
        text: &str,
        found: &[Dynamic],
        edits: &mut Vec<(Place, String)>,
    ) -> Result<String, String> {
        let is_of_author = !name.contains("node_modules/");
        let mut cases = Cases::default();
        let mut seen = BTreeSet::new();
        for it in found {
            // The engine still loads modules while the plugin is built.
            if it.specifiers.is_empty() && !it.is_in_function {
                continue;
            }
            if it.specifiers.is_empty() && is_of_author {
                let cause = "the module of this import() is only known when a request runs, and a plugin has the \
                             modules that are found when it is built: import them at the top, and choose one of them \
                             here";
                return Err(place::message(name, text, it.place, cause));
            }
            for specifier in it.specifiers.iter().filter(|specifier| seen.insert((*specifier).clone())) {
                let target = self.find(name, specifier, How::Import).map(|(target, _)| target);
                let is_needed = is_of_author && !it.is_caught;
                let target = if is_needed {
                    target.and_then(|it| self.read_first(it))
                } else {
                    target.and_then(|it| self.on_demand(it))
                };
                match target {
                    Ok(target) => {
                        let is_commonjs = self.is_commonjs(&target);
                        let kind = if is_commonjs { Bundled::Between } else { Bundled::Namespace };
                        cases.add(specifier, &format!("{DYNAMIC}{specifier}"), kind);
                    }
                    Err(message) if is_needed => return Err(place::message(name, text, it.place, &message)),
                    Err(message) => drop(cases.messages.insert(specifier.clone(), message.into())),
                }
            }
            edits.push(((it.place.0, it.place.0 + "import".len()), IMPORT.to_owned()));
        }
        if !edits.iter().any(|(_, new)| new == IMPORT) {
            return Ok(String::new());
        }
        let (imports, messages) = (&cases.imports, cases.messages());
        Ok(format!(
            "\n;import{{missingImport as $coinslot_missing_import}}from\"coinslot:commonjs\";{imports}async function \
             {IMPORT}(s){{switch(s){{{}}}return $coinslot_missing_import(s,{messages})}}",
            cases.cases
        ))
    }

    /// Returns a module that can be read.
    fn read_first(&self, target: String) -> Result<String, String> {
        if target.starts_with(SDK) { Ok(target) } else { self.read_once(&target).map(|()| target) }
    }
}

/// The changes that do not depend on other modules.
fn edits(syntax: &Syntax) -> Vec<(Place, String)> {
    syntax.node_env.iter().map(|at| (*at, quoted("production"))).collect()
}
