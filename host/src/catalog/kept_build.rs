//! A build that serves or served, whose component is kept, and the way of its component back into the plugin folder.

#![expect(clippy::disallowed_methods, reason = "the record of a build says since when it is active")]

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use coinslot_base::file::{draft, publish_durably};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::install::Installed;
use super::overrides::RouteChange;

/// Components and the file that names them are the host's alone.
pub(super) const MODE: u32 = 0o600;

/// A build whose component is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBuild {
    pub plugin: String,
    pub version: String,
    /// In hex.
    pub sha256: String,
    /// Seconds since 1970 at which the build became active.
    pub since: u64,
    pub endpoints: Vec<KeptEndpoint>,
    /// The facts that are not as the plugin declares them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<RouteChange>,
}

/// An endpoint of a build that serves or served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredEndpoint")]
pub struct KeptEndpoint {
    pub method: String,
    /// The path template, as in `/items/{id}`.
    pub path: String,
    /// As in `0.01 USDC`, `free` and `quoted, at most 0.50 USDC`.
    pub price: String,
    /// The prices in all assets, with their networks and receivers. None: an older host wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
}

/// An endpoint as hosts of this version and of older ones wrote it.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredEndpoint {
    Fields {
        method: String,
        path: String,
        price: String,
        #[serde(default)]
        terms: Option<String>,
    },
    /// A line such as `GET /path 0.01 USDC`.
    Line(String),
}

impl From<StoredEndpoint> for KeptEndpoint {
    fn from(stored: StoredEndpoint) -> Self {
        match stored {
            StoredEndpoint::Fields { method, path, price, terms } => Self { method, path, price, terms },
            StoredEndpoint::Line(line) => {
                let mut words = line.splitn(3, ' ').map(str::to_owned);
                let mut next = || words.next().unwrap_or_default();
                Self { method: next(), path: next(), price: next(), terms: None }
            }
        }
    }
}

impl KeptBuild {
    /// The record of a build that becomes active now. Its component is kept apart, by the history.
    pub(super) fn activated_now(installed: &Installed) -> Self {
        let info = installed.plugin.info();
        let endpoints = installed.endpoints.iter().map(|endpoint| KeptEndpoint {
            method: endpoint.method.to_string(),
            path: endpoint.path.to_string(),
            price: endpoint.access.to_string(),
            terms: Some(endpoint.access.terms()),
        });
        Self {
            plugin: info.name.clone(),
            version: info.version.clone(),
            sha256: installed.plugin.sha256().to_owned(),
            since: now(),
            endpoints: endpoints.collect(),
            changes: installed.changes.clone(),
        }
    }

    /// The file of the component, in the folder of the history.
    pub fn component(&self, dir: &Path) -> PathBuf {
        component(dir, &self.sha256)
    }

    /// Puts the component into the plugin folder, in the place of the file `target`: see [`put_component`].
    pub fn restore(&self, dir: &Path, target: &Path) -> io::Result<()> {
        put_component(&self.bytes(dir)?, target)
    }

    /// The bytes of the component, proven to be those that served.
    pub(super) fn bytes(&self, dir: &Path) -> io::Result<Vec<u8>> {
        let path = component(dir, &self.sha256);
        let bytes = fs::read(&path).map_err(|error| at(&path, &error))?;
        if hex::encode(Sha256::digest(&bytes)) != self.sha256 {
            return Err(io::Error::other(format!("{}: it is not what was kept there", path.display())));
        }
        Ok(bytes)
    }
}

/// Puts a component into the plugin folder in one step, in the place of the file `target`. A host that watches the folder
/// does not look at the draft, whose name begins with a dot.
///
/// The file has the mode and the owner of the file that it replaces, or those that fit the folder: another user may run
/// this than the host, and than the one who deploys.
pub fn put_component(bytes: &[u8], target: &Path) -> io::Result<()> {
    replace(bytes, target).map_err(|error| at(target, &error))
}

fn replace(bytes: &[u8], target: &Path) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (like, mask) = match fs::metadata(target) {
        Ok(replaced) if replaced.is_file() => (replaced, 0o777),
        Ok(_) | Err(_) => (fs::metadata(folder)?, 0o666),
    };
    let mut draft = draft(folder, MODE)?;
    draft.write_all(bytes)?;
    // Only root can give a file away. Another user may still give it to a group of its own.
    let file = draft.as_file();
    let given = fchown(file, Some(like.uid()), Some(like.gid())).or_else(|_| fchown(file, None, Some(like.gid())));
    if let Err(error) = given {
        tracing::debug!(file = %target.display(), %error, "the file keeps the owner that it was made by");
    }
    file.set_permissions(Permissions::from_mode(like.mode() & mask))?;
    publish_durably(draft, target)
}

pub(super) fn component(dir: &Path, sha256: &str) -> PathBuf {
    dir.join("components").join(format!("{sha256}.wasm"))
}

/// The error with the path that it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_an_older_host_wrote_as_lines_are_read_as_those_of_this_one() {
        let line = r#"["POST /items/{id} quoted, at most 0.50 USDC"]"#;
        let endpoints: Vec<KeptEndpoint> = serde_json::from_str(line).expect("a line");
        let [method, path, price] = ["POST", "/items/{id}", "quoted, at most 0.50 USDC"].map(str::to_owned);
        assert_eq!(endpoints, [KeptEndpoint { method, path, price, terms: None }]);
        let written = serde_json::to_string(&endpoints).expect("JSON");
        assert_eq!(serde_json::from_str::<Vec<KeptEndpoint>>(&written).expect("its own"), endpoints);
    }
}
