//! Reads the name and the version of a plugin from its `package.json`.

use std::path::Path;

use serde_json::Value;

use crate::BuildError;

/// The name and the version that a manifest has unless the module sets others.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

/// The package of a module.
pub(super) fn of(module: &Path) -> Result<Package, BuildError> {
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
    let name = text("name").map(|name| name.rsplit('/').next().unwrap_or_default().to_owned());
    Ok(Package {
        name: plugin_name(&name.unwrap_or_else(|| name_of(module, folder))),
        version: text("version").unwrap_or_else(|| "0.1.0".to_owned()),
    })
}

/// The name of a module without a package: that of the file, or of its folder where the file has the usual name.
fn name_of(module: &Path, folder: &Path) -> String {
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    match folder.file_name() {
        Some(folder) if matches!(&*name, "plugin" | "index" | "main") => folder.to_string_lossy().into_owned(),
        Some(_) | None => name.into_owned(),
    }
}

/// A name that the contract allows: lower-case letters, digits and hyphens, 64 at most, a letter first.
fn plugin_name(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            plain.push(c.to_ascii_lowercase());
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
    }
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    let plain = plain[..plain.len().min(64)].trim_end_matches('-');
    if plain.is_empty() { "plugin".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_npm_becomes_one_that_the_contract_allows() {
        for (from, to) in [("quote_of_day", "quote-of-day"), ("2nd Try!", "nd-try"), ("", "plugin"), ("ä", "plugin")] {
            assert_eq!(plugin_name(from), to);
        }
        assert_eq!(name_of(Path::new("/a/dice/plugin.ts"), Path::new("/a/dice")), "dice");
        assert_eq!(name_of(Path::new("/a/dice/roll.ts"), Path::new("/a/dice")), "roll");
    }
}
