//! Finds the running `coinslot dev` of this user, for `coinslot pay`, and decides for other commands whether a folder
//! belongs to one.
//!
//! Each `coinslot dev` writes dev.json into its state folder, and notes the path of that file in the user's own folder
//! for state. `pay` looks for dev.json in `.coinslot` of the current folder and of those above it, and then where the
//! notes lead. A file counts only if this user owns it and no other user can write it: dev.json says where a request
//! goes and with which key it is paid, so another user must not be able to plant one in a folder above, such as /tmp.

#![expect(clippy::disallowed_methods, reason = "the notes lie where XDG_STATE_HOME says")]

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::{DEFAULT_CONFIG, Failure};
use crate::config::{Config, StateConfig};
use crate::logging;

/// The file that `coinslot dev` writes, unless it keeps its state in another directory.
pub(super) const DEV_FILE: &str = ".coinslot/dev.json";

/// The lock beside it, which `coinslot dev` holds while it runs.
pub(super) const LOCK: &str = "dev.lock";

/// The most bytes of a dev.json or of a note that are read.
const MOST: u64 = 1 << 20;

/// A `coinslot dev`, by its dev.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DevHost {
    pub(super) url: Url,
    pub(super) file: PathBuf,
}

/// The fields of a dev.json that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DevFile {
    url: Url,
    /// The chain of this start. An older `coinslot dev` does not name it.
    chain_run: Option<String>,
}

impl DevHost {
    /// Reads a dev.json that only this user can have written.
    fn of(file: &Path) -> Option<Self> {
        Self::parse(file, &read_own(file)?)
    }

    fn parse(file: &Path, text: &[u8]) -> Option<Self> {
        let DevFile { url, .. } = serde_json::from_slice(text).ok()?;
        Some(Self { url, file: file.to_owned() })
    }

    /// Reads the dev.json that the user has named.
    pub(super) fn named(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let cannot = |why: String| Failure::new(format!("{shown} {why}: is `coinslot dev` running there?"));
        let text = fs::read(file).map_err(|error| cannot(format!("cannot be read: {error}")))?;
        Self::parse(file, &text).ok_or_else(|| cannot("is no dev.json".to_owned()))
    }

    /// True if its process holds the lock of its state folder. The file of one that was killed stays behind.
    fn is_running(&self) -> bool {
        let lock = self.file.with_file_name(LOCK);
        let locked = File::open(lock).map(|file| file.try_lock_shared());
        matches!(locked, Ok(Err(TryLockError::WouldBlock)))
    }
}

/// The dev.json of the running host that serves this URL, the nearest first.
pub(super) fn serving(url: &Url) -> Option<PathBuf> {
    // The file of a host that has ended must not decide which key pays what serves at its address now.
    let is_it = |host: &DevHost| host.url.origin() == url.origin() && host.is_running();
    let host = nearby().find(is_it).or_else(|| noted().into_iter().find(is_it));
    host.map(|host| host.file)
}

/// True if a command with this `--config` means the `coinslot dev` of the current folder, which runs there or has left
/// this record behind. Of a configuration only its state counts: one that grants something to the plugins of `dev`, and
/// sells nothing, belongs to no host that has served, and has no record of its own.
pub(super) fn is_meant(config: &Path, of_dev: &Path, of_host: impl Fn(&StateConfig) -> PathBuf) -> bool {
    let state = Config::read_state(config);
    let has_served = state.as_ref().is_ok_and(|state| of_host(state).exists());
    let is_default = config == Path::new(DEFAULT_CONFIG);
    is_default && (state.is_ok() || !config.exists()) && !has_served && (is_running_here() || of_dev.exists())
}

/// True if a host of this user runs in the current folder.
pub(super) fn is_running_here() -> bool {
    DevHost::of(Path::new(DEV_FILE)).is_some_and(|host| host.is_running())
}

/// A sentence about the `coinslot dev` that runs in the current folder, for commands of a host that sells: beside a
/// configuration that it is another host, and without one how to use it. None if no `coinslot dev` runs there, or if another
/// configuration was named.
pub(super) fn beside(config: &Path) -> Option<String> {
    if config != Path::new(DEFAULT_CONFIG) {
        return None;
    }
    let host = DevHost::of(Path::new(DEV_FILE)).filter(DevHost::is_running)?;
    let url = host.url.as_str().trim_end_matches('/');
    Some(match config.exists() {
        true => format!(
            "a `coinslot dev` runs in this folder, at {url}: it is another host, with a chain and a ledger of its own"
        ),
        false => format!(
            "the `coinslot dev` that runs in this folder, at {url}, needs none: `coinslot plugins` shows what it serves, \
             `coinslot ledger payments` what it was paid, and `coinslot pay` buys from it"
        ),
    })
}

/// Reads the configuration of a host that sells. Without one, the error speaks of the `coinslot dev` that runs here.
pub(super) fn configuration(file: &Path) -> Result<Config, Failure> {
    Config::read(file).map_err(|problems| match beside(file).filter(|_| !file.exists()) {
        Some(dev) => Failure::usage(format!("{problems}\n  {dev}")),
        None => problems.into(),
    })
}

/// The JSON-RPC of the chain of the host that runs in the current folder.
pub(super) fn rpc_here() -> Option<Url> {
    #[derive(Deserialize)]
    struct DevFile {
        rpc: Url,
    }
    let text = read_own(Path::new(DEV_FILE)).filter(|_| is_running_here())?;
    serde_json::from_slice(&text).ok().map(|DevFile { rpc }| rpc)
}

/// The JSON-RPC of the chain of the running host that serves this URL: that of the file which the user has named, or of the
/// one that is found.
pub(super) fn rpc_serving(named: Option<&Path>, url: &Url) -> Option<Url> {
    #[derive(Deserialize)]
    struct DevFile {
        url: Url,
        rpc: Url,
    }
    let file = named.map(Path::to_owned).or_else(|| serving(url))?;
    let dev: DevFile = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (dev.url.origin() == url.origin()).then_some(dev.rpc)
}

/// The chain of the host that serves this URL, as its dev.json names it: the file that the user has named, or the one
/// that is found. Each start of `coinslot dev` has another chain. None if no such host is known.
pub(super) fn chain_run(named: Option<&Path>, url: &Url) -> Option<String> {
    let file = named.map(Path::to_owned).or_else(|| serving(url))?;
    let dev: DevFile = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    dev.chain_run.filter(|_| dev.url.origin() == url.origin())
}

/// The running host that a path alone means: the nearest, or the only one of this user.
pub(super) fn running() -> Result<DevHost, Failure> {
    if let Some(near) = nearby().find(DevHost::is_running) {
        return Ok(near);
    }
    let mut hosts = noted();
    hosts.retain(DevHost::is_running);
    match hosts.len() {
        1 => {
            let host = hosts.remove(0);
            let file = host.file.display();
            logging::say(&format!("no `coinslot dev` runs in this folder: {} of {file} is meant", host.url));
            Ok(host)
        }
        0 => Err(Failure::usage(
            "no `coinslot dev` of yours is running: start one, or write a whole URL (http://..) instead of a path",
        )),
        _ => {
            let urls: Vec<String> = hosts.iter().map(|host| host.url.origin().ascii_serialization()).collect();
            Err(Failure::usage(format!(
                "several `coinslot dev` are running: write the whole URL of one: {}",
                urls.join(", ")
            )))
        }
    }
}

/// Those of the current folder and of the folders above.
fn nearby() -> impl Iterator<Item = DevHost> {
    let here = std::env::current_dir().unwrap_or_default();
    let files: Vec<PathBuf> = here.ancestors().map(|folder| folder.join(DEV_FILE)).collect();
    files.into_iter().filter_map(|file| DevHost::of(&file))
}

/// Those that are noted in the user's folder. They may have ended.
fn noted() -> Vec<DevHost> {
    let Some(entries) = notes().and_then(|folder| fs::read_dir(folder).ok()) else { return Vec::new() };
    let mut notes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    notes.sort();
    let hosts = notes.iter().filter_map(|note| {
        let file = String::from_utf8(read_own(note)?).ok()?;
        DevHost::of(Path::new(file.trim_end_matches('\n')))
    });
    hosts.collect()
}

/// The content of a regular file that this user owns and no other user can write.
fn read_own(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    // Checked after it is opened: what is checked is what is read. A pipe would block.
    let is_regular = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let file = File::open(path).ok().filter(|_| is_regular)?;
    let meta = file.metadata().ok()?;
    let is_own = meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if !(meta.is_file() && is_own) {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The folder of the notes.
pub(super) fn notes() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(base.join("coinslot/dev"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_another_user_can_write_does_not_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("dev.json");
        fs::write(&file, r#"{"url": "http://127.0.0.1:8402"}"#).expect("written");
        let with = |mode: u32| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
            DevHost::of(&file)
        };
        assert_eq!(with(0o600).expect("own").url.as_str(), "http://127.0.0.1:8402/");
        for mode in [0o620, 0o602, 0o666] {
            assert_eq!(with(mode), None, "{mode:o}");
        }
        assert!(with(0o644).is_some_and(|host| !host.is_running()), "no lock is held");
        assert_eq!(DevHost::of(dir.path()), None);
    }

    #[test]
    fn a_host_runs_while_its_lock_is_held() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = DevHost { url: "http://127.0.0.1:1".parse().expect("a URL"), file: dir.path().join("dev.json") };
        assert!(!host.is_running());
        let lock = File::create(dir.path().join(LOCK)).expect("a lock");
        assert!(!host.is_running());
        lock.try_lock().expect("free");
        assert!(host.is_running());
        drop(lock);
        assert!(!host.is_running());
    }
}
