//! Leaves out what a plugin does not use of its packages, and tells which packages allow that.

use std::path::Path;

use oxc_resolver::{Resolution, SideEffects};

use super::bundle::DYNAMIC;
use super::{How, Modules, SDK};
use crate::javascript::shake::{self, Files};

impl Modules {
    /// Finds what can be left out. What cannot be read here fails again, with a message, when the engine asks for it.
    pub(in crate::javascript) fn shake(&self) {
        let entry = self.0.name(&self.0.entry);
        let shorter = shake::shorter(self, &entry);
        self.0.found.lock().shorter = shorter;
    }

    /// Takes the modules as they are again, and returns whether any was not.
    pub(in crate::javascript) fn unshake(&self) -> bool {
        let mut found = self.0.found.lock();
        found.failed = None;
        !std::mem::take(&mut found.shorter).is_empty()
    }
}

impl Files for Modules {
    fn text(&self, name: &str) -> Option<String> {
        if self.is_commonjs(name) { self.wrapped(name).ok() } else { self.whole(name).ok() }
    }

    fn target(&self, importer: &str, specifier: &str) -> Option<String> {
        let (specifier, how) = match specifier.strip_prefix(DYNAMIC) {
            Some(specifier) => (specifier, How::Import),
            None if self.is_commonjs(importer) => (specifier, How::Require),
            None => (specifier, How::Import),
        };
        if specifier == "coinslot" || specifier.starts_with("coinslot/") || specifier.contains(':') {
            return None;
        }
        let (name, found) = self.find(importer, specifier, how).ok()?;
        if found.as_ref().is_some_and(is_without_effects) && !self.is_commonjs(&name) {
            self.0.found.lock().without_effects.insert(name.clone());
        }
        Some(name).filter(|name| !name.starts_with(SDK))
    }

    fn is_without_effects(&self, name: &str) -> bool {
        self.0.found.lock().without_effects.contains(name)
    }
}

/// True if the package of a module says that its modules can be left out where their exports are not used. An author's
/// own package does not ask for that.
fn is_without_effects(found: &Resolution) -> bool {
    let path = found.path();
    let Some(package) = found.package_json() else { return false };
    if !path.components().any(|part| part.as_os_str() == "node_modules") {
        return false;
    }
    let folder = package.path().parent().unwrap_or(Path::new("/"));
    let inside = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
    match package.side_effects() {
        Some(SideEffects::Bool(has_effects)) => !has_effects,
        Some(SideEffects::String(pattern)) => !may_match(pattern, &inside),
        Some(SideEffects::Array(patterns)) => patterns.iter().all(|pattern| !may_match(pattern, &inside)),
        None => false,
    }
}

/// True if a pattern of `sideEffects` matches a path in the package, or could: of one with wildcards, only what is
/// before the first and behind the last one is compared. A pattern without a slash is one of file names, wherever they
/// are.
fn may_match(pattern: &str, path: &str) -> bool {
    let is_anywhere = !pattern.contains('/');
    let plain = pattern.trim_start_matches("./").trim_start_matches('/');
    let wild = |c: char| matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '(' | ')' | '!' | '+' | '@' | '|');
    let (Some(first), Some(last)) = (plain.find(wild), plain.rfind(wild)) else {
        return path == plain || (is_anywhere && path.rsplit('/').next() == Some(plain));
    };
    let begins = is_anywhere || path.starts_with(&plain[..first]);
    begins && path.ends_with(plain[last..].trim_start_matches(wild))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_side_effects_matches_what_it_may() {
        for (pattern, path, matches) in [
            ("./compile.js", "compile.js", true),
            ("./compile.js", "v4/compile.js", false),
            ("polyfill.js", "lib/polyfill.js", true),
            ("*.css", "lib/a.css", true),
            ("*.css", "lib/a.js", false),
            ("./src/**/*.js", "src/a/b.js", true),
            ("./src/**/*.js", "lib/a/b.js", false),
            ("./lib/{a,b}.js", "lib/c.js", true),
        ] {
            assert_eq!(may_match(pattern, path), matches, "{pattern} {path}");
        }
    }
}
