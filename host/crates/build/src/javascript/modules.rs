//! Finds and reads the modules that an evaluation asks for: the SDK, the author's files, and packages in
//! `node_modules`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxc_resolver::{Resolution, ResolverGeneric};

use super::package::PackageJson;
use super::source::on_a_large_stack;
use super::{source, typescript};

mod absent;
mod bundle;
mod demand;
mod exports;
mod limits;
mod regular_files;
mod resolve;
mod shaken;
mod syntax;

pub(super) use self::absent::without_node;
pub(super) use self::bundle::BEFORE;
use self::bundle::Between;
use self::demand::OnDemand;
use self::limits::Limits;
use self::regular_files::RegularFiles;
use self::resolve::options;
use self::syntax::Goal;

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The names that a module of CommonJS has, and the specifiers whose names it has, too.
type CommonJsExports = (BTreeSet<String>, Vec<String>);

/// The folder of the SDK among the modules.
const SDK: &str = "/@coinslot/";
/// The module with which an evaluation begins. It has the exports of the component.
pub(super) const ENTRY: &str = "/@coinslot/entry";
pub(super) const ENTRY_SOURCE: &str = "export { manifest, quote, handler } from 'coinslot:exports';";
/// The same of a component that runs tests.
pub(super) const TESTS_SOURCE: &str = "export { manifest, quote, handler } from 'coinslot:test-exports';";
/// The module in the place of one that a package leaves out of browsers: it has no exports.
const IGNORED: &str = "/@coinslot/ignored.js";

/// By what a module asks for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum How {
    Import,
    Require,
}

/// The modules of one plugin. Clones share what was read.
#[derive(Clone, Debug)]
pub(super) struct Modules(Arc<ModuleFiles>);

#[derive(Debug)]
struct ModuleFiles {
    /// The folder of the plugin. Names of modules are relative to it, so that they are the same elsewhere.
    root: PathBuf,
    entry: PathBuf,
    package: String,
    imported: ResolverGeneric<RegularFiles>,
    required: ResolverGeneric<RegularFiles>,
    found: parking_lot::Mutex<FoundModules>,
}

/// Files by the names that the engine has for them, and the other way round.
#[derive(Debug, Default)]
struct FoundModules {
    files: HashMap<String, PathBuf>,
    names: HashMap<PathBuf, String>,
    read: BTreeSet<PathBuf>,
    /// The JavaScript of the files that were read, or why it cannot be.
    texts: HashMap<String, Result<String, String>>,
    /// Those of them that are CommonJS, and their texts for the engine.
    commonjs: HashMap<String, Option<Result<String, String>>>,
    /// Folders of which the nearest `package.json` says `"type": "module"`, or does not.
    module_folders: HashMap<PathBuf, bool>,
    /// The names that modules import, by specifiers.
    imports: HashMap<String, BTreeMap<String, BTreeSet<String>>>,
    between: HashMap<String, Between>,
    /// The names of modules of CommonJS with the specifiers whose names they have, too, and all names together.
    exports: HashMap<String, Arc<CommonJsExports>>,
    all_exports: HashMap<String, BTreeSet<String>>,
    /// Modules that packages allow to leave out, and the texts of those that became shorter.
    without_effects: HashSet<String>,
    shorter: HashMap<String, String>,
    /// The files that were found for an import of a module, and for a `require`.
    resolved: HashMap<(String, String, How), Result<Target, String>>,
    limits: Limits,
    on_demand: OnDemand,
    /// The first module that could not be loaded, or whose import could not, and the message about it.
    failed: Option<(String, String)>,
    /// No further module is found.
    closed: bool,
}

/// The name of a module, and its file unless it is the SDK's.
type Target = (String, Option<Resolution>);

impl Modules {
    /// The modules of an entry. `root` is the folder of the plugin.
    pub(super) fn new(entry: &Path, root: &Path, package: &PackageJson) -> Self {
        let package = serde_json::json!({ "name": package.name, "version": package.version });
        Self(Arc::new(ModuleFiles {
            root: root.to_owned(),
            entry: entry.to_owned(),
            package: format!("export default {package};"),
            imported: ResolverGeneric::new(options(How::Import)),
            required: ResolverGeneric::new(options(How::Require)),
            found: parking_lot::Mutex::default(),
        }))
    }

    /// The JavaScript of a module, for the engine.
    pub(super) fn load(&self, name: &str) -> Result<String, String> {
        let between = self.0.found.lock().between.get(name).cloned();
        if let Some(between) = between {
            return Ok(bundle::between(name, &between));
        }
        if let Some(file) = name.strip_prefix(SDK) {
            let source = SDK_FILES.iter().find(|(other, _)| *other == file).map(|(_, text)| (*text).to_owned());
            return match file {
                "package" => Ok(self.0.package.clone()),
                _ => source.ok_or_else(|| format!("the SDK has no module {file}")),
            };
        }
        let shorter = self.0.found.lock().shorter.get(name).cloned();
        let text = shorter.map_or_else(|| self.whole(name), Ok);
        let text = if self.is_commonjs(name) { self.wrapped(name) } else { text.and_then(|it| self.link(name, it)) };
        text.inspect_err(|message| {
            self.0.found.lock().failed.get_or_insert_with(|| (name.to_owned(), message.clone()));
        })
    }

    /// The JavaScript of an author's or a package's module, all of it.
    fn whole(&self, name: &str) -> Result<String, String> {
        self.read_once(name)?;
        self.0.found.lock().texts[name].clone()
    }

    /// Reads a module, unless it was read. A copy of its text for each import of it would take minutes.
    fn read_once(&self, name: &str) -> Result<(), String> {
        if let Some(known) = self.0.found.lock().texts.get(name) {
            return known.as_ref().map(drop).map_err(Clone::clone);
        }
        let text = self.read(name);
        let read = text.as_ref().map(drop).map_err(Clone::clone);
        self.0.found.lock().texts.insert(name.to_owned(), text);
        read
    }

    /// True for a module of CommonJS, which is read for that.
    pub(super) fn is_commonjs(&self, name: &str) -> bool {
        if name.starts_with(SDK) {
            return name == IGNORED;
        }
        self.read_once(name).is_ok() && self.0.found.lock().commonjs.contains_key(name)
    }

    /// The text of a module of CommonJS as the engine evaluates it.
    fn wrapped(&self, name: &str) -> Result<String, String> {
        if let Some(Some(known)) = self.0.found.lock().commonjs.get(name) {
            return known.clone();
        }
        let text = self.whole(name).and_then(|source| self.wrap(name, &source));
        self.0.found.lock().commonjs.insert(name.to_owned(), Some(text.clone()));
        text
    }

    fn read(&self, name: &str) -> Result<String, String> {
        let path = self.0.found.lock().files.get(name).cloned().ok_or_else(|| format!("{name} was never found"))?;
        let shown = self.0.shown(&path);
        self.0.found.lock().limits.add_module(&shown)?;
        let source = source::read(&path).map_err(|error| format!("{shown}: {error}"))?;
        self.0.found.lock().limits.add_source(&shown, source.len())?;
        self.0.found.lock().read.insert(path.clone());
        source::check_characters(&shown, &source)?;
        source::check_nesting(&shown, &source)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_commonjs = match extension {
            Some("json" | "ts" | "mts" | "tsx" | "jsx" | "mjs") => false,
            Some("cjs") => true,
            _ => !self.0.is_as_in_node(&path) && on_a_large_stack(|| Ok(is_script(&shown, &source)))?,
        };
        if is_commonjs {
            on_a_large_stack(|| syntax::read(&shown, &source, Goal::CommonJs).map(drop))?;
            self.0.found.lock().commonjs.insert(name.to_owned(), None);
            return Ok(source);
        }
        on_a_large_stack(|| match extension {
            Some("json") => source::json(&shown, &source),
            Some("ts" | "mts" | "tsx" | "jsx") => typescript::to_javascript(&shown, &source),
            _ => typescript::check_javascript(&shown, source),
        })
    }

    /// The author's modules that were read, with their JavaScript, the one of the build first.
    pub(super) fn of_author(&self) -> Vec<(String, String)> {
        let entry = self.0.name(&self.0.entry);
        let found = self.0.found.lock();
        let texts = found.texts.iter().filter_map(|(name, text)| Some((name.clone(), text.clone().ok()?)));
        let mut modules: Vec<_> = texts.filter(|(name, _)| !name.contains("node_modules/")).collect();
        modules.sort_by_key(|(name, _)| (*name != entry, name.clone()));
        modules
    }

    /// Ends the loading of modules: a plugin that is built has no loader.
    pub(super) fn close(&self) {
        self.0.found.lock().closed = true;
    }

    /// The reason why the first module that could not be loaded was not: the engine wraps the message in others.
    pub(super) fn failed(&self) -> Option<String> {
        self.0.found.lock().failed.as_ref().map(|(_, message)| message.clone())
    }

    /// The bound that the modules exceed, if they exceed one.
    pub(super) fn exceeded(&self) -> Option<String> {
        self.0.found.lock().limits.exceeded()
    }

    /// The files that were read.
    pub(super) fn sources(&self) -> BTreeSet<PathBuf> {
        let mut read = self.0.found.lock().read.clone();
        read.insert(self.0.root.join("package.json"));
        read
    }
}

impl ModuleFiles {
    /// The name of a file for the engine, which is what stack traces show. It is the same wherever the folder is.
    fn name(&self, path: &Path) -> String {
        let mut found = self.found.lock();
        if let Some(name) = found.names.get(path) {
            return name.clone();
        }
        let mut name = self.shown(path);
        while found.files.contains_key(&name) {
            name.insert_str(0, "./");
        }
        found.files.insert(name.clone(), path.to_owned());
        found.names.insert(path.to_owned(), name.clone());
        name
    }

    /// A path as messages have it: below the folder of the plugin, or else from the last `node_modules` on.
    fn shown(&self, path: &Path) -> String {
        if let Ok(inside) = path.strip_prefix(&self.root) {
            return inside.display().to_string();
        }
        let parts: Vec<_> = path.components().collect();
        let package = parts.iter().rposition(|part| part.as_os_str() == "node_modules");
        let common = path.components().zip(self.root.components()).take_while(|(one, other)| one == other).count();
        let up = self.root.components().count() - common;
        let from = package.unwrap_or(common);
        let rest: PathBuf = parts[from..].iter().collect();
        let up: PathBuf = std::iter::repeat_n("..", if package.is_some() { 0 } else { up }).collect();
        up.join(rest).display().to_string()
    }
}

/// True for a module that says neither `import` nor `export`, and is one of CommonJS by what it refers to, or by being a
/// package's.
fn is_script(file: &str, source: &str) -> bool {
    let is_package = file.contains("node_modules/");
    !syntax::is_module(source)
        && syntax::read(file, source, Goal::CommonJs).is_ok_and(|read| is_package || read.is_commonjs)
}
