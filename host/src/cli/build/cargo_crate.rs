//! Chooses the folder that cargo compiles a plugin into, and which function names stay in the component.
//!
//! A plugin's dependencies take a minute and more to compile. A crate on its own has a `target` folder of its own, so
//! that each new plugin would compile them again: all such crates share a folder in the user's cache. A crate of a
//! workspace shares that of the workspace, and where the user has named a folder, it is used.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::cargo::TARGET;
use super::shared_target::SharedBuild;

/// The purpose that a component is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For operators, with the names that its manifest keeps.
    Publish,
    /// For its author, who reads backtraces, with the names of all functions.
    Develop,
}

/// The crate of a plugin, as cargo sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CargoCrate {
    name: String,
    /// The name of its component, without `.wasm`. None if it makes none, or if rustc refuses the name: the build reports
    /// why.
    component: Option<String>,
    /// Set if its folder for compiled code is its own, and nobody has named another one.
    has_own_target: bool,
}

/// The parts of the output of `cargo metadata` that are read.
#[derive(Deserialize)]
struct CargoMetadata {
    packages: Vec<CargoPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<CargoTarget>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
    crate_types: Vec<String>,
}

impl CargoCrate {
    /// Asks cargo about the crate in a folder. None if its manifest is wrong, which the build reports.
    pub(super) fn of(source: &Path) -> Option<Self> {
        let manifest = source.join("Cargo.toml");
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--quiet", "--manifest-path"])
            .arg(&manifest)
            .stdin(Stdio::null())
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Self::parse(&manifest, &output.stdout)
    }

    fn parse(manifest: &Path, metadata: &[u8]) -> Option<Self> {
        let CargoMetadata { packages, workspace_root, target_directory } = serde_json::from_slice(metadata).ok()?;
        let package = packages.into_iter().find(|package| package.manifest_path == manifest)?;
        let alone = manifest.parent() == Some(&workspace_root);
        let has_own_target = alone && target_directory == workspace_root.join("target");
        let is_component = |target: &&CargoTarget| target.crate_types.iter().any(|kind| kind == "cdylib");
        let component = package.targets.iter().find(is_component).map(|target| target.name.replace('-', "_"));
        // cargo gives the name as the manifest has it, also one that leads out of the folder.
        let is_name = |name: &String| name.chars().all(|character| character.is_alphanumeric() || character == '_');
        let component = component.filter(is_name);
        Some(Self { name: package.name, component, has_own_target })
    }

    /// Begins a build of this crate in the shared folder, if that is where it is built.
    pub(super) fn begin(&self, cache: Option<&Path>) -> io::Result<Option<SharedBuild>> {
        let Some(folder) = self.shared_folder(cache) else { return Ok(None) };
        let build = SharedBuild::begin(folder)?;
        if let Some(name) = &self.component {
            let made = build.folder().join(TARGET).join("plugin/deps").join(format!("{name}.wasm"));
            match std::fs::remove_file(made) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(Some(build))
    }

    fn shared_folder(&self, cache: Option<&Path>) -> Option<PathBuf> {
        cache.filter(|_| self.has_own_target).map(|cache| cache.join("cargo"))
    }

    /// The arguments of `cargo build`.
    pub(super) fn arguments(&self, purpose: Purpose, cache: Option<&Path>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(folder) = self.shared_folder(cache) {
            arguments.extend(["--target-dir".into(), folder.into()]);
        }
        if purpose == Purpose::Develop {
            // Of this crate alone: its dependencies stay compiled for both uses.
            arguments.extend([
                "--config".into(),
                format!("profile.plugin.package.{}.strip=\"debuginfo\"", self.name).into(),
            ]);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(root: &str, target: &str, purpose: Purpose) -> Vec<OsString> {
        let metadata = json!({
            "packages": [{ "name": "other", "manifest_path": "/p/other/Cargo.toml", "targets": [] },
                         { "name": "shop", "manifest_path": "/p/shop/Cargo.toml", "targets": [] }],
            "workspace_root": root,
            "target_directory": target,
        });
        let found = CargoCrate::parse(Path::new("/p/shop/Cargo.toml"), metadata.to_string().as_bytes());
        found.expect("a crate").arguments(purpose, Some(Path::new("/cache")))
    }

    #[test]
    fn crates_on_their_own_share_a_folder_and_others_keep_theirs() {
        assert_eq!(arguments("/p/shop", "/p/shop/target", Purpose::Publish), ["--target-dir", "/cache/cargo"]);
        assert!(arguments("/p", "/p/target", Purpose::Publish).is_empty(), "that of a workspace is shared already");
        assert!(arguments("/p/shop", "/elsewhere", Purpose::Publish).is_empty(), "the user has named it");
    }

    /// Before cargo refuses the crate, the component of an earlier one of its name is removed.
    #[test]
    fn a_name_that_leads_out_of_the_folder_removes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let deps = dir.path().join("cargo").join(TARGET).join("plugin/deps");
        std::fs::create_dir_all(&deps).expect("a folder");
        for (name, path) in [("shop", deps.join("shop.wasm")), ("../../../../shop", dir.path().join("shop.wasm"))] {
            std::fs::write(&path, "").expect("a file");
            let metadata = json!({
                "packages": [{ "name": "shop", "manifest_path": "/p/shop/Cargo.toml",
                               "targets": [{ "name": name, "crate_types": ["cdylib"] }] }],
                "workspace_root": "/p/shop",
                "target_directory": "/p/shop/target",
            });
            let found = CargoCrate::parse(Path::new("/p/shop/Cargo.toml"), metadata.to_string().as_bytes());
            found.expect("a crate").begin(Some(dir.path())).expect("begun");
            assert_eq!(path.exists(), name != "shop", "{name}");
        }
    }

    #[test]
    fn the_names_of_functions_stay_for_the_author() {
        let expected = ["--config", "profile.plugin.package.shop.strip=\"debuginfo\""];
        assert_eq!(arguments("/p", "/p/target", Purpose::Develop), expected);
    }
}
