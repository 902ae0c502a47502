//! Reads the language and the licence of a plugin from its sources.

use std::path::Path;

use coinslot_base::file::read_regular_text;

use crate::cli::build::plugin_source::{PluginSource, SourceKind};

/// Bytes of a manifest that is read, at most.
const MANIFEST: u64 = 1 << 20;

/// The language of the sources. None where a script of the author builds them.
pub(super) fn language(source: &PluginSource) -> Option<String> {
    let language = match source.kind {
        SourceKind::Cargo => "rust",
        SourceKind::Python => "python",
        SourceKind::JavaScript => {
            let module = coinslot_build::javascript::module_at(&source.path)?;
            let extension = module.extension()?.to_str()?.to_owned();
            if matches!(extension.as_str(), "ts" | "mts" | "tsx") { "typescript" } else { "javascript" }
        }
        SourceKind::C => match coinslot_build::c::source_at(&source.path)?.extension()?.to_str()? {
            "c" => "c",
            "zig" => "zig",
            _ => "cpp",
        },
        SourceKind::Script | SourceKind::Module | SourceKind::Finished => return None,
    };
    Some(language.to_owned())
}

/// The licence that the manifest of the sources names.
pub(super) fn license(source: &PluginSource) -> Option<String> {
    let folder = source.folder();
    let found = of_npm(folder).or_else(|| of_python(folder)).or_else(|| of_cargo(folder));
    found.map(|license| license.trim().to_owned()).filter(|license| !license.is_empty())
}

fn of_npm(folder: &Path) -> Option<String> {
    let text = read_regular_text(&folder.join("package.json"), MANIFEST).ok()?;
    let package: serde_json::Value = serde_json::from_str(&text).ok()?;
    let license = package.get("license")?;
    license.as_str().or_else(|| license.get("type")?.as_str()).map(str::to_owned)
}

fn of_python(folder: &Path) -> Option<String> {
    let project = table(&folder.join("pyproject.toml"))?;
    let license = project.get("project")?.get("license")?;
    license.as_str().or_else(|| license.get("text")?.as_str()).map(str::to_owned)
}

/// The licence of a crate, which may be that of its workspace.
fn of_cargo(folder: &Path) -> Option<String> {
    let manifest = table(&folder.join("Cargo.toml"))?;
    let license = manifest.get("package")?.get("license")?;
    if let Some(license) = license.as_str() {
        return Some(license.to_owned());
    }
    folder.ancestors().find_map(|above| {
        let manifest = table(&above.join("Cargo.toml"))?;
        Some(manifest.get("workspace")?.get("package")?.get("license")?.as_str()?.to_owned())
    })
}

fn table(path: &Path) -> Option<toml::Table> {
    read_regular_text(path, MANIFEST).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_the_one_that_the_manifest_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        write("npm/package.json", r#"{ "license": "MIT" }"#);
        write("old/package.json", r#"{ "license": { "type": "ISC" } }"#);
        write("python/pyproject.toml", "[project]\nlicense = \"BSD-3-Clause\"\n");
        write("text/pyproject.toml", "[project]\nlicense = { text = \"GPL-3.0-only\" }\n");
        write("Cargo.toml", "[workspace.package]\nlicense = \"Apache-2.0\"\n");
        write("member/Cargo.toml", "[package]\nname = \"a\"\nlicense.workspace = true\n");
        write("none/Cargo.toml", "[package]\nname = \"a\"\n");
        for (folder, expected) in [
            ("npm", Some("MIT")),
            ("old", Some("ISC")),
            ("python", Some("BSD-3-Clause")),
            ("text", Some("GPL-3.0-only")),
            ("member", Some("Apache-2.0")),
            ("none", None),
        ] {
            let path = dir.path().join(folder);
            let source = PluginSource { name: folder.to_owned(), path, kind: SourceKind::Script };
            assert_eq!(license(&source).as_deref(), expected, "{folder}");
        }
    }
}
