//! Has cargo find the SDK of this program, which is in no registry.
//!
//! The manifest of a plugin names a version of the SDK, and no place: the manifest is committed, and the cache has
//! another path on each machine and another folder for each version of this program. The place is a patch, which is part
//! of cargo's command line, and stands for editors and for cargo itself in a `.cargo/config.toml` that git ignores.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use coinslot_base::file::read_regular_text;
use semver::{Version, VersionReq};
use toml::{Table, Value};

use crate::{BuildError, sdk};

/// The name of the SDK's package.
const PACKAGE: &str = "coinslot-sdk";

/// The version of this program, which is that of its SDK.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The longest manifest that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The first line of a configuration of cargo that [`write_config`] may write again.
const MARK: &str = "# Written by coinslot, and written again when the place of its SDK changes. Do not commit it.";

/// The arguments with which cargo takes the SDK of the crate in a folder from this program: none for a crate that does
/// not ask for a version of it. Unpacks the SDK, and writes its place for editors.
///
/// A manifest that asks for another version is an error: cargo would look for that one at crates.io, where it is not,
/// and might find a stranger's package.
pub fn sdk_arguments(folder: &Path, cache: &Path) -> Result<Vec<OsString>, BuildError> {
    let Ok(text) = manifest_of(folder) else { return Ok(Vec::new()) };
    // cargo explains a wrong manifest better.
    let Ok(manifest) = text.parse::<Table>() else { return Ok(Vec::new()) };
    restore(&manifest, &text, cache)?;
    let Some(asked) = asked_version(folder, &manifest) else { return Ok(Vec::new()) };
    let own = Version::parse(VERSION).map_err(|error| BuildError::Engine(error.to_string()))?;
    // cargo explains a wrong requirement better, too.
    if VersionReq::parse(&asked).is_ok_and(|asked| !asked.matches(&own)) {
        return Err(BuildError::Source(format!(
            "Cargo.toml:{}: it asks for {PACKAGE} {asked}, and this program has {own}: write {}, or build it with the \
             coinslot of that version",
            line_of(&text, PACKAGE),
            advised()
        )));
    }
    let place = sdk::unpack(cache)?.join("sdk/rust");
    let place = Value::from(place.display().to_string());
    write_config(folder, &place);
    Ok(vec!["--config".into(), format!("patch.crates-io.{PACKAGE}.path={place}").into()])
}

fn manifest_of(folder: &Path) -> io::Result<String> {
    read_regular_text(&folder.join("Cargo.toml"), LONGEST)
}

/// The dependency on the SDK of this program.
fn advised() -> String {
    let version = VERSION.rsplit_once('.').map_or(VERSION, |(version, _)| version);
    format!("`{PACKAGE} = {version:?}`")
}

fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).map_or(1, |line| line + 1)
}

/// The version of the SDK that a crate asks crates.io for. None if it takes the SDK from elsewhere, or does without.
fn asked_version(folder: &Path, manifest: &Table) -> Option<String> {
    let dependency = dependencies(manifest).find(|(name, value)| is_sdk(name, value))?.1;
    if dependency.get("workspace").is_none() {
        return version_of(dependency);
    }
    let mut manifests = std::iter::once(manifest.clone())
        .chain(folder.ancestors().skip(1).filter_map(|folder| manifest_of(folder).ok()?.parse::<Table>().ok()));
    let workspace = manifests.find_map(|mut manifest| manifest.remove("workspace"))?;
    version_of(workspace.get("dependencies")?.get(PACKAGE)?)
}

/// Tells whether a dependency is the SDK, perhaps under another name.
fn is_sdk(name: &str, dependency: &Value) -> bool {
    dependency.get("package").and_then(Value::as_str).unwrap_or(name) == PACKAGE
}

/// The version of a dependency that comes from crates.io.
fn version_of(dependency: &Value) -> Option<String> {
    let elsewhere = ["path", "git", "registry", "registry-index"];
    let version = match dependency {
        Value::Table(table) if elsewhere.iter().any(|key| table.contains_key(*key)) => return None,
        Value::Table(table) => table.get("version")?,
        other => other,
    };
    version.as_str().map(str::to_owned)
}

/// The dependencies of a manifest, those for tests and for single targets, too.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let owners = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let tables = owners.flat_map(|owner| [owner.get("dependencies"), owner.get("dev-dependencies")]);
    tables.flatten().filter_map(Value::as_table).flatten()
}

/// Writes the place of the SDK into `.cargo/config.toml` of the crate, where editors and a plain cargo find it, and has
/// git ignore the file. One that the author has written stays. Builds do without the file, so a folder that cannot be
/// written to is no error.
fn write_config(folder: &Path, place: &Value) {
    let folder = folder.join(".cargo");
    let file = folder.join("config.toml");
    let text = format!("{MARK}\n[patch.crates-io]\n{PACKAGE} = {{ path = {place} }}\n");
    let is_own = match read_regular_text(&file, LONGEST) {
        Ok(found) => found != text && found.starts_with(MARK),
        Err(error) => error.kind() == io::ErrorKind::NotFound && !folder.join("config").exists(),
    };
    if !is_own {
        return;
    }
    let ignore = folder.join(".gitignore");
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| match ignore.symlink_metadata() {
            Ok(_) => Ok(()),
            Err(_) => std::fs::write(&ignore, "/.gitignore\n/config.toml\n"),
        })
        .and_then(|()| coinslot_base::file::replace(&file, 0o644, text.as_bytes()));
    if let Err(error) = written {
        tracing::debug!(file = %file.display(), %error, "the place of the SDK is not written for editors");
    }
}

/// Unpacks the SDK again if the manifest has its path, that of this program, and it is gone. A path of another version of
/// this program or of another machine that leads nowhere is an error that says what to write.
fn restore(manifest: &Table, text: &str, cache: &Path) -> Result<(), BuildError> {
    for path in paths(manifest) {
        let Some(unpacked) = Path::new(&path).parent().and_then(Path::parent).filter(|unpacked| is_unpacked(unpacked))
        else {
            continue;
        };
        let is_own = unpacked.ends_with(sdk::folder_name()) && sdk::unpack(cache)? == unpacked;
        if !is_own && !Path::new(&path).exists() {
            return Err(BuildError::Source(format!(
                "Cargo.toml:{}: there is no SDK at {path}: another version of coinslot or another machine has put it \
                 there. Write {} instead, which holds on every machine",
                line_of(text, &path),
                advised()
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

    fn manifest(folder: &Path, dependency: &str) {
        let text = format!("[package]\nname = \"a\"\n\n[dependencies]\n{dependency}\n");
        fs::write(folder.join("Cargo.toml"), text).expect("written");
    }

    fn folders() -> (tempfile::TempDir, tempfile::TempDir) {
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"))
    }

    #[test]
    fn a_version_is_the_sdk_of_this_program_for_cargo_and_for_editors() {
        let (folder, cache) = folders();
        let place = sdk::unpack(cache.path()).expect("the SDK").join("sdk/rust");
        let config = folder.path().join(".cargo/config.toml");
        for dependency in [
            advised().trim_matches('`').to_owned(),
            format!("{PACKAGE} = {{ version = {VERSION:?}, features = [\"typed-header\"] }}"),
            format!("sdk = {{ package = {PACKAGE:?}, version = \"*\" }}"),
            format!("{PACKAGE}.workspace = true\n[workspace.dependencies]\n{PACKAGE} = {VERSION:?}"),
        ] {
            manifest(folder.path(), &dependency);
            let arguments = sdk_arguments(folder.path(), cache.path()).expect("the SDK");
            assert_eq!(arguments, ["--config", &format!("patch.crates-io.{PACKAGE}.path={place:?}")], "{dependency}");
            let written: Table = fs::read_to_string(&config).expect("a file").parse().expect("TOML");
            assert_eq!(written["patch"]["crates-io"][PACKAGE]["path"].as_str(), place.to_str());
            // What another version of this program wrote is written again.
            fs::write(&config, format!("{MARK}\n[patch.crates-io]\n")).expect("written");
        }
        let ignored = fs::read_to_string(folder.path().join(".cargo/.gitignore")).expect("a file");
        assert!(ignored.lines().any(|line| line == "/config.toml"), "{ignored}");
    }

    #[test]
    fn an_sdk_from_elsewhere_and_a_configuration_of_the_author_stay() {
        let (folder, cache) = folders();
        for dependency in [format!("{PACKAGE} = {{ path = \"../sdk\" }}"), "serde = \"1\"".to_owned()] {
            manifest(folder.path(), &dependency);
            assert!(sdk_arguments(folder.path(), cache.path()).expect("nothing to do").is_empty(), "{dependency}");
        }
        assert!(!folder.path().join(".cargo").exists());
        manifest(folder.path(), advised().trim_matches('`'));
        fs::create_dir(folder.path().join(".cargo")).expect("a folder");
        let config = folder.path().join(".cargo/config.toml");
        fs::write(&config, "[net]\noffline = true\n").expect("written");
        assert_eq!(sdk_arguments(folder.path(), cache.path()).expect("the SDK").len(), 2);
        assert_eq!(fs::read_to_string(&config).expect("a file"), "[net]\noffline = true\n");
    }

    #[test]
    fn another_version_is_refused_before_cargo_looks_for_it_at_crates_io() {
        let (folder, cache) = folders();
        manifest(folder.path(), &format!("{PACKAGE} = \"=99.1.0\""));
        let error = sdk_arguments(folder.path(), cache.path()).expect_err("another version").to_string();
        assert!(error.starts_with("Cargo.toml:5: ") && error.contains(&advised()), "{error}");
    }

    #[test]
    fn an_sdk_that_was_cleared_from_the_cache_is_unpacked_again() {
        let (folder, cache) = folders();
        let sdk = sdk::unpack(cache.path()).expect("the SDK");
        manifest(folder.path(), &format!("{PACKAGE} = {{ path = {:?} }}", sdk.join("sdk/rust")));
        fs::remove_dir_all(&sdk).expect("removed");
        sdk_arguments(folder.path(), cache.path()).expect("the SDK");
        assert!(sdk.join("sdk/rust/Cargo.toml").is_file());
    }

    #[test]
    fn a_path_of_another_version_or_machine_is_told_with_the_line_to_write() {
        let (folder, cache) = folders();
        let gone = cache.path().join("sdk-0123456789ab/sdk/rust");
        manifest(folder.path(), &format!("{PACKAGE} = {{ path = {gone:?} }}"));
        let error = sdk_arguments(folder.path(), cache.path()).expect_err("it is gone").to_string();
        assert!(error.starts_with("Cargo.toml:5: ") && error.contains(&advised()), "{error}");
        // One that is there still builds what it built.
        fs::create_dir_all(&gone).expect("a folder");
        sdk_arguments(folder.path(), cache.path()).expect("it is there");
    }
}
