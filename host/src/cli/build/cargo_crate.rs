//! Chooses the folder that cargo compiles a plugin into, and what of its names stays in the component.
//!
//! A plugin's dependencies take a minute and more to compile. A crate on its own has a `target` folder of its own, so
//! that each new plugin would compile them again: all such crates share a folder in the user's cache. A crate of a
//! workspace shares that of the workspace, and where the user has named a folder, it is used.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The purpose that a component is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For operators: as its manifest says.
    Publish,
    /// For its author, who reads backtraces: the names of its functions stay.
    Develop,
}

/// The crate of a plugin, as cargo sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CargoCrate {
    name: String,
    /// Set if its folder for compiled code is its own, and nobody has named another one.
    has_own_target: bool,
}

/// The parts of the output of `cargo metadata` that are read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

impl CargoCrate {
    /// Asks cargo about the crate in a folder. None if its manifest is wrong, which the build tells.
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
        let Metadata { packages, workspace_root, target_directory } = serde_json::from_slice(metadata).ok()?;
        let package = packages.into_iter().find(|package| package.manifest_path == manifest)?;
        let alone = manifest.parent() == Some(&workspace_root);
        let has_own_target = alone && target_directory == workspace_root.join("target");
        Some(Self { name: package.name, has_own_target })
    }

    /// The arguments of `cargo build`.
    pub(super) fn arguments(&self, purpose: Purpose, cache: Option<&Path>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let (true, Some(cache)) = (self.has_own_target, cache) {
            arguments.extend(["--target-dir".into(), cache.join("cargo").into()]);
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
            "packages": [{ "name": "other", "manifest_path": "/p/other/Cargo.toml" },
                         { "name": "shop", "manifest_path": "/p/shop/Cargo.toml" }],
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

    #[test]
    fn the_names_of_functions_stay_for_the_author() {
        let expected = ["--config", "profile.plugin.package.shop.strip=\"debuginfo\""];
        assert_eq!(arguments("/p", "/p/target", Purpose::Develop), expected);
    }
}
