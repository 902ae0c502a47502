//! Finds the module that another one imports or requires.

use std::path::{Component, Path};

use coinslot_base::file::read_regular_text;
use oxc_resolver::{ResolveError, ResolveOptions};

use super::bundle::{self, Between};
use super::regular_files::MOST;
use super::{How, IGNORED, ModuleFiles, Modules, SDK, Target, absent};

impl Modules {
    /// The name of the module that another one imports.
    pub(in crate::javascript) fn resolve(&self, referrer: &str, specifier: &str) -> Result<String, String> {
        if self.0.found.lock().closed {
            return Err(format!("modules are loaded when a plugin is built: import `{specifier}` at the top level"));
        }
        if let Some(name) = specifier.strip_prefix(bundle::BY_NAME) {
            return Ok(name.to_owned());
        }
        let prefixed = specifier.strip_prefix(bundle::DYNAMIC).or_else(|| specifier.strip_prefix(bundle::STAR));
        let (plain, how) = match prefixed {
            Some(plain) => (plain, How::Import),
            None if self.is_commonjs(referrer) => (specifier, How::Require),
            None => (specifier, How::Import),
        };
        let (target, _) = self.find(referrer, plain, how).map_err(|cause| {
            let message = self.0.at_import(referrer, plain, &cause);
            // It is kept, because the engine wraps the message in others.
            self.0.found.lock().failed.get_or_insert_with(|| (referrer.to_owned(), message.clone()));
            message
        })?;
        if how == How::Require || !self.is_commonjs(&target) {
            return Ok(target);
        }
        Ok(self.between(referrer, specifier, target))
    }

    /// Finds the module that a specifier names: its name, and its file unless it is the SDK's. Fails with the cause.
    pub(super) fn find(&self, referrer: &str, specifier: &str, how: How) -> Result<Target, String> {
        let key = (referrer.to_owned(), specifier.to_owned(), how);
        if let Some(known) = self.0.found.lock().resolved.get(&key) {
            return known.clone();
        }
        if !referrer.starts_with(SDK) {
            self.0.found.lock().limits.add_import(referrer)?;
        }
        let found = self.find_anew(referrer, specifier, how);
        self.0.found.lock().resolved.insert(key, found.clone());
        found
    }

    fn find_anew(&self, referrer: &str, specifier: &str, how: How) -> Result<Target, String> {
        let sdk = |file: &str| Ok((format!("{SDK}{file}"), None));
        match specifier {
            "coinslot" => return sdk("coinslot.js"),
            "coinslot/test" => return sdk("test.js"),
            "coinslot:commonjs" => return sdk("commonjs.js"),
            "coinslot:exports" => return sdk("exports.js"),
            "coinslot:test-exports" => return sdk("test-exports.js"),
            "coinslot:package" => return sdk("package"),
            "coinslot:entry" => return Ok((self.0.name(&self.0.entry), None)),
            _ => {}
        }
        if let Some(file) = referrer.strip_prefix(SDK) {
            let folder = Path::new(file).parent().unwrap_or(Path::new(""));
            return sdk(&normal(&folder.join(specifier)));
        }
        let importer = self.0.found.lock().files.get(referrer).cloned();
        let importer = importer.ok_or_else(|| format!("{referrer} was never read"))?;
        let resolver = if how == How::Require { &self.0.required } else { &self.0.imported };
        let found = match resolver.resolve_file(&importer, specifier) {
            // A package may leave a module of Node.js out, or have another one in its place.
            Err(builtin @ ResolveError::Builtin { .. }) => {
                let others = resolver.clone_with_options(ResolveOptions { builtin_modules: false, ..options(how) });
                match others.resolve_file(&importer, specifier) {
                    Err(ResolveError::Ignored(path)) => Err(ResolveError::Ignored(path)),
                    other => other.map_err(|_| builtin),
                }
            }
            found => found,
        };
        match found {
            Ok(found) => Ok((self.0.name(found.path()), Some(found))),
            Err(ResolveError::Ignored(_)) => Ok((IGNORED.to_owned(), None)),
            Err(error) => Err(absent::advice(specifier, &error)),
        }
    }

    /// The name of the module between an importer and CommonJS.
    fn between(&self, referrer: &str, specifier: &str, target: String) -> String {
        let name = format!("{SDK}commonjs/{referrer}/{specifier}");
        let importer = self.0.found.lock().files.get(referrer).cloned();
        let is_as_in_node = importer.is_some_and(|importer| self.0.is_as_in_node(&importer));
        let known = self.0.found.lock().imports.get(referrer).and_then(|imports| imports.get(specifier)).cloned();
        // An `import()` that is left to the engine may read any name.
        let names = known.unwrap_or_else(|| {
            let mut names = self.exports_of(&target);
            names.insert("default".to_owned());
            names.extend(specifier.starts_with(bundle::DYNAMIC).then(|| bundle::NAMESPACE.to_owned()));
            names
        });
        let is_of_author = !referrer.contains("node_modules/");
        let between = Between { target, names, is_of_author, is_as_in_node };
        self.0.found.lock().between.insert(name.clone(), between);
        name
    }
}

impl ModuleFiles {
    /// True for a module that is ECMAScript by its name or by the nearest `package.json`, and so imports CommonJS as
    /// Node.js does.
    pub(super) fn is_as_in_node(&self, path: &Path) -> bool {
        let by_name = path.extension().and_then(|extension| extension.to_str());
        match by_name {
            Some("mjs" | "mts") => true,
            Some("cjs") => false,
            _ => path.parent().is_some_and(|folder| self.is_module_folder(folder)),
        }
    }

    fn is_module_folder(&self, folder: &Path) -> bool {
        if let Some(known) = self.found.lock().module_folders.get(folder) {
            return *known;
        }
        let package = read_regular_text(&folder.join("package.json"), MOST).ok();
        let package = package.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let above = folder.parent().filter(|_| !folder.ends_with("node_modules"));
        let is_module = match package {
            Some(package) => package["type"] == "module",
            None => above.is_some_and(|above| self.is_module_folder(above)),
        };
        self.found.lock().module_folders.insert(folder.to_owned(), is_module);
        is_module
    }
}

/// The options of the resolver. A plugin meets the conditions of browsers and of workers: it has the web platform, and
/// neither Node.js nor the interfaces of one provider.
pub(super) fn options(how: How) -> ResolveOptions {
    let (condition, main_fields, extensions): (_, &[&str], &[&str]) = match how {
        How::Import => {
            ("import", &["browser", "module", "main"], &[".ts", ".mts", ".tsx", ".mjs", ".js", ".cjs", ".jsx", ".json"])
        }
        How::Require => {
            ("require", &["browser", "main"], &[".js", ".cjs", ".json", ".mjs", ".ts", ".mts", ".tsx", ".jsx"])
        }
    };
    let module = (how == How::Import).then_some("module");
    let conditions = ["worker", "browser", condition, "default"].into_iter().chain(module);
    ResolveOptions {
        condition_names: conditions.map(Into::into).collect(),
        alias_fields: vec![vec!["browser".into()]],
        extensions: extensions.iter().map(|it| (*it).into()).collect(),
        // As TypeScript does: a file that is written `./lib.ts` is imported as `./lib.js`.
        extension_alias: vec![
            (".js".into(), vec![".js".into(), ".ts".into(), ".tsx".into()]),
            (".mjs".into(), vec![".mjs".into(), ".mts".into()]),
        ],
        main_fields: main_fields.iter().map(|it| (*it).into()).collect(),
        node_path: false,
        builtin_modules: true,
        ..ResolveOptions::default()
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
