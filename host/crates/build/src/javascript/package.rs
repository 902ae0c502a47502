//! Reads the name and the version of a plugin from its `package.json`.
//!
//! The name belongs to one module of a folder: plugins that lie beside each other would all have it. Which module that
//! is must not depend on how many there are, because a plugin that changes its name loses its grants and its store.

use std::path::Path;

use serde_json::Value;

use super::EXTENSIONS;
use crate::{BuildError, plugin_name};

/// The name and the version that a manifest has unless the module sets others.
#[derive(Debug)]
pub(super) struct PackageJson {
    pub(super) name: String,
    pub(super) version: String,
}

/// The package of a module.
pub(super) fn of(module: &Path) -> Result<PackageJson, BuildError> {
    let folder = module.parent().unwrap_or(Path::new("."));
    let path = folder.join("package.json");
    let package: Value = match super::source::read(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            BuildError::Source(format!("package.json:{}:{}: {error}", error.line(), error.column()))
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(BuildError::File { path, error }),
    };
    let text = |key: &str| package[key].as_str().map(str::to_owned);
    let name = text("name").filter(|_| is_main(module, folder, package["main"].as_str()));
    let name = name.map(|name| name.rsplit('/').next().unwrap_or_default().to_owned());
    Ok(PackageJson {
        name: plugin_name(&name.unwrap_or_else(|| name_of(module, folder))),
        version: text("version").unwrap_or_else(|| "0.1.0".to_owned()),
    })
}

/// The usual names of a main module. The first one that is there is the package's.
const USUAL: [&str; 3] = ["plugin", "index", "main"];

/// True for the module that a package's `main` names, or else for that of the usual name. What `main` names in another
/// folder is the work of a bundler.
fn is_main(module: &Path, folder: &Path, main: Option<&str>) -> bool {
    let named = main.map(|main| folder.join(main.trim_start_matches("./")));
    if let Some(named) = named.filter(|named| named.parent() == Some(folder) && named.is_file()) {
        return named == module;
    }
    let is_there =
        |stem: &&&str| EXTENSIONS.iter().any(|extension| folder.join(format!("{stem}.{extension}")).is_file());
    let usual = USUAL.iter().find(is_there);
    usual.is_some_and(|usual| module.file_stem().is_some_and(|stem| stem == *usual))
}

/// The name of a module that is not its package's: that of the file, or of its folder where the file has a usual name.
fn name_of(module: &Path, folder: &Path) -> String {
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    match folder.file_name() {
        Some(folder) if USUAL.contains(&&*name) => folder.to_string_lossy().into_owned(),
        Some(_) | None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both had the package's name, and a host served one of them.
    #[test]
    fn plugins_beside_one_package_have_names_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        let names = |files: &[&str]| {
            let name = |file: &&str| of(&folder.path().join(file)).expect("a package").name;
            files.iter().map(name).collect::<Vec<_>>()
        };
        for file in ["plugin.ts", "dice.ts", "index.js", "words.js"] {
            write(file, "");
        }
        write("package.json", r#"{ "name": "@me/shop", "version": "1.2.3", "main": "dist/index.js" }"#);
        let own = package_of(folder.path());
        assert_eq!(names(&["plugin.ts", "dice.ts", "words.js"]), ["shop", "dice", "words"]);
        assert_eq!(
            names(&["index.js"]),
            std::slice::from_ref(&own),
            "the folder's name, because plugin.ts has the package's"
        );
        write("package.json", r#"{ "name": "@me/shop", "main": "./dice.ts" }"#);
        assert_eq!(names(&["plugin.ts", "dice.ts"]), [own, "shop".to_owned()]);
    }

    fn package_of(folder: &Path) -> String {
        plugin_name(&folder.file_name().expect("a name").to_string_lossy())
    }

    #[test]
    fn a_module_without_a_package_has_the_name_of_its_file_or_folder() {
        assert_eq!(name_of(Path::new("/a/dice/plugin.ts"), Path::new("/a/dice")), "dice");
        assert_eq!(name_of(Path::new("/a/dice/roll.ts"), Path::new("/a/dice")), "roll");
    }
}
