//! Finds and reads the modules that an evaluation asks for: the SDK, the author's files, and packages in
//! `node_modules`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use coinslot_base::text::excerpt;
use oxc_resolver::{ResolveOptions, ResolverGeneric};

use super::package::PackageJson;
use super::source::on_a_large_stack;
use super::{source, typescript};

mod regular_files;
mod shaken;

use self::regular_files::RegularFiles;

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The folder of the SDK among the modules.
const SDK: &str = "/@coinslot/";
/// The module with which an evaluation begins. It has the exports of the component.
pub(super) const ENTRY: &str = "/@coinslot/entry";
pub(super) const ENTRY_SOURCE: &str = "export { manifest, quote, handler } from 'coinslot:exports';";
/// The same of a component that runs tests.
pub(super) const TESTS_SOURCE: &str = "export { manifest, quote, handler } from 'coinslot:test-exports';";
/// The most characters of an import's specifier that a message shows.
const LONGEST_SHOWN: usize = 200;

/// The modules of one plugin. Clones share what was read.
#[derive(Clone, Debug)]
pub(super) struct Modules(Arc<ModuleFiles>);

#[derive(Debug)]
struct ModuleFiles {
    /// The folder of the plugin. Names of modules are relative to it, so that they are the same elsewhere.
    root: PathBuf,
    entry: PathBuf,
    package: String,
    resolver: ResolverGeneric<RegularFiles>,
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
    /// Modules that packages allow to leave out, and the texts of those that became shorter.
    without_effects: HashSet<String>,
    shorter: HashMap<String, String>,
    /// The message about the first module that could not be loaded.
    failed: Option<String>,
    /// No further module is found.
    closed: bool,
}

impl Modules {
    /// The modules of an entry. `root` is the folder of the plugin.
    pub(super) fn new(entry: &Path, root: &Path, package: &PackageJson) -> Self {
        let options = ResolveOptions {
            condition_names: ["import", "module", "default"].map(Into::into).into(),
            extensions: [".ts", ".mts", ".tsx", ".mjs", ".js", ".jsx", ".json"].map(Into::into).into(),
            // As TypeScript does: a file that is written `./lib.ts` is imported as `./lib.js`.
            extension_alias: vec![
                (".js".into(), vec![".js".into(), ".ts".into(), ".tsx".into()]),
                (".mjs".into(), vec![".mjs".into(), ".mts".into()]),
            ],
            main_fields: ["module", "main"].map(Into::into).into(),
            node_path: false,
            builtin_modules: true,
            ..ResolveOptions::default()
        };
        let package = serde_json::json!({ "name": package.name, "version": package.version });
        Self(Arc::new(ModuleFiles {
            root: root.to_owned(),
            entry: entry.to_owned(),
            package: format!("export default {package};"),
            resolver: ResolverGeneric::new(options),
            found: parking_lot::Mutex::default(),
        }))
    }

    /// The name of the module that another one imports.
    pub(super) fn resolve(&self, referrer: &str, specifier: &str) -> Result<String, String> {
        let sdk = |file: &str| Ok(format!("{SDK}{file}"));
        if self.0.found.lock().closed {
            return Err(format!("modules are loaded when a plugin is built: import `{specifier}` at the top level"));
        }
        match specifier {
            "coinslot" => return sdk("coinslot.js"),
            "coinslot/test" => return sdk("test.js"),
            "coinslot:exports" => return sdk("exports.js"),
            "coinslot:test-exports" => return sdk("test-exports.js"),
            "coinslot:package" => return sdk("package"),
            "coinslot:entry" => return Ok(self.0.name(&self.0.entry)),
            _ => {}
        }
        if let Some(file) = referrer.strip_prefix(SDK) {
            let folder = Path::new(file).parent().unwrap_or(Path::new(""));
            return sdk(&normal(&folder.join(specifier)));
        }
        let importer = self.0.found.lock().files.get(referrer).cloned();
        let importer = importer.ok_or_else(|| format!("{referrer} was never read"))?;
        match self.0.resolver.resolve_file(&importer, specifier) {
            Ok(found) => Ok(self.0.name(found.path())),
            Err(error) => Err(self.0.not_found(&importer, specifier, &error)),
        }
    }

    /// The JavaScript of a module.
    pub(super) fn load(&self, name: &str) -> Result<String, String> {
        if let Some(file) = name.strip_prefix(SDK) {
            let source = SDK_FILES.iter().find(|(other, _)| *other == file).map(|(_, text)| (*text).to_owned());
            return match file {
                "package" => Ok(self.0.package.clone()),
                _ => source.ok_or_else(|| format!("the SDK has no module {file}")),
            };
        }
        if let Some(shorter) = self.0.found.lock().shorter.get(name) {
            return Ok(shorter.clone());
        }
        self.whole(name).inspect_err(|message| {
            self.0.found.lock().failed.get_or_insert_with(|| message.clone());
        })
    }

    /// The JavaScript of an author's or a package's module, all of it.
    fn whole(&self, name: &str) -> Result<String, String> {
        if let Some(known) = self.0.found.lock().texts.get(name) {
            return known.clone();
        }
        let text = self.read(name);
        self.0.found.lock().texts.insert(name.to_owned(), text.clone());
        text
    }

    fn read(&self, name: &str) -> Result<String, String> {
        let path = self.0.found.lock().files.get(name).cloned().ok_or_else(|| format!("{name} was never found"))?;
        let source = source::read(&path).map_err(|error| format!("{}: {error}", self.0.shown(&path)))?;
        self.0.found.lock().read.insert(path.clone());
        let shown = self.0.shown(&path);
        source::check_nesting(&shown, &source)?;
        on_a_large_stack(|| match path.extension().and_then(|extension| extension.to_str()) {
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

    /// The first module that could not be loaded: the engine wraps the message in others.
    pub(super) fn failed(&self) -> Option<String> {
        self.0.found.lock().failed.clone()
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

    fn not_found(&self, importer: &Path, specifier: &str, error: &oxc_resolver::ResolveError) -> String {
        let shown = self.shown(importer);
        let place = std::fs::read_to_string(importer).ok().and_then(|source| {
            let at = [format!("'{specifier}'"), format!("\"{specifier}\"")].iter().find_map(|q| source.find(q))?;
            Some(super::place::message(&shown, &source, (at, at + specifier.len() + 2), &advice(specifier, error)))
        });
        let message = place.unwrap_or_else(|| format!("{shown}: {}", advice(specifier, error)));
        self.found.lock().failed.get_or_insert_with(|| message.clone());
        message
    }
}

/// The fault of an import, with advice.
fn advice(specifier: &str, error: &oxc_resolver::ResolveError) -> String {
    let is_builtin = matches!(error, oxc_resolver::ResolveError::Builtin { .. });
    if is_builtin || specifier.starts_with("node:") {
        return format!("`{specifier}` is part of Node.js, and a plugin runs without it: use the web platform instead");
    }
    if specifier.starts_with("wasi:") || specifier.starts_with("coinslot:") {
        return format!("there is no `{specifier}`: plugins import 'coinslot', and WASI by the versions that it has");
    }
    let specifier = &excerpt(specifier, LONGEST_SHOWN);
    if specifier.contains(':') {
        return format!("`{specifier}` cannot be imported: imports are files and packages, and nothing is downloaded");
    }
    if specifier.starts_with('.') || specifier.starts_with('/') {
        return format!("there is no file `{specifier}`");
    }
    let mut parts = specifier.split('/');
    let package = match (parts.next(), parts.next()) {
        (Some(scope), Some(name)) if scope.starts_with('@') => format!("{scope}/{name}"),
        (name, _) => name.unwrap_or_default().to_owned(),
    };
    match error {
        oxc_resolver::ResolveError::NotFound(_) => {
            format!("the package `{package}` is not installed: npm install {package}")
        }
        other => format!("`{specifier}` cannot be imported: {other}"),
    }
}

/// A relative path without `.` and `..`.
fn normal(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}
