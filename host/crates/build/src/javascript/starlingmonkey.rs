//! Makes a component of a JavaScript module with StarlingMonkey, by the jco that the author has installed with npm.
//!
//! The module exports the interfaces of the contract itself, and answers `fetch` events. The SDK is made for the
//! embedded engine, and is refused here with its place.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::shake::module::{self, Kind, Module};
use super::{place, source, typescript};
use crate::{BuildError, sdk};

/// The versions that can build the contract. Each other one that was tried cannot.
const JCO: &str = "@bytecodealliance/jco@1.34.0";
const COMPONENTIZE: &str = "@bytecodealliance/componentize-js@0.23.0";
/// The oldest Node.js that runs them.
const NODE: u32 = 20;
/// The version of WASI in the contract, and the one that StarlingMonkey serves `fetch` events by. A host links both.
const WASI: (&str, &str) = ("0.2.12", "0.2.10");

/// Builds the plugin of a module into a file. Blocks the thread, for half a minute.
pub fn build_with_starlingmonkey(module: &Path, out: &Path) -> Result<(), BuildError> {
    let module = module.canonicalize().map_err(BuildError::file(module))?;
    let world = world(&module)?;
    check_node()?;
    let jco = jco(&module)?;
    let work = tempfile::tempdir().map_err(BuildError::file(&std::env::temp_dir()))?;
    let wit = work.path().join("wit");
    sdk::write_wit(&wit)?;
    for folder in [wit.clone(), wit.join("deps")] {
        set_version(&folder)?;
    }
    let mut command = Command::new("node");
    command.arg(&jco).arg("componentize").arg(&module).arg("--bundle").arg("--wit").arg(&wit);
    command.args(["--world-name", world]).arg("--out").arg(out);
    command.current_dir(module.parent().unwrap_or(Path::new("/"))).stdin(Stdio::null());
    let output = command.output().map_err(|error| BuildError::Toolchain(format!("node cannot be run: {error}")))?;
    if output.status.success() && out.is_file() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    // The frames of the tool itself do not help an author.
    let is_own = |line: &&str| line.trim_start().starts_with("at ") && line.contains("/@bytecodealliance/");
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !is_own(line)).collect();
    Err(BuildError::Source(format!("jco cannot build it:\n{}", lines.join("\n").trim())))
}

/// The world of a module, by its exports. Fails if it is not one for this engine.
fn world(path: &Path) -> Result<&'static str, BuildError> {
    let text = source::read(path).map_err(BuildError::file(path))?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let read = || {
        source::check_nesting(&file, &text)?;
        match extension {
            "ts" | "mts" | "tsx" | "jsx" => typescript::to_javascript(&file, &text),
            _ => typescript::check_javascript(&file, text.clone()),
        }
    };
    let text = source::on_a_large_stack(read).map_err(BuildError::Source)?;
    let Some(read) = module::read(&text) else {
        return Err(BuildError::Engine(format!("{file} cannot be read")));
    };
    if let Some(at) = sdk_import(&read) {
        let cause = "the SDK `coinslot` runs in the embedded engine: leave out --engine, or export `manifest` and \
                     answer `fetch` events, as host/docs/starlingmonkey.md shows";
        return Err(BuildError::Source(place::message(&file, &text, at, cause)));
    }
    if !read.exports.contains_key("manifest") {
        return Err(BuildError::Source(format!(
            "{file}:1:1: it exports no `manifest`: write `export const manifest = {{ describe() {{ .. }} }}`, as \
             host/docs/starlingmonkey.md shows"
        )));
    }
    Ok(if read.exports.contains_key("quote") { "endpoint-quoting" } else { "endpoint" })
}

/// The place of an import of the SDK.
fn sdk_import(read: &Module) -> Option<(usize, usize)> {
    let is_sdk = |specifier: &str| specifier == "coinslot" || specifier.starts_with("coinslot/");
    read.statements.iter().find_map(|item| match &item.kind {
        Kind::Import(_, source) if is_sdk(&source.specifier) => {
            Some((source.at, source.at + source.specifier.len() + 2))
        }
        Kind::Import(..) | Kind::Code | Kind::Declaration | Kind::Export(..) | Kind::All(..) => None,
    })
}

fn check_node() -> Result<(), BuildError> {
    let advice = format!("StarlingMonkey is built with Node.js {NODE} or newer: https://nodejs.org");
    let output = Command::new("node").arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| BuildError::Toolchain(format!("node cannot be run ({error}): {advice}")))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= NODE => Ok(()),
        Some(_) | None => Err(BuildError::Toolchain(format!("node --version says `{version}`: {advice}"))),
    }
}

/// The script of jco, in the nearest `node_modules` that has it.
fn jco(module: &Path) -> Result<PathBuf, BuildError> {
    let inside = "node_modules/@bytecodealliance/jco/package.json";
    let package = module.ancestors().skip(1).map(|folder| folder.join(inside)).find(|package| package.is_file());
    let missing = || {
        let folder = module.parent().unwrap_or(Path::new("/"));
        BuildError::Toolchain(format!(
            "there is no jco in {} or above: run `npm install --save-dev {JCO} {COMPONENTIZE}` there, with both \
             versions also in `overrides` of its package.json (host/docs/starlingmonkey.md has it)",
            folder.join("node_modules").display()
        ))
    };
    let package = package.ok_or_else(missing)?;
    let text = source::read(&package).map_err(BuildError::file(&package))?;
    let described: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let script = described["bin"]["jco"].as_str().or(described["bin"].as_str()).ok_or_else(missing)?;
    Ok(package.with_file_name(script))
}

/// Writes the engine's version of WASI into the WIT of a folder.
fn set_version(folder: &Path) -> Result<(), BuildError> {
    for entry in std::fs::read_dir(folder).map_err(BuildError::file(folder))? {
        let path = entry.map_err(BuildError::file(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let text = std::fs::read_to_string(&path).map_err(BuildError::file(&path))?;
            std::fs::write(&path, text.replace(WASI.0, WASI.1)).map_err(BuildError::file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_follows_from_the_exports_and_the_sdk_is_refused_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plugin.ts");
        let world_of = |source: &str| {
            std::fs::write(&path, source).expect("written");
            world(&path).map_err(|error| error.to_string())
        };
        assert_eq!(world_of("export const manifest: object = {};\n"), Ok("endpoint"));
        assert_eq!(
            world_of("const q = {};\nexport { q as quote };\nexport const manifest = {};\n"),
            Ok("endpoint-quoting")
        );
        let error = world_of("const a = 1;\nimport { get } from 'coinslot';\nget();\n").expect_err("the SDK");
        assert!(error.starts_with("plugin.ts:2:21: the SDK `coinslot` runs in the embedded engine"), "{error}");
        let error = world_of("export const a = 1;\n").expect_err("no manifest");
        assert!(error.starts_with("plugin.ts:1:1: it exports no `manifest`"), "{error}");
    }
}
