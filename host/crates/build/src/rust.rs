//! Keeps the SDK that the manifest of a Rust plugin names where cargo finds it.
//!
//! A new plugin depends on the SDK by its path in the cache. Clearing the cache removes the SDK, so it is unpacked
//! again before cargo runs.

use std::path::Path;

use toml::{Table, Value};

use crate::{BuildError, sdk};

/// Unpacks the SDK again if the plugin's manifest names the one of this program and it is gone. One of another version
/// of this program cannot be made, and is an error that says what to write.
pub fn restore_sdk(folder: &Path, cache: &Path) -> Result<(), BuildError> {
    let Ok(text) = coinslot_base::file::read_regular_text(&folder.join("Cargo.toml"), 1 << 20) else { return Ok(()) };
    // What is wrong with a manifest cargo says better.
    let Ok(manifest) = text.parse::<Table>() else { return Ok(()) };
    for path in paths(&manifest) {
        let Some(unpacked) = Path::new(&path).parent().and_then(Path::parent).filter(|unpacked| is_unpacked(unpacked))
        else {
            continue;
        };
        let is_own = unpacked.ends_with(sdk::folder_name()) && sdk::unpack(cache)? == unpacked;
        if !is_own && !Path::new(&path).exists() {
            let line = text.lines().position(|line| line.contains(&path)).map_or(1, |line| line + 1);
            let own = sdk::unpack(cache)?.join("sdk/rust");
            return Err(BuildError::Source(format!(
                "Cargo.toml:{line}: the SDK at {path} is gone: another version of coinslot made it, and the cache was \
                 cleared since. The SDK of this version is `coinslot-sdk = {{ path = {:?} }}`",
                own.display().to_string()
            )));
        }
    }
    Ok(())
}

/// True for a folder that [`sdk::unpack`] makes, of any version: `sdk-` and twelve hexadecimal digits.
fn is_unpacked(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.strip_prefix("sdk-").unwrap_or_default();
    digits.len() == 12 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
}

/// The absolute paths at which a manifest has its dependencies.
fn paths(manifest: &Table) -> Vec<String> {
    let workspace = manifest.get("workspace").and_then(Value::as_table);
    let tables = [
        manifest.get("dependencies"),
        manifest.get("dev-dependencies"),
        workspace.and_then(|workspace| workspace.get("dependencies")),
    ];
    let dependencies = tables.into_iter().flatten().filter_map(Value::as_table).flat_map(Table::values);
    let paths = dependencies.filter_map(|dependency| dependency.get("path")?.as_str());
    paths.filter(|path| Path::new(path).is_absolute()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn manifest(folder: &Path, sdk: &Path) {
        let text = format!("[package]\nname = \"a\"\n\n[dependencies]\ncoinslot-sdk = {{ path = {sdk:?} }}\n");
        fs::write(folder.join("Cargo.toml"), text).expect("written");
    }

    #[test]
    fn an_sdk_that_was_cleared_from_the_cache_is_unpacked_again() {
        let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let sdk = sdk::unpack(cache.path()).expect("the SDK");
        manifest(folder.path(), &sdk.join("sdk/rust"));
        fs::remove_dir_all(&sdk).expect("removed");
        restore_sdk(folder.path(), cache.path()).expect("the SDK");
        assert!(sdk.join("sdk/rust/Cargo.toml").is_file());
    }

    #[test]
    fn an_sdk_of_another_version_that_is_gone_is_told_with_the_line_to_write() {
        let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let gone = cache.path().join("sdk-0123456789ab/sdk/rust");
        manifest(folder.path(), &gone);
        let error = restore_sdk(folder.path(), cache.path()).expect_err("it is gone").to_string();
        let own = sdk::unpack(cache.path()).expect("the SDK").join("sdk/rust");
        assert!(error.starts_with("Cargo.toml:5: ") && error.contains(&format!("path = {own:?}")), "{error}");
        // One that is there still builds what it built.
        fs::create_dir_all(&gone).expect("a folder");
        restore_sdk(folder.path(), cache.path()).expect("it is there");
    }
}
