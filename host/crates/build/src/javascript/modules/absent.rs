//! Says why an import is not found.

use coinslot_base::text::excerpt;
use oxc_resolver::ResolveError;

use super::ModuleFiles;
use crate::javascript::place;

/// The most characters of an import's specifier that a message shows.
const LONGEST_SHOWN: usize = 200;

impl ModuleFiles {
    /// The fault of a module's import with its place.
    pub(super) fn at_import(&self, importer: &str, specifier: &str, cause: &str) -> String {
        let importer = self.found.lock().files.get(importer).cloned();
        let Some(importer) = importer else { return cause.to_owned() };
        let shown = self.shown(&importer);
        let place = std::fs::read_to_string(&importer).ok().and_then(|source| {
            let at = [format!("'{specifier}'"), format!("\"{specifier}\"")].iter().find_map(|q| source.find(q))?;
            Some(place::message(&shown, &source, (at, at + specifier.len() + 2), cause))
        });
        place.unwrap_or_else(|| format!("{shown}: {cause}"))
    }
}

/// The substitute for a part of Node.js.
pub(in crate::javascript) fn without_node(part: &str) -> String {
    format!("`{part}` is part of Node.js, and a plugin runs without it: use the web platform instead")
}

/// The fault of an import, with advice.
pub(super) fn advice(specifier: &str, error: &ResolveError) -> String {
    let is_builtin = matches!(error, ResolveError::Builtin { .. });
    if is_builtin || specifier.starts_with("node:") {
        return without_node(specifier);
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
        ResolveError::NotFound(_) => format!("the package `{package}` is not installed: npm install {package}"),
        other => format!("`{specifier}` cannot be imported: {other}"),
    }
}
