//! Tree-shakes packages: leaves out what a plugin does not use of those that it imports.
//!
//! Every module that is evaluated becomes part of the component: its functions, their bytecode and their text. Of a
//! package that says of itself `"sideEffects": false` (as bundlers know it), a statement stays if its evaluation may
//! have an effect, or if it declares what a statement that stays refers to; of an import or an export, the names that
//! are needed. A namespace that is only read by its members (`z.object`) needs these members. All else is overwritten
//! with spaces, so that what stays keeps its line, and modules of which nothing is needed are never read by the engine.
//!
//! The author's own modules, and packages that say nothing, stay as they are.

mod edit;
pub(super) mod module;
mod references;
mod stars;

use std::collections::{HashMap, HashSet};

use module::{Export, Imported, Kind, Module};
use stars::Stars;

/// The modules that the engine may ask for.
pub(super) trait Files {
    /// The JavaScript of a module. None if it cannot be read.
    fn text(&self, name: &str) -> Option<String>;
    /// The name of what a module imports. None if that is not found, or is not a file.
    fn target(&self, importer: &str, specifier: &str) -> Option<String>;
    /// True if the module belongs to a package that says that modules whose exports are not used can be left out.
    fn is_without_effects(&self, name: &str) -> bool;
}

/// The texts of the modules that become shorter, by their names.
pub(super) fn shorter(files: &impl Files, entry: &str) -> HashMap<String, String> {
    let Some(mut graph) = Graph::read(files, entry) else { return HashMap::new() };
    if graph.nodes.iter().all(|node| !node.can_shrink) {
        return HashMap::new();
    }
    graph.stars = Stars::of(&graph.nodes);
    graph.tasks.push(Task::Include(0));
    graph.mark();
    let with_effects: HashSet<usize> = (0..graph.nodes.len()).filter(|node| !graph.nodes[*node].can_shrink).collect();
    for node in &mut graph.nodes {
        node.with_effects = node.targets.values().copied().filter(|target| with_effects.contains(target)).collect();
    }
    let shrunk = graph.nodes.into_iter().filter(|node| node.can_shrink && node.is_included);
    shrunk.map(|node| (edit::shorten(&node), node)).map(|(text, node)| (node.name, text)).collect()
}

/// A module of the plugin, and what of it is needed.
#[derive(Debug)]
struct ModuleNode {
    name: String,
    text: String,
    module: Module,
    /// The nodes of its imports, by their specifiers, as far as they are files.
    targets: HashMap<String, usize>,
    /// Those of them that are evaluated even if nothing of them is needed.
    with_effects: HashSet<usize>,
    can_shrink: bool,
    is_included: bool,
    /// Names that a statement refers to.
    used: HashSet<String>,
    live: Vec<bool>,
    /// Imported and exported names that are needed.
    imported: HashSet<String>,
    exported: HashSet<String>,
}

/// A need that was found and not followed yet. Paths are the members that are read: all of them if a path is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    /// The module is evaluated.
    Include(usize),
    Statement(usize, usize),
    /// A name of the module's top level.
    Name(usize, String, Vec<String>),
    Export(usize, String, Vec<String>),
    Namespace(usize, Vec<String>),
}

#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<ModuleNode>,
    tasks: Vec<Task>,
    done: HashSet<Task>,
    stars: Stars,
}

impl Graph {
    /// Reads all modules that are imported, needed or not. None if one evaluates text, or imports a module
    /// whose name is computed.
    fn read(files: &impl Files, entry: &str) -> Option<Self> {
        let mut graph = Self::default();
        let mut known: HashMap<String, Option<usize>> = HashMap::new();
        graph.add(files, entry, &mut known)?;
        let mut next = 0;
        while next < graph.nodes.len() {
            if graph.nodes[next].module.is_opaque {
                return None;
            }
            let (name, sources) = (graph.nodes[next].name.clone(), graph.nodes[next].module.sources.clone());
            for source in sources {
                let target = files.target(&name, &source).and_then(|found| graph.add(files, &found, &mut known));
                if let Some(target) = target {
                    graph.nodes[next].targets.insert(source, target);
                }
            }
            next += 1;
        }
        Some(graph)
    }

    fn add(&mut self, files: &impl Files, name: &str, known: &mut HashMap<String, Option<usize>>) -> Option<usize> {
        if let Some(index) = known.get(name) {
            return *index;
        }
        let node = files.text(name).and_then(|text| {
            let module = module::read(&text)?;
            let live = vec![false; module.statements.len()];
            let uses = module.statements.iter().flat_map(|item| &item.uses);
            let used = uses.map(|used| used.name.clone()).collect();
            let (targets, can_shrink) = (HashMap::new(), files.is_without_effects(name));
            let (imported, exported, with_effects) = (HashSet::new(), HashSet::new(), HashSet::new());
            let name = name.to_owned();
            let is_included = false;
            Some(ModuleNode {
                name,
                text,
                module,
                targets,
                with_effects,
                can_shrink,
                is_included,
                used,
                live,
                imported,
                exported,
            })
        });
        let index = node.map(|node| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        known.insert(name.to_owned(), index);
        index
    }

    fn mark(&mut self) {
        while let Some(task) = self.tasks.pop() {
            if !self.done.insert(task.clone()) {
                continue;
            }
            match task {
                Task::Include(node) => self.include(node),
                Task::Statement(node, statement) => self.statement(node, statement),
                Task::Name(node, name, path) => self.name(node, &name, path),
                Task::Export(node, name, path) => self.export(node, &name, path),
                Task::Namespace(node, path) => self.namespace(node, path),
            }
        }
    }

    fn include(&mut self, index: usize) {
        self.nodes[index].is_included = true;
        let node = &self.nodes[index];
        let stays = |item: &module::Item| !node.can_shrink || item.has_effect;
        let statements = (0..).zip(&node.module.statements).filter(|(_, item)| stays(item));
        self.tasks.extend(statements.map(|(statement, _)| Task::Statement(index, statement)));
        // Modules with effects are evaluated in their order, whatever is used of them.
        let targets = node.module.sources.iter().filter_map(|source| node.targets.get(source).copied());
        let with_effects = targets.filter(|target| !self.nodes[*target].can_shrink);
        self.tasks.extend(with_effects.map(Task::Include));
    }

    fn statement(&mut self, index: usize, statement: usize) {
        self.nodes[index].live[statement] = true;
        let node = &self.nodes[index];
        let item = &node.module.statements[statement];
        self.tasks.extend(item.uses.iter().map(|used| Task::Name(index, used.name.clone(), used.path.clone())));
        let dynamic = item.dynamic.iter().filter_map(|source| node.targets.get(source));
        self.tasks.extend(dynamic.map(|target| Task::Namespace(*target, Vec::new())));
        if !node.can_shrink {
            return self.whole_statement(index, statement);
        }
        // Names that are needed have tasks of their own; a bare import has none.
        if let Kind::Import(names, source) = &item.kind
            && names.is_empty()
        {
            self.tasks.extend(node.targets.get(&source.specifier).map(|target| Task::Include(*target)));
        }
    }

    /// Needs every name of a statement that stays as it is, because the engine looks it up.
    fn whole_statement(&mut self, index: usize, statement: usize) {
        let node = &self.nodes[index];
        let include =
            |source: &module::Source| node.targets.get(&source.specifier).map(|target| Task::Include(*target));
        let export = |name: &String| Task::Export(index, name.clone(), Vec::new());
        match &node.module.statements[statement].kind {
            Kind::Code | Kind::Declaration => {
                let is_here = |export: &Export| matches!(export, Export::Alias(at, _) if *at == statement);
                let default = "default".to_owned();
                self.tasks.extend(node.module.exports.get(&default).filter(|it| is_here(it)).map(|_| export(&default)));
            }
            Kind::Import(names, source) => {
                self.tasks.extend(include(source));
                // The uses of a name have tasks of their own, with the members that they read.
                let unused = names.iter().filter(|name| !node.used.contains(&name.name));
                self.tasks.extend(unused.map(|it| Task::Name(index, it.name.clone(), Vec::new())));
            }
            Kind::Export(names, source) => {
                self.tasks.extend(source.as_ref().and_then(include));
                self.tasks.extend(names.iter().map(|it| export(&it.name)));
            }
            Kind::All(name, source) => {
                self.tasks.extend(include(source));
                self.tasks.extend(name.iter().map(export));
            }
        }
    }

    fn name(&mut self, index: usize, name: &str, path: Vec<String>) {
        let node = &mut self.nodes[index];
        if let Some((source, imported)) = node.module.imports.get(name) {
            node.imported.insert(name.to_owned());
            let target = node.targets.get(source).copied();
            self.tasks.extend(target.map(|target| import_task(target, imported, path)));
        } else if let Some(statements) = node.module.declared.get(name) {
            self.tasks.extend(statements.iter().map(|statement| Task::Statement(index, *statement)));
        }
    }

    fn export(&mut self, index: usize, name: &str, path: Vec<String>) {
        self.tasks.push(Task::Include(index));
        let node = &mut self.nodes[index];
        match node.module.exports.get(name) {
            Some(Export::Local(local)) => self.tasks.push(Task::Name(index, local.clone(), path)),
            Some(Export::Statement(statement)) => self.tasks.push(Task::Statement(index, *statement)),
            Some(Export::Alias(statement, local)) => {
                node.live[*statement] = true;
                self.tasks.push(Task::Name(index, local.clone(), path));
            }
            Some(Export::From(source, imported)) => {
                let target = node.targets.get(source).copied();
                self.tasks.extend(target.map(|target| import_task(target, imported, path)));
            }
            None => return self.export_of_star(index, name, &path),
        }
        node.exported.insert(name.to_owned());
    }

    /// Follows `export * from` to the modules that have the name, or to all of them if none is known to.
    fn export_of_star(&mut self, index: usize, name: &str, path: &[String]) {
        let stars: Vec<(usize, Option<usize>)> = {
            let node = &self.nodes[index];
            let target = |source: &String| node.targets.get(source).copied();
            node.module.stars.iter().map(|(statement, source)| (*statement, target(source))).collect()
        };
        let having = self.stars.having(name);
        let has = |target: Option<usize>| target.is_some_and(|it| having.contains(&it));
        let found: Vec<_> = stars.iter().copied().filter(|(_, target)| has(*target)).collect();
        for (statement, target) in if found.is_empty() { stars } else { found } {
            self.nodes[index].live[statement] = true;
            let export = |target: usize| Task::Export(target, name.to_owned(), path.to_vec());
            self.tasks.extend(target.map(export));
        }
    }

    fn namespace(&mut self, index: usize, mut path: Vec<String>) {
        self.tasks.push(Task::Include(index));
        if !path.is_empty() {
            let name = path.remove(0);
            self.tasks.push(Task::Export(index, name, path));
            return;
        }
        let node = &mut self.nodes[index];
        self.tasks.extend(node.module.exports.keys().map(|name| Task::Export(index, name.clone(), Vec::new())));
        for (statement, source) in &node.module.stars {
            node.live[*statement] = true;
            self.tasks.extend(node.targets.get(source).map(|target| Task::Namespace(*target, Vec::new())));
        }
    }
}

/// The need of what is imported from a module.
fn import_task(target: usize, imported: &Imported, path: Vec<String>) -> Task {
    match imported {
        Imported::Name(name) => Task::Export(target, name.clone(), path),
        Imported::Namespace => Task::Namespace(target, path),
    }
}

#[cfg(test)]
mod tests;
